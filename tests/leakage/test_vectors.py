"""No vector holds anything of its own payment, of a later event, or of a verdict that was not known yet."""

from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import pytest

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.engine import Engine
from fraud.core.records import DAY, HOUR, Arrival, Reject, Transaction, Verdict
from fraud.simulate import stream
from fraud.simulate.source import merge
from streaming.files.rows import Row
from streaming.replay.history import history
from tests.contract.driving import feed
from tests.contract.traffic import AMOUNTS, LATENESS, PAUSES, START, Step, arrivals
from tests.leakage.engines import AbsorbsFirst, LooksAtTheEnd, TakesLabelsFirst, vectors

VERBS = ("pay", "pay", "pay", "pay", "refund", "label", "label")
SEEDS = (1, 2, 3)
History = Callable[[Iterator[Row | Reject], int | None], Iterator[Arrival | Reject]]


def random_stream(seed: int, many: int = 120) -> list[Arrival]:
    """Return payments, refunds and known labels of few cards, some of them late."""
    rng = np.random.default_rng(seed)
    most = (3, 3, 3, len(AMOUNTS), len(PAUSES) - 2, len(LATENESS), 1_000)
    numbers = [rng.integers(end, size=many).tolist() for end in most]
    verbs = rng.choice(VERBS, size=many).tolist()
    return arrivals([Step(*each) for each in zip(verbs, *numbers, rng.random(many) < 0.5, strict=True)])


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

DELAY = 3 * DAY
EVERY = 5 * HOUR


def rows(verdict: Verdict, target: int = 10, many: int = 60) -> Iterator[Row | Reject]:
    """Yield one card's payments at one shop; only the verdict on one of them varies."""
    for number in range(many):
        when = START + number * EVERY
        tx = Transaction(
            id=f"t{number}", card="a", merchant="m", amount=500, base_amount=500, happened_at=when, seen_at=when
        )
        yield Row(tx, verdict if number == target else Verdict.GENUINE, "", None)


def moved_by_verdict(source: History) -> list[int]:
    """Return the numbers of the payments whose vector depends on the verdict on payment 10."""
    one, other = (
        vectors(arrival for arrival in source(rows(verdict), DELAY) if isinstance(arrival, Arrival))
        for verdict in (Verdict.FRAUD, Verdict.GENUINE)
    )
    return [number for number, tx_id in enumerate(one) if one[tx_id] != other[tx_id]]


def first_to_know(target: int = 10) -> int:
    """Return the number of the first payment at or after the instant that the verdict on payment 10 is known."""
    return target - (-DELAY // EVERY)


def undelayed(found: Iterator[Row | Reject], delay: int | None) -> Iterator[Arrival | Reject]:
    """Broken: verdicts are known at once."""
    return history(found, None if delay is None else 0)


def early(found: Iterator[Row | Reject], delay: int | None) -> Iterator[Arrival | Reject]:
    """Broken: verdicts come a quarter of their delay too soon."""
    return history(found, None if delay is None else delay - delay // 4)


def unlabelled(found: Iterator[Row | Reject], delay: int | None) -> Iterator[Arrival | Reject]:
    """Broken: verdicts never come."""
    del delay
    return history(found, None)


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
