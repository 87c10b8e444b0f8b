"""Leaves that rows end in, and sums over them, against the trees' own score."""

from dataclasses import replace

import numpy as np
import pytest

from fraud.core.errors import ArtifactError
from models.boosting.trees import Trees
from models.online import leaves as lv
from tests.models.conftest import Fitted


def test_leaf_values_of_reached_leaves_add_up_to_the_raw_score(fitted: Fitted) -> None:
    found = lv.reached(fitted.trees, fitted.rows)
    assert found.shape == (len(fitted.rows), len(fitted.trees.roots))
    raw = fitted.trees.raw(fitted.rows)
    np.testing.assert_array_equal(lv.sums(found, fitted.trees.leaf[None])[:, 0], raw)


def test_sums_in_one_pass_are_those_of_each_alone_to_the_bit(fitted: Fitted) -> None:
    values = np.random.default_rng(1).normal(size=(3, len(fitted.trees.leaf)))
    sums = lv.LeafSums(fitted.trees.walk, fitted.trees.features, values).of(fitted.rows)
    alone = [replace(fitted.trees, leaf=each).raw(fitted.rows) for each in values]
    np.testing.assert_array_equal(sums, np.stack(alone, axis=1))
    np.testing.assert_array_equal(sums, lv.sums(lv.reached(fitted.trees, fitted.rows), values))


@pytest.mark.parametrize("batch", [1, 2, 3, 64, 65])
def test_sums_do_not_depend_on_the_batch(fitted: Fitted, batch: int) -> None:
    values = np.random.default_rng(2).normal(size=(2, len(fitted.trees.leaf)))
    sums = lv.LeafSums(fitted.trees.walk, fitted.trees.features, values)
    parts = [sums.of(fitted.rows[i : i + batch]) for i in range(0, len(fitted.rows), batch)]
    np.testing.assert_array_equal(np.concatenate(parts), sums.of(fitted.rows))


def test_values_for_other_trees_are_refused(fitted: Fitted) -> None:
    trees: Trees = fitted.trees
    with pytest.raises(ArtifactError, match="one a leaf needed"):
        lv.LeafSums(trees.walk, trees.features, np.zeros((2, len(trees.leaf) + 1)))
