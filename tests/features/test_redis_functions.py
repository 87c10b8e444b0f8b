"""Rows changed inside Redis hold the same bytes as rows changed by the compiled loops."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
import redis
from numpy.typing import NDArray

from features.state import layout as at
from features.state.rings import apply_entity, apply_pair
from features.state.update import absorb_row, retract_row
from features.state.windows import absorb_pair, prepare
from features.stores.redis import LIBRARY, RedisStore

Ints = NDArray[np.int64]
Row = NDArray[np.uint8]

MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
START = 20_000 * DAY + 5 * HOUR
STEPS = (0, 0, 1, 999, 40_000_000, 3 * MINUTE, 25 * MINUTE, 5 * HOUR, DAY, 5 * DAY)
LATE = (0, 0, 0, 0, 90_000_000, 2 * HOUR, 2 * DAY, 33 * DAY, 400 * DAY)
AMOUNTS = (0, 1, 49, 50, 999, 2_345, 250_000, 90_000_000, 4_294_967_294, 4_294_967_295, 4_294_967_296, 10**11)
# Neighbours that a double cannot tell apart, both ends of the signed range, few low bits set (high register ranks).
HASHES = (
    0,
    1,
    -1,
    2**63 - 1,
    -(2**63),
    2**53 + 1,
    2**53 + 2,
    7_000_000_000_000_000_001,
    7_000_000_000_000_000_002,
    -7_000_000_000_000_000_001,
    -7_000_000_000_000_000_002,
    1 << 18,
    1 << 19,
    1 << 20,
    (1 << 40) | 31,
)


class Operation(NamedTuple):
    """One change of a row: its letters inside Redis, its fields, and the compiled loop that does the same."""

    letters: str
    fields: Ints
    compiled: Callable[[Row], object]


class Drawer:
    """Random operations on one kind of row: `c` a card's, `e` another entity's, `p` a pair's."""

    def __init__(self, seed: int, kind: str) -> None:
        self._rng = np.random.default_rng(seed)
        self._kind, self._now = kind, START
        self._absorbed: list[Ints] = []
        self._labels: list[Ints] = []

    def draw(self) -> Operation:
        self._now += self._pick(STEPS)
        chance = self._rng.random()
        if self._absorbed and chance < 0.15:
            return self._retract()
        return self._label() if self._absorbed and chance < 0.4 else self._absorb()

    def _absorb(self) -> Operation:
        change = self._payment()
        self._absorbed.append(change)
        return Operation("a" + self._kind, change, self._adds(change, absorb_row))

    def _payment(self) -> Ints:
        change = np.zeros(at.CHANGE_FIELDS, np.int64)
        change[at.C_AT] = self._now - self._pick(LATE)
        change[at.C_AMOUNT] = self._pick(AMOUNTS)
        for field in (at.C_TX, at.C_CARD, at.C_MERCHANT):
            change[field] = self._hash()
        change[at.C_MCC], change[at.C_FLAGS] = self._rng.integers(0, 10_000), self._rng.integers(0, 8)
        change[at.C_VERSION] = self._pick((0, 0, 1, 255, 65_535))
        change[at.C_RATIO] = self._pick((0, 1, -1, 300, 32_767, -32_767))
        change[at.C_SIGN], change[at.C_COUNTED] = 1, self._rng.random() < 0.85
        prepare(change)
        return change

    def _retract(self) -> Operation:
        """Take out a payment that was absorbed, or one that this row never saw."""
        unseen = self._rng.random() < 0.3
        change = self._payment() if unseen else self._absorbed[self._rng.integers(len(self._absorbed))].copy()
        change[at.C_SIGN] = -1
        return Operation("r" + self._kind, change, self._adds(change, retract_row))

    def _label(self) -> Operation:
        paid = self._absorbed[self._rng.integers(len(self._absorbed))]
        label = np.zeros(at.LABEL_FIELDS, np.int64)
        label[at.L_AT], label[at.L_PAID] = self._now - self._pick(LATE), paid[at.C_AT]
        label[at.L_TX] = paid[at.C_TX]
        label[at.L_FRAUD], label[at.L_UNUSUAL] = self._rng.integers(0, 2), self._rng.integers(0, 2)
        label[at.L_SOURCE] = self._rng.integers(0, 3)
        if self._labels and self._rng.random() < 0.3:
            old = self._labels[self._rng.integers(len(self._labels))]
            label[at.L_TX], label[at.L_PAID] = old[at.L_TX], old[at.L_PAID]
            label[at.L_OLD_AT], label[at.L_OLD_FRAUD], label[at.L_REPLACES] = old[at.L_AT], old[at.L_FRAUD], 1
            if self._rng.random() < 0.3:  # a verdict that this row never saw
                label[at.L_OLD_AT] = self._now + self._pick(STEPS)
        self._labels.append(label)
        does = apply_pair if self._kind == "p" else apply_entity
        return Operation("l" + self._kind, label, lambda row: does(row, label))

    def _adds(self, change: Ints, entity: Callable[[Row, Ints, int], object]) -> Callable[[Row], object]:
        if self._kind == "p":
            return lambda row: absorb_pair(row, change) if change[at.C_COUNTED] else None
        other = change[at.C_MERCHANT if self._kind == "c" else at.C_CARD]
        return lambda row: entity(row, change, other)

    def _hash(self) -> int:
        if self._rng.random() < 0.6:
            return self._pick(HASHES)
        return int(self._rng.integers(-(2**63), 2**63 - 1))

    def _pick(self, values: Sequence[int]) -> int:
        return values[int(self._rng.integers(len(values)))]


@pytest.fixture
def server(redis_url: str) -> Iterator[Any]:
    """A plain client of a Redis on which the functions are loaded."""
    RedisStore(redis_url).close()
    with redis.Redis.from_url(redis_url) as client:
        yield client


def width(kind: str) -> int:
    return at.PAIR_BYTES if kind == "p" else at.ENTITY_BYTES


def change(server: Any, row: str, units: Sequence[tuple[str, int, Sequence[Operation]]], size: int = 4_096) -> int:
    """Send units of (mark field, offset, operations) to one row; return how many were applied."""
    words: list[Any] = [size, 0]
    for field, offset, operations in units:
        words += [field, offset, len(operations)]
        for operation in operations:
            words += [operation.letters, operation.fields.tobytes()]
    return int(server.execute_command("FCALL", f"{LIBRARY}_change", 1, row, *words))


def difference(held: bytes, expected: bytes) -> list[int]:
    """Return the places where two rows differ."""
    return [int(place) for place in np.flatnonzero(np.frombuffer(held, "u1") != np.frombuffer(expected, "u1"))]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", ["c", "e", "p"])
def test_a_row_changed_in_redis_holds_the_bytes_of_the_compiled_loops(server: Any, kind: str, seed: int) -> None:
    """One call an operation and many in one call, each compared before the next."""
    drawer, expected, offset = Drawer(seed, kind), np.zeros(width(kind), np.uint8), 0
    for size in (1, 1, 1, 2, 5, 40, 60, 1, 30):
        units = []
        for _ in range(size):
            operation = drawer.draw()
            operation.compiled(expected)
            units.append(("t:0", offset, [operation]))
            offset += 1
        assert change(server, "row", units, width(kind)) == size
        held = server.hget("row", "r")
        assert difference(held, expected.tobytes()) == [], [unit[2][0].letters for unit in units]


@pytest.mark.parametrize("pair", [(2**53 + 1, 2**53 + 2), (7 * 10**18 + 1, 7 * 10**18 + 2), (-1, 1), (-5, -4)])
def test_events_of_one_instant_stand_in_the_order_of_their_hashes(server: Any, pair: tuple[int, int]) -> None:
    """Unsigned, to the last bit: neighbours that are one number as doubles, and hashes with the top bit."""
    for name, hashes in (("rising", pair), ("falling", pair[::-1])):
        expected, units = np.zeros(at.ENTITY_BYTES, np.uint8), []
        for offset, tx in enumerate(hashes):
            event = np.zeros(at.CHANGE_FIELDS, np.int64)
            event[at.C_AT], event[at.C_TX], event[at.C_SIGN] = START, tx, 1
            absorb_row(expected, event, 0)
            units.append(("t:0", offset, [Operation("ac", event, lambda row: None)]))
        change(server, name, units)
        assert server.hget(name, "r") == expected.tobytes()
    assert server.hget("rising", "r") == server.hget("falling", "r")


def test_the_operations_of_one_position_move_its_mark_once(server: Any) -> None:
    drawer, expected = Drawer(1, "c"), np.zeros(at.ENTITY_BYTES, np.uint8)
    operations = [drawer.draw() for _ in range(3)]
    for operation in operations:
        operation.compiled(expected)
    assert change(server, "row", [("t:0", 4, operations)]) == 1
    assert server.hgetall("row") == {b"r": expected.tobytes(), b"t:0": b"4", b"n": b"1"}


def test_a_unit_at_or_below_its_mark_is_refused_and_those_above_are_not(server: Any) -> None:
    drawer = Drawer(2, "c")
    first, again, above, elsewhere = (drawer.draw() for _ in range(4))
    change(server, "row", [("t:0", 4, [first])])
    before = server.hget("row", "r")
    assert change(server, "row", [("t:0", 3, [again]), ("t:0", 4, [again])]) == 0
    assert server.hget("row", "r") == before
    assert change(server, "row", [("t:0", 4, [again]), ("t:0", 5, [above]), ("t:1", 0, [elsewhere])]) == 2
    expected = np.frombuffer(before, np.uint8).copy()
    above.compiled(expected)
    elsewhere.compiled(expected)
    assert server.hgetall("row") == {b"r": expected.tobytes(), b"t:0": b"5", b"t:1": b"0", b"n": b"2"}


def test_a_unit_sent_twice_in_one_call_is_applied_once(server: Any) -> None:
    operation = Drawer(3, "c").draw()
    assert change(server, "row", [("t:0", 4, [operation]), ("t:0", 4, [operation])]) == 1


def test_a_unit_without_a_mark_is_always_applied(server: Any) -> None:
    operation = Drawer(4, "e").draw()
    assert [change(server, "row", [("", 0, [operation])]) for _ in range(2)] == [1, 1]
    assert set(server.hgetall("row")) == {b"r", b"n"}


def made(server: Any, version: int, units: list[Any], row: bytes) -> int:
    """Offer a row as its reader made it, on a version of it."""
    words: list[Any] = [at.ENTITY_BYTES, 0, version, row]
    for field, offset, operations in units:
        words += [field, offset, len(operations)]
        words += [word for operation in operations for word in (operation.letters, operation.fields.tobytes())]
    return int(server.execute_command("FCALL", f"{LIBRARY}_set", 1, "row", *words))


def test_a_row_that_nobody_wrote_since_is_stored_as_its_reader_made_it(server: Any) -> None:
    operation, row = Drawer(6, "c").draw(), b"\1" * at.ENTITY_BYTES
    assert made(server, 0, [("t:0", 4, [operation]), ("t:1", 2, [operation])], row) == 2
    assert server.hgetall("row") == {b"r": row, b"n": b"1", b"t:0": b"4", b"t:1": b"2"}


@pytest.mark.parametrize(("version", "offset"), [(0, 5), (1, 4), (1, 3)])
def test_a_row_written_since_or_a_position_below_its_mark_takes_the_changes_alone(
    server: Any, version: int, offset: int
) -> None:
    drawer = Drawer(7, "c")
    first, second = drawer.draw(), drawer.draw()
    change(server, "row", [("t:0", 4, [first])])
    expected = np.frombuffer(server.hget("row", "r"), np.uint8).copy()
    if offset > 4:
        second.compiled(expected)
    assert made(server, version, [("t:0", offset, [second])], b"\1" * at.ENTITY_BYTES) == (offset > 4)
    assert server.hget("row", "r") == expected.tobytes()


def test_a_mark_beyond_32_bits_keeps_its_last_digit(server: Any) -> None:
    offset = 2**53 - 2
    change(server, "row", [("t:0", offset, [Drawer(5, "c").draw()])])
    assert int(server.hget("row", "t:0")) == offset
    assert change(server, "row", [("t:0", offset + 1, [Drawer(5, "c").draw()])]) == 1


def test_marks_of_partitions_only_rise(server: Any) -> None:
    for words in (("t:0", 7, "t:1", 3), ("t:0", 5, "t:1", 4)):
        server.execute_command("FCALL", f"{LIBRARY}_note", 1, "marks", *words)
    assert server.hgetall("marks") == {b"t:0": b"7", b"t:1": b"4"}
