"""Leaves of boosted trees as what is learned: which ones a row ends in, and sums of other values over them."""

import numpy as np
from numpy.typing import NDArray

from fraud.common.compiled import compiled
from fraud.core.errors import ArtifactError
from fraud.core.ports import Matrix
from models.boosting.trees import F32, F64, I32, U8, Trees, Walk, as_rows, leaf_of

Leaves = NDArray[np.int32]
"""The leaf of each tree that a row ends in, (rows, trees); leaves are numbered through all trees."""


def reached(trees: Trees, matrix: Matrix) -> Leaves:
    """Return the leaf of each tree that each row of `matrix`, float32 (rows, features), ends in."""
    rows, w = as_rows(matrix, trees.features), trees.walk
    out = np.empty((len(rows), len(w.roots)), np.int32)
    _reach(rows, w.roots, w.feature, w.threshold, w.missing, w.left, w.right, out)
    return out


def sums(leaves: Leaves, values: F64) -> F64:
    """Return the sum of `values`, (experts, leaves), over each row's leaves: float64 (rows, experts), in tree order."""
    out = np.zeros((len(leaves), len(values)))
    _sum(leaves, np.ascontiguousarray(values.T), out)
    return out


class LeafSums:
    """Sums of several values a leaf over the leaves that rows end in, in one pass; a row's bits are its own alone."""

    def __init__(self, walk: Walk, features: int, values: F64) -> None:
        """Take values, float64 (experts, leaves); raise ArtifactError unless there is one for each leaf."""
        if values.ndim != 2 or values.shape[1] != len(walk.leaf):
            message = f"The trees have {len(walk.leaf)} leaves, got values of shape {values.shape}: one a leaf needed."
            raise ArtifactError(message)
        self._walk, self._features = walk, features
        self._values = np.ascontiguousarray(values.T)

    def of(self, matrix: Matrix) -> F64:
        """Return the sums, float64 (rows, experts), of `matrix`, float32 (rows, features)."""
        rows, w = as_rows(matrix, self._features), self._walk
        out = np.zeros((len(rows), self._values.shape[1]))
        _walk(rows, w.roots, w.feature, w.threshold, w.missing, w.left, w.right, self._values, out)
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
