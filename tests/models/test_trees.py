"""The compiled predictors against LightGBM, to the last bit, and against each other."""

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from fraud.core.errors import ArtifactError
from fraud.training.lightgbm_text import parse
from models.boosting import quickscorer
from models.boosting.trees import ZERO_IS_MISSING, Trees, round_down
from tests.models.conftest import Fitted, awkward, train


def reference_raw(model: lightgbm.Booster, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(model.predict(rows.astype(np.float64), raw_score=True), dtype=np.float64)


def both(trees: Trees, rows: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    return [trees.raw(rows), quickscorer.build(trees, trees.walk.threshold).raw(rows)]


def test_raw_score_equals_lightgbm_to_the_last_bit(fitted: Fitted) -> None:
    expected = reference_raw(fitted.reference, fitted.rows)
    for actual in both(fitted.trees, fitted.rows):
        np.testing.assert_array_equal(actual, expected)


def test_raw_score_on_threshold_values_equals_lightgbm(fitted: Fitted) -> None:
    rows = np.repeat(fitted.rows[:1], len(fitted.trees.threshold), axis=0)
    at = (np.arange(len(rows)), fitted.trees.feature)
    near = fitted.trees.threshold.astype(np.float32)
    for values in (near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))):
        rows[at] = values
        expected = reference_raw(fitted.reference, rows)
        for actual in both(fitted.trees, rows):
            np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("batch", [1, 3, 64, 65])
def test_raw_score_does_not_depend_on_the_batch(fitted: Fitted, batch: int) -> None:
    bits = quickscorer.build(fitted.trees, fitted.trees.walk.threshold)
    whole = bits.raw(fitted.rows)
    parts = [bits.raw(fitted.rows[i : i + batch]) for i in range(0, len(fitted.rows), batch)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_zero_as_missing_is_honoured_by_the_walk() -> None:
    rows = awkward(0)
    model = train(rows, zero_as_missing=True)
    trees = parse(model.model_to_string())
    assert np.any(trees.missing & ZERO_IS_MISSING)
    assert not quickscorer.suits(trees)
    np.testing.assert_array_equal(trees.raw(rows[:500]), reference_raw(model, rows[:500]))


def test_more_leaves_than_a_mask_holds_are_left_to_the_walk() -> None:
    rows = awkward(0)
    model = train(rows, trees=3, num_leaves=60)
    trees = parse(model.model_to_string())
    assert not quickscorer.suits(trees)
    np.testing.assert_array_equal(trees.raw(rows[:500]), reference_raw(model, rows[:500]))


def test_tree_without_splits_adds_its_value() -> None:
    rows = awkward(0)
    model = train(rows, trees=2, min_data_in_leaf=len(rows))
    trees = parse(model.model_to_string())
    assert trees.roots[0] < 0
    for actual in both(trees, rows[:10]):
        np.testing.assert_array_equal(actual, reference_raw(model, rows[:10]))


def test_round_down_keeps_the_side_of_every_float32() -> None:
    rng = np.random.default_rng(3)
    near = rng.normal(size=1_000).astype(np.float32)
    thresholds = near.astype(np.float64) * (1 + rng.choice([-1e-9, 0, 1e-9], size=1_000))
    for step in (-np.inf, np.inf):
        for value in (near, np.nextafter(near, np.float32(step))):
            np.testing.assert_array_equal(value <= round_down(thresholds), value <= thresholds)


def test_round_down_of_a_threshold_beyond_float32_keeps_infinity_apart() -> None:
    assert round_down(np.array([1e300]))[0] == np.finfo(np.float32).max


def test_raw_score_of_wrong_width_is_refused(fitted: Fitted) -> None:
    with pytest.raises(ArtifactError, match="takes 12 features"):
        fitted.trees.raw(fitted.rows[:, :3])


def test_arrays_round_trip_gives_equal_trees(fitted: Fitted) -> None:
    again = Trees.from_arrays(fitted.trees.arrays())
    np.testing.assert_array_equal(again.raw(fitted.rows), fitted.trees.raw(fitted.rows))


@pytest.mark.parametrize(("name", "value"), [("left", 10**6), ("feature", 99), ("right", 0), ("roots", -(10**6))])
def test_arrays_that_point_outside_are_refused(fitted: Fitted, name: str, value: int) -> None:
    arrays = fitted.trees.arrays()
    arrays[name] = arrays[name].copy()
    arrays[name][3] = value
    with pytest.raises(ArtifactError, match="point outside"):
        Trees.from_arrays(arrays)


def test_arrays_without_a_part_are_refused(fitted: Fitted) -> None:
    arrays = fitted.trees.arrays()
    del arrays["threshold"]
    with pytest.raises(ArtifactError, match="lack threshold"):
        Trees.from_arrays(arrays)


def test_parse_refuses_categorical_splits() -> None:
    rows = awkward(0)
    rows[:, 1] = np.nan_to_num(np.abs(rows[:, 1]))
    target = rows[:, 1] % 2
    data = lightgbm.Dataset(rows, target, categorical_feature=[1])
    model = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 2)
    with pytest.raises(ArtifactError, match="categorical splits"):
        parse(model.model_to_string())
