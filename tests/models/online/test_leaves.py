"""Leaves that rows end in, and sums over them, against the trees' own score."""

from dataclasses import replace

import numpy as np
import pytest

from fraud.core.errors import ArtifactError
from fraud.core.ports import Matrix
from models.boosting.quickscorer import suits
from models.boosting.trees import F64, ZERO_IS_MISSING, Trees
from models.online import leaves as lv
from tests.models.conftest import Fitted
from tests.models.online import grown


def summed(trees: Trees, values: F64, rows: Matrix) -> F64:
    """Return sums of values, (experts, leaves), over the leaves of rows."""
    sums = lv.LeafSums(trees)
    return sums.of(rows, sums.values(values))


def test_leaf_values_of_reached_leaves_add_up_to_the_raw_score(fitted: Fitted) -> None:
    found = lv.reached(fitted.trees, fitted.rows)
    assert found.shape == (len(fitted.rows), len(fitted.trees.roots))
    raw = fitted.trees.raw(fitted.rows)
    np.testing.assert_array_equal(lv.sums(found, fitted.trees.leaf[None])[:, 0], raw)


def test_sums_in_one_pass_are_those_of_each_alone_to_the_bit(fitted: Fitted) -> None:
    values = np.random.default_rng(1).normal(size=(3, len(fitted.trees.leaf)))
    sums = summed(fitted.trees, values, fitted.rows)
    alone = [replace(fitted.trees, leaf=each).raw(fitted.rows) for each in values]
    np.testing.assert_array_equal(sums, np.stack(alone, axis=1))
    np.testing.assert_array_equal(sums, lv.sums(lv.reached(fitted.trees, fitted.rows), values))


@pytest.mark.parametrize("batch", [1, 2, 3, 64, 65])
def test_sums_do_not_depend_on_the_batch(fitted: Fitted, batch: int) -> None:
    values = np.random.default_rng(2).normal(size=(2, len(fitted.trees.leaf)))
    sums = lv.LeafSums(fitted.trees)
    held = sums.values(values)
    parts = [sums.of(fitted.rows[i : i + batch], held) for i in range(0, len(fitted.rows), batch)]
    np.testing.assert_array_equal(np.concatenate(parts), sums.of(fitted.rows, held))


def test_values_for_other_trees_are_refused(fitted: Fitted) -> None:
    trees: Trees = fitted.trees
    with pytest.raises(ArtifactError, match="one a leaf needed"):
        lv.LeafSums(trees).values(np.zeros((2, len(trees.leaf) + 1)))


def test_trees_that_bits_do_not_suit_are_walked(fitted: Fitted) -> None:
    values = np.random.default_rng(3).normal(size=(2, len(fitted.trees.leaf)))
    odd = replace(fitted.trees, missing=fitted.trees.missing | np.uint8(ZERO_IS_MISSING))
    assert not suits(odd)
    np.testing.assert_array_equal(summed(odd, values, fitted.rows), lv.sums(lv.reached(odd, fitted.rows), values))


def test_furthest_is_of_the_payment_that_ends_where_most_has_changed() -> None:
    of_trees = grown.trees().leaf_trees
    assert of_trees.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    changes = np.array([[0.1, -0.3, 0, 0, 0.2, 0.1, 0, -0.1], [0.5, 0, 0, 0, 0, 0, 0, 0]])
    assert lv.furthest(of_trees, changes) == pytest.approx(0.6)


def test_trees_of_leaves_are_those_that_rows_end_in(fitted: Fitted) -> None:
    found = fitted.trees.leaf_trees[lv.reached(fitted.trees, fitted.rows)]
    assert (found == np.arange(len(fitted.trees.roots))).all()
