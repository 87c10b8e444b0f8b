"""Nothing that a fit leaves depends on what came later, or on a verdict that was not known when the model was made.

Bins, strata, early stopping, mixture, calibration, thresholds of early approval, the usual payment: all are in the
artifact, so the artifact of a history whose future was changed must be the same to the last byte.
"""

from collections.abc import Callable

import numpy as np
import pytest

from fraud.core.records import DAY
from fraud.training import fitting, train
from fraud.training.blend import BlendSettings
from fraud.training.booster import BoosterSettings
from fraud.training.dataset import FRAUD, GENUINE, Dataset
from fraud.training.network import NetworkSettings
from fraud.training.settings import BLEND
from fraud.training.splits import Slices, Span, slices, span_before
from models.registry import Arrays
from tests.training.made_tokens import MadeTokens

DELAY = 7 * DAY
SETTINGS = BlendSettings(
    booster=BoosterSettings(trees=15, learning_rate=0.2, patience=5, threads=1),
    network=NetworkSettings(
        epochs=2, width=16, heads=2, columns=4, bins=4, encoder_steps=5, threads=1, easy_share=0.2, least_rows=1
    ),
)
Change = Callable[[Dataset, MadeTokens, int], tuple[Dataset, MadeTokens]]


def span_of(data: Dataset) -> Span:
    """Return what a model may use that must be ready after four fifths of the history."""
    first, last = int(data.time[0]), int(data.time[-1])
    return span_before(first + (last - first) * 4 // 5, DELAY, first + 20 * DAY, 30 * DAY)


def fitted(data: Dataset, tokens: MadeTokens, rows: Slices) -> Arrays:
    made = fitting.fit(data, rows, fitting.FitRequest(SETTINGS, tokens))
    return train.arrays_of(data, train.Made.of(BLEND, rows, made))


def flipped(data: Dataset, rows: np.ndarray) -> Dataset:
    fraud = data.fraud.copy()
    fraud[rows] = np.where(fraud[rows] == FRAUD, GENUINE, FRAUD)
    return data._replace(fraud=fraud)


def verdicts_changed(data: Dataset, tokens: MadeTokens, since: int) -> tuple[Dataset, MadeTokens]:
    """Change every verdict of payments since a time."""
    return flipped(data, np.flatnonzero(data.time >= since)), tokens


def events_changed(data: Dataset, tokens: MadeTokens, since: int) -> tuple[Dataset, MadeTokens]:
    """Change features and histories of payments since a time."""
    later = data.time >= since
    matrix = np.array(data.matrix)
    matrix[later] = -3 * matrix[later] - 1
    other = MadeTokens(len(data.time))
    other.events[later, ..., 1:20] *= -2
    return data._replace(matrix=matrix), other


def differing(one: Arrays, other: Arrays) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name in one if np.asarray(one[name]).tobytes() != np.asarray(other[name]).tobytes()]


@pytest.fixture(scope="module")
def usual(data: Dataset) -> Arrays:
    return fitted(data, MadeTokens(len(data.time)), slices(data, span_of(data)))


@pytest.mark.parametrize("change", [verdicts_changed, events_changed])
def test_an_artifact_knows_nothing_of_what_came_after_it(data: Dataset, usual: Arrays, change: Change) -> None:
    span, tokens = span_of(data), MadeTokens(len(data.time))
    changed = change(data, tokens, span.end)
    assert differing(usual, fitted(*changed, slices(changed[0], span))) == []


def test_comparison_reports_a_fit_that_knew_verdicts_too_early(data: Dataset, usual: Arrays) -> None:
    """Broken: chooses on the payments of the last week, whose verdicts a live service would still wait for."""
    span, tokens = span_of(data), MadeTokens(len(data.time))
    greedy = span._replace(end=span.end + DELAY)
    knew = fitted(data, tokens, slices(data, greedy))
    changed, same = verdicts_changed(data, tokens, span.end)
    told = differing(knew, fitted(changed, same, slices(changed, greedy)))
    assert {"exits", "exit_thresholds"} & set(told)


def test_comparison_reports_bins_and_weights_of_another_past(data: Dataset, usual: Arrays) -> None:
    span, tokens = span_of(data), MadeTokens(len(data.time))
    changed = events_changed(data, tokens, span.start + (span.inner_end - span.start) // 2)
    told = differing(usual, fitted(*changed, slices(changed[0], span)))
    assert {"exits", "neutral", "weight.query.lower", "weight.exit_near.last.weight"} <= set(told)
