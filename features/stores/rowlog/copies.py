"""Copies of rows: what their logs say, kept up to date by what others have appended since, and bounded in memory."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from features.state import layout as at
from features.state.blocks import Block, block_of, put_codes
from features.state.history import HISTORY_BYTES
from features.state.tables import RecordTable
from features.stores.rowlog import frames as fr
from features.stores.rowlog.keys import BASE, LOG, Keys
from features.stores.server import Command
from fraud.common.compiled import Ints, Row
from fraud.core import tokens as tk
from fraud.core.errors import StateError
from fraud.core.ports import Codes, Encoder, Matrix

OVERHEAD = 600
"""Bytes that a copy takes beside its row: names, marks, places in tables (measured: 480 to 590)."""
PAIRS_AN_ENTITY = 2
LEAST_COPIES = 4


class Copy(msgspec.Struct, gc=False):
    """What is known of a row: the key and how much of its log, the 8 bytes that this ends with, and its marks."""

    log: str
    size: int = 0
    seal: bytes = b""
    marks: dict[int, int] = {}
    renewed: int = 0
    """Stream time, ns, at which its end was put off."""

    @property
    def name(self) -> str:
        """Return the row's name, which both its keys begin with."""
        return self.log[:-1]

    @property
    def base(self) -> str:
        """Return the key of its base."""
        return self.name + BASE

    def question(self) -> Command:
        """Return the command that asks what was appended since, beginning with the seal."""
        return "GETRANGE", self.log, max(self.size - fr.SEAL_BYTES, 0), -1

    def news(self, answer: bytes) -> bytes | None:
        """Return what was appended since; None when the log is no longer the one that was read."""
        if self.size:
            return answer[fr.SEAL_BYTES :] if answer.startswith(self.seal) else None
        return None if fr.rests_on_base(answer) else answer

    def whole(self) -> tuple[Command, Command]:
        """Return the commands that ask for all of it, and how long it has to live."""
        return ("MGET", self.base, self.log), ("PTTL", self.log)


class Copies:
    """The copies of one kind of row, least recently used first, and the table that holds their bytes.

    A row that does not exist has a copy, which knows so, but no place in the table.
    """

    def __init__(self, width: int, capacity: int, name: Callable[[str], str], replay: "Replay") -> None:
        """Make room for `capacity` rows of `width` bytes; `name` returns a row's name in Redis by its key."""
        hashed = width == at.ENTITY_BYTES
        self.table = RecordTable(width, capacity + LEAST_COPIES, hashed=hashed)
        self.held: OrderedDict[str, Copy] = OrderedDict()
        self.commutes = width != HISTORY_BYTES
        self._capacity, self.name, self._replay = capacity, name, replay

    def __len__(self) -> int:
        """Return the number of copies."""
        return len(self.held)

    def touch(self, keys: Sequence[str]) -> tuple[list[tuple[str, Copy]], list[tuple[str, Copy]]]:
        """Return the copies of a batch's keys: those that there were, and those that are to be read whole.

        The least recently used of all others leave when there are too many.
        """
        held, known, new = self.held, [], []
        for key in keys:
            copy = held.get(key)
            if copy is None:
                copy = held[key] = Copy(self.name(key) + LOG)
                new.append((key, copy))
            else:
                held.move_to_end(key)
                known.append((key, copy))
        for _ in range(len(held) - max(self._capacity, len(keys))):
            self.drop(next(iter(held)))
        return known, new

    def drop(self, key: str) -> None:
        """Forget a copy."""
        self.held.pop(key, None)
        self.table.remove(key)

    def read_whole(self, key: str, base: bytes | None, log: bytes | None, blocks: list[Block]) -> None:
        """Make a copy anew from base and log; blocks that are left without their codes are added to `blocks`.

        Raises:
            StateError: when base and log do not belong together, or are damaged.
        """
        copy, text = self.held[key], log or b""
        self.table.remove(key)
        copy.size, copy.seal, copy.marks = 0, b"", {}
        if not text:
            return
        if fr.rests_on_base(text):
            if base is None or base[: fr.SEAL_BYTES] != text[1 : fr.END_BYTES]:
                msg = (
                    f"the log {copy.log!r} rests on a base that is not there: was it evicted, or deleted by hand? Set "
                    "maxmemory-policy noeviction and restore a snapshot, or fill the store with 'fraud state rebuild'"
                )
                raise StateError(msg)
            try:
                row = self.table.ensure(key)
                copy.marks = fr.unpack(base, self.table.rows[row])
            except ValueError as error:
                raise damaged(copy.base, f"{error}") from None
        self.append(key, text, blocks)

    def catch_up(self, key: str, answer: bytes, blocks: list[Block]) -> bool:
        """Take in the answer to a copy's question; return whether it was one: otherwise the row is to be read whole.

        Raises:
            StateError: when what was appended is damaged.
        """
        news = self.held[key].news(answer)
        if news:
            self.append(key, news, blocks)
        return news is not None

    def append(self, key: str, log: bytes, blocks: list[Block]) -> None:
        """Take in what was appended to a row; blocks that are left without their codes are added to `blocks`.

        Raises:
            StateError: when it is damaged.
        """
        copy = self.held[key]
        if log:
            if len(log) > fr.END_BYTES:
                copy.marks = self._replay(self.table, key, log, copy, blocks)
            copy.size += len(log)
            copy.seal = log[-fr.SEAL_BYTES :]


Held = tuple[Copies, str, Copy]
"""A copy, where it is kept and under which key."""

Replay = Callable[[RecordTable, str, bytes, Copy, list[Block]], dict[int, int]]
"""Takes a log into a row; returns the marks then."""


def damaged(key: str, what: str) -> StateError:
    """Return what is raised for bytes that nobody here has written."""
    msg = f"{key!r} holds {what} that this release cannot read: restore a snapshot, or 'fraud state rebuild'"
    return StateError(msg)


def begin_reading(log: bytes, marks: dict[int, int]) -> tuple[Row, Ints, Ints]:
    """Return a log's bytes, its row's marks as the compiled loops take them, and where a reading begins."""
    room: Ints = np.zeros((len(marks) + len(log) // fr.LEAST_FRAME + 1, 2), np.int64)
    for number, item in enumerate(marks.items()):
        room[number] = item
    return np.frombuffer(log, np.uint8), room, np.array([0, len(marks), 0, fr.NO_OFFSET, 0])


def marks_of(room: Ints, state: Ints) -> dict[int, int]:
    """Return marks as the compiled loops leave them."""
    return dict(room[: state[fr.USED]].tolist())


def plain_replay(loop: Callable[[Row, Row, Ints, Ints], int]) -> Replay:
    """Return what takes a log into rows by one compiled loop."""

    def replay(table: RecordTable, key: str, log: bytes, copy: Copy, blocks: list[Block]) -> dict[int, int]:
        del blocks
        text, room, state = begin_reading(log, copy.marks)
        row = table.ensure(key)
        if loop(table.rows[row], text, room, state) == fr.DAMAGED:
            raise damaged(copy.log, f"{len(log)} bytes of log")
        return marks_of(room, state)

    return replay


def history_replay(encoder: Encoder) -> Replay:
    """Return what takes a log into history rows; the codes of a row's last two closed blocks are left to the caller."""

    def replay(table: RecordTable, key: str, log: bytes, copy: Copy, blocks: list[Block]) -> dict[int, int]:
        text, room, state = begin_reading(log, copy.marks)
        row, mine = table.ensure(key), list[Block]()
        while (closed := fr.replay_history(table.rows[row], text, room, state)) >= 0:
            mine.append((key, closed, block_of(table.rows[row], closed)))
            # A block is pushed when the second one after it closes.
            if len(mine) > 1:
                put_codes(table, mine, encoder)
                mine = []
        if closed == fr.DAMAGED:
            raise damaged(copy.log, f"{len(log)} bytes of log")
        blocks += mine
        return marks_of(room, state)

    return replay


class Cache:
    """All copies of a reader: entities, pairs and, for its encoder, histories; `size` is in bytes."""

    def __init__(self, keys: Keys, size: int, encoder: Encoder | None) -> None:
        """Share out the bytes: as many histories as entities, twice as many pairs."""
        self.encoder = encoder
        entity, pair = at.ENTITY_BYTES + OVERHEAD, PAIRS_AN_ENTITY * (at.PAIR_BYTES + OVERHEAD)
        self._bytes = entity, at.PAIR_BYTES + OVERHEAD, HISTORY_BYTES + OVERHEAD
        many = max(size // (entity + pair + (self._bytes[2] if encoder else 0)), LEAST_COPIES)
        self.entities = Copies(at.ENTITY_BYTES, many, keys.row, plain_replay(fr.replay_entity))
        self.pairs = Copies(at.PAIR_BYTES, PAIRS_AN_ENTITY * many, keys.pair, plain_replay(fr.replay_pair))
        self.histories: Copies | None = None
        if encoder is not None:
            name = encoder.encoder
            self.histories = Copies(HISTORY_BYTES, many, lambda key: keys.history(key, name), history_replay(encoder))

    @property
    def bytes(self) -> int:
        """Return about how many bytes the copies take."""
        kinds = self.entities, self.pairs, self.histories
        return sum(size * len(kind) for size, kind in zip(self._bytes, kinds, strict=True) if kind is not None)

    def touch(self, entities: Sequence[str], pairs: Sequence[str]) -> tuple[list[Held], list[Held]]:
        """Return the copies of a batch: those that there were, and those that are to be read whole."""
        known, new = list[Held](), list[Held]()
        for kind, keys in ((self.entities, entities), (self.pairs, pairs), (self.histories, entities)):
            if kind is not None:
                there, missing = kind.touch(keys)
                known += [(kind, *each) for each in there]
                new += [(kind, *each) for each in missing]
        return known, new

    def serves(self, encoder: Encoder | None) -> bool:
        """Tell whether these are the copies for an encoder."""
        mine = self.encoder.encoder if self.encoder is not None else ""
        return mine == (encoder.encoder if encoder is not None else "")


class NoCodes:
    """An encoder for warming up, which is never asked for a code."""

    encoder = "warm"

    def encode(self, blocks: Matrix) -> Codes:
        """Return nothing of use."""
        return np.zeros((len(blocks), tk.CODE), np.float32)


def warm_loops() -> None:
    """Run the compiled loops once, so that the first row that is read does not wait for them."""
    cache = Cache(Keys("warm"), 0, NoCodes())
    seal = bytes(fr.SEAL_BYTES)
    for kind, number in ((cache.entities, fr.ABSORB), (cache.pairs, fr.ABSORB), (cache.histories, fr.EVENT)):
        assert kind is not None  # noqa: S101
        ((key, _),) = kind.touch(["warm"])[1]
        log = fr.frame(number, 0, 1, 1) + fr.fields_of(bytes(8 * int(fr.FIELDS[number]))) + fr.end(seal)
        kind.read_whole(key, None, log, [])
        base = seal + fr.packed(kind.table.rows[kind.table.find(key)], {1: 1})
        kind.read_whole(key, base, fr.log_on(seal) + log, [])
