"""Contributions against LightGBM's TreeSHAP."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fraud.core.records import Values
from fraud.training.lightgbm_text import parse
from models.boosting import treeshap
from models.boosting.trees import Trees, goes_left, round_down
from tests.models.conftest import FEATURES, Fitted, awkward, train


def test_contributions_equal_lightgbm(fitted: Fitted) -> None:
    paths = treeshap.build(fitted.trees)
    expected = np.asarray(fitted.reference.predict(fitted.rows.astype(np.float64), pred_contrib=True))
    actual = np.array([paths.contributions(row) for row in fitted.rows])
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)


def test_contributions_add_up_to_the_raw_score(fitted: Fitted) -> None:
    paths = treeshap.build(fitted.trees)
    total = [paths.contributions(row).sum() for row in fitted.rows]
    np.testing.assert_allclose(total, fitted.trees.raw(fitted.rows), rtol=0, atol=1e-12)


def test_contributions_of_deep_paths_equal_lightgbm() -> None:
    rows = awkward(0)
    model = train(rows, trees=5, num_leaves=63, min_data_in_leaf=1)
    paths = treeshap.build(parse(model.model_to_string()))
    assert np.diff(paths.first).max() >= 8
    expected = np.asarray(model.predict(rows[:100].astype(np.float64), pred_contrib=True))
    np.testing.assert_allclose([paths.contributions(r) for r in rows[:100]], expected, rtol=0, atol=1e-12)


def test_contributions_of_trees_without_splits_are_the_base_alone() -> None:
    rows = awkward(0)
    trees = parse(train(rows, trees=2, min_data_in_leaf=len(rows)).model_to_string())
    contributions = treeshap.build(trees).contributions(rows[0])
    assert not contributions[:-1].any()
    assert contributions[-1] == trees.raw(rows[:1])[0]


def test_value_of_a_coalition_is_the_mean_over_what_is_unknown(fitted: Fitted) -> None:
    paths, rng = treeshap.build(fitted.trees), np.random.default_rng(2)
    known = rng.integers(0, 2, (6, FEATURES)).astype(np.uint8)
    known[0], known[1] = 1, 0
    for row in fitted.rows[95:105]:
        found = paths.values(row, known)
        expected = [sum(below(fitted.trees, int(root), row, case) for root in fitted.trees.roots) for case in known]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        assert found[0] == pytest.approx(fitted.trees.raw(row[None])[0], abs=1e-12)
        assert found[1] == pytest.approx(paths.expected, abs=1e-12)


def below(trees: Trees, child: int, row: Values, known: NDArray[np.uint8]) -> float:
    """Return the mean leaf value under a node: one side where its feature is known, both by their rows where not."""
    if child < 0:
        return float(trees.leaf[-1 - child])
    feature, sides = int(trees.feature[child]), (int(trees.left[child]), int(trees.right[child]))
    if known[feature]:
        left = goes_left(row[feature], round_down(trees.threshold)[child], trees.missing[child])
        return below(trees, sides[0 if left else 1], row, known)
    counts = [float(trees.node_count[one] if one >= 0 else trees.leaf_count[-1 - one]) for one in sides]
    return sum(count * below(trees, one, row, known) for count, one in zip(counts, sides, strict=True)) / sum(counts)
