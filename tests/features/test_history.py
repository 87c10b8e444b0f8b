"""The history row against lists of everything: window, pyramid, verdict counters, fraud ring, tokens."""

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from features.state import events as ev
from features.state import history as hs
from features.state import layout as at
from features.state import tokens
from features.state.blocks import put_code
from fraud.core import tokens as tk
from tests.features.history_oracle import Event, Oracle, summaries_in
from tests.histories import Encoding

START = 1_700_000_000_000_000
MINUTE = 60_000_000
CARD, MERCHANT, OTHER = 11, 22, 33


class Made(NamedTuple):
    """A row, and what it should hold."""

    row: NDArray[np.uint8]
    oracle: Oracle


def event_of(event: Event, corrects: bool = False) -> NDArray[np.int64]:
    fields = np.zeros(ev.EVENT_FIELDS, np.int64)
    fields[ev.R_TX], fields[ev.R_AT], fields[ev.R_AMOUNT] = event
    fields[ev.R_CARD], fields[ev.R_MERCHANT], fields[ev.R_MCC], fields[ev.R_CORRECTS] = CARD, MERCHANT, 5_411, corrects
    return fields


def verdict_of(tx: int, paid: int, fraud: bool, replaces: bool | None) -> NDArray[np.int64]:
    fields = np.zeros(ev.VERDICT_FIELDS, np.int64)
    fields[at.L_TX], fields[at.L_PAID], fields[at.L_AT], fields[at.L_FRAUD] = tx, paid, paid + MINUTE, fraud
    fields[at.L_REPLACES], fields[at.L_OLD_FRAUD] = replaces is not None, bool(replaces)
    fields[ev.V_AMOUNT], fields[ev.V_CARD], fields[ev.V_MERCHANT] = 777, CARD, MERCHANT
    return fields


def append(made: Made, event: Event) -> None:
    """Absorb a payment; encode the block that it closes at once."""
    closed = hs.absorb_event(made.row, event_of(event), 0)
    made.oracle.append(event)
    if closed >= 0:
        block = np.empty((tk.BLOCK, tk.STATIC), np.float32)
        tokens.read_block(made.row, closed, block)
        made.oracle.codes[closed] = Encoding().code(block)
        put_code(made.row, closed, made.oracle.codes[closed])


def judge(made: Made, tx: int, fraud: bool) -> None:
    """Give a payment a verdict, or correct the one it has."""
    before = made.oracle.verdicts.get(tx)
    if before is not fraud:
        hs.apply_verdict(made.row, verdict_of(tx, made.oracle.paid[tx], fraud, before), 0)
        made.oracle.verdicts[tx] = fraud


def played(seed: int, many: int, corrections: bool = True) -> Made:
    """Return a row after random payments (some late, some at the same second), verdicts and corrections."""
    rng = np.random.default_rng(seed)
    made, now = Made(np.zeros(hs.HISTORY_BYTES, np.uint8), Oracle()), START
    for number in range(1, many + 1):
        now += int(rng.choice([0, 500_000, MINUTE, 90 * MINUTE]))
        late = int(rng.choice([0, 0, 0, 30 * MINUTE, 3_000 * MINUTE]))
        append(made, Event(number * 7_919 * (-1) ** number, now - late, int(rng.integers(0, 10**6))))
        if rng.random() < 0.4:
            tx = made.oracle.events[int(rng.integers(0, len(made.oracle.events)))].tx
            if corrections or tx not in made.oracle.verdicts:
                judge(made, tx, bool(rng.random() < 0.5))
        if rng.random() < 0.1:
            old = made.oracle.events[-1 - int(rng.integers(0, min(number, 40)))]
            changed = old._replace(amount=old.amount + 1_000)
            assert hs.absorb_event(made.row, event_of(changed, corrects=True), 0) == -1
            made.oracle.correct(changed)
    return made


@pytest.mark.parametrize(("seed", "many"), [(0, 15), (1, 48), (2, 49), (3, 300), (4, 1_100)])
def test_history_holds_what_its_events_say(seed: int, many: int) -> None:
    made = played(seed, many, corrections=False)
    assert summaries_in(made.row) == made.oracle.summaries()
    assert frauds_in(made.row) == made.oracle.frauds()
    assert window_in(made.row) == [event.tx for event in made.oracle.window()]


@pytest.mark.parametrize("seed", range(5, 9))
def test_corrected_verdicts_leave_every_counter_as_if_they_had_been_right_at_once(seed: int) -> None:
    made = played(seed, 700)
    counted = [(one.events, one.known, one.frauds, one.last) for one in summaries_in(made.row)]
    assert counted == [(one.events, one.known, one.frauds, one.last) for one in made.oracle.summaries()]
    assert sum(known for _, known, _, _ in counted) > 100


def test_top_level_merges_in_place_and_loses_no_event() -> None:
    made = Made(np.zeros(hs.HISTORY_BYTES, np.uint8), Oracle())
    many = tk.BLOCK * tk.RADIX**tk.LEVELS * 2
    for number in range(many):
        hs.absorb_event(made.row, event_of(Event(number + 1, START + number * MINUTE, 100)), 0)
    found = summaries_in(made.row)
    assert sum(one.events for one in found) == many - hs.window_size(many)
    assert [one.last for one in found] == sorted(one.last for one in found)
    assert all(one.first <= one.last for one in found)


def test_correction_of_an_event_in_the_second_of_the_next_block_is_counted_where_it_was() -> None:
    made = Made(np.zeros(hs.HISTORY_BYTES, np.uint8), Oracle())
    for number in range(200):
        append(made, Event(number + 1, START, 100))
        if number % 8 == 0:
            judge(made, number + 1, True)
    for number in range(0, 200, 8):
        judge(made, number + 1, False)
    found = summaries_in(made.row)
    assert sum(one.frauds for one in found) == 0
    assert sum(one.known for one in found) == len([tx for tx in range(1, 201, 8) if tx <= 200 - hs.window_size(200)])
    assert frauds_in(made.row) == []


def test_fraud_ring_keeps_the_newest_and_drops_corrected_ones() -> None:
    made = Made(np.zeros(hs.HISTORY_BYTES, np.uint8), Oracle())
    for number in range(30):
        append(made, Event(number + 1, START + number * MINUTE, 100))
    for number in np.random.default_rng(1).permutation(30).tolist():
        judge(made, number + 1, True)
    judge(made, 21, False)
    assert frauds_in(made.row) == [tx for tx in range(30, 14, -1) if tx != 21]


def test_row_stays_within_twelve_kilobytes() -> None:
    assert hs.HISTORY_BYTES == 7_616 <= 12_288


def frauds_in(row: NDArray[np.uint8]) -> list[int]:
    records = [hs.fraud_of(row, slot)[:16].view(np.int64) for slot in range(tk.FRAUDS - 1, -1, -1)]
    return [int(record[0]) for record in records if record[1]]


def window_in(row: NDArray[np.uint8]) -> list[int]:
    events = hs.events_of(row)
    sequences = range(events - 1, hs.window_start(events) - 1, -1)
    return [int(hs.record_of(row, sequence)[:8].view(np.int64)[0]) for sequence in sequences]


# ---- tokens


def read(row: NDArray[np.uint8], query: list[int]) -> tuple[NDArray[np.float32], ...]:
    out = (
        np.full((tk.RAW, tk.RAW_COLUMNS), 9.0, np.float32),
        np.full((tk.SUMS, tk.SUM_COLUMNS), 9.0, np.float32),
        np.full((tk.SUMS, tk.CODE), 9.0, np.float32),
    )
    tokens.read_tokens(row, np.array(query, np.int64), *out)
    return out


def test_tokens_of_nothing_are_zero() -> None:
    for part in read(np.zeros(hs.HISTORY_BYTES, np.uint8), [START, 5_000, MERCHANT, 5_411, 0]):
        assert not part.any()
    assert not tokens.events_of_tokens(np.zeros(hs.HISTORY_BYTES, np.uint8)).any()


@pytest.mark.parametrize("seed", [3, 4])
def test_tokens_say_what_the_history_holds(seed: int) -> None:
    made = played(seed, 1_100)
    now = max(event.at for event in made.oracle.events) + 100 * MINUTE
    raw, sums, codes = read(made.row, [now, 5_000, MERCHANT, 5_411, 0])
    window = made.oracle.window()
    raw_events = {event.tx for event in window}
    outside = [tx for tx in made.oracle.frauds() if tx not in raw_events]
    assert raw[:, 0].sum() == len(window) + len(outside)
    named = tokens.events_of_tokens(made.row)
    assert named[: len(window)].tolist() == [[event.tx, event.at] for event in window]
    assert sorted(named[tk.WINDOW : tk.WINDOW + len(outside), 0].tolist()) == sorted(outside)
    assert (named[:, 1] > 0).tolist() == (raw[:, 0] > 0).tolist()
    told = named[:, 1] > 0
    np.testing.assert_allclose(raw[told, 20], np.log1p((now - named[told, 1]) / 1e6) / 15, rtol=1e-6)
    assert raw[tk.WINDOW :, 28].sum() == len(outside) == raw[:, 28].sum()
    ages = np.log1p([(now - event.at) / 1e6 for event in window]) / 15
    np.testing.assert_allclose(raw[: len(window), 20], ages, rtol=1e-6)
    known = [event.tx in made.oracle.verdicts for event in window]
    frauds = [made.oracle.verdicts.get(event.tx, False) for event in window]
    assert raw[: len(window), 22].tolist() == known
    assert raw[: len(window), 23].tolist() == frauds
    assert (raw[: len(window), 26] == 1).all()
    kept = made.oracle.summaries()[::-1]
    counts = [one.events for one in kept]
    np.testing.assert_allclose(np.expm1(sums[: len(counts), 2] * 10), counts, rtol=1e-4)
    assert codes[: len(counts)].tobytes() == b"".join(one.code for one in kept)
    assert not sums[len(counts) :].any()


def test_static_columns_do_not_depend_on_verdicts_or_the_query() -> None:
    made = played(5, 200, corrections=False)
    blind = played(5, 200, corrections=False)
    for tx in list(blind.oracle.paid):
        judge(blind, tx, True)
    one, other = read(made.row, [START * 2, 5_000, MERCHANT, 5_411, 0]), read(blind.row, [START * 3, 1, OTHER, 1, 2])
    window = tk.WINDOW
    assert one[0][:window, : tk.STATIC].tobytes() == other[0][:window, : tk.STATIC].tobytes()
    assert one[2].tobytes() == other[2].tobytes()
