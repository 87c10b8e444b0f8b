"""No token holds anything of its own payment, of a later event, or of a verdict that was not known yet."""

from collections.abc import Iterable

import pytest

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.engine import Engine
from fraud.core.records import Arrival, Transaction, Verdict
from streaming.replay.history import history
from tests.histories import SIDES, Encoding, Reader, as_bytes, engine_of, feed_histories
from tests.leakage.engines import AbsorbsFirst, LooksAtTheEnd, TakesLabelsFirst
from tests.leakage.streams import (
    DELAY,
    SEEDS,
    History,
    early,
    first_to_know,
    random_stream,
    rows,
    undelayed,
    unlabelled,
)

MANY = 160


def tokens(stream: Iterable[Arrival], kind: type[Engine] = Engine, batch: int = 8) -> dict[str, bytes]:
    """Return what each payment read of its entities, from a fresh engine."""
    reader, events = Reader(), list(stream)
    engine = engine_of(reader, MemoryStore(), kind)
    for begin in range(0, len(events), batch):
        engine.handle(events[begin : begin + batch])
    return reader.seen


def from_before(events: list[Arrival]) -> dict[str, bytes]:
    """Return each payment's tokens as read off a state that holds the events before it and nothing else."""
    found = {}
    for place, arrival in enumerate(events):
        if isinstance(arrival.event, Transaction):
            store = MemoryStore()
            feed_histories(store, events[:place])
            extractor = OnlineExtractor(store)
            extractor.open([arrival], Encoding())
            extractor.look(arrival.event)
            looked = extractor.histories([arrival.event.id])
            assert looked is not None
            found[arrival.event.id] = as_bytes(looked.tokens([0], SIDES))[0]
    return found


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_a_payment_never_reads_itself(seed: int) -> None:
    events = random_stream(seed, MANY)
    assert tokens(events) == from_before(events)


@pytest.mark.parametrize("kind", [AbsorbsFirst, LooksAtTheEnd, TakesLabelsFirst])
def test_comparison_reports_a_payment_that_reads_itself_or_later_ones(kind: type[Engine]) -> None:
    events = random_stream(SEEDS[0], MANY)
    assert tokens(events, kind) != from_before(events)


def changed_by_later(events: list[Arrival], cut: int, kind: type[Engine] = Engine) -> list[str]:
    """Return the payments among the first `cut` events whose tokens depend on whether later events exist."""
    whole, part = tokens(events, kind), tokens(events[:cut], kind)
    return [tx_id for tx_id, read in part.items() if whole[tx_id] != read]


@pytest.mark.parametrize("cut", [13, 50, 99, 141])
def test_later_events_change_no_earlier_token(cut: int) -> None:
    assert changed_by_later(random_stream(SEEDS[2], MANY), cut) == []


def test_check_reports_tokens_that_later_events_change() -> None:
    assert changed_by_later(random_stream(SEEDS[2], MANY), 50, LooksAtTheEnd) != []


def moved_by_verdict(source: History) -> list[int]:
    """Return the numbers of the payments whose tokens depend on the verdict on payment 10."""
    one, other = (
        tokens(arrival for arrival in source(rows(verdict), DELAY) if isinstance(arrival, Arrival))
        for verdict in (Verdict.FRAUD, Verdict.GENUINE)
    )
    return [number for number, tx_id in enumerate(one) if one[tx_id] != other[tx_id]]


def test_a_verdict_is_read_from_when_it_is_known_and_not_before() -> None:
    assert moved_by_verdict(history) == list(range(first_to_know(), 60))


@pytest.mark.parametrize("source", [undelayed, early, unlabelled])
def test_check_reports_verdicts_read_at_another_time(source: History) -> None:
    assert moved_by_verdict(source) != list(range(first_to_know(), 60))
