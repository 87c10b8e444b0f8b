"""Exact contributions of features to a tree score (path-dependent TreeSHAP), compiled.

The game of a leaf is a product over the features on its path: a known feature counts 1 if the row follows the path at
all its splits and 0 otherwise (`follows`), an unknown one counts the share of training rows that follow it (`cover`).
Shapley's value of a product game is an integral over one variable (Owen's multilinear extension, Management Science
1972), here

    phi_i = leaf * integral_0^1 (follows_i - cover_i) * prod_{j != i} (t * follows_j + (1 - t) * cover_j) dt

whose integrand has degree d - 1 for d features on the path, so that Gauss-Legendre quadrature with ceil(d / 2) points
is exact. Covers are known when the model is loaded; a row costs its comparisons and some multiplications.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from fraud.common.compiled import compiled
from fraud.core.records import Values
from models.boosting.codes import NONE, Codes
from models.boosting.trees import F32, F64, I32, U8, Trees, goes_left, round_down


@dataclass(frozen=True, slots=True)
class Paths:
    """Every leaf's path, flattened.

    Leaf `i` owns the features `first[i]:first[i + 1]` of `feature` and `cover`, and the steps
    `step[i]:step[i + 1]`; a step is a node, the side the path takes (1 left) and the place of its feature.
    Its quadrature has `order[i]` points, whose cells `cell[i] + point * features + place` hold the factor of a feature
    and its derivative over the factor, for a row that leaves the path (column 0) and one that follows it (column 1).
    `scale` holds leaf value times quadrature weight, one a point; `leaf` the leaf values themselves.
    """

    nodes: "Nodes"
    first: I32
    feature: I32
    cover: F64
    leaf: F64
    step: I32
    step_node: I32
    step_side: U8
    step_place: I32
    order: I32
    cell: I32
    factor: F64
    ratio: F64
    scale: F64
    expected: float
    features: int
    codes: Codes = NONE

    def contributions(self, values: Values) -> F64:
        """Return the effect of each feature on the raw score of one row, float64 (features + 1,); the last is the base.

        They add up to the raw score. `values` is float32 (features,).
        """
        out = np.zeros(self.features + 1, dtype=np.float64)
        _contributions(
            self._left(values),
            self.first,
            self.feature,
            self.step,
            self.step_node,
            self.step_side,
            self.step_place,
            self.order,
            self.cell,
            self.factor,
            self.ratio,
            self.scale,
            out,
        )
        out[-1] = self.expected
        return out

    def values(self, values: Values, known: U8) -> F64:
        """Return the raw score when only some features of a row are known, float64 (cases,): the game's own values.

        `values` is float32 (features,), `known` uint8 (cases, features) of 0 and 1.
        """
        out = np.zeros(len(known), dtype=np.float64)
        _values(
            self._left(values),
            self.first,
            self.feature,
            self.cover,
            self.leaf,
            self.step,
            self.step_node,
            self.step_side,
            self.step_place,
            known,
            out,
        )
        return out

    def _left(self, values: Values) -> U8:
        """Return, for every node, whether the row goes left there."""
        row = self.codes.applied(np.ascontiguousarray(values, dtype=np.float32)[None, :])[0]
        left = np.empty(len(self.nodes.feature), dtype=np.uint8)
        _sides(row, self.nodes.feature, self.nodes.threshold, self.nodes.missing, left)
        return left


class Nodes(NamedTuple):
    """What deciding a node needs."""

    feature: I32
    threshold: F32
    missing: U8


class _Cells(NamedTuple):
    """One leaf's tables at its quadrature points."""

    factor: F64
    ratio: F64
    weights: F64


class _Path(NamedTuple):
    """One leaf's path: its features in order of first use with their covers, and its steps."""

    leaf: int
    cover: dict[int, float]
    steps: tuple[tuple[int, int], ...]


def build(trees: Trees) -> Paths:
    """Return the paths of `trees`, from the row counts that training left in every node."""
    paths = [path for root in trees.roots for path in _walk(trees, int(root), {}, ())]
    orders = [(len(p.cover) + 1) // 2 for p in paths]
    cells = [_cells(p, order) for p, order in zip(paths, orders, strict=True)]
    return Paths(
        nodes=Nodes(trees.feature, round_down(trees.threshold), trees.missing),
        first=_starts([len(p.cover) for p in paths]),
        feature=np.array([f for p in paths for f in p.cover], dtype=np.int32),
        cover=np.array([share for p in paths for share in p.cover.values()], dtype=np.float64),
        leaf=np.array([trees.leaf[p.leaf] for p in paths], dtype=np.float64),
        step=_starts([len(p.steps) for p in paths]),
        step_node=np.array([node for p in paths for node, _ in p.steps], dtype=np.int32),
        step_side=np.array([side for p in paths for _, side in p.steps], dtype=np.uint8),
        step_place=np.array([place for p in paths for place in _places(trees, p)], dtype=np.int32),
        order=np.array(orders, dtype=np.int32),
        cell=_starts([len(c.factor) for c in cells]),
        factor=np.concatenate([c.factor for c in cells]),
        ratio=np.concatenate([c.ratio for c in cells]),
        scale=np.concatenate([trees.leaf[p.leaf] * c.weights for p, c in zip(paths, cells, strict=True)]),
        expected=float(sum(trees.leaf[p.leaf] * np.prod(list(p.cover.values())) for p in paths)),
        features=trees.features,
        codes=trees.codes,
    )


def _walk(trees: Trees, child: int, cover: dict[int, float], steps: tuple[tuple[int, int], ...]) -> list[_Path]:
    """Return the paths of the leaves under `child`; a feature met twice multiplies its covers."""
    if child < 0:
        return [_Path(-1 - child, cover, steps)]
    found = []
    for side, below in ((1, int(trees.left[child])), (0, int(trees.right[child]))):
        feature = int(trees.feature[child])
        share = _count(trees, below) / float(trees.node_count[child])
        wider = {**cover, feature: cover.get(feature, 1.0) * share}
        found += _walk(trees, below, wider, (*steps, (child, side)))
    return found


def _count(trees: Trees, child: int) -> float:
    return float(trees.node_count[child] if child >= 0 else trees.leaf_count[-1 - child])


def _places(trees: Trees, path: _Path) -> list[int]:
    """Return, per step of a path, the place of its feature among the path's features."""
    place = {feature: i for i, feature in enumerate(path.cover)}
    return [place[int(trees.feature[node])] for node, _ in path.steps]


def _starts(lengths: list[int]) -> I32:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


def _cells(path: _Path, order: int) -> _Cells:
    """Return what the integrand needs at each quadrature point of one path, (points * features, 2)."""
    if not order:
        return _Cells(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0))
    x, weights = _gauss(order)
    t = x[:, None]
    cover = np.array(list(path.cover.values()))[None, :]
    leaves, follows = (1 - t) * cover, t + (1 - t) * cover
    factor = np.stack([leaves, follows], axis=-1).reshape(-1, 2)
    ratio = np.stack([-cover / leaves, (1 - cover) / follows], axis=-1).reshape(-1, 2)
    return _Cells(factor, ratio, weights)


@cache
def _gauss(order: int) -> tuple[F64, F64]:
    """Return Gauss-Legendre points and weights on [0, 1]."""
    x, weights = np.polynomial.legendre.leggauss(order)
    return (x + 1) / 2, weights / 2


@compiled
def _sides(row: F32, feature: I32, threshold: F32, missing: U8, left: U8) -> None:
    """Write 1 for every node that sends the row left, 0 for the others."""
    for node in range(feature.shape[0]):
        left[node] = 1 if goes_left(row[feature[node]], threshold[node], missing[node]) else 0


@compiled
def _follow(
    left: U8, step: I32, step_node: I32, step_side: U8, step_place: I32, path: int, count: int, follows: U8
) -> None:
    """Write 1 for every feature of a path at all of whose splits the row follows it, 0 for the others."""
    for place in range(count):
        follows[place] = 1
    for s in range(step[path], step[path + 1]):
        follows[step_place[s]] &= np.uint8(left[step_node[s]] == step_side[s])


@compiled
def _values(
    left: U8,
    first: I32,
    feature: I32,
    cover: F64,
    leaf: F64,
    step: I32,
    step_node: I32,
    step_side: U8,
    step_place: I32,
    known: U8,
    out: F64,
) -> None:
    """Add to each case the leaf values times the share of rows, as known, that reach them."""
    follows = np.empty(feature.shape[0] + 1, dtype=np.uint8)
    for path in range(leaf.shape[0]):
        start, count = first[path], first[path + 1] - first[path]
        _follow(left, step, step_node, step_side, step_place, path, count, follows)
        for case in range(known.shape[0]):
            product = leaf[path]
            for place in range(count):
                if known[case, feature[start + place]]:
                    product *= follows[place]
                else:
                    product *= cover[start + place]
            out[case] += product


@compiled
def _contributions(
    left: U8,
    first: I32,
    feature: I32,
    step: I32,
    step_node: I32,
    step_side: U8,
    step_place: I32,
    order: I32,
    cell: I32,
    factor: F64,
    ratio: F64,
    scale: F64,
    out: F64,
) -> None:
    """Add each leaf's integral to the features of its path."""
    follows = np.empty(feature.shape[0] + 1, dtype=np.uint8)
    point = 0
    for path in range(order.shape[0]):
        start, count = first[path], first[path + 1] - first[path]
        _follow(left, step, step_node, step_side, step_place, path, count, follows)
        at = cell[path]
        for _ in range(order[path]):
            product = scale[point]
            for place in range(count):
                product *= factor[at + place, follows[place]]
            for place in range(count):
                out[feature[start + place]] += product * ratio[at + place, follows[place]]
            at += count
            point += 1
