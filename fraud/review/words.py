"""What the database's small numbers mean: kinds, states and verdicts, kept as they are for ever.

A number once given is never given another meaning, for old rows hold it. A word on a page or in a message is the
member's name in lower case (`word`, `of_word`).
"""

from enum import IntEnum
from typing import TypeVar


class Word(IntEnum):
    """A number in the database with its word."""

    @property
    def word(self) -> str:
        """Return what pages, addresses and messages call it."""
        return self.name.lower()


W = TypeVar("W", bound=Word)


def of_word(kind: type[W], word: str) -> W:
    """Return the member of a word; raise ValueError with the words that there are."""
    try:
        return kind[word.upper()]
    except KeyError:
        known = ", ".join(member.word for member in kind)
        msg = f"{word!r} is no {kind.__name__}: expected one of {known}"
        raise ValueError(msg) from None


class EntityKind(Word):
    """Who or what takes part in a payment."""

    CARD = 0
    MERCHANT = 1
    DEVICE = 2


class Deed(Word):
    """What was done with a payment, by its decision; the order is that of hardness."""

    APPROVE = 0
    CHALLENGE = 1
    REVIEW = 2
    DECLINE = 3


class AlertKind(Word):
    """What kind of work an alert is; each is a queue of its own."""

    HELD = 0
    DECLINED = 1
    CHALLENGED = 2
    SAMPLE = 3


class AlertStatus(Word):
    """What became of an alert. `open` alone is in the queue's indexes."""

    OPEN = 0
    LOCKED = 1
    DECIDED = 2
    TIMED_OUT = 3


class CaseState(Word):
    """What became of a card's case; of one card at most one is open or waits for a second person."""

    OPEN = 0
    PENDING_SECOND = 1
    DECIDED = 2
    REOPENED = 3


class Finding(Word):
    """What a person says of an alert."""

    FRAUD = 0
    GENUINE = 1
    UNSURE = 2
    ESCALATED = 3


class Known(Word):
    """What holds of a payment by a label that is known."""

    GENUINE = 0
    FRAUD = 1
    WITHDRAWN = 2


class Teller(Word):
    """Who has said so."""

    CHARGEBACK = 0
    ANALYST = 1
    SILENCE = 2


class Order(Word):
    """What is done with a payment or a card after a verdict, or at a time-out."""

    NONE = 0
    RELEASE = 1
    DECLINE = 2
    STEP_UP = 3
    BLOCK_CARD = 4
    UNBLOCK_CARD = 5


class Sending(Word):
    """What became of an order."""

    WAITING = 0
    SENT = 1
    UNDONE = 2


class Second(Word):
    """What a case waits for a second person for."""

    NONE = 0
    FOUR_EYES = 1
    BLIND = 2
    DISPUTE = 3
    ESCALATED = 4


class Parcel(Word):
    """What a row of the outbox is: `fraud.core.records.Label`, `fraud.core.actions.CaseAction` or `AuditHead`."""

    LABEL = 0
    ORDER = 1
    AUDIT_HEAD = 2


class Changed(Word):
    """What happened to an alert's row on the screens that show it."""

    ADDED = 0
    CHANGED = 1
    GONE = 2


class AccountState(Word):
    """Whether a person may sign in; whoever was invited has no account before that is used."""

    OFF = 0
    ACTIVE = 1


class Waits(Word):
    """What a session waits for before it is one: nothing, a code, or that one is set up that makes codes."""

    NOTHING = 0
    CODE = 1
    SET_UP = 2


class ReleaseState(Word):
    """Where a release stands."""

    DRAFT = 0
    SHADOW = 1
    PARTIAL = 2
    LIVE = 3
    RETIRED = 4


OPEN_CASES = CaseState.OPEN, CaseState.PENDING_SECOND
"""A case in one of these is its card's open case; one that was reopened stands beside it, for it speaks of the past."""
