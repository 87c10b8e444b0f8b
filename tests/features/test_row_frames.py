"""Rows as logs: frames say all that the compiled loops did, bases are the rows, damage is noticed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.extractor import OnlineExtractor
from features.state import layout as at
from features.state.history import HISTORY_BYTES
from features.stores.redis import RedisStore
from features.stores.rowlog import frames as fr
from features.stores.rowlog.copies import Cache, Copies, Copy
from features.stores.rowlog.keys import Keys
from fraud.core.errors import StateError
from fraud.core.records import MINUTE, Arrival, Position
from tests.contract.driving import feed, rows_of, take, without_ratios
from tests.features.cuts import payment, sent

SEAL, OTHER_SEAL = b"01234567", b"abcdefgh"
SIZES = at.ENTITY_BYTES, at.PAIR_BYTES, HISTORY_BYTES


# --- bases -----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    size=st.sampled_from(SIZES),
    pieces=st.lists(st.tuples(st.integers(0, HISTORY_BYTES), st.binary(min_size=1, max_size=40)), max_size=30),
    marks=st.dictionaries(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**62), max_size=6),
)
def test_a_base_is_its_row_and_marks(size: int, pieces: list[tuple[int, bytes]], marks: dict[int, int]) -> None:
    row = np.zeros(size, np.uint8)
    for begin, content in pieces:
        some = np.frombuffer(content, np.uint8)[: max(size - begin, 0)]
        row[begin : begin + len(some)] = some
    base = SEAL + fr.packed(row, marks)
    back = np.zeros(size, np.uint8)
    assert fr.unpack(base, back) == marks
    assert back.tobytes() == row.tobytes()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("content", [0, 1, 255])
def test_a_base_of_an_empty_or_a_full_row_is_no_longer_than_the_row_and_some(size: int, content: int) -> None:
    row = np.full(size, content, np.uint8)
    base = SEAL + fr.packed(row, {})
    assert len(base) <= (10 if not content else size + 14)
    back = np.zeros(size, np.uint8)
    assert fr.unpack(base, back) == {}
    assert (back == row).all()


def test_zeros_between_bytes_cost_nothing() -> None:
    row = np.zeros(at.ENTITY_BYTES, np.uint8)
    row[::200] = 7
    assert len(fr.packed(row, {})) == 2 + 21 * 5


@pytest.mark.parametrize("cut", [0, 3, 9, 12, 27, 30])
def test_a_base_that_is_cut_off_is_no_base(cut: int) -> None:
    row = np.arange(at.PAIR_BYTES).astype(np.uint8)
    base = SEAL + fr.packed(row, {5: 9})
    with pytest.raises(ValueError, match=f"{cut} bytes"):
        fr.unpack(base[:cut], np.zeros(at.PAIR_BYTES, np.uint8))


# --- fields ---------------------------------------------------------------------------------------------------------


I64 = st.integers(-(2**63), 2**63 - 1)
EDGES = st.sampled_from([sign * 2**bits + more for bits in range(63) for sign in (1, -1) for more in (-1, 0, 1)])


@settings(deadline=None, max_examples=300)
@given(values=st.lists(I64 | EDGES | st.integers(-300, 300), min_size=1, max_size=19))
def test_fields_are_what_they_were(values: list[int]) -> None:
    change = np.array(values, np.int64)
    text = fr.fields_of(change.tobytes())
    back = np.zeros(len(values), np.int64)
    assert fr.read_fields(np.frombuffer(text, np.uint8), 0, len(values), back) == len(text)
    assert back.tolist() == values


def test_fields_take_as_few_bytes_as_they_need() -> None:
    for value, size in (
        (0, 0),
        (1, 1),
        (-1, 1),
        (127, 1),
        (128, 2),
        (-128, 1),
        (-129, 2),
        (2**63 - 1, 8),
        (-(2**63), 8),
    ):
        assert len(fr.fields_of(np.array([value], np.int64).tobytes())) == 1 + size


# --- logs ------------------------------------------------------------------------------------------------------------


def copies() -> Copies:
    return Cache(Keys("frames"), 1 << 20, None).entities


def read_log(log: bytes, base: bytes | None = None) -> tuple[bytes, dict[int, int], Copy]:
    """Return row and marks that a log makes, and the copy."""
    kind = copies()
    kind.touch(["cX"])
    kind.read_whole("cX", base, log, [])
    return kind.table.get("cX"), kind.held["cX"].marks, kind.held["cX"]


def change(number: int, sign: int = 1) -> bytes:
    """Return the fields of a payment."""
    fields = np.zeros(at.CHANGE_FIELDS, np.int64)
    fields[at.C_AT], fields[at.C_AMOUNT], fields[at.C_TX] = 10**15 + number, 100 + number, 7 + number
    fields[at.C_SIGN], fields[at.C_COUNTED], fields[at.C_MERCHANT], fields[at.C_CARD] = sign, 1, 11, 12
    return fr.fields_of(fields.tobytes())


def taken(number: int, source: int, offset: int, side: int = 0) -> bytes:
    return fr.frame(fr.ABSORB, side, source, offset) + change(number)


def count_in(row: bytes) -> int:
    return int(np.frombuffer(row, np.int64)[at.H_COUNT])


def test_a_frame_at_or_below_the_mark_of_its_source_is_left_out() -> None:
    log = taken(1, 5, 10) + fr.end(SEAL) + taken(1, 5, 10) + taken(2, 5, 9) + fr.end(OTHER_SEAL)
    once, marks, _ = read_log(taken(1, 5, 10) + fr.end(SEAL))
    assert read_log(log)[:2] == (once, marks)
    assert marks == {5: 10}


def test_sources_have_marks_of_their_own_and_a_change_without_position_none() -> None:
    frames = taken(1, 5, 10), taken(2, 6, 3), taken(3, 0, 0), taken(4, 0, 0)
    row, marks, _ = read_log(b"".join(frames) + fr.end(SEAL))
    assert count_in(row) == 4
    assert marks == {5: 10, 6: 3}


def test_frames_of_one_position_are_taken_in_or_left_out_together() -> None:
    """As of a correction: one change out, one in."""
    both = fr.frame(fr.RETRACT, 0, 5, 11) + change(1, -1) + taken(2, 5, 11)
    begun = taken(1, 5, 10) + fr.end(SEAL) + both + fr.end(SEAL)
    row, marks, _ = read_log(begun)
    assert (count_in(row), marks) == (1, {5: 11})
    assert read_log(begun + both + fr.end(OTHER_SEAL))[0] == row


def test_a_row_is_the_same_from_its_log_and_from_a_base_in_the_middle_of_it() -> None:
    parts = [taken(n, 5 + n % 2, n) + fr.end(SEAL) for n in range(40)]
    whole, marks, _ = read_log(b"".join(parts))
    row, half, _ = read_log(b"".join(parts[:23]))
    base = OTHER_SEAL + fr.packed(np.frombuffer(row, np.uint8), half)
    rest = fr.log_on(OTHER_SEAL) + b"".join(parts[23:])
    assert read_log(rest, base)[:2] == (whole, marks)


def test_a_log_on_a_base_that_is_gone_or_another_is_refused_by_name() -> None:
    log = fr.log_on(SEAL) + taken(1, 5, 1) + fr.end(OTHER_SEAL)
    for base in (None, OTHER_SEAL + fr.packed(np.zeros(at.ENTITY_BYTES, np.uint8), {})):
        with pytest.raises(StateError, match=r"cX.*evicted"):
            read_log(log, base)


@pytest.mark.parametrize(
    "log",
    [
        b"\x09" + bytes(40),
        taken(1, 5, 1)[:-1],
        taken(1, 5, 1) + fr.end(SEAL)[:-1],
        fr.frame(fr.EVENT, 0, 5, 1) + bytes(10) + fr.end(SEAL),
    ],
    ids=["kind", "frame", "end", "history"],
)
def test_damage_is_refused_by_name(log: bytes) -> None:
    with pytest.raises(StateError, match=r"cX.*rebuild"):
        read_log(log)


# --- what is known of a log ------------------------------------------------------------------------------------------


def test_a_copy_takes_in_what_follows_its_seal_only() -> None:
    log = taken(1, 5, 1) + fr.end(SEAL)
    copy = read_log(log)[2]
    more = taken(2, 5, 2) + fr.end(OTHER_SEAL)
    assert copy.question() == ("GETRANGE", copy.log, len(log) - 8, -1)
    assert copy.news((log + more)[len(log) - 8 :]) == more
    assert copy.news(log[len(log) - 8 :]) == b""
    assert copy.news(b"") is None
    assert copy.news(OTHER_SEAL + more) is None


def test_a_copy_of_a_row_that_is_not_there_takes_in_a_log_but_not_one_on_a_base() -> None:
    copy = Copy("namel")
    more = taken(2, 5, 2) + fr.end(OTHER_SEAL)
    assert copy.question() == ("GETRANGE", "namel", 0, -1)
    assert copy.news(b"") == b""
    assert copy.news(more) == more
    assert copy.news(fr.log_on(SEAL) + more) is None


def test_copies_leave_in_the_order_in_which_they_were_last_used() -> None:
    kind = Copies(at.PAIR_BYTES, 3, str, lambda *_: {})
    for keys in (["a"], ["b"], ["c"], ["a"], ["d"]):
        kind.touch(keys)
    assert list(kind.held) == ["c", "a", "d"]
    known, new = kind.touch(["e", "c", "f", "g", "h"])
    assert [key for key, _ in known] == ["c"]
    assert [key for key, _ in new] == ["e", "f", "g", "h"]
    assert set(kind.held) == {"e", "c", "f", "g", "h"}


def test_a_cache_is_bounded_in_bytes_and_says_how_many_it_takes(redis_url: str) -> None:
    store = RedisStore(redis_url, cache=100_000)
    for number in range(60):
        feed(store, [sent(payment(f"t{number}", number * MINUTE, device=f"d{number}"), number)])
    assert 60_000 < store.copies.bytes <= 100_000
    assert store.copies.misses >= 60
    assert store.copies.hits >= 100
    store.close()


# --- what Redis does -------------------------------------------------------------------------------------------------


def commands_of(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list to which every command is added."""
    sent_: list[Any] = []
    run = store._server.run

    def noted(commands: Sequence[Any]) -> list[Any]:
        sent_.extend(commands)
        return run(commands)

    monkeypatch.setattr(store._server, "run", noted)
    return sent_


def test_a_long_log_begins_anew_on_a_base_and_readers_follow(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = RedisStore(redis_url), RedisStore(redis_url)
    stream = [sent(payment(f"t{n}", n * MINUTE, 100 + n), n) for n in range(120)]
    ran = commands_of(one, monkeypatch)
    for n in range(0, 120, 4):
        feed(one, stream[n : n + 4])
        # The other reads on, without writing.
        expected, seen = one.read(stream[:1]), other.read(stream[:1])
        assert seen.entities.get("ca") == expected.entities.get("ca")
        del expected, seen
    begun = [command for command in ran if command[0] == "FCALL" and command[1].endswith("_rebase")]
    assert 8 <= len(begun) <= 20
    one.close()
    other.close()


def test_what_others_append_while_a_log_begins_anew_moves_along(redis_url: str) -> None:
    """The base is of before; what both appended since is in the new log, and nobody misses it."""
    one, other, plain = RedisStore(redis_url), RedisStore(redis_url), RedisStore(redis_url, namespace="plain")
    first = [sent(payment(f"t{n}", n * MINUTE, 100 + n), n) for n in range(60)]
    feed(one, first)
    mine = [sent(payment("mine", 70 * MINUTE), 60)]
    theirs = [Arrival(payment("theirs", 71 * MINUTE), Position("transactions", 1, 0))]
    one.rebase_after = {True: 100, False: 100}
    late = OnlineExtractor(one)
    late.open(mine)
    take(late, mine[0])
    feed(other, theirs)
    late.close([])
    feed(plain, first + theirs + mine)
    everything = first + theirs + mine
    expected = without_ratios(rows_of(plain, everything))
    assert without_ratios(rows_of(one, everything)) == expected
    assert without_ratios(rows_of(other, everything)) == expected
    for store in (one, other, plain):
        store.close()
