"""Nothing is learned from a verdict that was not known yet."""

import msgspec
import numpy as np
import pytest

from fraud.core.errors import DataError
from fraud.core.records import DAY
from fraud.training.dataset import FRAUD, Dataset
from fraud.training.splits import PROVING_FRAUDS, can_choose, slices, span_before
from fraud.training.train import usual_slices

WEEK = 7 * DAY


def with_delay(data: Dataset, delay: int) -> Dataset:
    identity = msgspec.structs.replace(data.meta.identity, label_delay=delay)
    return data._replace(meta=msgspec.structs.replace(data.meta, identity=identity))


@pytest.mark.parametrize("delay", [0, DAY, WEEK, 40 * DAY])
def test_slices_hold_no_row_whose_verdict_was_unknown(data: Dataset, delay: int) -> None:
    ready = int(data.time[0]) + 120 * DAY
    rows = slices(data, span_before(ready, delay, int(data.time[0]), WEEK))
    assert data.time[rows.train].max() + delay < ready
    assert data.time[rows.validation].max() + delay < ready
    assert data.time[rows.inner].max() + delay < data.time[rows.validation].min()
    assert set(rows.inner) | set(rows.validation) <= set(rows.train)


def test_usual_slices_reach_to_the_last_known_verdict(data: Dataset) -> None:
    rows = usual_slices(with_delay(data, 3 * DAY))
    assert data.time[-1] - 4 * DAY < data.time[rows.train].max() <= data.time[-1] - 3 * DAY
    assert data.time[rows.train].min() >= data.time[0] + 0.15 * (data.time[-1] - data.time[0]) - 1


def test_slices_leave_out_rows_without_a_verdict(data: Dataset) -> None:
    silent = data.fraud.copy()
    silent[::2] = -1
    rows = slices(data._replace(fraud=silent), span_before(int(data.time[-1]), 0, 0, WEEK))
    assert np.all(rows.train % 2 == 1)


def test_slices_with_nothing_to_learn_are_refused(data: Dataset) -> None:
    with pytest.raises(DataError, match=r"both kinds are needed\. Give a longer history"):
        slices(data, span_before(int(data.time[0]) + DAY, WEEK, 0, WEEK))


def test_can_choose_needs_frauds_in_both_parts(data: Dataset) -> None:
    rows = usual_slices(data)
    assert can_choose(data, rows)
    assert not can_choose(data, rows._replace(validation=rows.validation[:5]))
    assert not can_choose(data, rows._replace(inner=rows.inner[:0]))


def test_a_blend_is_judged_on_more_frauds_than_a_booster(data: Dataset) -> None:
    """History allows 20 % at most: a fifth of the frauds here, more than the booster's 50."""
    booster, blend = usual_slices(data), usual_slices(data, "blend")
    frauds = [int((data.fraud[rows.validation] == FRAUD).sum()) for rows in (booster, blend)]
    assert frauds[0] < frauds[1] <= PROVING_FRAUDS
    assert data.time[blend.train[-1]] == data.time[booster.train[-1]]
