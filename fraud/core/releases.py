"""Releases: model, rules and policy that are in force together, under one name; who put them in force, and when.

A release is put in force by a move, and each move is one record: the newest says what is in force, all of them are the
history. Rules (with their list files) and policy are texts that go by the hash of their content.
"""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from fraud.core.errors import ReleaseError, nearest
from fraud.core.rules.bundle import text_hash

NO_RULES = "none"
"""What stands in the place of a hash where there are no rules: the version of a book without any."""
SHOWN = 5


class How(StrEnum):
    """How a release came into force."""

    ACTIVATE = "activate"
    ROLLBACK = "rollback"


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A move: `id` names what it put in force, `at` (ns UTC), `by` whom, `how` and `note` the rest.

    `model` is NAME@VERSION, or `rules`; `encoder` that of the histories it reads, empty for none. `rules` and `policy`
    are hashes of texts. The same three have the same id, whenever they come into force.
    """

    id: str
    model: str
    rules: str
    policy: str
    encoder: str = ""
    at: int = 0
    by: str = ""
    note: str = ""
    how: How = How.ACTIVATE
    number: int = 1
    """Moves so far, this one included."""

    @property
    def parts(self) -> tuple[str, str, str]:
        """Return what it consists of: model, rules, policy."""
        return self.model, self.rules, self.policy

    def bytes(self) -> bytes:
        """Return it as it is kept."""
        return msgspec.json.encode(self)


class ReleaseTexts(Protocol):
    """Rules and policies, by the hash of their text."""

    def put(self, text: str) -> str:
        """Keep a text, for good; return its hash."""

    def text(self, name: str) -> str:
        """Return the text of a hash; raise ReleaseError when it is not kept, or is damaged."""


class Releases(Protocol):
    """What is in force, how it came to be, and the texts; the contract suite is `tests/contract/test_releases.py`."""

    def put(self, text: str) -> str:
        """Keep a text, for good; return its hash."""

    def text(self, name: str) -> str:
        """Return the text of a hash; raise ReleaseError when it is not kept, or is damaged."""

    def live(self) -> Release | None:
        """Return what is in force, None when nothing ever was."""

    def moves(self) -> list[Release]:
        """Return every move, oldest first."""

    def move(self, to: Release, before: Release | None) -> None:
        """Put a release in force, in place of the one that `live` returned.

        Raises:
            ReleaseError: when somebody else has put another one in force meanwhile.
        """

    def close(self) -> None:
        """Release what is held; a second call does nothing."""


def release_in(text: bytes) -> Release | None:
    """Return what a store says of the release in force; None where there is none.

    Raises:
        ReleaseError: when it cannot be read.
    """
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=Release)
    except (msgspec.MsgspecError, ValueError) as error:
        msg = f"the release in force cannot be read ({error}): put one in force with 'fraud release activate'"
        raise ReleaseError(msg) from error


def named(moves: Sequence[Release], draft: Release) -> Release:
    """Return a draft with its id: that of the same three before, otherwise the next number and a hash of them."""
    for move in reversed(moves):
        if move.parts == draft.parts:
            return msgspec.structs.replace(draft, id=move.id, number=len(moves) + 1)
    digest = hashlib.sha256("\0".join(draft.parts).encode()).hexdigest()[:8]
    number = len({move.id for move in moves}) + 1
    return msgspec.structs.replace(draft, id=f"r{number}-{digest}", number=len(moves) + 1)


def of_id(moves: Sequence[Release], name: str) -> Release:
    """Return the newest move that put a release in force; raise ReleaseError, naming the nearest, when none did."""
    for move in reversed(moves):
        if move.id == name:
            return move
    known = list(dict.fromkeys(move.id for move in moves))
    said = f"the newest are {', '.join(known[: -SHOWN - 1 : -1])}" if known else "none was ever put in force"
    msg = f"there is no release '{name}': {said}.{nearest(name, known)} See: fraud release list"
    raise ReleaseError(msg)


def before(moves: Sequence[Release]) -> list[Release]:
    """Return the releases that a rollback can go back to, nearest last; each rollback goes one further."""
    line: list[Release] = []
    for move in moves:
        if move.how is How.ROLLBACK and line:
            line.pop()
        if not line or line[-1].id != move.id:
            line.append(move)
    return line[:-1]


def overtaken(now: Release | None) -> ReleaseError:
    """Return what is raised when somebody else was quicker."""
    who = f"{now.id}, by {now.by or 'somebody'}" if now is not None else "none"
    return ReleaseError(f"another release was put in force meanwhile ({who}): look at it, then say it again")


def not_kept(name: str) -> ReleaseError:
    """Return what is raised when a text is not there."""
    return ReleaseError(f"no text is kept as {name}: put the release in force again from its files")


def need_whole(held: bytes, name: str) -> str:
    """Return a kept text; raise ReleaseError when it is not the one of that hash."""
    text = held.decode(errors="replace")
    if text_hash(text) != name:
        msg = f"the text kept as {name} is damaged ({text_hash(text)}): put the release in force again from its files"
        raise ReleaseError(msg)
    return text
