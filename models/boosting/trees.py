"""Boosted trees as flat arrays, walked by compiled loops; needs neither LightGBM nor scikit-learn.

Nodes and leaves of all trees stand one after the other. A child number >= 0 is a node, a negative number `c` is the
leaf `-1 - c`. Inputs are float32; a double threshold `t` is therefore replaced by the greatest float32 not above
it, which sends every float32 the same way and halves the bytes that a walk reads.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fraud.common.compiled import compiled
from fraud.core.errors import ArtifactError
from fraud.core.ports import Matrix
from models.boosting.codes import NONE, Codes, codes_in

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

# What a node does with a missing value: bit 0 sends it left, bit 1 treats zero as missing too.
MISSING_LEFT = 1
ZERO_IS_MISSING = 2
ZERO = np.float32(1e-35)
"""LightGBM's kZeroThreshold: what counts as zero where zero means missing."""
BLOCK = 64
"""Rows walked together, so that a tree and the rows stay in the first cache."""


@dataclass(frozen=True, slots=True)
class Walk:
    """The arrays that a walk reads, in the shape that the compiled loops want."""

    roots: I32
    feature: I32
    threshold: F32
    missing: U8
    left: I32
    right: I32
    leaf: F64


@dataclass(frozen=True)
class Trees:
    """A sum of regression trees with numerical splits, for one raw score (log-odds).

    `roots`, int32 (trees,), holds each tree's first node, or `-1 - leaf` for a tree that is one leaf. Per node:
    `feature`, `threshold` (float64), `missing` (see MISSING_LEFT), `left`, `right`, `node_count`; per leaf: `leaf`
    (its value, float64), `leaf_count`. Counts are training rows, needed for contributions only. `codes` say what a
    split on own words reads.
    """

    roots: I32
    feature: I32
    threshold: F64
    missing: U8
    left: I32
    right: I32
    node_count: F64
    leaf: F64
    leaf_count: F64
    features: int
    codes: Codes = NONE

    @cached_property
    def walk(self) -> Walk:
        """Return the arrays for scoring, thresholds as float32 rounded down."""
        return Walk(
            self.roots,
            self.feature,
            round_down(self.threshold),
            self.missing,
            self.left,
            self.right,
            self.leaf,
        )

    @cached_property
    def leaf_trees(self) -> I32:
        """Return the tree that each leaf belongs to, int32 (leaves,)."""
        out = np.zeros(len(self.leaf), np.int32)
        for tree, root in enumerate(self.roots.tolist()):
            below = [root]
            while below:
                if (node := below.pop()) < 0:
                    out[-1 - node] = tree
                else:
                    below += [int(self.left[node]), int(self.right[node])]
        return out

    def raw(self, matrix: Matrix) -> F64:
        """Return the raw score (log-odds) per row of `matrix`, float32 (rows, features); NaN means missing.

        Trees are added in order, in double precision, as LightGBM does; so a row's score has the same bits as
        LightGBM's and does not depend on the rows beside it. Raises ArtifactError when the width differs.
        """
        rows = self.rows(matrix)
        w = self.walk
        total = np.zeros(rows.shape[0], dtype=np.float64)
        add_trees(rows, w.roots, w.feature, w.threshold, w.missing, w.left, w.right, w.leaf, total)
        return total

    def rows(self, matrix: Matrix) -> F32:
        """Return `matrix` as the loops read it, own words as codes; raise ArtifactError when its width differs."""
        return self.codes.applied(as_rows(matrix, self.features))

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what an artifact stores, by name."""
        named = {name: getattr(self, name) for name in ARRAYS}
        return {**named, "features": np.array(self.features, dtype=np.int64), **self.codes.arrays()}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[np.generic]]) -> "Trees":
        """Build from what `arrays` returned; raise ArtifactError when a part is missing or points outside."""
        missing = [name for name in (*ARRAYS, "features") if name not in arrays]
        if missing:
            message = f"The weights lack {', '.join(missing)}; train the model again."
            raise ArtifactError(message)
        typed = {name: np.ascontiguousarray(arrays[name], dtype=kind) for name, kind in ARRAYS.items()}
        features = int(np.asarray(arrays["features"], dtype=np.int64))
        trees = cls(**typed, features=features, codes=codes_in(arrays, features))
        check(trees)
        return trees


ARRAYS: dict[str, type[np.generic]] = {
    "roots": np.int32,
    "feature": np.int32,
    "threshold": np.float64,
    "missing": np.uint8,
    "left": np.int32,
    "right": np.int32,
    "node_count": np.float64,
    "leaf": np.float64,
    "leaf_count": np.float64,
}


def as_rows(matrix: Matrix, features: int) -> F32:
    """Return `matrix` as the loops read it, float32 and contiguous; raise ArtifactError when its width differs."""
    rows = np.ascontiguousarray(matrix, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != features:
        message = f"The model takes {features} features a row, got an array of shape {rows.shape}."
        raise ArtifactError(message)
    return rows


def round_down(threshold: F64) -> F32:
    """Return the greatest float32 not above each double, so that `x <= t` keeps its answer for every float32 x."""
    with np.errstate(over="ignore"):
        near = threshold.astype(np.float32)
    below = np.nextafter(near, np.float32(-np.inf))
    return np.where(near.astype(np.float64) > threshold, below, near)


def check(trees: Trees) -> None:
    """Raise ArtifactError unless every child comes after its parent and every index is inside its array.

    The compiled loops do not check bounds, so a damaged artifact must be refused here.
    """
    nodes, leaves = len(trees.feature), len(trees.leaf)
    children = np.concatenate([trees.left, trees.right])
    owner = np.concatenate([np.arange(nodes), np.arange(nodes)])
    inner = children >= 0
    sound = (
        all(len(getattr(trees, n)) == nodes for n in ("threshold", "missing", "left", "right", "node_count"))
        and len(trees.leaf_count) == leaves
        and bool(np.all(children[inner] > owner[inner]))
        and _inside(np.concatenate([children, trees.roots]), -leaves, nodes)
        and _inside(trees.feature, 0, trees.features)
    )
    if not sound:
        message = "The trees in these weights point outside their arrays; restore the file or train again."
        raise ArtifactError(message)


def _inside(values: I32, low: int, high: int) -> bool:
    return bool(np.all((values >= low) & (values < high)))


@compiled
def goes_left(value: float, threshold: float, missing: int) -> bool:
    """Say whether a value takes the left child: LightGBM's rule for numerical splits, missing values included."""
    if missing >= ZERO_IS_MISSING and (value != value or abs(value) <= ZERO):
        return (missing & MISSING_LEFT) != 0
    return value <= threshold or (value != value and (missing & MISSING_LEFT) != 0)


@compiled
def leaf_of(row: F32, root: int, feature: I32, threshold: F32, missing: U8, left: I32, right: I32) -> int:
    """Return the leaf that a row, float32 (features,), ends in, from a tree's root on."""
    node = root
    while node >= 0:
        node = left[node] if goes_left(row[feature[node]], threshold[node], missing[node]) else right[node]
    return -1 - node


@compiled
def add_trees(
    rows: F32,
    roots: I32,
    feature: I32,
    threshold: F32,
    missing: U8,
    left: I32,
    right: I32,
    leaf: F64,
    total: F64,
) -> None:
    """Add every tree's leaf value to `total`, float64 (rows,): blocks of rows outside, trees, then rows inside."""
    for start in range(0, rows.shape[0], BLOCK):
        stop = min(start + BLOCK, rows.shape[0])
        for tree in range(roots.shape[0]):
            for row in range(start, stop):
                total[row] += leaf[leaf_of(rows[row], roots[tree], feature, threshold, missing, left, right)]
