"""The simulated source: order, batches, and time that is handed in."""

import itertools
from dataclasses import replace

import pytest

from fraud.core.ports import Source
from fraud.core.records import DAY, Arrival, Event, Label, Transaction
from fraud.simulate import Pace, SimulatedSource, Traffic, demo_source, stream
from fraud.simulate.demo import DEMO
from fraud.simulate.rich import generate


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Return a little rich traffic."""
    return stream("rich").make(cards=60, days=12, fraud_share=0.05)


def _all(source: Source) -> list[Arrival]:
    arrivals: list[Arrival] = []
    while (intake := source.read()) is not None:
        arrivals.extend(intake.arrivals)
    return arrivals


class _Clock:
    """A clock that moves only while somebody sleeps."""

    def __init__(self) -> None:
        self.at = 1_000

    def now(self) -> int:
        return self.at

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 0.05
        self.at += max(int(seconds * 1e9), 1)


def test_source_all_events_come_in_the_order_of_seen_at(traffic: Traffic) -> None:
    arrivals = _all(SimulatedSource(traffic))
    seen = [arrival.event.seen_at for arrival in arrivals]
    assert seen == sorted(seen)
    assert sum(isinstance(a.event, Transaction) for a in arrivals) == len(traffic)
    assert sum(isinstance(a.event, Label) for a in arrivals) == len(traffic.verdicts())


@pytest.mark.parametrize("delay", [None, 0, DAY])
def test_source_labels_come_after_their_payment(traffic: Traffic, delay: int | None) -> None:
    met: set[str] = set()
    for arrival in _all(SimulatedSource(traffic, delay=delay)):
        if isinstance(arrival.event, Label):
            assert arrival.event.tx_id in met
        elif isinstance(arrival.event, Transaction):
            met.add(arrival.event.id)


def test_source_same_instant_puts_labels_first() -> None:
    plain = stream("fdh").make(cards=300, days=4)
    events = [arrival.event for arrival in _all(SimulatedSource(plain, delay=DAY))]
    ties = [(a, b) for a, b in itertools.pairwise(events) if a.seen_at == b.seen_at and type(a) is not type(b)]
    assert ties
    assert all(isinstance(a, Label) for a, b in ties)


def test_source_offsets_count_each_topic(traffic: Traffic) -> None:
    offsets: dict[str, list[int]] = {}
    for arrival in _all(SimulatedSource(traffic)):
        offsets.setdefault(arrival.position.topic, []).append(arrival.position.offset)
    assert offsets.keys() == {"transactions", "labels"}
    assert all(found == list(range(len(found))) for found in offsets.values())


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_source_batch_size_changes_nothing_but_batches(traffic: Traffic, batch: int) -> None:
    assert _all(SimulatedSource(traffic, batch=batch)) == _all(SimulatedSource(traffic))


def test_source_closed_is_at_its_end(traffic: Traffic) -> None:
    source = SimulatedSource(traffic)
    source.close()
    source.close()
    assert source.read() is None


def test_source_paced_gives_the_same_events_none_too_early(traffic: Traffic) -> None:
    clock, since = _Clock(), int(traffic.seen_at[0]) + 4 * DAY
    source = SimulatedSource(traffic, pace=Pace(clock.now, clock.sleep, speed=3_600.0, since=since))
    arrivals: list[Arrival] = []
    while (intake := source.read()) is not None:
        for arrival in intake.arrivals:
            assert arrival.event.seen_at <= since + (clock.at - 1_000) * 3_600
        arrivals.extend(intake.arrivals)
    assert arrivals == _all(SimulatedSource(traffic))


def test_source_paced_lets_history_through_at_once(traffic: Traffic) -> None:
    clock, since = _Clock(), int(traffic.seen_at[0]) + 4 * DAY
    source = SimulatedSource(traffic, pace=Pace(clock.now, clock.sleep, speed=3_600.0, since=since))
    history = sum(a.event.seen_at < since for a in _all(SimulatedSource(traffic)))
    met = 0
    while met < history:
        intake = source.read()
        assert intake is not None
        met += len(intake.arrivals)
    assert clock.at == 1_000


def test_source_paced_slow_reader_catches_up(traffic: Traffic) -> None:
    clock = _Clock()
    source = SimulatedSource(traffic, pace=Pace(clock.now, clock.sleep, speed=1.0, since=int(traffic.seen_at[0])))
    source.read()
    clock.at += 30 * DAY
    intake = source.read()
    assert intake is not None
    assert len(intake.arrivals) == 256


def test_demo_source_first_seconds_have_frauds_and_labels() -> None:
    clock, rich = _Clock(), replace(DEMO, days=36)
    truth = generate(rich).truth()
    source = demo_source(clock.now, clock.sleep, rich=rich)
    live: list[Event] = []
    while clock.at < 20 * 10**9:
        intake = source.read()
        assert intake is not None
        if clock.at > 1_000:
            live.extend(arrival.event for arrival in intake.arrivals)
    assert sum(isinstance(event, Transaction) for event in live) > 1_000
    assert sum(isinstance(event, Transaction) and event.id in truth for event in live) > 10
    assert sum(isinstance(event, Label) for event in live) > 10
