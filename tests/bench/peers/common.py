"""What the comparisons share: rows of figures on standard output, progress on standard error, a plain LightGBM."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fraud.cli import vectors
from fraud.core import intervals
from fraud.core.settings import Settings
from fraud.training import judging, kinds, protocols, settings
from fraud.training.dataset import FRAUD, Dataset
from fraud.training.protocols import Fold
from fraud.training.slices import slices
from models.trees import F64

Row = dict[str, Any]

REFERENCE: dict[str, Any] = {"n_estimators": 300, "learning_rate": 0.03, "num_leaves": 15, "min_child_samples": 50}
"""What the reference booster of the Fraud Detection Handbook stream is fitted with."""


class History(NamedTuple):
    """Extracted vectors, and the folder of the recorded histories that a network's tokens come from."""

    data: Dataset
    recording: Path


def extracted(path: Path, mapping: str, delay: str, cache: Path, *, histories: bool) -> History:
    """Return a file's vectors with labels `delay` late ('none': never), from `cache` if it has them."""
    data = vectors.extracted(path, mapping, delay, cache, Settings(), histories=histories)
    return History(data, vectors.history_folder(cache, data.meta.identity))


def say(text: str) -> None:
    """Tell how it is going."""
    print(text, file=sys.stderr, flush=True)


def scored(data: Dataset, fold: Fold, score: F64) -> Row:
    """Return the measures of a fold's test rows with the interval of average precision, over merchants."""
    bounds = intervals.bounds(judging.draws(data, fold.test, score)[0])
    return {**protocols.measure(data, fold.test, score), "ap_interval": list(bounds)}


def gain(data: Dataset, fold: Fold, one: F64, other: F64) -> list[float]:
    """Return the bounds of the difference in average precision, one less the other, over the same merchants."""
    paired = judging.draws(data, fold.test, one)[0] - judging.draws(data, fold.test, other)[0]
    return list(intervals.bounds(paired))


def plain_lightgbm(data: Dataset, fold: Fold, threads: int, seed: int) -> F64:
    """Return the scores of the test rows by LightGBM as anyone would use it on our features.

    The reference settings on every labelled row: nothing is chosen, nothing thinned, nothing calibrated.
    """
    import lightgbm

    rows = slices(data, fold.span).train
    model = lightgbm.LGBMClassifier(**REFERENCE, n_jobs=threads, random_state=seed, verbose=-1)
    model.fit(data.matrix[rows], data.fraud[rows] == FRAUD)
    return np.asarray(model.booster_.predict(data.matrix[fold.test]), dtype=np.float64)


def booster_scores(history: History, fold: Fold, threads: int, seed: int) -> dict[str, F64]:
    """Return the scores of the test rows by our booster."""
    asked = kinds.Asked(settings.booster(seed, tables={"booster": {"threads": threads}}))
    return kinds.fit(history.data, slices(history.data, fold.span), asked).scores(history.data, fold.test)


def network_scores(history: History, fold: Fold, given: Row, seed: int, name: str) -> dict[str, F64]:
    """Return the scores of the test rows by booster, network and blend, from one fit.

    `given` are settings of the network that differ from the usual ones.
    """
    from fraud.training.tokens import HistoryLog

    tables = {"network": given, "booster": {"threads": given.get("threads", 1)}}
    asked = kinds.Asked(settings.blend(seed, tables=tables), HistoryLog(history.recording))

    def tell(done: float, what: str) -> None:
        if ":" in what:
            say(f"{name}: {done:.0%}, {what}")

    return kinds.fit(history.data, slices(history.data, fold.span), asked, tell).scores(history.data, fold.test)


def table(title: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Print rows as a table; numbers of a row are rounded to four places, what it lacks is a dash."""
    cells = [list(columns), *([cell(row.get(name)) for name in columns] for row in rows)]
    width = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    print(f"\n{title}")
    for line in cells:
        print("  ".join(text.ljust(width[0]) if not at else text.rjust(width[at]) for at, text in enumerate(line)))


def cell(value: Any) -> str:
    """Return a value as it stands in a table."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return " to ".join(cell(each) for each in value)
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def finish(result: Row) -> None:
    """Print the last line."""
    print(json.dumps(result))
