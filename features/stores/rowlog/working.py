"""One batch's share of the state: copies to compute on, first answers that were read, frames to be appended."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import msgspec

from features.histories import APPEND
from features.state.tables import RecordTable, entity_keys, hash64, pair_key
from features.state.update import EVERY_ROW
from features.stores.rowlog import frames as fr
from features.stores.rowlog.answers import Stored
from features.stores.rowlog.copies import Cache, Copies, Copy
from features.stores.rowlog.keys import mark_field
from features.stores.working_set import Change
from fraud.core import tokens as tk
from fraud.core.identity import answer_name, own_answer_name, own_name
from fraud.core.ports import Encoder
from fraud.core.records import Answer, Arrival, KnownLabel, Position, Transaction

KIND_OF = {"absorb": fr.ABSORB, "retract": fr.RETRACT, "retract-card": fr.RETRACT, "apply": fr.LABEL}
PAIR_PLACE, DEVICE_PLACE = 3, 2
MOST_SOURCES = 4_096
"""Partitions whose number is kept: a hash for each event would cost as much as a change."""


class Appended(msgspec.Struct):
    """What a batch appends to one row: frames, each with its position, and what the log becomes too long without."""

    kind: Copies
    key: str
    copy: Copy
    frames: list[tuple[Position | None, bytes]] = []

    def text(self, without: set[Position], seal: bytes) -> bytes:
        """Return the frames, closed, but those of some positions; nothing when none is left."""
        if without:
            found = b"".join(frame for position, frame in self.frames if position not in without)
        else:
            found = b"".join([frame for _, frame in self.frames])
        return found + fr.end(seal) if found else b""

    def drop(self) -> None:
        """Forget the copy, which is no longer what the log says."""
        self.kind.drop(self.key)

    def settle(self, length: int, added: int, seal: bytes) -> None:
        """Note what the log has become; a copy that has missed what others appended takes it in later, or goes.

        Later it may be taken in where changes commute and these frames are left out then, by their positions.
        """
        if length == self.copy.size + added:
            self.copy.size, self.copy.seal = length, seal
        elif not self.kind.commutes or any(position is None for position, _ in self.frames):
            self.drop()


class Rebased(msgspec.Struct):
    """A log that has become long: what it was when it was read, and the base that says the same."""

    copy: Copy
    size: int
    seal: bytes
    base: bytes
    begin: bytes = b""
    """The seal of the new base, once it is sent."""

    def settle(self, *, done: bool) -> None:
        """Note that the log begins anew on the base: what was appended since has moved there."""
        if done:
            self.copy.size += fr.END_BYTES - self.size
            if self.copy.size == fr.END_BYTES:
                self.copy.seal = self.begin


class LogSet:
    """The rows and first answers that one batch can touch, over the copies of a reader."""

    def __init__(self, cache: Cache, *, keeps_changes: bool) -> None:
        """Start empty; `keeps_changes` notes each transaction's changes, for a store that may write half of them."""
        self.cache = cache
        self.found: dict[tuple[str, int], Stored] = {}
        self._attempts: dict[Position, Stored] = {}
        self.kept: dict[tuple[str, int], Answer] = {}
        self.changes: dict[Position, list[Change]] = {}
        self.appended: dict[str, Appended] = {}
        self.rebased: list[Rebased] = []
        self.reached: dict[str, int] = {}
        self.now = 0
        self._keeps_changes = keeps_changes

    # ---- what the extractor computes on

    @property
    def entities(self) -> RecordTable:
        """Return the rows of cards, merchants and devices."""
        return self.cache.entities.table

    @property
    def pairs(self) -> RecordTable:
        """Return the rows of pairs."""
        return self.cache.pairs.table

    @property
    def histories(self) -> RecordTable | None:
        """Return the history rows; None without an encoder."""
        return self.cache.histories.table if self.cache.histories is not None else None

    @property
    def encoder(self) -> Encoder | None:
        """Return what computes the codes of histories."""
        return self.cache.encoder

    def first_answer(self, tx_id: str, version: int, seen_at: int = 0) -> Answer | None:
        """Return the answer already given, by an earlier batch or in this one; the server lets them go by its clock."""
        del seen_at
        key = tx_id, version
        if key in self.kept:
            return self.kept[key]
        return self.found[key].answer if key in self.found else None

    def find(self, key: tuple[str, int], first: Stored) -> None:
        """Note an answer that was found, by the place and version that it lies under."""
        self.found[key] = self._attempts[first.position] = first

    def keep(self, answer: Answer) -> None:
        """Note an answer made in this batch."""
        self.kept.setdefault((answer_name(answer.decision), answer.decision.version), answer)

    def recorded(self, position: Position | None) -> Sequence[Change] | None:
        """Return what the first attempt at this position absorbs, None when there was none or it was written whole."""
        held = self._attempts.get(position) if position is not None else None
        return held.changes if held is not None and held.changes else None

    # ---- rows

    def admits(self, keys: tuple[str, ...], position: Position | None) -> int:
        """Return which rows have not applied this position yet."""
        if position is None:
            return EVERY_ROW
        (source, offset), mask, refused = place_of(position), 0, False
        for place, kind, key in self._rows(keys):
            if kind.held[key].marks.get(source, -1) < offset:
                mask |= 1 << place
            else:
                refused = True
        if not mask:
            # Every row has it, so the mark of its partition is noted, which a write cut short may have left behind.
            self._reach(position)
        return mask if refused else EVERY_ROW

    def applied(self, kind: str, keys: tuple[str, ...], change: bytes, position: Position | None) -> None:
        """Note a change just made in place: it is appended to the logs when the batch is written."""
        card, merchant, device, pair = keys
        if self._keeps_changes and position is not None:
            self.changes.setdefault(position, []).append((kind, (card, merchant, device, pair), change))
        source, offset = place_of(position)
        fields, number = fr.fields_of(change), KIND_OF[kind]
        for place, rows, key in self._rows(keys):
            if kind == "retract-card" and place not in {0, DEVICE_PLACE}:
                continue
            marks = rows.held[key].marks
            if position is not None and marks.get(source, -1) > offset:
                # This row is past it: only others lack what the first attempt began.
                continue
            self._append(rows, key, position, fr.frame(number, place, source, offset) + fields)
            if position is not None:
                marks[source] = offset
        if position is not None:
            self._reach(position)

    def admits_history(self, keys: tuple[str, ...], position: Position | None) -> int:
        """Return which history rows have not applied this position yet."""
        held = self.cache.histories
        if held is None:
            return 0
        source, offset = place_of(position)
        return sum(
            1 << side
            for side, key in enumerate(keys[: tk.SIDES])
            if key and (position is None or held.held[key].marks.get(source, -1) < offset)
        )

    def applied_history(
        self, kind: str, keys: tuple[str, str, str, str], change: bytes, mask: int, position: Position | None
    ) -> None:
        """Note a change just made in the history rows of `mask`."""
        held = self.cache.histories
        if held is None:
            return
        if self._keeps_changes and position is not None and kind == APPEND:
            self.changes.setdefault(position, []).append((kind, keys, change))
        source, offset = place_of(position)
        number, fields = fr.EVENT if kind == APPEND else fr.VERDICT, fr.fields_of(change)
        for side in range(tk.SIDES):
            if keys[side] and (mask >> side) & 1:
                self._append(held, keys[side], position, fr.frame(number, side, source, offset) + fields)
                if position is not None:
                    held.held[keys[side]].marks[source] = offset

    def _append(self, kind: Copies, key: str, position: Position | None, frame: bytes) -> None:
        copy = kind.held[key]
        appended = self.appended.get(copy.log)
        if appended is None:
            appended = self.appended[copy.log] = Appended(kind, key, copy)
        appended.frames.append((position, frame))

    def _rows(self, keys: tuple[str, ...]) -> Iterator[tuple[int, Copies, str]]:
        """Yield place, kind and key of the rows that there are."""
        entities = self.cache.entities
        for place, key in enumerate(keys):
            if key:
                yield place, (self.cache.pairs if place == PAIR_PLACE else entities), key

    def _reach(self, position: Position) -> None:
        """Note how far the rows of a partition have come."""
        field = mark_field(position)
        self.reached[field] = max(self.reached.get(field, -1), position.offset)


def place_of(position: Position | None) -> tuple[int, int]:
    """Return source and offset of a position in logs and marks, both 0 without one."""
    return (source_of(mark_field(position)), position.offset) if position is not None else (0, 0)


@lru_cache(maxsize=MOST_SOURCES)
def source_of(field: str) -> int:
    """Return the number that stands for a mark's field, which is never 0."""
    return hash64(field) or 1


def touched(batch: Sequence[Arrival]) -> tuple[list[str], list[str], list[tuple[str, int]]]:
    """Return what a batch can touch, each once: entity keys, pair keys, and place and version of their answers."""
    entities: dict[str, None] = {}
    pairs: dict[str, None] = {}
    answers: dict[tuple[str, int], None] = {}
    for arrival in batch:
        event = arrival.event
        if isinstance(event, Transaction | KnownLabel):
            entities.update(dict.fromkeys(entity_keys(event)))
            pairs[pair_key(event.card, event.merchant)] = None
        if isinstance(event, Transaction):
            answers[event.id, event.version] = None
            answers[own_answer_name(event.id, own_name(event)), event.version] = None
    return list(entities), list(pairs), list(answers)


def rebased(kind: Copies, key: str, copy: Copy) -> Rebased:
    """Return the base that says what a copy does now."""
    row = kind.table.rows[kind.table.find(key)]
    return Rebased(copy, copy.size, copy.seal, fr.packed(row, copy.marks))
