"""Which rows a model may learn from when it must be ready at a given time, and which it is validated on.

Nothing is learned from a row whose verdict was not known yet. The number of trees and the calibration are chosen on
the last rows whose verdicts are known, by a model that ends a label delay before them: the same gap that the final
model will have to its future.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core.errors import DataError
from fraud.core.records import DAY
from fraud.training.dataset import FRAUD, GENUINE, UNKNOWN, Dataset

Rows = NDArray[np.int64]

ENOUGH_FRAUDS = 50
PROVING_FRAUDS = 600
"""So many frauds, none lost, prove at 95 % that early approval loses at most .5 % of them (`blend.most_lost`)."""
LEAST_FRAUDS = 20
"""Fewer frauds than this in a slice choose nothing: fixed settings are used instead."""


class Span(NamedTuple):
    """Times, ns UTC: learn from `start` to `end`; choose on `validation_from` to `end`, by what ends at `inner_end`."""

    start: int
    inner_end: int
    validation_from: int
    end: int


class Slices(NamedTuple):
    """Row numbers, int64: all to learn from, the earlier part of them, and the later part to choose on."""

    train: Rows
    inner: Rows
    validation: Rows


def span_before(ready: int, delay: int, start: int, validation: int, gap: int | None = None) -> Span:
    """Return what a model that must be ready at `ready` may use, when verdicts take `delay`; ns.

    `gap` is the time left out before the validation rows, the label delay unless given.
    """
    end = ready - (delay if gap is None else gap)
    validation_from = end - validation
    return Span(start, validation_from - (delay if gap is None else gap), validation_from, end)


def usual_start(data: Dataset) -> int:
    """Return when learning starts: 30 days in, or 15 % of a history shorter than 200 days; features need a past."""
    first, last = data.first, data.last
    return first + min(30 * DAY, int(0.15 * (last - first)))


def usual_validation(data: Dataset, end: int, enough: int = ENOUGH_FRAUDS) -> int:
    """Return the validation time before `end`, ns: 7 days, longer until `enough` frauds, at most 20 % of all."""
    history = end - data.first
    frauds = data.time[(data.fraud == FRAUD) & (data.time < end)]
    needed = end - int(frauds[-enough]) if len(frauds) >= enough else history
    return min(max(needed, 7 * DAY), history // 5)


def slices(data: Dataset, span: Span) -> Slices:
    """Return the labelled rows of a span; raise DataError when there is nothing to learn from."""
    train = between(data, span.start, span.end)
    frauds = int(np.count_nonzero(data.fraud[train] == FRAUD))
    if not 0 < frauds < len(train):
        message = (
            f"Between the times given there are {len(train)} payments with a known verdict, {frauds} of them frauds; "
            "to learn, both kinds are needed. Give a longer history or a shorter label delay."
        )
        raise DataError(message)
    return Slices(train, between(data, span.start, span.inner_end), between(data, span.validation_from, span.end))


def between(data: Dataset, start: int, end: int) -> Rows:
    """Return the rows with a verdict that happened from `start` until before `end`."""
    return np.flatnonzero((data.time >= start) & (data.time < end) & (data.fraud != UNKNOWN))


def can_choose(data: Dataset, rows: Slices) -> bool:
    """Say whether the earlier and the later part hold enough frauds, and genuine payments, to choose on."""
    parts = (data.fraud[rows.inner], data.fraud[rows.validation])
    return all((p == FRAUD).sum() >= LEAST_FRAUDS and (p == GENUINE).sum() >= LEAST_FRAUDS for p in parts)
