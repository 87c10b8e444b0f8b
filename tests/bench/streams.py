"""What booster and network get out of the streams that each ask for one ability, beside the optimum.

    python -m tests.bench.streams [--stream NAME ...] [--seed N] [--set name=value ...] [--quick] [--no-network]

For each stream: make it, extract its vectors with labels as late as the stream says, learn before the time quantile
.85, and test on everything after it. Prints average precision, over all test payments and over parts of them, of
- the optimum: the generator's own chance of fraud given all that could be seen by then, which no model can beat;
- a rule that knows which payments the evidence decides, but not the evidence: what is left without the ability;
- booster, network and blend, and the network that sees of each history its last 32 events only.
Writes build/streams.json and ends with one JSON line. Work is kept in build/streams; `--no-network` needs no torch.
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

from fraud.cli import fits
from fraud.cli.simulate import parameters
from fraud.core import metrics
from fraud.core.settings import Settings
from fraud.simulate import Traffic, fronts, memory, rings, stream
from fraud.simulate.catalogue import CATEGORIES
from fraud.training import booster, extraction, fitting, settings
from fraud.training.dataset import Dataset
from fraud.training.protocols import Fold, chronological_fold
from fraud.training.splits import slices
from models.boosting.trees import F64
from streaming.files.column_file import write

STREAMS = ("long-memory", "text", "rings")
LAST_EVENTS = 32
LAST_ONLY = {settings.NETWORK: {"newest": LAST_EVENTS, "summaries": False, "frauds": False}}
"""The ablation: of each history the last 32 raw events, no summaries, no ring of known frauds."""
FOLDER = Path("build/streams")
OUT = Path("build/streams.json")

Bools = NDArray[np.bool_]


class Task(NamedTuple):
    """A stream, made and extracted: row i of `data` is message i of `traffic`."""

    name: str
    seed: int
    quick: bool
    traffic: Traffic
    data: Dataset
    fold: Fold


def task(name: str, seed: int, given: dict[str, float], *, quick: bool, histories: bool) -> Task:
    """Make a stream and its vectors, with recorded histories if asked; what an earlier run left is taken."""
    traffic = stream(name).make(seed=seed, **given)
    path = FOLDER / f"{name}.parquet"
    write(path, traffic.columns())
    days = given.get("label_days", stream(name).defaults["label_days"])
    data = fits.extracted(path, "native", f"{days}d", FOLDER / "cache", Settings(), histories=histories)
    if not np.array_equal(data.time, traffic.happened_at) or not np.array_equal(data.amount, traffic.base_amount):
        message = f"stream {name}: extracted rows are not the messages in their order, so the optimum fits none of them"
        raise RuntimeError(message)
    return Task(name, seed, quick, traffic, data, chronological_fold(data))


def optimum(one: Task) -> F64:
    """Return the generator's own scores of the test rows, float64 (rows,)."""
    if one.traffic.optimum is None:
        message = f"stream {one.name} has no optimum: expected one of {', '.join(STREAMS)}"
        raise ValueError(message)
    return one.traffic.optimum[one.fold.test]


def booster_scores(one: Task) -> fitting.Scores:
    """Fit the booster alone; return its scores of the test rows, by kind."""
    return _scores(one, fitting.FitRequest(settings.booster(one.seed, quick=one.quick)))


def network_scores(one: Task, tables: settings.Tables | None = None) -> fitting.Scores:
    """Fit booster and network, settings changed by `tables`; return scores of the test rows by kind."""
    asked = settings.blend(one.seed, quick=one.quick, tables=tables)
    return _scores(one, fitting.FitRequest(asked, extraction.histories(one.data, FOLDER / "cache")))


def last_events_scores(one: Task) -> F64:
    """Fit the network on the last 32 raw events of each history; return its scores of the test rows."""
    return network_scores(one, LAST_ONLY)[settings.NETWORK]


def _scores(one: Task, asked: fitting.FitRequest) -> fitting.Scores:
    made = fitting.fit(one.data, slices(one.data, one.fold.span), asked)
    found = made.scores(one.data, one.fold.test)
    # Ranked before calibration: one that fails makes all scores equal, and that says nothing of the booster.
    found[settings.BOOSTER] = booster.raw_scores(made.booster.trees, one.data, one.fold.test)
    return found


def plain_rule(one: Task) -> F64:
    """Return the score of a rule that knows the stream's plain facts and none of its evidence, float64 (rows,).

    It says whether a payment is one of those that evidence decides: a purchase, a new shop, a spot.
    """
    found: F64 = np.any(list(decided(one).values()), axis=0).astype(np.float64)
    return found


def scored(one: Task, say: Callable[[str], None], *, network: bool) -> fitting.Scores:
    """Return the test rows' scores by every model that is compared."""
    if not network:
        return {"optimum": optimum(one), "rule": plain_rule(one), **booster_scores(one)}
    say(f"{one.name}: booster and network")
    full = network_scores(one)
    say(f"{one.name}: network of the last {LAST_EVENTS} events")
    return {"optimum": optimum(one), "rule": plain_rule(one), **full, f"last {LAST_EVENTS}": last_events_scores(one)}


def decided(one: Task) -> dict[str, Bools]:
    """Return the test rows whose fraud the stream's evidence decides, by part."""
    traffic, rows = one.traffic, one.fold.test
    if one.name == "long-memory":
        return {"purchases": traffic.mcc[rows] == CATEGORIES[memory.BOUGHT].mcc}
    split = parts(one)
    return {name: split[name] for name in split if name != "all"}


def distinct(scores: fitting.Scores) -> None:
    """Refuse scores that are all the same: their average precision is the base rate, whatever the model knows."""
    for name, score in scores.items():
        if len(score) and score.min() == score.max():
            message = f"{name} gives every test row {score[0]:.4g}: expected scores that rank; look at its calibration"
            raise RuntimeError(message)


def parts(one: Task) -> dict[str, Bools]:
    """Return the parts of the test rows that are told apart."""
    traffic, rows = one.traffic, one.fold.test
    everything = {"all": np.ones(len(rows), dtype=np.bool_)}
    if one.name == "long-memory":
        # Near cards make some 250 payments in all, far ones more than the least distance.
        far = np.bincount(traffic.card)[traffic.card[rows]] > 500
        return {**everything, "near": ~far, "far": far}
    if one.name == "rings":
        device = traffic.device[rows] > traffic.card.max()
        return {**everything, "devices": device, "mules": traffic.merchant[rows] >= rings.OLD}
    return {**everything, "new shops": traffic.merchant[rows] >= fronts.OLD}


def measured(one: Task, scores: fitting.Scores) -> dict[str, Any]:
    """Return average precision of every model on every part."""
    distinct(scores)
    fraud = one.traffic.fraud[one.fold.test]
    return {
        "stream": one.name,
        "seed": one.seed,
        "trained_on": len(slices(one.data, one.fold.span).train),
        "parts": {
            part: {
                "rows": int(rows.sum()),
                "frauds": int(fraud[rows].sum()),
                "ap": {name: round(metrics.average_precision(fraud[rows], s[rows]), 4) for name, s in scores.items()},
            }
            for part, rows in parts(one).items()
        },
    }


def shown(results: Sequence[dict[str, Any]]) -> Table:
    """Return the results as a table."""
    models = list(results[0]["parts"]["all"]["ap"])
    table = Table("stream", "part", "test rows", "frauds", *models, title="average precision")
    for found in results:
        for name, part in found["parts"].items():
            values = (f"{part['ap'][model]:.3f}" for model in models)
            table.add_row(found["stream"], name, f"{part['rows']:,}", f"{part['frauds']:,}", *values)
    return table


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.streams")
    parser.add_argument("--stream", action="append", choices=STREAMS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="a parameter of the stream, as name=value")
    parser.add_argument("--quick", action="store_true", help="the quick settings of `fraud train --quick`")
    parser.add_argument("--no-network", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Run the chosen streams."""
    given, console = arguments(), Console(stderr=True)
    network, results = not given.no_network, []
    for name in given.stream or STREAMS:
        console.print(f"{name}: making and extracting")
        one = task(name, given.seed, parameters(given.set), quick=given.quick, histories=network)
        results.append(measured(one, scored(one, console.print, network=network)))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    Console(width=120).print(shown(results))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
