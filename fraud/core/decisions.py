"""Decisions, alerts and answers, made in one place from a transaction and what was computed of it."""

import math
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from fraud.core.evidence import Evidence
from fraud.core.identity import own_name
from fraud.core.policy import decide
from fraud.core.ports import Policy, RuleBook, RuleOutcome, blocked_by
from fraud.core.records import (
    Action,
    Alert,
    Answer,
    Arrival,
    Decision,
    Explainer,
    FeatureVector,
    Level,
    Mark,
    Raised,
    Reason,
    Score,
    Transaction,
    Versions,
    alert_id,
)


class Explained(NamedTuple):
    """The reasons that a model gave, which part of it did, and the numbers behind them."""

    reasons: tuple[Reason, ...] = ()
    explainer: Explainer = Explainer.NONE
    evidence: Evidence | None = None


MOST_SPOKEN, LONGEST_SENTENCE = 64, 1_000
"""Rules that a decision names, and characters of a sentence: with all the rest a decision fits in a message."""
MORE = "rules:more"
"""The code of the reason that stands for the rules that are not named."""

Explain = Callable[[], Explained]
"""What returns the model's reasons; costly, so called for what is not approved."""


class Scored(msgspec.Struct, frozen=True):
    """A transaction with its arrival and what was computed of it: all that its decision is made from.

    `unusual` says whether the amount stood out against the card's own history.
    """

    tx: Transaction
    arrival: Arrival
    vector: FeatureVector
    score: Score
    unusual: bool = False
    marks: tuple[Mark, ...] = ()

    @property
    def known_as(self) -> str:
        """Return the payment's own name, empty where its id is its own."""
        return own_name(self.tx) if Mark.ID_REUSED in self.marks else ""


def answer_of(scored: Scored, rules: RuleBook, policy: Policy, explain: Explain, release: str = "") -> Answer:
    """Return the answer to a scored transaction: rules and policy, those of `release`, asked, its alert made."""
    blocked = scored.arrival.blocked
    outcome = rules.judge(scored.tx, scored.vector.values) if blocked is None else blocked_by(blocked)
    action, value = decide(scored.tx, scored.score, outcome, policy)
    explained = Explained() if action is Action.APPROVE else explain()
    explained = explained._replace(reasons=named(outcome.reasons) + explained.reasons)
    score = scored.score
    versions = Versions(
        score.model_version, scored.vector.spec_version, policy.version, rules.version, score.parameters, release
    )
    alert = raised(scored, action, value, outcome, policy)
    decision = decision_of(scored, action, value, explained, versions, alert)
    return Answer(
        decision=decision,
        position=scored.arrival.position,
        alert=alert_of(decision),
        vector=scored.vector,
        headers=scored.arrival.headers,
        evidence=explained.evidence,
    )


def named(spoken: tuple[Reason, ...]) -> tuple[Reason, ...]:
    """Return the reasons of rules as a decision tells them: `MOST_SPOKEN` of them, no sentence too long."""
    if len(spoken) <= MOST_SPOKEN and all(len(reason.text) <= LONGEST_SENTENCE for reason in spoken):
        return spoken
    told = [msgspec.structs.replace(reason, text=reason.text[:LONGEST_SENTENCE]) for reason in spoken[:MOST_SPOKEN]]
    more = len(spoken) - len(told)
    return (*told, Reason(MORE, f"{more} more rules have spoken")) if more else tuple(told)


def raised(scored: Scored, action: Action, value: float, outcome: RuleOutcome, policy: Policy) -> Raised | None:
    """Return the alert of what somebody should look at, in short; an approval has none."""
    if action is Action.APPROVE:
        return None
    tx, believed = scored.tx, belief(scored.score, value, outcome)
    return Raised(
        alert_id(own_name(tx), tx.version, policy.version),
        policy.expected_loss(value, tx.base_amount),
        policy.at_stake(action, believed, tx.base_amount),
    )


def belief(score: Score, value: float, outcome: RuleOutcome) -> float:
    """Return the probability that what is at stake goes by; `value` is the one that the action rests on.

    They are the same, but where a rule's floor has lifted the model's own: then what is believed lies half-way between
    the two. What a block list names is taken for certain: a second look at it saves nothing.
    """
    if outcome.blocked:
        return 1.0
    return value if score.level is Level.RULES else halfway(score.value, value)


def halfway(one: float, other: float) -> float:
    """Return the probability whose log-odds lie half-way between those of two.

    It is the logarithmic opinion pool of two experts of equal weight (Genest and Zidek, Statistical Science 1986).

    >>> round(halfway(0.01, 0.2), 3), halfway(0.3, 0.3)
    (0.048, 0.3)
    """
    if one == other:
        return one
    yes, no = math.sqrt(one * other), math.sqrt((1.0 - one) * (1.0 - other))
    return yes / (yes + no) if yes + no else other


def decision_of(
    scored: Scored, action: Action, value: float, explained: Explained, versions: Versions, alert: Raised | None
) -> Decision:
    """Return the decision record; `value` is the score that the action rests on. Nothing else makes one."""
    tx, score = scored.tx, scored.score
    brief = (Mark.BRIEF_REASONS,) if explained.explainer is Explainer.BOOSTER else ()
    return Decision(
        tx_id=tx.id,
        version=tx.version,
        action=action,
        score=value,
        reasons=explained.reasons,
        level=score.level,
        versions=versions,
        seen_at=tx.seen_at,
        happened_at=tx.happened_at,
        card=tx.card,
        merchant=tx.merchant,
        base_amount=tx.base_amount,
        device=tx.device,
        channel=tx.channel,
        unusual=scored.unusual,
        parts=score.parts,
        # What is late is known last, so it stands last.
        marks=scored.marks + brief + scored.arrival.marks,
        explainer=explained.explainer,
        model_score=None if score.level is Level.RULES else score.value,
        kind=tx.kind,
        amount=tx.amount,
        currency=tx.currency,
        mcc=tx.mcc,
        text=tx.text,
        alert=alert,
        known_as=scored.known_as,
    )


def alert_of(decision: Decision) -> Alert | None:
    """Return the alert that a decision raises, None where it raises none."""
    if (alert := decision.alert) is None:
        return None
    return Alert(
        id=alert.id,
        tx_id=decision.tx_id,
        version=decision.version,
        action=decision.action,
        score=decision.score,
        expected_loss=alert.expected_loss,
        reasons=decision.reasons,
        seen_at=decision.seen_at,
        card=decision.card,
        merchant=decision.merchant,
        base_amount=decision.base_amount,
        at_stake=alert.at_stake,
    )
