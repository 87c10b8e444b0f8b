"""What the comparisons share: rows of figures on standard output, progress on standard error, a plain LightGBM."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fraud.cli import fits
from fraud.core import intervals
from fraud.core.settings import Settings
from fraud.training import evaluation, extraction, fitting, protocols, settings
from fraud.training.dataset import FRAUD, Dataset
from fraud.training.protocols import Fold
from fraud.training.splits import slices
from models.boosting.trees import F64

Row = dict[str, Any]

SPLIT = 0.85
FOLDER = Path("build/peers")
NETWORK: Row = {"easy_share": 1.0, "middle_share": 1.0, "hard_share": 1.0, "epochs": 6}
"""For data of few rows: every one is drawn in each epoch."""
REFERENCE: dict[str, Any] = {"n_estimators": 300, "learning_rate": 0.03, "num_leaves": 15, "min_child_samples": 50}
"""What the reference booster of the Fraud Detection Handbook stream is fitted with."""


class History(NamedTuple):
    """Extracted vectors, and the folder of the recorded histories that a network's tokens come from."""

    data: Dataset
    recording: Path


def extracted(path: Path, mapping: str, delay: str, cache: Path, *, histories: bool) -> History:
    """Return a file's vectors with labels `delay` late ('none': never), from `cache` if it has them."""
    data = fits.extracted(path, mapping, delay, cache, Settings(), histories=histories)
    return History(data, extraction.history_folder(cache, data.meta.identity))


def say(text: str) -> None:
    """Tell how it is going."""
    print(text, file=sys.stderr, flush=True)


def scored(data: Dataset, fold: Fold, score: F64) -> Row:
    """Return the measures of a fold's test rows with the interval of average precision, over merchants."""
    bounds = intervals.bounds(evaluation.draws(data, fold.test, score)[0])
    return {**protocols.measure(data, fold.test, score), "ap_interval": list(bounds)}


def gain(data: Dataset, fold: Fold, one: F64, other: F64) -> list[float]:
    """Return the bounds of the difference in average precision, one less the other, over the same merchants."""
    paired = evaluation.draws(data, fold.test, one)[0] - evaluation.draws(data, fold.test, other)[0]
    return list(intervals.bounds(paired))


def plain_lightgbm(data: Dataset, fold: Fold, threads: int, seed: int) -> F64:
    """Return the scores of the test rows by LightGBM as anyone would use it on our features.

    The reference settings on every labelled row: nothing is chosen, nothing thinned, nothing calibrated.
    """
    rows = slices(data, fold.span).train
    return lightgbm_scores(data.matrix[rows], data.fraud[rows] == FRAUD, data.matrix[fold.test], threads, seed)


def lightgbm_scores(learned: Any, fraud: Any, tested: Any, threads: int, seed: int) -> F64:
    """Return the scores of rows by LightGBM with the reference settings, fitted on others and their verdicts."""
    import lightgbm

    model = lightgbm.LGBMClassifier(**REFERENCE, n_jobs=threads, random_state=seed, verbose=-1).fit(learned, fraud)
    return np.asarray(model.booster_.predict(tested), dtype=np.float64)


def our_scores(history: History, fold: Fold, given: argparse.Namespace, name: str) -> dict[str, F64]:
    """Return the scores of the test rows by our booster, and with `--network` by network and blend too."""
    if not given.network:
        return booster_scores(history.data, fold, given.threads, given.seed)
    settings = {**NETWORK, "threads": given.threads, "epochs": given.epochs}
    return network_scores(history, fold, settings, given.seed, name)


def booster_scores(data: Dataset, fold: Fold, threads: int, seed: int) -> dict[str, F64]:
    """Return the scores of the test rows by our booster."""
    asked = fitting.FitRequest(settings.booster(seed, tables={"booster": {"threads": threads}}))
    return fitting.fit(data, slices(data, fold.span), asked).scores(data, fold.test)


def network_scores(history: History, fold: Fold, given: Row, seed: int, name: str) -> dict[str, F64]:
    """Return the scores of the test rows by booster, network and blend, from one fit.

    `given` are settings of the network that differ from the usual ones.
    """
    from fraud.training.recording import HistoryLog

    tables = {"network": given, "booster": {"threads": given.get("threads", 1)}}
    asked = fitting.FitRequest(settings.blend(seed, tables=tables), HistoryLog(history.recording))

    def tell(done: float, what: str) -> None:
        if ":" in what:
            say(f"{name}: {done:.0%}, {what}")

    return fitting.fit(history.data, slices(history.data, fold.span), asked, tell).scores(history.data, fold.test)


def parser(about: str | None, data: str) -> argparse.ArgumentParser:
    """Return the options that comparisons on one file share; `data` says which file."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", type=Path, required=True, help=data)
    made.add_argument("--network", action="store_true", help="fit network and blend too")
    made.add_argument("--epochs", type=int, default=NETWORK["epochs"])
    made.add_argument("--threads", type=int, default=1)
    made.add_argument("--seed", type=int, default=0)
    return made


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
