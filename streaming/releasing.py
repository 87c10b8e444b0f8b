"""Putting releases in force: what the command line and the console do, whoever keeps the releases.

Whatever cannot be loaded here is refused before anything is written: model, rules and policy are made ready as a worker
makes them ready.
"""

from pathlib import Path
from typing import Protocol

import msgspec

from fraud.core.card_numbers import KEYLESS, CardNumbers
from fraud.core.engine import Strategy
from fraud.core.errors import ArtifactError, ReleaseError
from fraud.core.releases import NO_RULES, How, Release, Releases, before, named, of_id
from fraud.core.rules.bundle import text_hash
from fraud.core.settings import Settings, policy_text
from streaming import wiring
from streaming.kafka.model_pointer import pointer_in
from streaming.messages.times import to_text
from streaming.rule_file import DEFAULT, read_bundle
from streaming.settings import card_numbers


class Histories(Protocol):
    """What is asked of a state store."""

    def pointer(self) -> bytes:
        """Return what names the histories that were made last, empty when none ever were."""

    def holds_histories(self, encoder: str) -> bool:
        """Tell whether there are histories of an encoder."""


class NoHistories:
    """What an engine without a store has: histories are made as it runs, so none are missing."""

    def pointer(self) -> bytes:
        """Return that none were made."""
        return b""

    def holds_histories(self, encoder: str) -> bool:
        """Return that nothing is missing."""
        del encoder
        return True


class Wanted(msgspec.Struct, frozen=True):
    """What a release is to consist of; what is None stays as it is in the release in force.

    `model` is a name or NAME@VERSION, `rules` a bundle or `none`, `policy` a TOML text.
    """

    model: str | None = None
    rules: str | None = None
    policy: str | None = None


class Move(msgspec.Struct, frozen=True):
    """Who puts a release in force, when (ns UTC), and why."""

    by: str
    at: int
    note: str = ""


class Releasing:
    """Puts releases in force, and goes back."""

    def __init__(self, settings: Settings, releases: Releases, histories: Histories) -> None:
        """Take the settings, where models lie and what the first release begins with, and who keeps what."""
        self._settings, self._releases, self._histories = settings, releases, histories

    def activate(self, wanted: Wanted, move: Move) -> Release:
        """Put a release in force; one that is in force already is left as it is.

        Raises:
            ArtifactError: when the model is missing, does not fit, or the state lacks its histories.
            ReleaseError: when somebody else was quicker.
            RuleError: when the rules have faults.
            SettingsError: when the policy has.
        """
        live, texts = self._releases.live(), dict[str, str]()
        draft = Release(
            id="",
            model=wanted.model or (live.model if live else self._settings.model.name),
            rules=self._rules(wanted, live, texts),
            policy=self._policy(wanted, live, texts),
        )
        return self._put(draft, live, move, texts)

    def again(self, name: str, move: Move) -> Release:
        """Put a release of before in force. Raises as `activate`, and ReleaseError when there is none of that id."""
        return self._put(of_id(self._releases.moves(), name), self._releases.live(), move, {})

    def rollback(self, move: Move) -> Release:
        """Go back to the release before the one in force; another call goes one further. Raises as `again`."""
        moves = self._releases.moves()
        if not (line := before(moves)):
            held = f"none was in force before {moves[-1].id}" if moves else "none was ever put in force"
            msg = f"there is no release to go back to: {held}; see: fraud release list"
            raise ReleaseError(msg)
        return self._put(line[-1], self._releases.live(), move, {}, How.ROLLBACK)

    def _put(
        self, draft: Release, live: Release | None, move: Move, texts: dict[str, str], how: How = How.ACTIVATE
    ) -> Release:
        """Put a release in force once it has been made ready, its texts first."""

        def text(name: str) -> str:
            return texts[name] if name in texts else self._releases.text(name)

        ready = wiring.released(self._settings, draft, text, wiring.spec_of(self._settings).version)
        model, encoder = ready.scorer.version, ready.scorer.encoder
        whole = msgspec.structs.replace(
            draft, model=model, encoder=encoder, at=move.at, by=move.by, note=move.note, how=how
        )
        if live is not None and whole.parts == live.parts:
            return live
        self._need_histories(ready, live)
        for each in texts.values():
            self._releases.put(each)
        made = named(self._releases.moves(), whole)
        self._releases.move(made, live)
        return made

    def _rules(self, wanted: Wanted, live: Release | None, texts: dict[str, str]) -> str:
        bundle = wanted.rules
        if bundle is None:
            if live is not None:
                return live.rules
            bundle = bundle_of(self._settings.rules.file, card_numbers(self._settings))
        return bundle if bundle == NO_RULES else kept(texts, bundle)

    def _policy(self, wanted: Wanted, live: Release | None, texts: dict[str, str]) -> str:
        if wanted.policy is not None:
            return kept(texts, wanted.policy)
        return live.policy if live is not None else kept(texts, policy_text(self._settings.policy))

    def _need_histories(self, ready: Strategy, live: Release | None) -> None:
        """Raise ArtifactError unless the state holds, whole, what the model reads of histories."""
        encoder = ready.scorer.encoder
        if not encoder or (live is not None and live.encoder == encoder):
            return
        pointer = pointer_in(self._histories.pointer())
        if pointer is not None and pointer.encoder == encoder:
            return
        # A site that has had neither release nor pointer runs by its settings, and has kept histories from the start.
        if live is None and pointer is None and self._histories.holds_histories(encoder):
            return
        model = ready.scorer.version
        msg = (
            f"model {model} reads histories (encoder {encoder}) that the state does not hold up to now: make them "
            f"first, with 'fraud state reencode --model {model}', while workers go on"
        )
        raise ArtifactError(msg)


def kept(texts: dict[str, str], text: str) -> str:
    """Note a text that is to be kept; return its hash."""
    texts[text_hash(text)] = text
    return text_hash(text)


def bundle_of(file: str, cards: CardNumbers = KEYLESS) -> str:
    """Return the bundle of a rule file as settings name one; `none` where they name none. Raises RuleError."""
    return read_bundle(DEFAULT if file == "default" else Path(file), cards) if file else NO_RULES


def said(live: Release) -> str:
    """Return a release in force in a few words."""
    by = f" by {live.by}" if live.by else ""
    parts = f"model {live.model}, rules {live.rules}, policy {live.policy}"
    return f"release {live.id} is in force since {to_text(live.at)[:19]}Z{by} ({parts})"


def need_no_release(live: Release | None, what: str) -> None:
    """Raise ReleaseError where a release is in force, which stands above what somebody has asked for."""
    if live is not None:
        msg = (
            f"{said(live)}, and stands above that: {what} would change nothing that decides; put a release with that "
            "model in force: fraud release activate --model NAME@VERSION"
        )
        raise ReleaseError(msg)


def need_agreement(live: Release | None, model: str | None, rules: str | None, cards: CardNumbers = KEYLESS) -> None:
    """Raise ReleaseError where a command line names a model or rules that the release in force does not have."""
    if live is None:
        return
    other = []
    if model is not None and model not in (live.model, live.model.partition("@")[0]):
        other.append(f"--model {model}")
    if rules is not None and (bundle := bundle_of(rules, cards)) != live.rules and text_hash(bundle) != live.rules:
        other.append(f"--rules {rules}")
    if other:
        words = " ".join(other)
        msg = (
            f"{said(live)}, and stands above {words}: leave that out, or put it in force for all workers with 'fraud "
            f"release activate {words}'"
        )
        raise ReleaseError(msg)
