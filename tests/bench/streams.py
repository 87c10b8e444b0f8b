"""What booster and network get out of the streams that each ask for one ability, beside the optimum.

    python -m tests.bench.streams [--stream NAME ...] [--seed N] [--set name=value ...] [--full] [--no-network]

For each stream: make it, extract its vectors with labels as late as the stream says, learn before the time quantile
.85, and test on everything after it. Prints average precision of the optimum (the generator's own chance of fraud given
all that could be seen by then, which no model can beat), of the booster, of the network, and of the network that sees
of each history its last 32 events only; over all test payments and over parts of them. Writes build/streams.json and
ends with one JSON line. Work is kept in build/streams; `--full` fits the usual booster in place of the quick one.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from fraud.cli import learning
from fraud.cli.simulate import parameters
from fraud.core import metrics
from fraud.core.settings import Settings
from fraud.simulate import Traffic, fronts, rings, stream
from fraud.training.artifact import BoosterFitter
from fraud.training.dataset import Dataset
from fraud.training.protocols import Fold, chronological_fold
from fraud.training.slices import slices
from models.trees import F64
from streaming.tables import write

STREAMS = ("long-memory", "text", "rings")
LAST_EVENTS = 32
FOLDER = Path("build/streams")
OUT = Path("build/streams.json")

Bools = NDArray[np.bool_]
Fit = Callable[["Task"], F64]
"""Fits on what a fold may learn from; returns scores of its test rows, float64 (rows,)."""


class Task(NamedTuple):
    """A stream, made and extracted: row i of `data` is message i of `traffic`."""

    name: str
    seed: int
    traffic: Traffic
    data: Dataset
    fold: Fold


def task(name: str, seed: int, given: dict[str, float]) -> Task:
    """Make a stream and its vectors, or take the vectors from an earlier run."""
    traffic = stream(name).make(seed=seed, **given)
    path = FOLDER / f"{name}.parquet"
    write(path, traffic.columns())
    days = given.get("label_days", stream(name).defaults["label_days"])
    data = learning.extracted(path, "native", f"{days}d", FOLDER / "cache", Settings())
    if not np.array_equal(data.time, traffic.happened_at) or not np.array_equal(data.amount, traffic.base_amount):
        message = f"stream {name}: extracted rows are not the messages in their order, so the optimum fits none of them"
        raise RuntimeError(message)
    return Task(name, seed, traffic, data, chronological_fold(data))


def optimum(one: Task) -> F64:
    """Return the generator's own scores."""
    if one.traffic.optimum is None:
        message = f"stream {one.name} has no optimum: expected one of {', '.join(STREAMS)}"
        raise ValueError(message)
    return one.traffic.optimum[one.fold.test]


def booster(*, quick: bool) -> Fit:
    """Return what fits the booster and scores with it."""

    def fit(one: Task) -> F64:
        fitter = BoosterFitter(learning.booster_settings(one.seed, quick=quick))
        predict = fitter(one.data, slices(one.data, one.fold.span), one.fold.name)
        return predict(np.ascontiguousarray(one.data.matrix[one.fold.test]))

    return fit


def parts(one: Task) -> dict[str, Bools]:
    """Return the parts of the test rows that are told apart."""
    traffic, rows = one.traffic, one.fold.test
    everything = {"all": np.ones(len(rows), dtype=np.bool_)}
    if one.name == "long-memory":
        # Near cards make some 250 payments in all, far ones more than the least distance.
        far = np.bincount(traffic.card)[traffic.card[rows]] > 500
        return {**everything, "near": ~far, "far": far}
    if one.name == "rings":
        device = traffic.device[rows] >= traffic.card.max() + 1
        return {**everything, "devices": device, "mules": traffic.merchant[rows] >= rings.OLD}
    return {**everything, "new shops": traffic.merchant[rows] >= fronts.OLD}


def measured(one: Task, models: dict[str, Fit], say: Callable[[str], None]) -> dict[str, Any]:
    """Return average precision of every model on every part."""
    fraud, split = one.traffic.fraud[one.fold.test], parts(one)
    found: dict[str, Any] = {
        "stream": one.name, "seed": one.seed, "rows": len(fraud), "frauds": int(fraud.sum()),
        "trained_on": len(slices(one.data, one.fold.span).train), "ap": {},
    }  # fmt: skip
    for model, fit in models.items():
        say(f"{one.name}: {model}")
        score = fit(one)
        found["ap"][model] = {
            part: round(metrics.average_precision(fraud[rows], score[rows]), 4) for part, rows in split.items()
        }
    return found


def shown(results: Sequence[dict[str, Any]]) -> Table:
    """Return the results as a table."""
    models = list(results[0]["ap"])
    table = Table("stream", "part", "test rows", "frauds", *models, title="average precision")
    for found in results:
        for part in found["ap"][models[0]]:
            values = [f"{found['ap'][model][part]:.3f}" for model in models]
            table.add_row(found["stream"], part, f"{found['rows']:,}", f"{found['frauds']:,}", *values)
    return table


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.streams")
    parser.add_argument("--stream", action="append", choices=STREAMS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="a parameter of the stream, as name=value")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--no-network", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Run the chosen streams."""
    given, console = arguments(), Console(stderr=True)
    models: dict[str, Fit] = {"optimum": optimum, "booster": booster(quick=not given.full)}
    results = []
    for name in given.stream or STREAMS:
        console.print(f"{name}: making and extracting")
        one = task(name, given.seed, parameters(given.set))
        results.append(measured(one, models, console.print))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    Console().print(shown(results))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
