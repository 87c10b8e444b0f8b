"""Snapshot, throw the engine away, restore, go on: the answers are those of a run that was never cut off."""

import msgspec
import numpy as np
import pytest

from features.stores.memory import MemoryStore, Snapshot
from fraud.core.engine import Engine, EngineState
from fraud.core.fields import Duration
from fraud.core.records import Arrival, Decision, Event, Transaction
from fraud.core.settings import LabelsSection, ModelSection, Settings
from fraud.simulate import stream
from fraud.simulate.source import merge
from streaming.replay.digest import Digest
from streaming.wiring import build
from tests.histories import Reader, engine_of

EVENTS = 6_000
# Silence falls due within the stream, so that deadlines that wait are part of what must survive.
SETTINGS = msgspec.structs.replace(
    Settings(), model=ModelSection(name="demo"), labels=LabelsSection(deadline=Duration.parse("2d"))
)


@pytest.fixture(scope="module")
def traffic() -> list[Arrival]:
    """Rich traffic: late, repeated and corrected payments, labels of analysts and chargebacks."""
    made = stream("rich").make(cards=500, days=12, fraud_share=0.05, chargeback_days=1.0)
    arrivals = list(merge(made))[:EVENTS]
    assert len(arrivals) == EVENTS
    return arrivals


def fresh() -> Engine:
    return build(SETTINGS).engine


def handled(engine: Engine, events: list[Arrival], batch: int = 16) -> list[Decision]:
    """Return the decisions on events, in batches."""
    batches = [events[begin : begin + batch] for begin in range(0, len(events), batch)]
    return [answer.decision for part in batches for answer in engine.handle(part)]


@pytest.fixture(scope="module")
def whole(traffic: list[Arrival]) -> list[Decision]:
    """Return the decisions of a run that was never cut off."""
    return handled(fresh(), traffic)


def digest(decisions: list[Decision]) -> str:
    made = Digest()
    made.add(decisions)
    return made.hexdigest()


def cut_off(traffic: list[Arrival], cuts: list[int], lose: str = "") -> list[Decision]:
    """Return the decisions of a run that a fresh engine took over at each cut; `lose` leaves a part behind."""
    engine, decisions = fresh(), list[Decision]()
    for begin, end in zip([0, *cuts], [*cuts, len(traffic)], strict=True):
        decisions += handled(engine, traffic[begin:end])
        snapshot = engine.snapshot()
        engine.handle(traffic[end : end + 40])  # done by the process that dies, known to nobody
        engine = fresh()
        engine.restore(without(snapshot, lose) if lose else snapshot)
    return decisions


def key(event: Event) -> tuple[str, int] | None:
    """Return what names a payment's message."""
    return (event.id, event.version) if isinstance(event, Transaction) else None


def without(snapshot: bytes, part: str) -> bytes:
    """Return a snapshot in which one part is that of an engine that has seen nothing."""
    state = msgspec.msgpack.decode(snapshot, type=EngineState)
    empty = msgspec.msgpack.decode(fresh().snapshot(), type=EngineState)
    return msgspec.msgpack.encode(msgspec.structs.replace(state, **{part: getattr(empty, part)}))


def test_traffic_has_what_a_snapshot_must_hold(whole: list[Decision]) -> None:
    assert {"late", "correction"} <= {mark for decision in whole for mark in decision.marks}
    assert len({(decision.tx_id, decision.version) for decision in whole}) < len(whole)
    assert len({decision.action for decision in whole}) > 1


@pytest.mark.parametrize("seed", range(6))
def test_cut_anywhere_gives_the_same_decisions(traffic: list[Arrival], whole: list[Decision], seed: int) -> None:
    cuts = np.sort(np.random.default_rng(seed).integers(1, EVENTS, 3)).tolist()
    decisions = cut_off(traffic, cuts)
    assert digest(decisions) == digest(whole)
    assert decisions == whole


@pytest.mark.parametrize("part", ["store", "book"])
def test_comparison_reports_a_snapshot_that_loses_a_part(
    traffic: list[Arrival], whole: list[Decision], part: str
) -> None:
    assert digest(cut_off(traffic, [EVENTS // 2], lose=part)) != digest(whole)


def test_comparison_reports_a_snapshot_that_loses_the_watermarks(traffic: list[Arrival], whole: list[Decision]) -> None:
    late = next((decision.tx_id, decision.version) for decision in whole if "late" in decision.marks)
    cut = next(place for place, arrival in enumerate(traffic) if key(arrival.event) == late)
    assert cut_off(traffic, [cut]) == whole
    assert cut_off(traffic, [cut], lose="watermarks") != whole


def test_snapshot_of_a_restored_engine_is_the_same_bytes(traffic: list[Arrival]) -> None:
    engine, other = fresh(), fresh()
    handled(engine, traffic[:1_000])
    other.restore(engine.snapshot())
    assert other.snapshot() == engine.snapshot()


# --- histories -------------------------------------------------------------------------------------------------------


def read_over(traffic: list[Arrival], cuts: list[int], lose: bool = False) -> dict[str, bytes]:
    """Return what each payment read of histories, over fresh engines that take over at each cut."""
    reader, snapshot = Reader(), b""
    for begin, end in zip([0, *cuts], [*cuts, len(traffic)], strict=True):
        engine = engine_of(reader, MemoryStore())
        if snapshot:
            engine.restore(forgetful(snapshot) if lose else snapshot)
        handled(engine, traffic[begin:end])
        snapshot = engine.snapshot()
    return reader.seen


def forgetful(snapshot: bytes) -> bytes:
    """Return a snapshot without its histories."""
    state = msgspec.msgpack.decode(snapshot, type=EngineState)
    rows = msgspec.structs.replace(msgspec.msgpack.decode(state.store, type=Snapshot), histories=[])
    return msgspec.msgpack.encode(msgspec.structs.replace(state, store=msgspec.msgpack.encode(rows)))


@pytest.mark.parametrize("seed", range(2))
def test_cut_anywhere_leaves_the_same_tokens(traffic: list[Arrival], seed: int) -> None:
    events = traffic[:2_000]
    cuts = np.sort(np.random.default_rng(seed).integers(1, len(events), 3)).tolist()
    assert read_over(events, cuts) == read_over(events, [])


def test_comparison_reports_a_snapshot_without_histories(traffic: list[Arrival]) -> None:
    events = traffic[:2_000]
    assert read_over(events, [1_000], lose=True) != read_over(events, [])
