"""Contributions against LightGBM's TreeSHAP."""

import numpy as np

from fraud.training.lightgbm_text import parse
from models.boosting import treeshap
from tests.models.conftest import Fitted, awkward, train


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
