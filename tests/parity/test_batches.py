"""One path, the same answers: whatever the batches, the idle reads and the pace, and however often."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from features.stores.memory import MemoryStore
from fraud.core.engine import NEVER, Engine
from fraud.core.fields import Duration
from fraud.core.labels import Due, LabelBook
from fraud.core.records import DAY, HOUR, Answer, Arrival, Decision, Intake, Label, Position, Reject, Transaction
from fraud.core.settings import LabelsSection, ModelSection, Settings
from fraud.simulate import Pace, SimulatedSource, Traffic, stream
from fraud.simulate.source import merge
from streaming.replay.digest import Digest
from streaming.run import run
from streaming.wiring import build
from tests.contract.traffic import PLAIN, START, arrivals, renumbered, unjoined
from tests.features.drawn import drawn_at_random
from tests.histories import Reader, engine_of
from tests.leakage.engines import LooksAtTheEnd, vectors

SEEDS = (0, 1)
VERBS = (*PLAIN, "label", "label", "correct", "move")
# Silence falls due within the stream, so that deadlines take part.
SETTINGS = msgspec.structs.replace(
    Settings(), model=ModelSection(name="demo"), labels=LabelsSection(deadline=Duration.parse("2d"))
)


class Kept:
    """A sink that keeps decisions."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
        assert not rejects
        self.decisions += [answer.decision for answer in answers]

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    @property
    def sha256(self) -> str:
        digest = Digest()
        digest.add(self.decisions)
        return digest.hexdigest()


class Pausing:
    """A source that often has nothing, as a live one does while nothing comes."""

    def __init__(self, source: SimulatedSource, seed: int) -> None:
        self._source, self._rng = source, np.random.default_rng(seed)
        self.idle = 0

    def read(self) -> Intake | None:
        if self._rng.random() < 0.5:
            self.idle += 1
            return Intake()
        return self._source.read()

    def commit(self, answers: Sequence[Answer]) -> None:
        self._source.commit(answers)

    def close(self) -> None:
        self._source.close()


@pytest.fixture(scope="module", params=SEEDS)
def traffic(request: pytest.FixtureRequest) -> Traffic:
    """Rich traffic: late, repeated and corrected payments, labels of analysts and chargebacks."""
    return stream("rich").make(cards=200, days=6, fraud_share=0.05, chargeback_days=1.0, seed=request.param)


def fresh() -> Engine:
    return build(SETTINGS).engine


def replayed(traffic: Traffic, batch: int = 32) -> Kept:
    sink = Kept()
    run(SimulatedSource(traffic, batch=batch), fresh(), sink, lambda *_: True)
    return sink


@pytest.fixture(scope="module")
def whole(traffic: Traffic) -> Kept:
    return replayed(traffic)


def test_traffic_has_alerts_labels_and_repeats(traffic: Traffic, whole: Kept) -> None:
    assert len(whole.decisions) == len(traffic) > 1_500
    assert len({decision.action for decision in whole.decisions}) == 4
    assert len({(decision.tx_id, decision.version) for decision in whole.decisions}) < len(traffic)


def test_replayed_twice_gives_the_same_decisions(traffic: Traffic, whole: Kept) -> None:
    again = replayed(traffic)
    assert again.sha256 == whole.sha256
    assert again.decisions == whole.decisions


@pytest.mark.parametrize("batch", [1, 7, 64, 512])
def test_batch_size_does_not_change_a_decision(traffic: Traffic, whole: Kept, batch: int) -> None:
    other = replayed(traffic, batch)
    assert other.sha256 == whole.sha256
    assert other.decisions == whole.decisions


def test_batches_of_any_cut_do_not_change_a_decision(traffic: Traffic, whole: Kept) -> None:
    events, engine, sink = list(merge(traffic)), fresh(), Kept()
    cuts = np.sort(np.random.default_rng(3).integers(0, len(events), 200)).tolist()
    for begin, end in zip([0, *cuts], [*cuts, len(events)], strict=True):
        sink.write(engine.handle(events[begin:end]), ())
    assert sink.sha256 == whole.sha256


def test_comparison_reports_an_engine_whose_answers_depend_on_the_batch(
    traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.wiring.Engine", LooksAtTheEnd)
    assert replayed(traffic, 1).sha256 != replayed(traffic, 64).sha256


# --- idleness and time -----------------------------------------------------------------------------------------------


def test_idle_reads_change_no_decision(traffic: Traffic, whole: Kept) -> None:
    sink, source = Kept(), Pausing(SimulatedSource(traffic, batch=16), seed=5)
    run(source, fresh(), sink, lambda *_: True)
    assert source.idle > 50
    assert sink.sha256 == whole.sha256
    assert sink.decisions == whole.decisions


def paid(number: int, card: str, at: int) -> Arrival:
    """Return a payment of a card at a merchant of its own."""
    tx = Transaction(
        id=f"{card}{number}", card=card, merchant=f"m-{card}", amount=900, base_amount=900, happened_at=at, seen_at=at
    )
    return Arrival(tx, Position("transactions", 0, 0))


def after_an_idle_time(others: bool) -> list[Arrival]:
    """Return payments of a card, 60 days of nothing (or of other cards' payments), and its next payment."""
    first = [paid(number, "a", START + number * HOUR) for number in range(8)]
    between = [paid(number, "b", START + number * DAY) for number in range(1, 60) if others]
    return renumbered([*first, *between, paid(8, "a", START + 60 * DAY)])


@pytest.mark.parametrize("batch", [1, 300])
def test_deadlines_that_passed_while_nothing_came_are_seen_by_the_next_payment(batch: int) -> None:
    bare, filled = vectors(after_an_idle_time(False), batch=batch), vectors(after_an_idle_time(True), batch=batch)
    assert bare["a8"] == filled["a8"]


def test_comparison_reports_deadlines_that_wait_for_more_than_the_next_payment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = vectors(after_an_idle_time(False))["a8"]
    monkeypatch.setattr(LabelBook, "expire", lambda self, now: Due([], [], []))
    assert vectors(after_an_idle_time(False))["a8"] != seen


class Clock:
    """A clock that moves only while somebody sleeps."""

    def __init__(self) -> None:
        self.at = 0

    def now(self) -> int:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += int(seconds * 1e9) + 1


def test_paced_run_decides_as_the_fast_replay(traffic: Traffic, whole: Kept) -> None:
    clock, sink = Clock(), Kept()
    pace = Pace(clock.now, clock.sleep, speed=20_000.0, since=int(traffic.seen_at[0]) + DAY)
    run(SimulatedSource(traffic, batch=32, pace=pace), fresh(), sink, lambda *_: True)
    assert clock.at > 10**9
    assert sink.sha256 == whole.sha256


# --- silence and early labels ----------------------------------------------------------------------------------------


def shuffled(seed: int) -> list[Arrival]:
    """Return payments, corrections and labels over months; some labels come before their payment.

    Repeats are left out: how long a first answer is remembered goes by whole batches.
    """
    rng = np.random.default_rng(seed)
    events = unjoined(arrivals(drawn_at_random(seed, 300, VERBS)))
    for place in range(1, len(events)):
        if isinstance(events[place].event, Label) and rng.random() < 0.3:
            other = int(rng.integers(max(0, place - 60), place))
            events.insert(other, events.pop(place))
    return renumbered(events)


@pytest.mark.parametrize("seed", range(3))
def test_silence_and_early_labels_are_seen_alike_in_any_batch(seed: int) -> None:
    events = shuffled(seed)
    one = vectors(events, batch=1)
    for batch in (3, 20, 300):
        assert vectors(events, batch=batch) == one


def test_comparison_reports_an_engine_that_holds_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LabelBook, "label_due_at", lambda self, tx: NEVER)
    assert any(vectors(shuffled(seed), batch=1) != vectors(shuffled(seed), batch=20) for seed in range(3))


# --- histories -------------------------------------------------------------------------------------------------------


def read_tokens(events: Sequence[Arrival], batch: int) -> dict[str, bytes]:
    """Return what each payment read of its entities' histories."""
    reader = Reader()
    engine = engine_of(reader, MemoryStore())
    for begin in range(0, len(events), batch):
        engine.handle(events[begin : begin + batch])
    return reader.seen


@pytest.mark.parametrize("batch", [2, 9, 32])
def test_tokens_are_the_same_in_any_batch(traffic: Traffic, batch: int) -> None:
    events = list(merge(traffic))[:1_500]
    one = read_tokens(events, 1)
    assert len(set(one.values())) > 1_000
    assert read_tokens(events, batch) == one


@pytest.mark.parametrize("seed", range(2))
def test_silence_early_labels_and_corrections_leave_the_same_tokens_in_any_batch(seed: int) -> None:
    events = shuffled(seed)
    one = read_tokens(events, 1)
    for batch in (3, 20, 300):
        assert read_tokens(events, batch) == one
