"""The protocols: who is tested when, against a plain recomputation of the rules, and no label from the future."""

import numpy as np
import pytest

from fraud.core.errors import DataError, SettingsError
from fraud.training.dataset import FRAUD, Dataset
from fraud.training.protocols import (
    MEASURES,
    chronological_fold,
    fdh_folds,
    folds,
    measure,
)
from fraud.training.splits import slices


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
    for fold, start in zip(fdh_folds(data, train), (115, 122, 129, 136), strict=True):
        rows = slices(data, fold.span)
        days = data.day[rows.train]
        assert (days.min(), days.max()) == (start if first is None else first, start + 6)
        assert data.day[rows.validation].min() == start


def test_fdh_folds_of_a_short_history_are_refused(data: Dataset) -> None:
    short = data._replace(time=data.time[:100])
    with pytest.raises(DataError, match=r"needs 157 days.*chronological"):
        fdh_folds(short)


def test_chronological_fold_learns_only_what_was_known_at_the_split(data: Dataset) -> None:
    fold = chronological_fold(data, 0.8)
    rows = slices(data, fold.span)
    assert data.time[rows.train].max() + data.meta.identity.label_delay < data.time[fold.test].min()
    assert len(fold.test) == pytest.approx(0.2 * len(data.time), abs=2)


def test_chronological_split_outside_the_history_is_refused(data: Dataset) -> None:
    with pytest.raises(DataError, match="between 0 and 1"):
        chronological_fold(data, 1.0)


def test_measure_without_enough_cards_has_no_card_precision(data: Dataset) -> None:
    rows = np.arange(2_000)
    found = measure(data, rows, data.matrix[rows, 0].astype(np.float64))
    assert found["cp100"] is None
    assert found["ap"] is not None


def test_measures_of_one_kind_of_verdict_are_none(data: Dataset) -> None:
    genuine = np.flatnonzero(data.fraud != FRAUD)[:500]
    found = measure(data, genuine, np.zeros(500))
    assert [found[name] for name in MEASURES] == [None] * 4
    assert found["chance"] is found["ceiling"] is None


def test_no_ranking_is_better_than_the_ceiling_nor_worse_than_chance_by_chance(data: Dataset) -> None:
    fraud = data.fraud == FRAUD
    found = measure(data, np.arange(len(fraud)), fraud.astype(np.float64))
    assert {name: found[name] for name in found["ceiling"]} == pytest.approx(found["ceiling"])
    equal = measure(data, np.arange(len(fraud)), np.zeros(len(fraud)))
    assert {name: equal[name] for name in equal["chance"]} == pytest.approx(equal["chance"])


def test_folds_are_those_that_are_numbered_and_no_others(data: Dataset) -> None:
    assert [fold.name for fold in folds(data, "fdh", 0.85, "long", [3, 1, 3])] == ["day 115", "day 129"]
    assert len(folds(data, "fdh", 0.85, "long")) == 4
    assert [fold.name for fold in folds(data, "chronological", 0.8, "long")] == ["after 0.8"]
    with pytest.raises(SettingsError, match="--fold 1 5: expected numbers from 1 to 4"):
        folds(data, "fdh", 0.85, "long", [5, 1])
