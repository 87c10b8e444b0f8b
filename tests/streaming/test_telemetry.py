"""Logs, metrics and health pages say nothing of a card."""

import io
import json

import pytest

from fraud.core.records import Arrival, Intake, Position, Reject
from streaming.observe.logs import Log
from streaming.observe.metrics import Health, Metrics, page
from streaming.observe.stages import Watch
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
    assert 'fraud_rejects_total{code="json"} 1.0' in text
    assert "fraud_decision_seconds_count 1.0" in text
    assert "CARD7" not in text
    assert "SHOP9" not in text


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
