"""The served scorer: the base to the bit where nothing was learned, the mixture where something was, exact reasons."""

import msgspec
import numpy as np
import pytest

from fraud.core.errors import ArtifactError
from fraud.core.learning.outcomes import log_odds, probability
from models.boosting import treeshap
from models.boosting.trees import Trees
from models.online import leaves as lv
from models.online.parameters import Parameters, experts, neutral
from models.online.refreshed import PART, Refreshed, changed
from tests.contract.scorers import blend, booster, refreshed, refreshed_blend, sample, shipped_trees
from tests.models.conftest import Fitted


def learned(trees: Trees, seed: int = 1) -> Parameters:
    """Return parameters as if something had been learned of every leaf."""
    changes = np.random.default_rng(seed).normal(0, 0.1, (2, len(trees.leaf))).astype(np.float32)
    return Parameters((0.2, 0.3, 0.5), changes)


def test_scores_without_anything_learned_are_the_base_to_the_bit() -> None:
    some, trees = sample(), shipped_trees("demo")
    idle = Refreshed(booster(), trees, booster().card.features, neutral(len(trees.leaf)))
    assert idle.score(some.ids, some.matrix) == booster().score(some.ids, some.matrix)


def test_scores_are_the_mixture_of_what_the_learner_itself_computes() -> None:
    some, trees = sample(), shipped_trees("demo")
    parameters = learned(trees)
    made = Refreshed(booster(), trees, booster().card.features, parameters)
    base = np.array([log_odds(score.value) for score in booster().score(some.ids, some.matrix)])
    sums = lv.sums(lv.reached(trees, some.matrix), parameters.changes.astype(np.float64))
    expected = experts(base, sums) @ np.asarray(parameters.weights)
    found = [score.value for score in made.score(some.ids, some.matrix)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_part_says_what_was_added_in_log_odds() -> None:
    some = sample()
    for before, after in zip(
        booster().score(some.ids, some.matrix), refreshed().score(some.ids, some.matrix), strict=True
    ):
        added = dict(after.parts)[PART]
        assert probability(log_odds(before.value) + added) == pytest.approx(after.value)


def test_exits_of_a_blend_read_its_own_probability() -> None:
    some = sample()
    base = blend().score(some.ids, some.matrix, some.histories)
    found = refreshed_blend().score(some.ids, some.matrix, some.histories)
    assert [dict(score.parts)["exit"] for score in found] == [dict(score.parts)["exit"] for score in base]
    assert all(
        msgspec.structs.replace(one, value=0.0, parts=()) == msgspec.structs.replace(other, value=0.0, parts=())
        for one, other in zip(found, base, strict=True)
    )
    assert [score.value for score in found] != [score.value for score in base]


def test_changed_trees_score_as_base_and_weighed_changes(fitted: Fitted) -> None:
    parameters = learned(fitted.trees)
    moved = changed(fitted.trees, parameters)
    sums = lv.sums(lv.reached(fitted.trees, fitted.rows), parameters.changes.astype(np.float64))
    expected = fitted.trees.raw(fitted.rows) + sums @ np.asarray(parameters.weights[1:])
    np.testing.assert_allclose(moved.raw(fitted.rows), expected, atol=1e-12)


def test_contributions_of_changed_trees_add_up_exactly(fitted: Fitted) -> None:
    moved = changed(fitted.trees, learned(fitted.trees))
    paths = treeshap.build(moved)
    for row, raw in zip(fitted.rows[:40], moved.raw(fitted.rows[:40]), strict=True):
        assert paths.contributions(row).sum() == pytest.approx(raw, abs=1e-9)


def test_reasons_follow_what_was_learned() -> None:
    some, trees = sample(), shipped_trees("demo")
    changes = np.stack([-trees.leaf, -trees.leaf]).astype(np.float32)
    against = Refreshed(booster(), trees, booster().card.features, Parameters((0.0, 0.5, 0.5), changes))
    top = int(np.argmax([score.value for score in booster().score(some.ids, some.matrix)]))
    score = booster().score(some.ids[top : top + 1], some.matrix[top : top + 1])[0]
    before = booster().explain(some.matrix[top], score)
    after = against.explain(some.matrix[top], score)
    assert before
    assert sum(reason.effect for reason in after) < 1e-3


def test_parameters_of_other_trees_are_refused() -> None:
    trees = shipped_trees("demo")
    with pytest.raises(ArtifactError, match="one a leaf needed"):
        Refreshed(booster(), trees, booster().card.features, neutral(len(trees.leaf) - 1))
    with pytest.raises(ArtifactError, match="got 1 names"):
        Refreshed(booster(), trees, ("amount",), neutral(len(trees.leaf)))
