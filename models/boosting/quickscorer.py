"""The same trees without branches: every node of a tree is tested for many rows at once, and leaves are crossed out.

A row sent right by a node cannot end in the leaves of its left subtree. So each node carries a mask with those leaves
cleared, the masks of all nodes that send a row right are combined with AND, and the leftmost leaf that is still set
is where the row ends (QuickScorer: Lucchese et al., SIGIR 2015). The tests have no data-dependent jumps and run on a
column of rows with the processor's vector unit. Leaf values are added in the same order as in the walk: same bits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraud.common.compiled import compiled
from fraud.core.ports import Matrix
from models.boosting.codes import NONE, Codes
from models.boosting.trees import F32, F64, I32, MISSING_LEFT, ZERO_IS_MISSING, Trees, as_rows

U32 = NDArray[np.uint32]

MOST_LEAVES = 32
LANES = 64
"""Rows tested together; with fewer, the remaining lanes are computed and thrown away."""
FEW = 2
"""Up to this many rows the walk is at least as fast as testing every node."""
ALL = np.uint32(0xFFFFFFFF)
DE_BRUIJN = np.uint32(0x077CB531)
"""Times a power of two, its top five bits name the power: the position of a single set bit without a jump."""
POSITION = np.zeros(32, dtype=np.int64)
for _bit in range(32):
    POSITION[((0x077CB531 << _bit) & 0xFFFFFFFF) >> 27] = _bit


@dataclass(frozen=True, slots=True)
class LeafBits:
    """Nodes grouped by tree, those that send missing values left first; leaves from left to right in each tree.

    Tree `i` owns nodes `start[i]:start[i + 1]`, of which `start[i]:middle[i]` send missing values left, and the
    leaves from `base[i]` on; leaf `order[j]` of the trees is the j-th here.
    """

    start: I32
    middle: I32
    base: I32
    feature: I32
    threshold: F32
    mask: U32
    leaf: F64
    order: I32
    features: int
    codes: Codes = NONE

    def raw(self, matrix: Matrix) -> F64:
        """Return the raw score (log-odds) per row of `matrix`, float32 (rows, features): the bits of `Trees.raw`."""
        rows = self.codes.applied(as_rows(matrix, self.features))
        total = np.zeros(len(rows), dtype=np.float64)
        _add(rows, self.start, self.middle, self.base, self.feature, self.threshold, self.mask, self.leaf, total)
        return total

    def sums(self, matrix: Matrix, values: F64) -> F64:
        """Return sums of other values, float64 (rows, kinds), over the leaves of `matrix`, float32 (rows, features).

        `values` is float64 (leaves, kinds), leaves in `order`. One pass for all kinds; each is added in the order of a
        walk, so it has the same bits.
        """
        rows = self.codes.applied(as_rows(matrix, self.features))
        total = np.zeros((len(rows), values.shape[1]), dtype=np.float64)
        nodes = self.start, self.middle, self.base, self.feature, self.threshold, self.mask
        _add_each(rows, *nodes, values, total)
        return total


class FastTrees:
    """Trees by whichever form is quicker for the rows at hand; both give the same bits."""

    def __init__(self, trees: Trees) -> None:
        """Build the second form where the trees suit it."""
        self._trees = trees
        self._bits = build(trees, trees.walk.threshold) if suits(trees) else None

    def raw(self, matrix: Matrix) -> F64:
        """Return uncalibrated log-odds per row of `matrix`, float64 (rows,)."""
        if self._bits is None or len(matrix) < FEW:
            return self._trees.raw(matrix)
        return self._bits.raw(matrix)


def suits(trees: Trees) -> bool:
    """Say whether every tree has at most 32 leaves and none treats zero as missing."""
    sizes = np.diff([*first_leaves(trees), len(trees.leaf)])
    return bool(np.all(sizes <= MOST_LEAVES)) and not bool(np.any(trees.missing & ZERO_IS_MISSING))


def first_leaves(trees: Trees) -> list[int]:
    """Return the first leaf of each tree, trees being stored one after the other."""
    return [min(_leaves(trees, int(root))) for root in trees.roots]


def _leaves(trees: Trees, child: int) -> list[int]:
    """Return the leaves under a child from left to right."""
    if child < 0:
        return [-1 - child]
    return _leaves(trees, int(trees.left[child])) + _leaves(trees, int(trees.right[child]))


def build(trees: Trees, thresholds: F32) -> LeafBits:
    """Return the masks of `trees`; `thresholds` are the node thresholds as float32, rounded down."""
    masks = np.zeros(len(trees.feature), dtype=np.uint32)
    order: list[int] = []
    nodes: list[int] = []
    base, start, middle = [], [], []
    for root in trees.roots:
        base.append(len(order))
        inner: list[int] = []
        _number(trees, int(root), base[-1], order, inner, masks)
        left = [node for node in inner if trees.missing[node] & MISSING_LEFT]
        start.append(len(nodes))
        middle.append(len(nodes) + len(left))
        nodes += left + [node for node in inner if not trees.missing[node] & MISSING_LEFT]
    return LeafBits(
        np.array([*start, len(nodes)], dtype=np.int32),
        np.array(middle, dtype=np.int32),
        np.array(base, dtype=np.int32),
        trees.feature[nodes],
        thresholds[nodes],
        masks[nodes],
        trees.leaf[order],
        np.array(order, dtype=np.int32),
        trees.features,
        trees.codes,
    )


def _number(trees: Trees, child: int, base: int, order: list[int], inner: list[int], masks: U32) -> int:
    """Number the leaves under `child` in `order`, note its nodes and their masks; return its leaves as bits."""
    if child < 0:
        order.append(-1 - child)
        return 1 << (len(order) - 1 - base)
    inner.append(child)
    left = _number(trees, int(trees.left[child]), base, order, inner, masks)
    masks[child] = int(ALL) & ~left
    return left | _number(trees, int(trees.right[child]), base, order, inner, masks)


@compiled
def _load(rows: F32, first: int, count: int, columns: F32) -> None:
    """Copy `count` rows from `first` on into the lanes of `columns`, (features, LANES)."""
    for row in range(count):
        for column in range(rows.shape[1]):
            columns[column, row] = rows[first + row, column]


@compiled
def _cross_out(
    columns: F32, begin: int, middle: int, end: int, feature: I32, threshold: F32, mask: U32, alive: U32
) -> None:
    """Leave in `alive`, (LANES,), the leaves of one tree that each lane can still end in."""
    for lane in range(LANES):
        alive[lane] = ALL
    for node in range(begin, middle):
        x, m, left = threshold[node], mask[node], np.uint64(feature[node])
        for lane in range(LANES):
            alive[lane] = np.uint32(alive[lane] & (m if columns[left, lane] > x else ALL))
    for node in range(middle, end):
        y, n, right = threshold[node], mask[node], np.uint64(feature[node])
        for lane in range(LANES):
            alive[lane] = np.uint32(alive[lane] & (ALL if columns[right, lane] <= y else n))


@compiled
def _first(alive: np.uint32) -> np.int64:
    """Return the place of the lowest bit that is set."""
    lowest = np.uint32(alive & np.uint32(~alive + np.uint32(1)))
    return np.int64(POSITION[np.uint64(np.uint32(lowest * DE_BRUIJN) >> np.uint32(27))])


@compiled
def _add(
    rows: F32, start: I32, middle: I32, base: I32, feature: I32, threshold: F32, mask: U32, leaf: F64, total: F64
) -> None:
    """Add leaf values, LANES rows at a time; unused lanes hold what was there and are never read out."""
    columns = np.zeros((rows.shape[1], LANES), dtype=np.float32)
    alive = np.empty(LANES, dtype=np.uint32)
    for first in range(0, rows.shape[0], LANES):
        count = min(LANES, rows.shape[0] - first)
        _load(rows, first, count, columns)
        for tree in range(base.shape[0]):
            _cross_out(columns, start[tree], middle[tree], start[tree + 1], feature, threshold, mask, alive)
            for lane in range(count):
                place = _first(alive[lane])
                total[first + lane] += leaf[np.uint64(base[tree] + place)]


@compiled
def _add_each(
    rows: F32, start: I32, middle: I32, base: I32, feature: I32, threshold: F32, mask: U32, values: F64, total: F64
) -> None:
    """Add each kind of values, (leaves, kinds), to `total`, (rows, kinds), as `_add` does one kind."""
    columns = np.zeros((rows.shape[1], LANES), dtype=np.float32)
    alive = np.empty(LANES, dtype=np.uint32)
    for first in range(0, rows.shape[0], LANES):
        count = min(LANES, rows.shape[0] - first)
        _load(rows, first, count, columns)
        for tree in range(base.shape[0]):
            _cross_out(columns, start[tree], middle[tree], start[tree + 1], feature, threshold, mask, alive)
            for lane in range(count):
                place = _first(alive[lane])
                for kind in range(values.shape[1]):
                    total[first + lane, kind] += values[np.uint64(base[tree] + place), kind]
