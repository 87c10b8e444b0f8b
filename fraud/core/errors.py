"""Errors a user meets: each names the thing, the value, what was expected and the repair."""

from collections.abc import Iterable
from difflib import get_close_matches

REPAIR, BEGIN_AGAIN = 2, 3
"""Exit statuses: of what somebody has to mend first, and of what may be well when the process is started again."""


class FraudError(Exception):
    """Base of every error this project raises on purpose; `exit_status` is that of a process that it ends."""

    exit_status = REPAIR


class SettingsError(FraudError):
    """A setting is unknown, malformed or out of range."""


class KafkaUnavailableError(SettingsError):
    """No broker answers where the settings say, or it does not tell of a topic: a wrong address, or none is up now."""

    exit_status = BEGIN_AGAIN


class MappingError(FraudError):
    """A mapping does not fit the file it is applied to."""


class RuleError(FraudError):
    """An analyst rule does not compile; the message shows line, column and a caret."""


class CardNumberError(FraudError):
    """A field holds what looks like a card number, which is not taken; the message does not show it."""

    code = "pan"
    """What a dead letter says of it."""


class ArtifactError(FraudError):
    """A model artifact is missing, damaged or made for another feature spec."""


class ReleaseError(FraudError):
    """A release cannot be put in force, is not kept whole, or stands above what was asked for."""


class StateError(FraudError):
    """Stored state cannot be used: another layout, another server, a gap."""


class TopicReplacedError(StateError):
    """A topic is not the one that this process began with: it ends, and begins again on the one that is there."""

    exit_status = BEGIN_AGAIN


class StoreUnavailableError(FraudError):
    """The state store does not answer; decisions can still be made by rules only."""

    exit_status = BEGIN_AGAIN


class StoreRestartedError(StateError):
    """The state store is not the one that was read before: begin again where its promise ends."""

    exit_status = BEGIN_AGAIN


class DeliveryError(FraudError):
    """What was to be published was not acknowledged; the process ends without a commit and begins again."""

    exit_status = BEGIN_AGAIN


class DataError(FraudError):
    """Input data cannot be read at all (single bad rows are rejects, not errors)."""


def nearest(value: str, known: Iterable[str]) -> str:
    """Return a hint naming the valid name closest to `value`, or the empty string.

    The hint starts with a space so that it can follow a sentence directly.
    """
    close = get_close_matches(value, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""
