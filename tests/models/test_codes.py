"""Own words as codes: those with enough rows by frequency, all others as the commonest, nothing stays nothing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fraud.core.errors import ArtifactError
from models.boosting import codes as coding
from models.boosting import treeshap
from models.boosting.codes import ENOUGH, NONE, Codes, codes_in, fitted
from models.boosting.quickscorer import FastTrees
from models.boosting.trees import Trees
from models.online.leaves import LeafSums, reached

SAFE, RISKY, RARE = 11, 22, 33
NAN = float("nan")


def learned() -> Codes:
    words = np.array([RISKY] * 300 + [SAFE] * 301 + [RARE] * (ENOUGH - 1) + [NAN] * 50, np.float32)
    return fitted(words[:, None], np.array([1]))


def test_words_have_codes_by_frequency_and_the_rest_that_of_the_commonest() -> None:
    found = learned().of(np.array([[SAFE], [RISKY], [RARE], [999], [NAN]], np.float32))[:, 0]
    assert found[0] < found[1]
    assert found[0] == found[2] == found[3]
    assert np.isnan(found[4])
    assert learned().hashes(1).tolist() == [SAFE, RISKY]


def test_rows_keep_all_other_columns_and_are_not_changed() -> None:
    rows = np.array([[5.0, SAFE, NAN], [6.0, RISKY, 7.0]], np.float32)
    before = rows.copy()
    out = learned().applied(rows)
    assert rows.tobytes() == before.tobytes()
    assert out[:, [0, 2]].tobytes() == rows[:, [0, 2]].tobytes()
    assert NONE.applied(rows) is rows


@given(st.lists(st.lists(st.integers(0, 2**24 - 1), min_size=2, max_size=2), min_size=1, max_size=30))
def test_columns_do_not_share_their_words(pairs: list[list[int]]) -> None:
    hashes = np.array(pairs * ENOUGH, np.float32)
    both = fitted(hashes, np.array([0, 1]))
    for place in (0, 1):
        alone = fitted(hashes[:, [place]], np.array([0]))
        assert both.of(hashes)[:, place].tobytes() == alone.of(hashes[:, [place]])[:, 0].tobytes()


def test_codes_are_stored_and_read_again() -> None:
    kept = learned()
    again = codes_in(kept.arrays(), 2)
    assert [np.asarray(one).tolist() for one in kept] == [np.asarray(one).tolist() for one in again]
    assert codes_in({}, 2) is NONE
    assert NONE.arrays() == {}


@pytest.mark.parametrize("name", [coding.COLUMNS, coding.KEYS, coding.CODES, coding.REST])
def test_damaged_codes_are_refused(name: str) -> None:
    arrays = learned().arrays()
    with pytest.raises(ArtifactError, match=r"own words|lack"):
        codes_in({**arrays, name: np.array([9, 9, 9, 1], arrays[name].dtype)}, 2)
    del arrays[name]
    if name != coding.COLUMNS:
        with pytest.raises(ArtifactError, match="train the model again"):
            codes_in(arrays, 2)


def stump(codes: Codes) -> Trees:
    """Return one tree that parts the codes of column 1 between those of the two words."""
    between = float(codes.of(np.array([[SAFE], [RISKY]], np.float32)).mean())
    return Trees(
        np.array([0], np.int32), np.array([1], np.int32), np.array([between]), np.array([0], np.uint8),
        np.array([-1], np.int32), np.array([-2], np.int32), np.array([10.0]), np.array([-1.0, 2.0]),
        np.array([5.0, 5.0]), 2, codes,
    )  # fmt: skip


def test_every_way_through_the_trees_reads_codes() -> None:
    trees = stump(learned())
    rows = np.array([[0, SAFE], [0, RISKY], [0, RISKY], [0, SAFE]], np.float32)
    expected: NDArray[np.float64] = np.array([-1.0, 2.0, 2.0, -1.0])
    assert trees.raw(rows).tolist() == expected.tolist()
    assert FastTrees(trees).raw(rows).tolist() == expected.tolist()
    assert reached(trees, rows)[:, 0].tolist() == [0, 1, 1, 0]
    sums = LeafSums(trees)
    for part in (rows, rows[:1]):
        assert sums.of(part, sums.values(np.array([[-1.0, 2.0]])))[:, 0].tolist() == expected[: len(part)].tolist()
    shap = treeshap.build(trees)
    assert [float(shap.contributions(row).sum()) for row in rows] == expected.tolist()
    assert Trees.from_arrays(trees.arrays()).raw(rows).tolist() == expected.tolist()
    plain = replace(trees, codes=NONE)
    assert plain.arrays().keys() == trees.arrays().keys() - learned().arrays().keys()
