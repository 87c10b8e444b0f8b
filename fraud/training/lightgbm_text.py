"""Read LightGBM's text model into flat arrays. Only fitting needs this; serving reads the arrays.

Format: `key=value` lines in blocks headed `Tree=i` (LightGBM's `GBDT::SaveModelToString` and `Tree::ToString`).
`decision_type` holds, from bit 0: categorical, default left, and two bits of missing type (0 none, 1 zero, 2 NaN).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fraud.core.errors import ArtifactError
from models.boosting.trees import MISSING_LEFT, ZERO, ZERO_IS_MISSING, Trees, check

CATEGORICAL = 1
DEFAULT_LEFT = 2
MISSING_NONE, MISSING_ZERO = 0, 1

Block = dict[str, str]


def parse(text: str) -> Trees:
    """Return the trees of a LightGBM text model with one output and numerical splits.

    Raises ArtifactError for several outputs, categorical splits, linear leaves or averaged output.
    """
    header, *blocks = [_fields(part) for part in _parts(text)]
    _require_plain(header, blocks)
    trees = _join(blocks, features=int(header["max_feature_idx"]) + 1)
    check(trees)
    return trees


def _parts(text: str) -> list[str]:
    """Cut the model into its header and one text a tree."""
    return text.split("end of trees", maxsplit=1)[0].split("\nTree=")


def _fields(part: str) -> Block:
    pairs = (line.split("=", maxsplit=1) for line in part.splitlines() if "=" in line)
    return {key: value for key, value in pairs}


def _require_plain(header: Block, blocks: Sequence[Block]) -> None:
    faults = []
    if header.get("num_tree_per_iteration") != "1":
        faults.append("several outputs")
    if "average_output" in header:
        faults.append("averaged output")
    if any(int(block.get("num_cat", "0")) for block in blocks):
        faults.append("categorical splits")
    if any(int(block.get("is_linear", "0")) for block in blocks):
        faults.append("linear leaves")
    if faults:
        message = f"This LightGBM model has {', '.join(faults)}; only numerical splits and one output are served."
        raise ArtifactError(message)


def _numbers(block: Block, key: str) -> NDArray[np.float64]:
    return np.array(block.get(key, "").split(), dtype=np.float64)


def _join(blocks: Sequence[Block], features: int) -> Trees:
    leaves = [_numbers(block, "leaf_value") for block in blocks]
    nodes = [_numbers(block, "split_feature") for block in blocks]
    first_leaf = np.concatenate([[0], np.cumsum([len(part) for part in leaves])]).astype(np.int64)
    first_node = np.concatenate([[0], np.cumsum([len(part) for part in nodes])]).astype(np.int64)

    def flat(key: str) -> NDArray[np.float64]:
        return np.concatenate([_numbers(block, key) for block in blocks])

    def children(key: str) -> NDArray[np.int32]:
        moved = [
            np.where(part >= 0, part + first_node[i], part - first_leaf[i])
            for i, part in enumerate(_numbers(block, key) for block in blocks)
        ]
        return np.concatenate(moved).astype(np.int32)

    return Trees(
        roots=_roots(nodes, first_node, first_leaf),
        feature=flat("split_feature").astype(np.int32),
        threshold=_settled(flat("threshold")),
        missing=_missing(flat("decision_type").astype(np.int64), flat("threshold")),
        left=children("left_child"),
        right=children("right_child"),
        node_count=flat("internal_count"),
        leaf=np.concatenate(leaves),
        leaf_count=np.concatenate([_leaf_counts(block) for block in blocks]),
        features=features,
    )


def _leaf_counts(block: Block) -> NDArray[np.float64]:
    """Return the rows a leaf; a tree without splits carries none, and its share is the whole."""
    counts = _numbers(block, "leaf_count")
    return counts if len(counts) else np.ones(len(_numbers(block, "leaf_value")))


def _roots(
    nodes: Sequence[NDArray[np.float64]], first_node: NDArray[np.int64], first_leaf: NDArray[np.int64]
) -> NDArray[np.int32]:
    roots = [first_node[i] if len(part) else -1 - first_leaf[i] for i, part in enumerate(nodes)]
    return np.array(roots, dtype=np.int32)


def _settled(threshold: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return thresholds that treat every value within +-ZERO as zero, as LightGBM's prediction does."""
    zero = float(ZERO)
    below = np.where((threshold < 0) & (threshold >= -zero), np.nextafter(-zero, -np.inf), threshold)
    return np.where((below >= 0) & (below < zero), zero, below)


def _missing(decision: NDArray[np.int64], threshold: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return what each node does with a missing value.

    With missing type none LightGBM reads NaN as 0, which goes left exactly when `0 <= threshold`.
    """
    kind = (decision >> 2) & 3
    by_default = (decision & DEFAULT_LEFT) != 0
    left = np.where(kind == MISSING_NONE, threshold >= 0, by_default)
    zero = np.where(kind == MISSING_ZERO, ZERO_IS_MISSING, 0)
    return (zero + np.where(left, MISSING_LEFT, 0)).astype(np.uint8)
