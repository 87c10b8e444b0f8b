"""A decision, its alert and its answer are made in one place, from what was computed of the transaction."""

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from fraud.core.decisions import Explained, Scored, answer_of
from fraud.core.evidence import Evidence
from fraud.core.identity import own_name
from fraud.core.policy import ThresholdPolicy
from fraud.core.ports import RuleOutcome
from fraud.core.records import (
    Action,
    Alert,
    Arrival,
    Decision,
    Explainer,
    FeatureVector,
    Level,
    Mark,
    Position,
    Raised,
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


def test_answer_above_approve_carries_the_evidence_of_its_explanation() -> None:
    proof = Evidence("spec-1", "model-1", (("amount", 0.5),))
    answer = answer_of(scored(0.6), OneRule(RuleOutcome()), POLICY, lambda: Explained(evidence=proof))
    assert answer.evidence is proof
    assert answer_of(scored(0.1), OneRule(RuleOutcome()), POLICY, no_reasons).evidence is None


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
    assert alert.id == alert_id(own_name(PAID), PAID.version, POLICY.version)
    assert alert.expected_loss == POLICY.expected_loss(0.6, PAID.base_amount) > 0
    assert alert.at_stake == POLICY.at_stake(Action.REVIEW, 0.6, PAID.base_amount) > 0


def test_decision_holds_its_alert_in_short() -> None:
    answer = answer_of(scored(0.6), OneRule(RuleOutcome()), POLICY, Explained)
    assert answer.alert is not None
    assert answer.decision.alert == Raised(answer.alert.id, answer.alert.expected_loss, answer.alert.at_stake)
    assert answer_of(scored(0.1), OneRule(RuleOutcome()), POLICY, no_reasons).decision.alert is None


def test_model_score_is_the_models_own_whatever_rules_say() -> None:
    decision = answer_of(scored(0.1), OneRule(RuleOutcome(floor=0.95)), POLICY, Explained).decision
    assert (decision.model_score, decision.score) == (0.1, 0.95)


def test_model_score_without_a_model_is_none() -> None:
    given = scored(0.0)
    by_rules = structs.replace(given, score=structs.replace(given.score, level=Level.RULES))
    assert answer_of(by_rules, OneRule(RuleOutcome()), POLICY, no_reasons).decision.model_score is None


@pytest.mark.parametrize(
    ("value", "outcome", "action", "believed"),
    [
        (0.6, RuleOutcome(), Action.REVIEW, 0.6),
        (0.6, RuleOutcome(floor=0.8), Action.REVIEW, 6**0.5 / (6**0.5 + 1)),
        (0.3, RuleOutcome(floor=0.8), Action.REVIEW, 12**0.5 / (12**0.5 + 7**0.5)),
        (0.01, RuleOutcome(floor=0.6), Action.REVIEW, 0.5),
        (0.3, RuleOutcome(at_least=Action.REVIEW), Action.REVIEW, 0.5),
        (0.3, RuleOutcome(floor=0.6, at_least=Action.DECLINE), Action.DECLINE, 0.9),
        (0.3, RuleOutcome(at_least=Action.DECLINE, blocked=True), Action.DECLINE, 1.0),
        (0.0, RuleOutcome(floor=1.0, at_most=Action.REVIEW), Action.REVIEW, 1.0),
    ],
    ids=[
        "model", "rule that agrees", "floor", "least that takes the action", "rule's action", "harder than its floor",
        "block list", "both certain",
    ],
)  # fmt: skip
def test_at_stake_goes_by_what_lies_half_way_between_the_model_and_a_rule_that_lifts_it(
    value: float, outcome: RuleOutcome, action: Action, believed: float
) -> None:
    alert = answer_of(scored(value), OneRule(outcome), POLICY, Explained).alert
    assert alert is not None
    assert alert.action is action
    assert alert.at_stake == POLICY.at_stake(action, believed, PAID.base_amount)
    assert alert.expected_loss == POLICY.expected_loss(max(value, outcome.floor), PAID.base_amount)


def test_at_stake_without_a_model_goes_by_the_rule() -> None:
    given = scored(0.0)
    by_rules = structs.replace(given, score=structs.replace(given.score, level=Level.RULES))
    alert = answer_of(by_rules, OneRule(RuleOutcome(floor=0.6)), POLICY, Explained).alert
    assert alert is not None
    assert alert.at_stake == POLICY.at_stake(Action.REVIEW, 0.6, PAID.base_amount)


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
