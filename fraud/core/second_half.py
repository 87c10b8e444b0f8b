"""The engine's second half: decisions held for their labels, labels matched, and where there is a learner, learned.

Without a learner what labels change goes into the state at once. With one it waits for the end of its refresh period.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import msgspec

from fraud.core.labels import Due, LabelBook, Match
from fraud.core.ports import Scorer
from fraud.core.records import Answer, Arrival, Decision, FeatureVector, KnownLabel, Label, Level, Transaction


class Boundary(NamedTuple):
    """What the end of a refresh period brings: what the state takes in, and other scorers where payments get some.

    `parameters` is the version that `scorers`, by level, are of; `scorers` None leaves those that are.
    """

    known: tuple[KnownLabel, ...] = ()
    parameters: str = ""
    scorers: Mapping[Level, Scorer] | None = None


class Learning(Protocol):
    """The learning loop, as an engine drives it that learns in its own process."""

    def period(self, at: int) -> int:
        """Return the refresh period that a time (ns UTC) is in."""

    def hear(self, decision: Decision, vector: FeatureVector | None) -> tuple[float, ...]:
        """Return what is said of a decision now, to be kept with it."""

    def take(self, match: Match, period: int) -> None:
        """Take in what a label changes, which came in a period that is not over."""

    def fall_due(self, due: Due) -> None:
        """Take in payments that have reached the age of learning, or their deadline."""

    def close(self, period: int) -> Boundary:
        """End all periods up to one."""

    def figures(self) -> Mapping[str, Any]:
        """Return what it has done and stands at, by name."""

    def snapshot(self) -> bytes:
        """Return the whole state."""

    def restore(self, snapshot: bytes) -> Boundary:
        """Replace the whole state; return what payments get by it."""


Heard = Callable[[Sequence[KnownLabel]], None]
"""Hears what the state takes in, in that order."""


class SecondHalf:
    """The label book with a learner or without; each call returns what the state is to take in now.

    `heard` hears all of it.
    """

    def __init__(self, book: LabelBook, learning: Learning | None = None, heard: Heard | None = None) -> None:
        """Take the parts."""
        self._book, self._learning, self._heard = book, learning, heard
        self._period = 0

    def periods(self, batch: Sequence[Arrival]) -> Iterator[tuple[int, Sequence[Arrival]]]:
        """Yield a batch in parts, each with its refresh period; in one part where nobody learns.

        Periods never go back: what was seen before goes into the one that is open.
        """
        if (learning := self._learning) is None:
            yield 0, batch
            return
        last = self._period

        def period(arrival: Arrival) -> int:
            nonlocal last
            last = max(last, learning.period(arrival.event.seen_at))
            return last

        for number, part in groupby(batch, period):
            yield number, tuple(part)

    def begin(self, period: int) -> Boundary:
        """Begin a period: end those before, unless it is under way."""
        if self._learning is None or period <= self._period:
            return Boundary()
        self._period = period
        boundary = self._learning.close(period - 1)
        self._tell(boundary.known)
        return boundary

    def hold(self, answer: Answer) -> list[KnownLabel]:
        """Hold a decision for its labels."""
        said = () if self._learning is None else self._learning.hear(answer.decision, answer.vector)
        return self._taken(self._book.hold(answer.decision, answer.vector, said))

    def match(self, label: Label) -> list[KnownLabel]:
        """Match a label."""
        match = self._book.match(label)
        return [] if match is None else self._taken([match])

    def release(self, tx_id: str, at: int) -> list[KnownLabel]:
        """Note that a payment that was held went through."""
        match = self._book.release(tx_id, at)
        return [] if match is None else self._taken([match])

    def expire(self, now: int) -> list[KnownLabel]:
        """Let fall due what is due by `now` (ns UTC)."""
        if (first := self._book.next_due()) is None or first > now:
            return []
        due = self._book.expire(now)
        if self._learning is not None:
            self._learning.fall_due(due)
        return self._taken(due.silent)

    def label_due_at(self, tx: Transaction) -> int:
        """Return when `tx`, once held, falls due or has a label."""
        return self._book.label_due_at(tx)

    def snapshot(self) -> tuple[bytes, bytes]:
        """Return the whole state: the book's, the learner's."""
        learned = b"" if self._learning is None else self._learning.snapshot()
        return self._book.snapshot(), msgspec.msgpack.encode((self._period, learned))

    def restore(self, book: bytes, learned: bytes) -> Boundary:
        """Replace the whole state; return what payments get by it."""
        self._book.restore(book)
        if self._learning is None or not learned:
            return Boundary()
        self._period, state = msgspec.msgpack.decode(learned, type=tuple[int, bytes])
        return self._learning.restore(state)

    def _taken(self, matches: Iterable[Match]) -> list[KnownLabel]:
        """Return what the state takes in at once of what labels change."""
        if self._learning is None:
            known = [label for match in matches for label in match.known]
            self._tell(known)
            return known
        for match in matches:
            self._learning.take(match, self._period)
        return []

    def _tell(self, known: Sequence[KnownLabel]) -> None:
        if self._heard is not None and known:
            self._heard(known)
