"""Reasons of a blend: against networks and trees whose effects can be reckoned, and against Shapley's definition."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fraud.core.ports import Matrix, Tokens
from fraud.core.records import Score
from models.boosting.trees import Trees
from models.reasons import coalitions, of_blend
from models.reasons.catalogue import GROUPS, MATERIAL, PLACES, group_of
from models.reasons.of_blend import Explainer
from models.reasons.reading import FRAUD_SUMS
from models.registry import Arrays
from tests.models.conftest import FEATURES, Fitted
from tests.models.histories import DAY, Blended, Held, Reckoning, Says, event, fraud, genuine, score, summary, tokens

F64 = NDArray[np.float64]

NAMES = ("amount", "card_frauds_7d", "card_count_1d", "merchant_since_first", "merchant_frauds_7d", "pair_count_30d",
         "hour", "card_since_first", "merchant_count_1h", "mcc", "device_count_1d", "card_labels_7d")  # fmt: skip
"""Names for the 12 features of the fitted trees."""
NEUTRAL = np.zeros(FEATURES, np.float32)
HISTORY = tokens(
    {0: [event(60.0, c27=0.5), fraud(DAY), event(2 * DAY, c26=1)], 1: [fraud(DAY), genuine(DAY), event(DAY)]},
    {1: [fraud(30 * DAY)]},
    {0: [summary(160, 140, 2, 90 * DAY, last_fraud=40 * DAY)]},
)


def events(matrix: Matrix, read: Tokens) -> F64:
    """Say the number of events of the card's window, and ten times that of the merchant's."""
    present = read.raw[..., 0].sum(axis=2).astype(np.float64)
    found: F64 = present[:, 0] + 10 * present[:, 1]
    return found


def gifted(says: object, trees: Trees, columns: tuple[int, ...] = tuple(range(FEATURES))) -> Explainer:
    return Explainer(Blended(NAMES, trees, Reckoning(says, columns), NEUTRAL))  # type: ignore[arg-type]


def by_name(groups: F64) -> dict[str, float]:
    """Return effects that are not 0 by code."""
    return {GROUPS[place].name: float(groups[place]) for place in np.flatnonzero(groups)}


def effects_of(
    explainer: Explainer, row: NDArray[np.float32], history: Tokens = HISTORY, taken: int = 1
) -> dict[str, float]:
    """Return the network's share of the effects by code, weight taken out."""
    alone = explainer.effects(row, score(1), None).groups
    found = explainer.effects(row, score(taken), history).groups - alone
    return {GROUPS[place].name: float(found[place]) / 2 / taken for place in np.flatnonzero(np.abs(found) > 1e-6)}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("amount", "amount"), ("log_amount", "amount"), ("card_amount_z", "amount"), ("pair_amount_vs_mean", "amount"),
        ("card_fraud_share_7d", "card-frauds"), ("merchant_run_since_newest", "merchant-frauds"),
        ("device_last_verdict", "device-frauds"), ("card_max_1d", "card-recent"), ("card_merchants_7d", "card-recent"),
        ("merchant_cards_1h", "merchant-recent"), ("device_cards_1d", "device-recent"), ("pair_labels", "pair-frauds"),
        ("card_since_first", "card-history"), ("pair_sum_30d", "pair-history"),
        ("weekday", "time"), ("mcc", "channel"), ("ring_degree", "other"),
    ],
)  # fmt: skip
def test_group_of_a_feature_is_what_it_speaks_of(name: str, code: str) -> None:
    assert GROUPS[group_of(name)].name == code


# ---- the booster's game


def brute(trees: Trees, row: NDArray[np.float32], owner: NDArray[np.intp], there: set[int]) -> float:
    """Return the expected raw score when only the features of some groups are known: TreeSHAP's definition."""

    def below(child: int) -> float:
        if child < 0:
            return float(trees.leaf[-1 - child])
        sides = int(trees.left[child]), int(trees.right[child])
        if int(owner[trees.feature[child]]) in there:
            alone = np.zeros(1, np.int32)
            one = Trees(alone, trees.feature[[child]], trees.threshold[[child]], trees.missing[[child]],
                        np.array([-1], np.int32), np.array([-2], np.int32), np.ones(1), np.array([0.0, 1.0]),
                        np.ones(2), trees.features)  # fmt: skip
            return below(sides[int(one.raw(row[None])[0])])
        counts = [float(trees.node_count[c] if c >= 0 else trees.leaf_count[-1 - c]) for c in sides]
        return sum(n * below(c) for n, c in zip(counts, sides, strict=True)) / sum(counts)

    return sum(below(int(root)) for root in trees.roots)


def test_booster_effects_are_shapley_values_of_groups_not_sums_over_features(fitted: Fitted) -> None:
    few = Trees(fitted.trees.roots[:3], *(getattr(fitted.trees, name) for name in (
        "feature", "threshold", "missing", "left", "right", "node_count", "leaf", "leaf_count", "features",
    )))  # fmt: skip
    owner = np.array([place % 3 for place in range(FEATURES)])
    paths = of_blend.grouped(few, owner)
    for row in fitted.rows[100:104]:
        value = {
            there: brute(few, row, owner, set(there)) for n in range(4) for there in itertools.combinations(range(3), n)
        }
        for player in range(3):
            gain = 0.0
            for there in value:
                if player not in there:
                    weight = math.factorial(len(there)) * math.factorial(2 - len(there)) / 6
                    gain += weight * (value[tuple(sorted((*there, player)))] - value[there])
            assert paths.contributions(row)[player] == pytest.approx(gain, abs=1e-9)


def test_effects_at_the_first_exit_are_the_boosters_and_ask_for_no_history(fitted: Fitted) -> None:
    explainer, histories = gifted(events, fitted.trees), Held(HISTORY)
    row = fitted.rows[100]
    grounds = explainer.explain(row, score(0), histories)
    assert histories.asked == []
    effects = explainer.effects(row, score(0), None)
    assert dict(grounds.effects) == pytest.approx(by_name(effects.groups))
    assert {reason.code: reason.effect for reason in grounds.reasons}.items() <= by_name(effects.groups).items()
    base = explainer._paths.contributions(row)[-1]
    assert effects.groups.sum() + base == pytest.approx(fitted.trees.raw(row[None])[0])


# ---- the network's game


def test_effects_of_tokens_go_to_the_groups_that_own_them(fitted: Fitted) -> None:
    found = effects_of(gifted(events, fitted.trees), NEUTRAL)
    assert found == pytest.approx(
        {"card-recent": 1, "card-frauds": 1, "pair-history": 1, "merchant-frauds": 20, "merchant-recent": 20}
    )


def test_effects_of_known_frauds_of_card_and_merchant_go_to_the_pair(fitted: Fitted) -> None:
    history = tokens({0: [fraud(DAY, c26=1), event(DAY, c26=1)], 1: [fraud(DAY, c26=1)]}, {0: [fraud(DAY, c26=1)]})
    found = effects_of(gifted(events, fitted.trees), NEUTRAL, history)
    assert found == pytest.approx({"pair-frauds": 12, "pair-history": 1})


def test_effects_of_features_are_against_a_usual_payment(fitted: Fitted) -> None:
    row = NEUTRAL.copy()
    row[[1, 11, 6]] = 3, 4, math.nan

    def says(matrix: Matrix, read: Tokens) -> F64:
        found: F64 = matrix[:, 1] + 10 * matrix[:, 11] + 100 * np.isnan(matrix[:, 6])
        return found

    assert effects_of(gifted(says, fitted.trees), row) == pytest.approx({"card-frauds": 43, "time": 100})


def test_effects_of_comparing_columns_go_to_what_they_compare(fitted: Fitted) -> None:
    def says(matrix: Matrix, read: Tokens) -> F64:
        found: F64 = read.raw[:, 0, :, 27].sum(axis=1).astype(np.float64) * 8
        return found

    # The gap is half there with either of two: its token (of the card's recent payments) and the payment's amount.
    assert effects_of(gifted(says, fitted.trees), NEUTRAL) == pytest.approx({"amount": 2, "card-recent": 2})


def test_effects_of_summaries_split_into_older_payments_and_frauds(fitted: Fitted) -> None:
    def says(matrix: Matrix, read: Tokens) -> F64:
        return (read.sums[:, 0, 0, 0] + 8 * read.sums[:, 0, 0, 9]).astype(np.float64)

    assert effects_of(gifted(says, fitted.trees), NEUTRAL) == pytest.approx({"card-history": 5, "card-frauds": 4})


def test_effects_of_the_last_exit_read_the_device(fitted: Fitted) -> None:
    history = tokens({2: [event(5.0), fraud(9.0), event(9.0, c26=1)]}, sides=3)
    histories = Held(history)
    explainer = gifted(lambda matrix, read: np.zeros(len(matrix)), fitted.trees)
    assert effects_of(explainer, NEUTRAL, history, taken=2) == pytest.approx({"device-recent": 2, "device-frauds": 1})
    explainer.explain(NEUTRAL, score(2), histories)
    assert histories.asked == [3]


def test_effects_and_remainder_add_up_to_the_mixture(fitted: Fitted) -> None:
    def says(matrix: Matrix, read: Tokens) -> F64:
        return (events(matrix, read) ** 5 / 1e6) * (1 + matrix[:, 0])

    explainer = gifted(says, fitted.trees)
    row = np.nan_to_num(fitted.rows[100], nan=0.5)
    effects = explainer.effects(row, score(1), HISTORY)
    booster = fitted.trees.raw(row[None])[0] - explainer._paths.contributions(row)[-1]
    network = 2 * (says(row[None], HISTORY)[0])
    assert effects.groups.sum() + effects.remainder == pytest.approx(booster + network, rel=1e-6)
    assert abs(effects.remainder) > MATERIAL
    grounds = explainer.explain(row, score(1), Held(HISTORY))
    assert dict(grounds.effects)["interaction"] == pytest.approx(effects.remainder)


def test_exact_effects_leave_no_remainder(fitted: Fitted) -> None:
    explainer = gifted(lambda matrix, read: events(matrix, read) ** 3 / 99, fitted.trees)
    assert explainer.effects(NEUTRAL, score(1), HISTORY, exact=True).remainder == pytest.approx(0, abs=1e-3)


def test_groups_that_the_network_finds_as_usual_are_not_played(fitted: Fitted) -> None:
    network = Reckoning(events, (0, 6))
    row = NEUTRAL.copy()
    row[[0, 1]] = 5, 5  # the network does not read feature 1
    explainer = Explainer(Blended(NAMES, fitted.trees, network, NEUTRAL))
    game = explainer.game(row, score(1), tokens({1: [event(60.0)]}))
    assert [GROUPS[place].name for place in game.players] == ["amount", "merchant-recent"]


def test_reasons_of_a_decision_cost_few_rows(fitted: Fitted) -> None:
    network = Reckoning(events, tuple(range(FEATURES)))
    Explainer(Blended(NAMES, fitted.trees, network, NEUTRAL)).explain(fitted.rows[100], score(1), Held(HISTORY))
    assert network.rows <= coalitions.ROWS


def test_reasons_read_the_row_that_they_are_asked_for(fitted: Fitted) -> None:
    explainer = gifted(events, fitted.trees)
    histories = Held(tokens({}), HISTORY)
    assert explainer.explain(NEUTRAL, score(1), histories, 1) == explainer.explain(NEUTRAL, score(1), Held(HISTORY))
    assert explainer.explain(NEUTRAL, score(1), histories, 1) != explainer.explain(NEUTRAL, score(1), histories, 0)


def test_unknown_feature_is_told_by_name(fitted: Fitted) -> None:
    names = ("ring_degree", *NAMES[1:])
    explainer = Explainer(
        Blended(names, fitted.trees, Reckoning(lambda m, t: 100.0 * m[:, 0].astype(np.float64), (0,)), NEUTRAL)
    )
    row = NEUTRAL.copy()
    row[0] = 3.5
    told = {reason.code: reason.text for reason in explainer.explain(row, score(1), Held(tokens({}))).reasons}
    assert told["other"] == "ring_degree is 3.5"


# ---- what is told


def counted(rates: dict[int, float]) -> Says:
    """Return a network that adds up features by place, so much a unit."""

    def says(matrix: Matrix, read: Tokens) -> F64:
        found: F64 = matrix[:, list(rates)].astype(np.float64) @ np.array(list(rates.values()))
        return found

    return says


SPEAKING = NEUTRAL.copy()
SPEAKING[[1, 11, 5, 6]] = 2, 2, 1, 14.0
"""Two known frauds of two verdicts on the card, which does not know the merchant, at two in the afternoon."""


def test_groups_below_what_is_material_are_not_told(fitted: Fitted) -> None:
    explainer = gifted(counted({1: 0.3, 6: 0.001}), stumpless(fitted.trees))
    assert [one.code for one in explainer.explain(SPEAKING, score(1), Held(tokens({}))).reasons] == ["card-frauds"]
    explainer = gifted(counted({1: 0.01}), stumpless(fitted.trees))
    assert explainer.explain(SPEAKING, score(1), Held(tokens({}))).reasons == ()


def test_group_of_which_nothing_speaks_for_fraud_is_left_out(fitted: Fitted) -> None:
    explainer = gifted(counted({6: 1.0, 1: 0.3}), stumpless(fitted.trees))
    grounds = explainer.explain(SPEAKING, score(1), Held(tokens({})))
    assert [one.code for one in grounds.reasons] == ["card-frauds"]
    assert dict(grounds.effects) == pytest.approx({"time": 28.0, "card-frauds": 1.2})


def stumpless(trees: Trees) -> Trees:
    """Return the trees with every leaf at 0: a booster that says nothing."""
    return replace(trees, leaf=np.zeros_like(trees.leaf))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_interaction_is_told_where_it_raised_the_score_of_two_groups(fitted: Fitted, sign: float) -> None:
    def says(matrix: Matrix, read: Tokens) -> F64:
        there = (matrix[:, [1, 2, 3, 4, 5, 7]] != 0).astype(np.float64)
        found: F64 = matrix[:, 1] + matrix[:, 5] + sign * there.prod(axis=1)
        return found

    row = SPEAKING.copy()
    row[[2, 3, 4, 7]] = 1.0, 1e9, 1.0, 1e9
    grounds = gifted(says, stumpless(fitted.trees)).explain(row, score(1), Held(tokens({})))
    codes = [one.code for one in grounds.reasons]
    # Of a gain of six together the estimate gives each of four an eighth and each of the others a half: too much.
    assert dict(grounds.effects)["interaction"] * sign < -MATERIAL
    assert {"card-frauds", "pair-history"} <= set(codes)
    assert (codes[-1] == "interaction") is (sign < 0)


# ---- had a group been usual


def test_probability_without_a_group_is_what_both_parts_say_when_it_is_out(fitted: Fitted) -> None:
    def says(matrix: Matrix, read: Tokens) -> F64:
        found: F64 = 2.0 * matrix[:, 1] * (1 + matrix[:, 2] / 9) + events(matrix, read) / 50
        return found

    explainer = gifted(says, fitted.trees)
    row = np.nan_to_num(fitted.rows[100], nan=0.5)
    row[[1, 11, 5, 6]] = SPEAKING[[1, 11, 5, 6]]
    told = {one.code: one.without for one in explainer.explain(row, score(1), Held(HISTORY)).reasons}
    assert "card-frauds" in told
    usual, owner = row.copy(), np.array([group_of(name) for name in NAMES])
    there = set(owner.tolist()) - {PLACES["card-frauds"]}
    usual[owner == PLACES["card-frauds"]] = 0.0
    raw, sums = HISTORY.raw.copy(), HISTORY.sums.copy()
    raw[:, 0, raw[0, 0, :, 23] > 0] = 0
    sums[:, 0, :, list(FRAUD_SUMS)] = 0
    logit = says(usual[None], Tokens(raw, sums, HISTORY.codes, HISTORY.text))[0]
    odds = brute(fitted.trees, row, owner, there) + 2 * logit
    assert told["card-frauds"] == pytest.approx(1 / (1 + math.exp(-odds)), rel=1e-5)


def test_probability_without_a_group_in_brief_leaves_what_the_network_has_said(fitted: Fitted) -> None:
    explainer = gifted(events, fitted.trees)
    row = np.nan_to_num(fitted.rows[100], nan=0.5)
    row[[1, 11, 5, 6]] = SPEAKING[[1, 11, 5, 6]]
    taken = Score("t", 0.9, "test@1", parts=(("booster", 0.0), ("network", 3.0), ("exit", 1.0)))
    (first, *_) = explainer.explain(row, taken).reasons
    owner = np.array([group_of(name) for name in NAMES])
    there = set(owner.tolist()) - {PLACES[first.code]}
    assert first.without == pytest.approx(1 / (1 + math.exp(-brute(fitted.trees, row, owner, there) - 3.0)))


# ---- what stands for a usual payment


def test_usual_payment_is_the_median_and_missing_where_most_are() -> None:
    rows = np.array([[1, math.nan, math.nan], [2, math.nan, 4], [9, 3, 4]], np.float32)
    np.testing.assert_array_equal(of_blend.usual(rows), np.array([2, math.nan, 4], np.float32))


def test_neutral_is_the_artifacts_or_the_middle_of_the_bins() -> None:
    held: Arrays = {of_blend.NEUTRAL: np.arange(3, dtype=np.float32)}
    columns = np.array([2, 0])
    np.testing.assert_array_equal(of_blend.neutral_of(held, 3, columns), [0, 1, 2])
    edges: Arrays = {of_blend.BIN_EDGES: np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)}
    np.testing.assert_array_equal(of_blend.neutral_of(edges, 3, columns), np.array([7, math.nan, 3], np.float32))
    assert np.isnan(of_blend.neutral_of({}, 3, columns)).all()
