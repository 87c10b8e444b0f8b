"""The protocols: who is tested when, against a plain recomputation of the rules, and no label from the future."""

import numpy as np
import pytest

from fraud.core.errors import DataError
from fraud.core.ports import Matrix
from fraud.core.records import DAY
from fraud.training.artifact import BoosterFitter
from fraud.training.dataset import FRAUD, Dataset
from fraud.training.protocols import (
    MEASURES,
    Fold,
    Predictor,
    chronological_fold,
    evaluate,
    fdh_folds,
    measure,
)
from fraud.training.slices import Slices, span_before
from tests.training.test_fit import QUICK


def by_amount(matrix: Matrix) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return matrix[:, 0].astype(np.float64)


class Spy:
    """A fitter that notes what it was given and ranks by amount."""

    def __init__(self) -> None:
        self.given: list[tuple[str, Slices]] = []

    def __call__(self, data: Dataset, rows: Slices, fold: str) -> Predictor:
        self.given.append((fold, rows))
        return by_amount


def expected_test(data: Dataset, start: int) -> list[int]:
    """Return the test rows by the rule in words: not on cards with a fraud from `start` to a week before the day."""
    day, fraud = data.day.tolist(), (data.fraud == FRAUD).tolist()
    card = data.card.tolist()
    rows = []
    for i, today in enumerate(day):
        if not start + 14 <= today < start + 21:
            continue
        past = any(fraud[j] and card[j] == card[i] and start <= day[j] < max(today - 7, start + 7) for j in range(i))
        rows += [] if past else [i]
    return rows


@pytest.mark.parametrize("fold", [0, 3])
def test_fdh_fold_tests_the_rows_that_the_rule_names(data: Dataset, fold: int) -> None:
    start = (115, 122, 129, 136)[fold]
    assert fdh_folds(data)[fold].test.tolist() == expected_test(data, start)


@pytest.mark.parametrize(("train", "first"), [("long", 30), ("week", None)])
def test_fdh_fold_learns_up_to_a_week_before_its_test(data: Dataset, train: str, first: int | None) -> None:
    spy = Spy()
    evaluate(data, fdh_folds(data, train), spy)
    for (_, rows), start in zip(spy.given, (115, 122, 129, 136), strict=True):
        days = data.day[rows.train]
        assert (days.min(), days.max()) == (start if first is None else first, start + 6)
        assert data.day[rows.validation].min() == start


def test_fdh_folds_of_a_short_history_are_refused(data: Dataset) -> None:
    short = data._replace(time=data.time[:100])
    with pytest.raises(DataError, match=r"needs 157 days.*chronological"):
        fdh_folds(short)


def test_chronological_fold_learns_only_what_was_known_at_the_split(data: Dataset) -> None:
    spy, fold = Spy(), chronological_fold(data, 0.8)
    evaluate(data, [fold], spy)
    rows = spy.given[0][1]
    assert data.time[rows.train].max() + data.meta.identity.label_delay < data.time[fold.test].min()
    assert len(fold.test) == pytest.approx(0.2 * len(data.time), abs=2)


def test_chronological_split_outside_the_history_is_refused(data: Dataset) -> None:
    with pytest.raises(DataError, match="between 0 and 1"):
        chronological_fold(data, 1.0)


def test_evaluate_means_the_folds_and_tells_each(data: Dataset) -> None:
    told: list[object] = []
    result = evaluate(data, fdh_folds(data), BoosterFitter(QUICK), told.append)
    assert told == result["folds"]
    assert result["mean"].keys() == set(MEASURES)
    assert result["mean"]["ap"] == pytest.approx(np.mean([fold["ap"] for fold in result["folds"]]))
    assert result["mean"]["ap"] > 0.55
    for each in result["folds"]:
        low, high = each["ap_interval"]
        assert low < each["ap"] < high
    low, high = result["ap_interval"]
    assert low < result["mean"]["ap"] < high
    assert high - low < np.mean([fold["ap_interval"][1] - fold["ap_interval"][0] for fold in result["folds"]])


def test_measure_without_enough_cards_has_no_card_precision(data: Dataset) -> None:
    rows = np.arange(2_000)
    found = measure(data, rows, data.matrix[rows, 0].astype(np.float64))
    assert found["cp100"] is None
    assert found["ap"] is not None


def test_measures_of_one_kind_of_verdict_are_none(data: Dataset) -> None:
    genuine = np.flatnonzero(data.fraud != FRAUD)[:500]
    found = measure(data, genuine, np.zeros(500))
    assert [found[name] for name in MEASURES] == [None] * 4


def test_mean_over_folds_is_none_when_a_fold_has_none(data: Dataset) -> None:
    spy = Spy()
    good = chronological_fold(data)
    genuine = np.flatnonzero(data.fraud != FRAUD)[-500:]
    empty = Fold("none", span_before(int(data.time[-1]), 7 * DAY, 0, 7 * DAY), genuine)
    result = evaluate(data, [good, empty], spy)
    assert result["mean"]["ap"] is None
    assert result["folds"][0]["ap"] is not None
    assert [fold["ap_interval"] is None for fold in result["folds"]] == [False, True]
    assert result["ap_interval"] is None
