"""No vector holds anything of its own payment, of a later event, or of a verdict that was not known yet."""

from collections.abc import Iterator

import msgspec
import pytest

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.engine import Engine
from fraud.core.records import Arrival, Reject, Transaction, Verdict
from fraud.simulate import stream
from fraud.simulate.source import merge
from streaming.files.values.rows import Row
from streaming.replay.history import history
from tests.contract.driving import feed
from tests.contract.traffic import START
from tests.leakage.engines import AbsorbsFirst, LooksAtTheEnd, TakesLabelsFirst, vectors
from tests.leakage.streams import (
    DELAY,
    EVERY,
    SEEDS,
    History,
    early,
    first_to_know,
    random_stream,
    rows,
    undelayed,
    unlabelled,
)

# --- never itself ----------------------------------------------------------------------------------------------------


def from_before(events: list[Arrival]) -> dict[str, bytes]:
    """Return each payment's vector as read off a state that holds the events before it and nothing else."""
    found = {}
    for place, arrival in enumerate(events):
        if isinstance(arrival.event, Transaction):
            store = MemoryStore()
            feed(store, events[:place])
            extractor = OnlineExtractor(store)
            extractor.open([arrival])
            found[arrival.event.id] = extractor.look(arrival.event).tobytes()
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_a_payment_never_sees_itself(seed: int) -> None:
    events = random_stream(seed)
    assert vectors(events) == from_before(events)


@pytest.mark.parametrize("kind", [AbsorbsFirst, LooksAtTheEnd, TakesLabelsFirst])
def test_comparison_reports_a_payment_that_sees_itself_or_later_ones(kind: type[Engine]) -> None:
    events = random_stream(SEEDS[0])
    assert vectors(events, kind) != from_before(events)


# --- never what comes later ------------------------------------------------------------------------------------------


def changed_by_later(events: list[Arrival], cut: int, kind: type[Engine] = Engine) -> list[str]:
    """Return the payments among the first `cut` events whose vector depends on whether later events exist."""
    whole, part = vectors(events, kind), vectors(events[:cut], kind)
    return [tx_id for tx_id, values in part.items() if whole[tx_id] != values]


@pytest.fixture(scope="module")
def traffic() -> list[Arrival]:
    """Rich simulated traffic, with analysts' and late labels."""
    return list(merge(stream("rich").make(cards=60, days=8, fraud_share=0.05)))[:1_500]


@pytest.mark.parametrize("cut", [1, 3, 50, 117])
@pytest.mark.parametrize("seed", SEEDS)
def test_later_events_change_no_earlier_vector(seed: int, cut: int) -> None:
    assert changed_by_later(random_stream(seed), cut) == []


@pytest.mark.parametrize("cut", [11, 500, 1_001])
def test_later_traffic_changes_no_earlier_vector(traffic: list[Arrival], cut: int) -> None:
    assert changed_by_later(traffic, cut) == []


def test_check_reports_an_engine_that_reads_vectors_after_the_batch() -> None:
    assert changed_by_later(random_stream(SEEDS[0]), 51, LooksAtTheEnd) != []


# --- never a verdict that is not known yet ---------------------------------------------------------------------------


def moved_by_verdict(source: History) -> list[int]:
    """Return the numbers of the payments whose vector depends on the verdict on payment 10."""
    one, other = (
        vectors(arrival for arrival in source(rows(verdict), DELAY) if isinstance(arrival, Arrival))
        for verdict in (Verdict.FRAUD, Verdict.GENUINE)
    )
    return [number for number, tx_id in enumerate(one) if one[tx_id] != other[tx_id]]


def test_a_verdict_moves_every_vector_from_when_it_is_known_and_none_before() -> None:
    assert moved_by_verdict(history) == list(range(first_to_know(), 60))


@pytest.mark.parametrize("source", [undelayed, early, unlabelled])
def test_check_reports_a_history_with_labels_at_another_time(source: History) -> None:
    assert moved_by_verdict(source) != list(range(first_to_know(), 60))


def test_a_verdict_with_a_time_of_its_own_moves_nothing_before_that_time() -> None:
    def known_late(found: Iterator[Row | Reject], delay: int | None) -> Iterator[Arrival | Reject]:
        stamped = (
            msgspec.structs.replace(row, known_at=START + 40 * EVERY) if isinstance(row, Row) else row for row in found
        )
        return history(stamped, delay)

    assert moved_by_verdict(known_late) == list(range(40, 60))
