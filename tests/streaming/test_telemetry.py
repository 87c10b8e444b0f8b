"""Logs, metrics and health pages say nothing of a card."""

import io
import json
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.core.engine import Strategy
from fraud.core.records import Arrival, Intake, Level, Mark, Position, Reject
from fraud.core.second_half import Boundary
from models.rules_only import RulesOnly
from streaming import clock
from streaming.observe.counts import SECONDS, Cells
from streaming.observe.logs import Log
from streaming.observe.metrics import Health, Metrics, page
from streaming.observe.odd_records import OddRecords
from streaming.observe.stages import TimedLearning, Watch, timed
from tests.contract.driving import answer
from tests.contract.payments import payment

AT = Position("transactions@abc", 0, 1)


def test_log_masks_what_looks_like_a_card_number() -> None:
    out = io.StringIO()
    Log("worker-0", out).say("odd", error="card 4111 1111 1111 1111 was refused", count=4111111111111111)
    line = json.loads(out.getvalue())
    assert line["error"] == "card [masked] was refused"
    assert line["event"] == "odd"


def test_log_refuses_fields_of_a_transaction() -> None:
    with pytest.raises(ValueError, match="card"):
        Log("worker-0", io.StringIO()).say("odd", card="C1")


def test_metrics_count_a_batch_without_naming_card_or_merchant() -> None:
    metrics, watch, tx = Metrics(), Watch(), payment("t1", card="CARD7", merchant="SHOP9")
    intake = Intake((Arrival(tx, AT),), (Reject("json", "no", b"", AT),))
    metrics.batch_done(intake, [answer(tx, AT)], watch.spent)
    text = metrics.text().decode()
    assert 'fraud_decisions_total{action="approve",level="full"} 1.0' in text
    assert "fraud_decision_seconds_count 1.0" in text
    assert "CARD7" not in text
    assert "SHOP9" not in text


@pytest.mark.parametrize("way", ["close", "restore"])
def test_scorers_of_what_is_learned_are_timed_and_never_twice(way: str) -> None:
    told: list[str] = []
    watch: Any = SimpleNamespace(add=lambda stage, began: told.append(stage))
    boundary = Boundary((), "1-a", {Level.FULL: RulesOnly(), Level.RULES: RulesOnly()})
    learner: Any = SimpleNamespace(close=lambda period: boundary, restore=lambda snapshot: boundary, figures=dict)
    learned = TimedLearning(learner, watch)
    found = getattr(learned, way)(1)
    assert (found.parameters, learned.figures()) == ("1-a", {})
    nobody: Any = None
    strategy = Strategy(RulesOnly(), nobody, nobody, parameters="1-a", versions={"1-a": found.scorers})
    twice = timed(timed(strategy, watch), watch)
    for level in (Level.FULL, Level.RULES):
        twice.at(level).score(["t1"], np.zeros((1, 2), np.float32))
    assert told == ["model"]
    twice.scorer.score(["t1"], np.zeros((1, 2), np.float32))
    assert told == ["model", "model"]


def test_counting_a_batch_touches_no_client_library_and_a_scrape_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, watch = Metrics(), Watch()
    touched: list[str] = []
    for kind in (prometheus_client.Counter, prometheus_client.Histogram, prometheus_client.Gauge):
        monkeypatch.setattr(kind, "labels", lambda *_: touched.append("labels"))
    monkeypatch.setattr(prometheus_client.metrics, "Lock", lambda: touched.append("lock"))
    for number in range(3):
        tx = payment(f"t{number}")
        late = msgspec.structs.replace(answer(tx, AT).decision, marks=(Mark.OVERDUE,), seen_at=clock.now_ns())
        made = msgspec.structs.replace(answer(tx, AT), decision=late)
        metrics.batch_done(Intake((Arrival(tx, AT),) * 3), [made], {**watch.spent, "model": 600_000})
    assert not touched
    text = metrics.text().decode()
    assert 'fraud_events_total{topic="transactions"} 9.0' in text
    assert 'fraud_decision_marks_total{mark="overdue"} 3.0' in text
    assert 'fraud_decisions_explained_total{explainer="none"} 3.0' in text
    assert 'fraud_decision_seconds_bucket{le="30.0"} 3.0' in text
    assert 'fraud_stage_seconds_bucket{le="0.0005",stage="model"} 0.0' in text
    assert 'fraud_stage_seconds_bucket{le="0.001",stage="model"} 3.0' in text
    assert 'fraud_stage_seconds_sum{stage="model"} 0.0018' in text
    assert 'fraud_batch_events_bucket{le="2.0"} 0.0' in text
    assert 'fraud_batch_events_bucket{le="4.0"} 3.0' in text
    assert "fraud_batch_events_sum 9.0" in text


def test_what_is_refused_skipped_or_cut_is_counted_by_topic_and_code() -> None:
    metrics, odd = Metrics(), OddRecords({"eu.transactions": "transactions", "eu.decisions": "decisions"})
    metrics.registry.register(odd)
    long = Reject("size", "no", b"x" * 70_000, msgspec.structs.replace(AT, topic="eu.transactions@abc"))
    odd.refuse(long)
    odd.refuse(msgspec.structs.replace(long, original=b"", code="json", headers=(("h", b"v" * 9_000),)))
    assert (odd.skip("eu.decisions"), odd.skip("eu.decisions")) == (1, 2)
    arrival = Arrival(payment("t1"), long.position)
    odd.take(arrival, (("tracestate", b"v" * 2_000),))
    odd.take(arrival, (("other", b"v" * 2_000),))
    said = metrics.text().decode().splitlines()
    for line in (
        'fraud_rejects_total{code="size",topic="transactions"} 1.0',
        'fraud_rejects_total{code="json",topic="transactions"} 1.0',
        'fraud_skipped_total{code="foreign",topic="decisions"} 2.0',
        'fraud_cut_total{part="original",topic="transactions"} 1.0',
        'fraud_cut_total{part="headers",topic="transactions"} 1.0',
        'fraud_cut_total{part="trace",topic="transactions"} 1.0',
    ):
        assert line in said


def test_repeats_and_what_was_found_late_at_the_end_are_counted() -> None:
    metrics, tx = Metrics(), payment("t1")
    again = msgspec.structs.replace(answer(tx, AT), repeat_of=AT)
    metrics.batch_done(Intake((Arrival(tx, AT),)), [again], {})
    metrics.counts.late(2)
    text = metrics.text().decode()
    assert "fraud_repeats_total 1.0" in text
    assert "fraud_decision_seconds_count 0.0" in text
    assert 'fraud_decision_marks_total{mark="overdue"} 2.0' in text


BOUNDS = st.sampled_from([round(bound * 10**9) for bound in SECONDS])


@given(st.lists(st.integers(0, 4 * 10**10) | BOUNDS, max_size=200))
def test_histogram_counts_as_the_client_library_does(values: list[int]) -> None:
    cells = Cells(SECONDS, 10**9)
    theirs = prometheus_client.Histogram("x", "x", buckets=SECONDS, registry=prometheus_client.CollectorRegistry())
    for value in values:
        cells.add(value)
        theirs.observe(value / 1e9)
    (family,) = theirs.collect()
    expected = {each.labels["le"]: each.value for each in family.samples if each.name.endswith("bucket")}
    counted, total = cells.told()
    assert dict(counted) == expected
    assert total == pytest.approx(sum(values) / 1e9)


def test_pages_tell_what_is_missing() -> None:
    metrics, health = Metrics(), Health()
    assert page("/readyz", metrics, health) == (503, b"waits for partitions\n")
    health.turn(["the state store"])
    assert page("/readyz", metrics, health)[1] == b"waits for the state store\n"
    health.turn(())
    assert page("/readyz", metrics, health) == (200, b"ready\n")
    assert page("/livez", metrics, health)[0] == 200
    assert page("/nothing", metrics, health)[0] == 404


def test_liveness_asks_only_whether_the_loop_turns() -> None:
    health = Health()
    health.turn(["partitions", "the state store"])
    assert health.alive
    health.turned_at -= 10**12
    assert page("/livez", Metrics(), health)[0] == 503
