"""A decision, its alert and its answer are made in one place, from what was computed of the transaction."""

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fraud.core.decisions import Explained, Scored, answer_of
from fraud.core.policy import ThresholdPolicy
from fraud.core.ports import RuleOutcome
from fraud.core.records import (
    Action,
    Alert,
    Arrival,
    Decision,
    Explainer,
    FeatureVector,
    Mark,
    Position,
    Reason,
    Score,
    Transaction,
    Values,
    Versions,
    alert_id,
)
from tests.filled import filled

ROOT = Path(__file__).parents[2]
POLICY = ThresholdPolicy(0.2, 0.5, 0.9)
RULE, MODEL = Reason("rule:r", "a rule spoke"), Reason("model", "the model spoke", 0.5)
PAID = filled(Transaction)


class OneRule:
    """A rule book that always says the same."""

    version = "rules-1"

    def __init__(self, outcome: RuleOutcome) -> None:
        self._outcome = outcome

    def judge(self, tx: Transaction, values: Values) -> RuleOutcome:
        return self._outcome


def scored(value: float) -> Scored:
    arrival = Arrival(PAID, Position("transactions", 3, 9), (("traceparent", b"1"),))
    vector = FeatureVector(PAID.id, np.ones(2, np.float32), "spec-1", PAID.seen_at)
    score = Score(PAID.id, value, "model-1", parts=(("booster", 0.5),))
    return Scored(PAID, arrival, vector, score, unusual=True, marks=(Mark.LATE,))


def explained() -> Explained:
    return Explained((MODEL,), Explainer.MODEL)


def no_reasons() -> Explained:
    raise AssertionError("reasons of an approval are not asked for")


def test_approval_asks_for_no_reasons_and_raises_no_alert() -> None:
    answer = answer_of(scored(0.1), OneRule(RuleOutcome((RULE,))), POLICY, no_reasons)
    assert (answer.decision.action, answer.decision.reasons, answer.alert) == (Action.APPROVE, (RULE,), None)


def test_answer_holds_what_it_was_made_from() -> None:
    given = scored(0.6)
    answer = answer_of(given, OneRule(RuleOutcome((RULE,))), POLICY, explained)
    decision = answer.decision
    assert (answer.position, answer.headers, answer.vector) == (
        given.arrival.position,
        given.arrival.headers,
        given.vector,
    )
    assert decision.versions == Versions("model-1", "spec-1", POLICY.version, "rules-1")
    assert (decision.action, decision.score, decision.reasons) == (Action.REVIEW, 0.6, (RULE, MODEL))
    assert (decision.tx_id, decision.level, decision.parts) == (PAID.id, given.score.level, given.score.parts)
    assert (decision.unusual, decision.marks) == (True, (Mark.LATE,))


def test_score_of_a_decision_is_the_one_that_its_action_rests_on() -> None:
    decision = answer_of(scored(0.1), OneRule(RuleOutcome(floor=0.95)), POLICY, Explained).decision
    assert (decision.action, decision.score) == (Action.DECLINE, 0.95)


@pytest.mark.parametrize("name", sorted({*Decision.__struct_fields__} & {*Transaction.__struct_fields__}))
def test_decision_says_what_its_transaction_says(name: str) -> None:
    decision = answer_of(scored(0.6), OneRule(RuleOutcome()), POLICY, Explained).decision
    assert getattr(decision, name) == getattr(PAID, name)


@pytest.mark.parametrize("name", sorted({*Alert.__struct_fields__} & {*Decision.__struct_fields__}))
def test_alert_says_what_its_decision_says(name: str) -> None:
    answer = answer_of(scored(0.6), OneRule(RuleOutcome((RULE,))), POLICY, explained)
    assert getattr(answer.alert, name) == getattr(answer.decision, name)


def test_alert_has_the_id_and_the_loss_of_its_decision() -> None:
    alert = answer_of(scored(0.6), OneRule(RuleOutcome()), POLICY, Explained).alert
    assert alert is not None
    assert alert.id == alert_id(PAID.id, PAID.version, POLICY.version)
    assert alert.expected_loss == POLICY.expected_loss(0.6, PAID.base_amount) > 0


# --- one place -------------------------------------------------------------------------------------------------------


def makers(name: str) -> Iterator[str]:
    """Yield the modules of the four packages that call a record's constructor with named fields."""
    for package in ("fraud", "streaming", "features", "models"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
                if called and any(keyword.arg for keyword in node.keywords):  # type: ignore[attr-defined]
                    yield str(path.relative_to(ROOT))


@pytest.mark.parametrize("record", [Decision, Alert], ids=lambda record: record.__name__)
def test_nothing_else_makes_decisions_and_alerts(record: type) -> None:
    assert list(makers(record.__name__)) == ["fraud/core/decisions.py"]
