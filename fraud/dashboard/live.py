"""Live rows: one poll of the database for everybody who looks, each row rendered once, events that can be resumed.

The database numbers every change of an alert (`fraud.review.changes`), so it makes no difference which process made it.
An event's id is such a number: whoever comes back with one is told what came after it.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import msgspec
from fastapi.sse import format_sse_event

from fraud.review.tables import entity_id
from fraud.review.views import Badge, QueueQuery, QueueRow
from fraud.review.words import Changed, EntityKind

MOST_CHANGES, KEPT = 500, 200
"""Changes that one poll takes, and polls that are kept for those who are slow for a moment."""
BEAT_SECONDS, ASK_SECONDS = 2.0, 15.0
"""Counts are told so often though nothing has changed; a page is asked so often whether its session still holds."""
WAITING = ("open", "locked")
"""An alert of a time before the console is closed when it comes, and stands in no queue."""
RESET = format_sse_event(event="reset", data_str="{}")
"""What somebody is told who was away for longer than changes are kept: ask for the list anew."""


class Noted(NamedTuple):
    """A change of an alert, with its number."""

    seq: int
    alert: int
    what: Changed


class Wire(Protocol):
    """What live rows are made from; every call may take a moment, and is made on a thread."""

    def last(self) -> int:
        """Return the number of the newest change."""

    def since(self, seq: int, most: int) -> Sequence[Noted] | None:
        """Return the oldest changes after a number, at most so many; None when some of them are gone."""

    def rows(self, alerts: Sequence[int]) -> Sequence[QueueRow]:
        """Return the rows of alerts as they are now."""

    def badges(self) -> Sequence[Badge]:
        """Return how much waits in each queue."""

    def row_text(self, row: QueueRow) -> str:
        """Return a row as the queue's page shows it."""

    def heard_age(self) -> float | None:
        """Return how many seconds ago the newest decision was taken in, None before the first."""

    def now(self) -> int:
        """Return the wall clock, UTC ns."""


class Told(NamedTuple):
    """One event, and the row that it is about (None: of no row, or of one that is gone); `at` is when it was told."""

    row: QueueRow | None
    new: bool
    text: bytes
    at: int = 0


class Batch(NamedTuple):
    """What one poll found: everything up to change `seq`."""

    seq: int
    events: tuple[Told, ...]

    def heard_by(self, query: QueueQuery) -> bytes:
        """Return the events that a page hears which shows a queue."""
        return b"".join(told.text for told in self.events if hears(query, told))


def hears(query: QueueQuery, told: Told) -> bool:
    """Tell whether a page that shows a queue hears an event: of a new row only when it would stand in that queue.

    Rows that change are told to all, for a page may show them whatever they have become.
    """
    row, narrowed = told.row, query.filter
    if row is None or not told.new:
        return True
    if query.shelf != "kind" or row.kind != query.kind or row.status not in WAITING:
        return False
    card = narrowed.card
    wanted = (
        (row.channel, narrowed.channel), (row.took, narrowed.took), (row.merchant.name, narrowed.merchant),
        (row.card.key, f"~{entity_id(EntityKind.CARD, card)}" if card and not card.startswith("~") else card),
    )  # fmt: skip
    return (
        all(asked in ("", found) for found, asked in wanted)
        and within(narrowed.least, row.base_amount, narrowed.most)
        and within(narrowed.older_than, told.at - row.arrived_at, None)
        and narrowed.assignee in (None, None if row.owner is None else row.owner.id)
        and (not narrowed.tag or narrowed.tag in row.tags)
        and (not narrowed.reason or narrowed.reason in {reason.code for reason in row.why})
    )


def within(least: int | None, value: int, most: int | None) -> bool:
    """Tell whether a number lies within bounds; None is none."""
    return (least is None or least <= value) and (most is None or value <= most)


class Live:
    """Tells open pages of changes. Lives on one event loop; `run` is its task.

    `seq` is the newest change that was looked at, -1 before the first look; `viewers` how many pages listen.
    """

    def __init__(self, wire: Wire, poll_seconds: float, most: int, most_each: int) -> None:
        """Take where changes come from, how often they are asked for, and how many pages may listen, of all and each.

        A browser opens six connections to a host, and a page that listens keeps one: with a seventh window nothing
        would load any more, so `most_each` pages of one session may listen.
        """
        self._wire, self._poll, self._most, self._most_each = wire, poll_seconds, most, most_each
        self._of_session: Counter[str] = Counter()
        self.seq = -1
        self._batches: deque[Batch] = deque(maxlen=KEPT)
        self._made, self._beat = 0, 0.0
        self._news = asyncio.Event()
        self.viewers = 0

    def has_room(self, session: str) -> bool:
        """Tell whether one more page of a session may listen."""
        return self.viewers < self._most and self._of_session[session] < self._most_each

    async def run(self) -> None:
        """Poll until cancelled; while the database does not answer pages hear nothing, and later all of it."""
        while True:
            with suppress(
                Exception
            ):  # the database is asked the same again in a moment; readiness tells that it is gone
                await self.turn()
            await asyncio.sleep(self._poll)

    async def turn(self) -> None:
        """Ask once for changes, and tell them; while nobody listens, no row is rendered."""
        if self.seq < 0 or not self.viewers:
            last = await asyncio.to_thread(self._wire.last)
            # Whoever came meanwhile is told everything from the number on that it was given.
            if self.seq < 0 or not self.viewers:
                self.seq = last
            return
        now = asyncio.get_running_loop().time()
        batch = await asyncio.to_thread(self._next, self.seq, now >= self._beat)
        if batch is not None:
            self.seq, self._beat = batch.seq, now + BEAT_SECONDS
            self._batches.append(batch)
            self._made += 1
            self._news.set()
            self._news = asyncio.Event()

    async def watch(
        self, query: QueueQuery, after: int | None, stays: Callable[[], bool], session: str = ""
    ) -> AsyncIterator[bytes]:
        """Yield the events of a queue that came after change `after`, or from now on, for as long as `stays`.

        A page asks from the change on that it was made at, so that nothing falls between the page and its events.
        `stays` is called on a thread, now and then. Of many that ask in one moment those without room hear nothing:
        they ask anew, and are told why.
        """
        if session and not self.has_room(session):
            return
        self.viewers += 1
        self._of_session[session] += 1
        try:
            if self.seq < 0:
                last = await asyncio.to_thread(self._wire.last)
                self.seq = max(self.seq, last)
            made, seq = self._made, self.seq
            yield await asyncio.to_thread(self._counts, seq)
            while after is not None and after < seq:
                batch = await asyncio.to_thread(self._next, after, False)
                if batch is None:
                    break
                after = batch.seq
                yield batch.heard_by(query)
            async for text in self._follow(query, made, stays):
                yield text
        finally:
            self.viewers -= 1
            self._of_session[session] -= 1
            self._of_session += Counter()  # what is at nothing is let go

    async def _follow(self, query: QueueQuery, made: int, stays: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Yield what is told after the first `made` batches."""
        asked = (clock := asyncio.get_running_loop()).time()
        while True:
            news = self._news
            behind = self._made - made
            if behind > len(self._batches):
                yield RESET
            elif behind:
                newest = list(self._batches)[-behind:]
                yield b"".join(batch.heard_by(query) for batch in newest)
            made += behind
            if clock.time() - asked >= ASK_SECONDS:
                asked = clock.time()
                if not await asyncio.to_thread(stays):
                    return
            with suppress(TimeoutError):
                async with asyncio.timeout(ASK_SECONDS):
                    await news.wait()

    # --- on threads

    def _next(self, seq: int, beat: bool) -> Batch | None:
        """Return what came after a change; None for nothing, unless it is time for the counts."""
        noted = self._wire.since(seq, MOST_CHANGES)
        if noted is None:
            return Batch(self._wire.last(), (Told(None, False, RESET),))
        if not noted:
            return Batch(seq, (Told(None, False, self._counts(seq)),)) if beat else None
        newest = noted[-1].seq
        return Batch(newest, (*self._rows(noted), Told(None, False, self._counts(newest))))

    def _rows(self, noted: Sequence[Noted]) -> Iterator[Told]:
        """Yield one event an alert: the last thing that happened to it, but that it is new if that is among them."""
        last: dict[int, Noted] = {}
        for one in noted:
            before = last.pop(one.alert, None)
            new = before is not None and before.what == Changed.ADDED and one.what == Changed.CHANGED
            last[one.alert] = one._replace(what=Changed.ADDED) if new else one
        rows = {row.alert: row for row in self._wire.rows(list(last))}
        for one in last.values():
            yield self._event(one, rows.get(one.alert))

    def _event(self, one: Noted, row: QueueRow | None) -> Told:
        if row is None or one.what == Changed.GONE:
            said = "" if row is None else (row.verdict or row.status.replace("_", " "))
            return Told(row, False, _event("gone", one.seq, {"id": one.alert, "text": said}))
        if one.what == Changed.ADDED:
            text = _event("added", one.seq, {"id": one.alert, "at_stake": row.at_stake})
            return Told(row, True, text, self._wire.now())
        return Told(row, False, _event("changed", one.seq, {"id": one.alert, "html": self._wire.row_text(row)}))

    def _counts(self, seq: int) -> bytes:
        views = {badge.kind or badge.shelf: badge.count for badge in self._wire.badges()}
        return _event("counts", seq, {"views": views, "heard_at_age": self._wire.heard_age()})


def _event(event: str, seq: int, content: Mapping[str, Any]) -> bytes:
    return format_sse_event(event=event, id=str(seq), data_str=msgspec.json.encode(content).decode())
