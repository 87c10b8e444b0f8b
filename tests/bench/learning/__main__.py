"""Frozen model against what is learned from late labels, prequentially, on the replayed vectors of a stream.

    python -m tests.bench.learning [--stream NAME] [--set name=value ...] [--data FILE --mapping NAME]
        [--label-delay 1d] [--from 0.5] [--model NAME] [--every 1h] [--cache FOLDER] [--no-poison] [--naive] [--late]

A base is fitted on what was known at the time quantile `--from` (or taken: `--model`), the rest is decided in order of
time, labels come `--label-delay` late. Average precision is the mean over weeks of each week's, its interval by
bootstrap over merchants. Poison: a share of the labels of two days flipped halfway, with the gate and without. Flipped
are the labels that the learner gets, while the features see true ones. What was learned is shown twice: the mixture as
it is, and as the guard lets payments have it. Ends with one JSON line; by default two minutes on two quiet cores.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from fraud.cli import fits, options
from fraud.cli.simulate import parameters
from fraud.core import metrics
from fraud.core.learning.charts import CHARTS
from fraud.core.learning.outcomes import Outcome
from fraud.core.records import DAY, SECOND
from fraud.simulate import stream
from fraud.training import booster as boosting
from fraud.training import settings
from fraud.training.dataset import FRAUD, UNKNOWN, Dataset
from fraud.training.prequential import Decided, against_frozen, bands, log_loss
from fraud.training.splits import slices, span_before, usual_start, usual_validation
from models import registry
from models.boosting.scorer import CALIBRATION
from models.boosting.trees import F64, Trees
from models.calibration import Beta
from models.online import leaves as lv
from models.online.leaves import LeafSums
from models.online.parameters import Parameters
from models.online.refreshed import Refreshed
from models.online.stack import Learned, OnlineStack
from models.rules_only import RulesOnly
from streaming.files.column_file import write
from streaming.wiring import SHIPPED
from tests.bench.learning import late, naive
from tests.bench.learning.prequential import I64, NEVER, Bools, Prequential, Replayed, Run, logit

FOLDER = Path("build/learning")
SMALL = {"fdh": {"cards": 900, "terminals": 2_500, "days": 100}}
WEEK = 7 * DAY
POISONED_DAYS, FLIPPED = 2, 0.3
DRAWS = 100


class Base(NamedTuple):
    """What is frozen: trees and their calibration, fitted without a row after `ready` (ns)."""

    name: str
    trees: Trees
    calibration: Beta
    ready: int


class Task(NamedTuple):
    """A stream as it is replayed, and the rows that count: decided after `ready`, their verdict known in the end."""

    name: str
    base: Base
    data: Dataset
    replayed: Replayed
    rows: I64


def vectors(given: argparse.Namespace) -> Dataset:
    """Return the stream's vectors; made and extracted unless an earlier run left them."""
    path, mapping = given.data, given.mapping
    if path is None:
        made = parameters([f"{name}={value}" for name, value in SMALL.get(given.stream, {}).items()] + given.set)
        tag = "-".join(f"{name}{value:g}" for name, value in sorted(made.items()))
        path, mapping = FOLDER / f"{given.stream}-{tag}.parquet", "native"
        if not path.exists():
            write(path, stream(given.stream).make(**made).columns())
    return fits.extracted(path, mapping, given.label_delay, given.cache, options.settings(None))


def based(given: argparse.Namespace, data: Dataset) -> Base:
    """Return the base: a shipped model, or one fitted on what was known by then."""
    ready, delay = int(np.quantile(data.time, getattr(given, "from"), method="lower")), data.meta.identity.latest
    if given.model:
        held = registry.load(SHIPPED, given.model, spec_version=data.meta.identity.spec_version)
        return Base(given.model, Trees.from_arrays(held.arrays), Beta(*map(float, held.arrays[CALIBRATION])), ready)
    span = span_before(ready, delay, usual_start(data), usual_validation(data, ready - delay))
    made = boosting.fit(data, slices(data, span), settings.booster(0, quick=True))
    return Base("fitted", made.trees, made.calibration, ready)


def task(given: argparse.Namespace) -> Task:
    """Return a stream ready to be replayed: payments whose labels may come after `ready`, and all from there on."""
    data = vectors(given)
    base, delay = based(given, data), data.meta.identity.latest
    use = np.flatnonzero(data.time + delay >= base.ready)
    matrix = np.ascontiguousarray(data.matrix[use])
    raw = base.trees.raw(matrix)
    known = data.fraud[use] != UNKNOWN
    replayed = Replayed(
        data.time[use], logit(np.array(base.calibration.probabilities(raw.tolist()))), matrix, base.trees,
        data.fraud[use] == FRAUD, np.where(known, data.time[use] + delay, NEVER), data.merchant[use], delay,
    )  # fmt: skip
    name = given.data.stem if given.data else given.stream
    return Task(name, base, data, replayed, np.flatnonzero((replayed.time >= base.ready) & known))


def against(one: Task, run: Run, p: F64) -> dict[str, Any]:
    """Return gain in weekly average precision with its interval, and log-loss before and after."""
    rows, of = one.rows, one.replayed
    decided = Decided(of.time[rows], of.merchant[rows], of.fraud[rows], of.told_at[rows], run.frozen[rows])
    return against_frozen(decided, p[rows], draws=DRAWS)


def poisoned(one: Task, every: int, share: float) -> dict[str, Any]:
    """Return what flipped labels of two days cost, over the week from when they come, with the gate and without."""
    of = one.replayed
    begin = (one.base.ready + int(of.time[-1])) // 2
    came = (of.told_at >= begin) & (of.told_at < begin + POISONED_DAYS * DAY)
    hit = came & (np.random.default_rng(3).random(len(came)) < share)
    rows = np.flatnonzero((of.time >= begin) & (of.time < begin + WEEK) & (of.told_at < NEVER))
    found: dict[str, Any] = {"flipped": int(hit.sum())}
    for name in ("with_gate", "without_gate"):
        clean, run = (
            Prequential(of, every, CHARTS if name == "with_gate" else (), verdicts=said).run()
            for said in (of.fraud, of.fraud ^ hit)
        )
        aps, losses = zip(*(measured(of.fraud[rows], each.mixture[rows]) for each in (clean, run)), strict=True)
        through = hit & ~run.held
        after = [labels_until(of, begin, number) for _, number in run.alarms]
        found[name] = {
            "ap_loss": round(aps[0] - aps[1], 4), "log_loss": [round(each, 5) for each in losses],
            "through": int(through.sum()), "held": int(run.held.sum()), "honest_held": int((run.held & ~hit).sum()),
            "alarm_after": next((count for count in after if count >= 0), None),
            "guarded_ap_loss": round(aps[0] - measured(of.fraud[rows], run.guarded[rows])[0], 4),
        }  # fmt: skip
    return found


def labels_until(of: Replayed, begin: int, number: int) -> int:
    """Return how many labels came from the poison's begin to an alarm, which rose at label `number`; below 0: none."""
    return number - int(np.count_nonzero(of.told_at < begin))


def measured(fraud: Bools, p: F64) -> tuple[float, float]:
    """Return average precision and log-loss."""
    return metrics.average_precision(fraud, p), log_loss(fraud, p)


def costs(one: Task, run: Run) -> dict[str, float]:
    """Return what learning costs: us a label and pace, an export; us an event, at batch 32, of sums and mixture."""
    of, stack = one.replayed, OnlineStack(len(one.base.trees.leaf))
    leaves = lv.reached(of.trees, of.matrix[one.rows[:2_000]]).tolist()
    labels = [
        Learned(leaves[place], float(of.base[row]), Outcome(bool(of.fraud[row])), (0.1, 0.1, 0.1))
        for place, row in enumerate(one.rows[:2_000].tolist())
    ]
    start = time.perf_counter()
    for label in labels:
        stack.learn(label)
    taught = time.perf_counter()
    for _ in range(20):
        stack.export()
    exported = time.perf_counter()
    parameters = run.trace.published[-1][1]
    return {
        "learn_us": round((taught - start) / len(labels) * 1e6, 1),
        "export_ms": round((exported - taught) / 20 * 1e3, 2), **serving(one, parameters),
    }  # fmt: skip


def serving(one: Task, parameters: Parameters) -> dict[str, float]:
    """Return what serving costs: ms for new leaf values, us an event at batch 32, over a base that costs nothing."""
    matrix = np.ascontiguousarray(one.data.matrix[-3_200:])
    batches, ids = np.split(matrix, 100), [str(row) for row in range(32)]
    sums = LeafSums(one.base.trees)
    start = time.perf_counter()
    made = Refreshed(RulesOnly(), sums, parameters)
    swapped = time.perf_counter()
    made.score(ids, batches[0])
    took = []
    for batch in batches:
        began = time.perf_counter()
        made.score(ids, batch)
        took.append(time.perf_counter() - began)
    return {"swap_ms": round((swapped - start) * 1e3, 2), "score_us": round(float(np.median(took)) / 32 * 1e6, 2)}


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.learning", description=__doc__)
    parser.add_argument("--stream", default="fdh", help="a simulated stream; fraud simulate --list names them")
    parser.add_argument("--set", action="append", default=[], help="a parameter of the stream, as name=value")
    parser.add_argument("--data", type=Path, help="a file of payments in place of a simulated stream")
    parser.add_argument("--mapping", default="native")
    parser.add_argument("--label-delay", default="1d")
    parser.add_argument("--from", type=float, default=0.5, help="time quantile that the base is ready at")
    parser.add_argument("--model", help="a shipped booster as the base, in place of one fitted on the stream")
    parser.add_argument("--every", type=float, default=3_600, help="seconds of stream between two refreshes")
    parser.add_argument("--cache", type=Path, default=FOLDER / "cache")
    parser.add_argument("--flipped", type=float, default=FLIPPED, help="share of labels that poison flips")
    parser.add_argument("--no-poison", action="store_true")
    parser.add_argument("--late", action="store_true", help="learning from late chargebacks and silence alone too")
    parser.add_argument("--naive", action="store_true", help="a naive learner before the guard too")
    return parser.parse_args()


def main() -> None:
    """Run one stream."""
    given, console = arguments(), Console(stderr=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    one, every = task(given), round(given.every * SECOND)
    console.print(f"{one.name}: base {one.base.name}, {len(one.rows):,} payments decided")
    start = time.perf_counter()
    run = Prequential(one.replayed, every).run()
    took, labels = time.perf_counter() - start, len(run.trace.taught)
    result = against(one, run, run.guarded)
    mixture = against(one, run, run.mixture)
    guard = {
        "switches": run.figures["switches"], "on": round(run.on_share, 3), "steps_cut": run.figures.get("cut", 0),
        "steps_refused": run.figures.get("refused", 0), "refreshes": run.figures.get("refreshed", 0),
    }  # fmt: skip
    gate = {
        "alarms": [chart for chart, _ in run.alarms],
        "held": int(run.held.sum()),
        "waited_on": round(run.figures.get("waited", 0) / max(labels, 1), 4),
    }
    console.print_json(data={"guarded": result, "mixture": mixture, "guard": guard, "gate": gate})
    rows = one.rows
    held_to: dict[str, Any] = {"bands": bands(one.replayed.fraud[rows], run.guarded[rows])}
    if given.naive:
        plain = naive.run(one.replayed, every)
        held_to["naive"] = {**naive.shown(plain), **against(one, run, plain.p)}
    if given.late:
        held_to["late"] = late.run(one.replayed, every, one.base.ready)
    found: dict[str, Any] = {
        "streams": {
            one.name: {**result, "mixture": mixture, "guard": guard, "gate": gate, "labels": labels, **held_to}
        },
        "poison": {} if given.no_poison else poisoned(one, every, given.flipped),
        "cost": {**costs(one, run), "run_s": round(took, 1)},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
