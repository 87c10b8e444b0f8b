"""What speaks against a model, and payments that stand apart from all others in time."""

import numpy as np
import pytest

from fraud.core.records import DAY
from fraud.training.dataset import Dataset, Identity, Meta, apart
from fraud.training.splits import slices, span_before
from fraud.training.train import Doubts

YEAR = 365 * DAY
START = 20_000 * DAY


def history(days: int, frauds: int, late: int = 0) -> Dataset:
    """A payment each hour; `frauds` of them, spread over the days, `late` of these on the last one."""
    count = days * 24
    fraud = np.zeros(count, np.int8)
    fraud[np.linspace(0, count - 25, frauds - late).astype(int)] = 1
    fraud[count - late :] = 1
    codes = np.arange(count, dtype=np.int32)
    meta = Meta(Identity("", "", 0), (), count)
    time = START + np.arange(count) * (DAY // 24)
    return Dataset(meta, np.empty((count, 0), np.float32), time, codes, codes, codes.astype(np.int64), fraud, fraud)


def doubts(data: Dataset) -> Doubts:
    span = span_before(data.last + 1, 0, data.first, 7 * DAY)
    return Doubts.of(data, slices(data, span))


def test_history_with_enough_of_all_raises_no_doubt() -> None:
    assert doubts(history(100, 600)) == Doubts()


def test_too_few_frauds_to_choose_on_are_a_grave_doubt() -> None:
    (grave,) = doubts(history(100, 120)).grave
    assert "frauds are among the last 168 payments whose verdict is known, and fewer than 20 choose nothing" in grave


def test_few_frauds_and_few_days_are_told() -> None:
    found = doubts(history(13, 60, late=20))
    assert found.grave == ()
    assert ["only 60 frauds to learn from" in found.others[0], "only 13.0 days of history" in found.others[1]] == [
        True
    ] * 2


@pytest.mark.parametrize(("before", "after"), [(0, 1), (1, 0), (2, 3), (0, 0)])
def test_few_rows_far_from_all_others_are_no_part_of_the_history(before: int, after: int) -> None:
    usual = START + np.arange(6_000) * 3_600 * 10**9
    early = START - 20 * YEAR + np.arange(before) * DAY * 365
    late = usual[-1] + 73 * YEAR + np.arange(after) * 300 * DAY
    time = np.concatenate([early, usual, late])
    assert apart(time) == (before, before + 6_000)


def test_rows_apart_that_are_many_or_near_belong_to_the_history() -> None:
    usual = START + np.arange(6_000) * 3_600 * 10**9
    many = np.concatenate([usual, usual[-1] + 73 * YEAR + np.arange(60) * DAY])
    near = np.append(usual, usual[-1] + 100 * DAY)
    assert (apart(many), apart(near), apart(usual[:500])) == ((0, 6_060), (0, 6_001), (0, 500))
    assert apart(usual[:0]) == (0, 0)
