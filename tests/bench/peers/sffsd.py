"""S-FFSD on a chronological split: booster, network and blend beside plain LightGBM, by how late labels are.

    python -m tests.bench.peers.sffsd --data s-ffsd.csv.xz [--delays 0s,2000s,none] [--network]

`Time` is a row number, read as seconds, so a delay of 2,000 s is one of 2,000 events and windows of an hour hold 3,600.
Learned before the 85 % time quantile, less the delay, tested on the labelled events after it; the 48,238 others
(label 2) are read like any other and neither learned from nor scored. Beside ours: LightGBM on the file's own columns
(source, target, location, type as numbers, log amount), and LightGBM with the reference settings on our features.
Frauds come in bursts at a few targets, so intervals, drawn over targets, are wide: read differences with theirs.
Progress on standard error, then a table and one JSON line.
"""

import argparse
import lzma
from pathlib import Path

import numpy as np

from fraud.training import protocols
from fraud.training.dataset import FRAUD, Dataset
from fraud.training.splits import slices
from models.boosting.trees import F64
from tests.bench.peers import common
from tests.bench.peers.common import FOLDER, SPLIT, Row, say

MAPPING = "sffsd"
RAW, PLAIN = "LightGBM, the file's five columns", "LightGBM, our features"
CATEGORIES = ("Source", "Target", "Location", "Type")


def own_columns(path: Path, data: Dataset) -> F64:
    """Return the file's columns as numbers, float64 (rows, 5), in the order of the vectors."""
    import pandas as pd

    with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file:
        frame = pd.read_csv(file).sort_values("Time", kind="stable")
    if len(frame) != len(data.time):
        message = f"{path} has {len(frame)} rows, {len(data.time)} were extracted: expected as many"
        raise RuntimeError(message)
    codes = [pd.factorize(frame[name])[0].astype(np.float64) for name in CATEGORIES]
    return np.stack([*codes, np.log1p(frame.Amount.to_numpy())], 1)


def raw_scores(path: Path, data: Dataset, fold: protocols.Fold, given: argparse.Namespace) -> F64:
    """Return the scores of the test rows by LightGBM on the file's own columns."""
    columns, train = own_columns(path, data), slices(data, fold.span).train
    fraud = data.fraud[train] == FRAUD
    return common.lightgbm_scores(columns[train], fraud, columns[fold.test], given.threads, given.seed)


def judged(given: argparse.Namespace, delay: str) -> list[Row]:
    """Return the measures of every model at one delay, with the gain of each in average precision over `PLAIN`."""
    history = common.extracted(given.data, MAPPING, delay, FOLDER / "cache", histories=given.network)
    data, fold = history.data, protocols.chronological_fold(history.data, SPLIT)
    scores = {RAW: raw_scores(given.data, data, fold, given)}
    scores[PLAIN] = common.plain_lightgbm(data, fold, given.threads, given.seed)
    scores |= common.our_scores(history, fold, given, f"labels {delay} late")
    rows = []
    for model, score in scores.items():
        ours = {} if model in (RAW, PLAIN) else {"gain": common.gain(data, fold, score, scores[PLAIN])}
        rows.append({"delay": delay, "model": model, **common.scored(data, fold, score), **ours})
        say(f"labels {delay} late, {model}: AP {rows[-1]['ap']:.4f}, AUC {rows[-1]['auc']:.4f}")
    return rows


def arguments() -> argparse.Namespace:
    """Return the command's options."""
    parser = common.parser(__doc__, "s-ffsd.csv.xz")
    parser.add_argument("--delays", default="0s,500s,2000s,8000s,none", help="of labels; one second is one event")
    return parser.parse_args()


def main() -> None:
    """Judge every model at every delay and show them."""
    given = arguments()
    rows = [row for delay in given.delays.split(",") for row in judged(given, delay)]
    columns = ("model", "delay", "rows", "frauds", "ap", "ap_interval", "gain", "auc", "recall_at_1pct")
    common.table("S-FFSD, after the 85 % time quantile; gain is over LightGBM on our features", columns, rows)
    common.finish({"rows": rows, "seed": given.seed})


if __name__ == "__main__":
    main()
