"""Reasons over whole streams: none is told against what it says, by a judge who knows nothing of how they are made."""

import math
from collections import defaultdict

import pytest

from features.spec import spec
from fraud.core.records import Answer
from fraud.core.settings import Settings
from fraud.simulate import stream
from models.reasons.catalogue import CODES, MATERIAL, TOLD
from tests.models.directions import MODEL_CODES, alerts, contradicting, speaks

NAMES = spec().names
STREAMS: dict[str, tuple[str, dict[str, int | float | None]]] = {
    "demo-young": ("shift", {"cards": 300, "merchants": 120, "days": 60, "fraud_share": 0.03, "day": 26, "seed": 3}),
    "demo": ("fdh", {"cards": 500, "terminals": 1_000, "days": 45, "seed": 3}),
    "demo-blend": ("fdh", {"cards": 200, "terminals": 400, "days": 45, "seed": 4}),
}
"""The shipped models, each on a stream of the kind that it was fitted on, of another seed."""


@pytest.fixture(scope="module", params=STREAMS)
def told(request: pytest.FixtureRequest) -> list[Answer]:
    """Return the alerts of one model on its stream."""
    name, parameters = STREAMS[request.param]
    return list(alerts(request.param, stream(name).make(**parameters), Settings()))


def test_stream_has_alerts_with_reasons_and_without(told: list[Answer]) -> None:
    counts = [len(one.decision.reasons) for one in told]
    assert len(counts) > 300
    assert sum(count > 0 for count in counts) > 0.8 * len(counts)


def test_no_reason_of_a_stream_contradicts_its_direction(told: list[Answer]) -> None:
    against = defaultdict(list)
    for one in told:
        assert one.vector is not None
        for reason in contradicting(one.decision.reasons, dict(zip(NAMES, one.vector.values.tolist(), strict=True))):
            against[reason.code].append(reason.text)
    assert against == {}


def test_reasons_of_a_stream_are_three_at_most_each_of_a_material_effect(told: list[Answer]) -> None:
    for one in told:
        assert len(one.decision.reasons) <= TOLD
        assert all(reason.effect >= MATERIAL for reason in one.decision.reasons)


def test_reasons_of_a_stream_say_what_would_be_without_them(told: list[Answer]) -> None:
    changes = [
        (reason.effect, one.decision.model_score - reason.without)
        for one in told
        for reason in one.decision.reasons
        if reason.without is not None and one.decision.model_score is not None
    ]
    assert all(
        reason.without is not None for one in told for reason in one.decision.reasons if reason.code != "interaction"
    )
    assert all(math.isfinite(change) and -1.0 < change < 1.0 for _, change in changes)
    # Single ones may stand in for each other; by and large a score falls without what has raised it.
    strong = [change for effect, change in changes if effect > 1.0]
    assert sum(change > 0 for change in strong) > 0.95 * len(strong) > 0


def test_evidence_of_a_stream_holds_the_effects_that_are_told(told: list[Answer]) -> None:
    for one in told:
        proof, decision = one.evidence, one.decision
        assert proof is not None
        assert (proof.spec, proof.model) == (decision.versions.spec, decision.versions.model)
        effects = dict(proof.effects)
        assert effects.keys() <= {code.name for code in CODES}
        assert all(effects[reason.code] == pytest.approx(reason.effect, rel=1e-6) for reason in decision.reasons)


# ---- the judge


def vector(**values: float) -> defaultdict[str, float]:
    """Return a vector with these values, NaN elsewhere."""
    return defaultdict(lambda: math.nan, values)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("92.25 spent by this card in 1 day; usual is 248.35 a day",
         {"amount": 92.25, "card_sum_1d": 0, "card_sum_30d": 7_450, "card_since_first": 9e6}),
        ("Amount 50.00 is 1 times this card's median of 50.00", {"amount": 50.0, "card_amount_vs_median": 1.0}),
        ("No fraud is known on this card (3 labelled in 30 days)", {}),
        ("No fraud of this card is known at this merchant (1 labelled)", {}),
        ("5 known frauds at this merchant in the last 30 days (of 2000 labelled)",
         {"merchant_frauds_30d": 5, "merchant_labels_30d": 2_000}),
        ("2 payments by this card in 7 days; usual is 1 a day",
         {"card_count_7d": 1, "card_count_30d": 30, "card_since_first": 9e6}),
        ("This card paid at 1 merchant in 1 day before this payment; 9 in 30 days",
         {"card_merchants_1d": 1, "card_merchants_30d": 9, "card_count_30d": 30, "card_since_first": 9e6}),
        ("This device was never seen before", {}),
        ("This card was first seen 140 days ago", {"card_since_first": 1.2e7}),
        ("This card last paid at this merchant 2 hours ago, 1 time in 30 days", {"pair_since_last": 7_300}),
        ("Paid on a Tuesday at 14:10 UTC", {"hour": 14.2}),
        ("Paid on a Sunday at 03:12 UTC; 9 of this card's last 10 payments were within 2 hours of that time of day",
         {"hour": 3.2}),
        ("Payment, card present, merchant category 5411", {"card_present": 1, "money_back": 0}),
        ("Payment, card not present, merchant category 7995; 4 of this card's last 5 payments were in it", {}),
        ("Together these facts count 0.18 less in log-odds than one by one", {}),
    ],
)  # fmt: skip
def test_judge_finds_what_is_usual_small_or_free_of_fraud(text: str, values: dict[str, float]) -> None:
    assert not speaks(text, vector(**values))


def test_judge_refuses_a_sentence_that_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="no judge knows the sentence 'The moon is full'"):
        speaks("The moon is full", vector())


def test_judge_leaves_the_reasons_of_rules_alone() -> None:
    assert MODEL_CODES.match("rule:night")
    assert MODEL_CODES.match("list:cards")
