"""Leaves of boosted trees as what is learned: which ones a row ends in, and sums of other values over them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.common.compiled import compiled
from fraud.core.errors import ArtifactError
from fraud.core.ports import Matrix
from models.boosting import quickscorer
from models.boosting.trees import F32, F64, I32, U8, Trees, leaf_of

Leaves = NDArray[np.int32]
"""The leaf of each tree that a row ends in, (rows, trees); leaves are numbered through all trees."""


def reached(trees: Trees, matrix: Matrix) -> Leaves:
    """Return the leaf of each tree that each row of `matrix`, float32 (rows, features), ends in."""
    rows, w = trees.rows(matrix), trees.walk
    out = np.empty((len(rows), len(w.roots)), np.int32)
    _reach(rows, w.roots, w.feature, w.threshold, w.missing, w.left, w.right, out)
    return out


def sums(leaves: Leaves, values: F64) -> F64:
    """Return the sum of `values`, (experts, leaves), over each row's leaves: float64 (rows, experts), in tree order."""
    out = np.zeros((len(leaves), len(values)))
    _sum(leaves, np.ascontiguousarray(values.T), out)
    return out


def furthest(of_trees: I32, changes: F64) -> float:
    """Return the furthest that changes of leaf values, (paces, leaves), could move any payment at one of the paces.

    That is a payment which ends in the leaf of each tree that changes most; `of_trees` is `Trees.leaf_trees`.
    """
    most = np.zeros((len(changes), int(of_trees.max()) + 1))
    for row, change in zip(most, np.abs(changes), strict=True):
        np.maximum.at(row, of_trees, change)
    return float(most.sum(axis=1).max())


class LeafValues(NamedTuple):
    """Values a leaf, float64 (leaves, experts): as the trees number their leaves, and as their bits do, if they do."""

    walked: F64
    crossed: F64 | None


class LeafSums:
    """Sums of values over the leaves that rows end in, in one pass, by whichever form of the trees is quicker.

    Both forms give the same bits, and a row's bits are its own alone. What does not depend on the values is built once.
    """

    def __init__(self, trees: Trees) -> None:
        """Take the trees."""
        self._trees = trees
        self._bits = quickscorer.build(trees, trees.walk.threshold) if quickscorer.suits(trees) else None

    @property
    def leaves(self) -> int:
        """Return how many leaves the trees have in all."""
        return len(self._trees.leaf)

    @property
    def features(self) -> int:
        """Return how many features a row has."""
        return self._trees.features

    def values(self, values: F64) -> LeafValues:
        """Return values, float64 (experts, leaves), as `of` takes them.

        Raises:
            ArtifactError: unless there is one for each leaf.
        """
        if values.ndim != 2 or values.shape[1] != self.leaves:
            message = f"The trees have {self.leaves} leaves, got values of shape {values.shape}: one a leaf needed."
            raise ArtifactError(message)
        walked = np.ascontiguousarray(values.T)
        return LeafValues(walked, None if self._bits is None else np.ascontiguousarray(walked[self._bits.order]))

    def of(self, matrix: Matrix, values: LeafValues) -> F64:
        """Return the sums, float64 (rows, experts), of `matrix`, float32 (rows, features)."""
        if self._bits is not None and values.crossed is not None and len(matrix) >= quickscorer.FEW:
            return self._bits.sums(matrix, values.crossed)
        rows, w = self._trees.rows(matrix), self._trees.walk
        out = np.zeros((len(rows), values.walked.shape[1]))
        _walk(rows, w.roots, w.feature, w.threshold, w.missing, w.left, w.right, values.walked, out)
        return out


@compiled
def _reach(
    rows: F32, roots: I32, feature: I32, threshold: F32, missing: U8, left: I32, right: I32, out: Leaves
) -> None:
    """Write the leaf of each tree that each row ends in."""
    for row in range(rows.shape[0]):
        for tree in range(roots.shape[0]):
            out[row, tree] = leaf_of(rows[row], roots[tree], feature, threshold, missing, left, right)


@compiled
def _walk(
    rows: F32, roots: I32, feature: I32, threshold: F32, missing: U8, left: I32, right: I32, values: F64, out: F64
) -> None:
    """Add the values of each row's leaves, (leaves, experts), tree by tree."""
    for row in range(rows.shape[0]):
        for tree in range(roots.shape[0]):
            leaf = leaf_of(rows[row], roots[tree], feature, threshold, missing, left, right)
            for expert in range(values.shape[1]):
                out[row, expert] += values[leaf, expert]


@compiled
def _sum(leaves: Leaves, values: F64, out: F64) -> None:
    """Add the values, (leaves, experts), of leaves that are known."""
    for row in range(leaves.shape[0]):
        for tree in range(leaves.shape[1]):
            for expert in range(values.shape[1]):
                out[row, expert] += values[leaves[row, tree], expert]
