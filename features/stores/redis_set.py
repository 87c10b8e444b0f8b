"""One batch's share of the state on Redis: its keys, its rows and marks as they were read, what it will write."""

import re
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from features.histories import APPEND
from features.state import layout as at
from features.state.history import HISTORY_VERSION
from features.state.layout import LAYOUT_VERSION
from features.state.tables import SEPARATOR, RecordTable, card_key, entity_keys, pair_key
from features.state.update import EVERY_ROW
from features.stores.redis_history import HistorySet, Step
from features.stores.redis_rows import RowChanges
from fraud.core import tokens as tk
from fraud.core.ports import Encoder
from fraud.core.records import (
    Alert,
    Answer,
    Arrival,
    Decision,
    FeatureVector,
    KnownLabel,
    Position,
    Transaction,
)

ROW = "r"
VERSION = b"n"
LETTERS = {"absorb": "a", "retract": "r", "retract-card": "r", "apply": "l"}
DEVICE_PLACE = 2
BRACES = re.compile("[%{}]")

Change = tuple[str, tuple[str, str, str, str], bytes]


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """A first answer at rest: all that is published, and the changes that its transaction makes to the state."""

    decision: Decision
    position: Position
    alert: Alert | None = None
    vector: bytes = b""
    changes: tuple[Change, ...] = ()

    @property
    def answer(self) -> Answer:
        """Return it as the engine takes it."""
        decision, vector = self.decision, None
        if self.vector:
            values = np.frombuffer(self.vector, np.float32).copy()
            vector = FeatureVector(decision.tx_id, values, decision.versions.spec, decision.seen_at)
        return Answer(decision=decision, position=self.position, alert=self.alert, vector=vector)


_encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Stored).decode


def stored(answer: Answer, changes: Sequence[Change] = ()) -> bytes:
    """Return an answer as it is kept."""
    vector = answer.vector.values.astype("<f4", copy=False).tobytes() if answer.vector is not None else b""
    return _encode(Stored(answer.decision, answer.position, answer.alert, vector, tuple(changes)))


class Keys:
    """The names of everything in one namespace of a server; the layout's version is part of each."""

    def __init__(self, namespace: str) -> None:
        """Take the namespace, which lets several services share a server."""
        self.prefix = f"{namespace}:{LAYOUT_VERSION}:"
        self.marks = self.prefix + "marks"
        self.birth = self.prefix + "birth"
        self.pointer = self.prefix + "pointer"
        self.building = self.prefix + "building:"
        self.rows = self.prefix + "{"
        self.answers = self.prefix + "a:"

    def row(self, entity: str) -> str:
        """Return where an entity's row is kept; the braces choose the slot."""
        return f"{self.rows}{plain(entity)}}}"

    def history(self, entity: str, encoder: str) -> str:
        """Return where an entity's history is kept for an encoder: in the slot of its row."""
        return f"{self.row(entity)}#{HISTORY_VERSION}:{plain(encoder)}"

    def pair(self, key: str) -> str:
        """Return where a pair's row is kept: in the slot of its card."""
        card, _, merchant = key.partition(SEPARATOR)
        return f"{self.row(card_key(card))}:{plain(merchant)}"

    def answer(self, tx_id: str, version: int) -> str:
        """Return where a first answer is kept."""
        return f"{self.answers}{tx_id}:{version}"


def plain(name: str) -> str:
    """Return an id without braces, which mean something in a key."""
    return name.replace("%", "%25").replace("{", "%7B").replace("}", "%7D") if BRACES.search(name) else name


def mark_field(position: Position) -> str:
    """Return the field of the mark that a position moves."""
    return f"{position.topic}:{position.partition}"


class RedisSet:
    """The rows, marks and first answers that one batch can touch."""

    def __init__(self, keys: Keys, capacity: int, encoder: Encoder | None = None) -> None:
        """Start empty, with room for so many entities, and for their histories if there is an encoder."""
        self._keys = keys
        self.entities = RecordTable(at.ENTITY_BYTES, capacity + 1)
        self.pairs = RecordTable(at.PAIR_BYTES, capacity + 1, hashed=False)
        self.rows = RowChanges()
        self.found: dict[tuple[str, int], Stored] = {}
        self.kept: dict[tuple[str, int], Answer] = {}
        self.changes: dict[Position, list[Change]] = {}
        self.history_set = HistorySet(encoder, capacity) if encoder is not None else None
        self.encoder = encoder

    def first_answer(self, tx_id: str, version: int) -> Answer | None:
        """Return the answer already given, by an earlier batch or in this one."""
        key = tx_id, version
        if key in self.kept:
            return self.kept[key]
        return self.found[key].answer if key in self.found else None

    def keep(self, answer: Answer) -> None:
        """Remember an answer made in this batch."""
        self.kept.setdefault((answer.decision.tx_id, answer.decision.version), answer)

    def admits(self, keys: tuple[str, ...], position: Position | None) -> int:
        """Return which rows have not applied this position yet."""
        if position is None:
            return EVERY_ROW
        field, mask = mark_field(position), 0
        refused = False
        for place, row in self._rows(keys):
            if self.rows.admits(row, field, position.offset):
                mask |= 1 << place
            else:
                refused = True
        if not mask:
            # Every row has it, so the mark of its partition is noted, which a write cut short may have left behind.
            self.rows.reach(field, position.offset)
        return mask if refused else EVERY_ROW

    @property
    def histories(self) -> RecordTable | None:
        """Return the history rows; None without an encoder."""
        return self.history_set.table if self.history_set is not None else None

    def take_history(self, row: str, key: str, found: dict[bytes, bytes]) -> None:
        """Put a history that was read in its place."""
        if self.history_set is not None:
            self.history_set.take(row, key, found)

    def admits_history(self, keys: tuple[str, ...], position: Position | None) -> int:
        """Return which history rows have not applied this position yet."""
        sides = [(side, key) for side, key in enumerate(keys[: tk.SIDES]) if key]
        if position is None or self.history_set is None:
            return sum(1 << side for side, _ in sides) if self.history_set is not None else 0
        field, encoder = mark_field(position), self.history_set.encoder.encoder
        admits, name = self.history_set.admits, self._keys.history
        return sum(1 << side for side, key in sides if admits(name(key, encoder), field, position.offset))

    def applied_history(
        self, kind: str, keys: tuple[str, str, str, str], change: bytes, mask: int, position: Position | None
    ) -> None:
        """Note a change just made in history rows: it is made again if somebody else has written them meanwhile."""
        if self.history_set is None:
            return
        if position is not None and kind == APPEND:
            self.changes.setdefault(position, []).append((kind, keys, change))
        field, offset = (mark_field(position), position.offset) if position is not None else ("", 0)
        for side in range(tk.SIDES):
            if keys[side] and (mask >> side) & 1:
                row = self._keys.history(keys[side], self.history_set.encoder.encoder)
                self.history_set.note(row, Step(field, offset, kind, side, change))

    def recorded(self, tx: Transaction, position: Position | None) -> Sequence[Change] | None:
        """Return what the first attempt at this position absorbs, None when there was none."""
        held = self.found.get((tx.id, tx.version))
        return held.changes if held is not None and held.position == position and held.changes else None

    def applied(self, kind: str, keys: tuple[str, ...], change: bytes, position: Position | None) -> None:
        """Note a change just made in place: it is repeated inside Redis when the batch is written."""
        card, merchant, device, pair = keys
        if position is not None:
            self.changes.setdefault(position, []).append((kind, (card, merchant, device, pair), change))
        touched = ((0, card), (DEVICE_PLACE, device)) if kind == "retract-card" else enumerate(keys)
        field, offset = (mark_field(position), position.offset) if position is not None else ("", 0)
        for place, row in self._rows(dict(touched)):
            letters = LETTERS[kind] + (
                "c" if place == 0 or (place < 3 and kind == "apply") else "p" if place == 3 else "e"
            )
            table = self.pairs if place == 3 else self.entities
            self.rows.note(row, field, offset, (letters, change), (table, keys[place]))
        if position is not None:
            self.rows.reach(field, offset)
            for _, row in self._rows(keys):
                self.rows.move(row, field, offset)

    def _rows(self, keys: "tuple[str, ...] | dict[int, str]") -> Iterator[tuple[int, str]]:
        """Yield place and row key of the keys that name something."""
        for place, key in keys.items() if isinstance(keys, dict) else enumerate(keys):
            if key:
                yield place, (self._keys.pair(key) if place == 3 else self._keys.row(key))


def touched(batch: Sequence[Arrival]) -> tuple[list[str], list[str], list[tuple[str, int]]]:
    """Return what a batch can touch, each once: entity keys, pair keys, and (id, version) of its transactions."""
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
    return list(entities), list(pairs), list(answers)


def take(work: RedisSet, table: RecordTable, key: str, row: str, held: dict[bytes, bytes]) -> None:
    """Put a row that was read in its place."""
    if not held:
        return
    table.put(key, held.pop(ROW.encode()))
    work.rows.take(row, held.pop(VERSION, b"0"), held)


def is_pair(row: str) -> bool:
    """Tell whether a row key is a pair's."""
    return "}:" in row


def small(answer: Answer) -> bytes:
    """Return what a retry needs of an answer."""
    return _encode(Stored(answer.decision, answer.position))
