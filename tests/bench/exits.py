"""Early exit of a blend on recorded payments: who leaves where, what it saves, what it costs, what it missed.

    python -m tests.bench.exits ROOT NAME DATA RECORDING [--from 0.85] [--batches 100] [--rounds 5]

ROOT and NAME are an artifact's, DATA a folder of extracted vectors, RECORDING one of recorded histories. Judged are the
payments after the time quantile `--from`, which the artifact should not have learned from. The scorer as it is runs
against the same scorer without thresholds: every payment to the last exit. Time is processor time of one thread over
batches of 32 consecutive payments, booster, decoding of tokens from history rows, network and calibration included.
Ends with one JSON line.
"""

import argparse
import copy
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.histories import Looked
from features.state import history as hs
from features.state.tokens import QUERY_FIELDS
from fraud.common.compiled import Floats
from fraud.core import metrics
from fraud.core import tokens as tk
from fraud.training import dataset
from fraud.training.blend import ALERTS, MOST_LOST, upper_bound
from fraud.training.recording import TEXTS, HistoryLog, ask, run_changes
from models import registry
from models.blend import Blend, Reading
from tests.bench.reasons import Batch, read

BATCH = 32
SAVED, LOST_AP = 0.45, 0.002
SHOWN = 5
I64 = NDArray[np.int64]
Row = dict[str, Any]


class Judged(NamedTuple):
    """The same payments (n,) by the scorer as it is and by full depth, and what they were."""

    rows: I64
    fraud: NDArray[np.bool_]
    scenario: NDArray[np.int8]
    early: Reading
    full: Reading


def deepest(blend: Blend) -> Blend:
    """Return the same scorer without early exit."""
    deep = copy.copy(blend)
    deep.thresholds = (0.0,) * len(blend.thresholds)
    return deep


def judged(blend: Blend, data: dataset.Dataset, log: HistoryLog, codes: Floats, start: float) -> Judged:
    """Read the payments after a time quantile whose verdict is known, early and in full."""
    rows = np.arange(int(len(data.time) * start), len(data.time))
    rows = rows[data.fraud[rows] != dataset.UNKNOWN]
    deep, found = deepest(blend), []
    for some, tokens in read(log, rows, codes):
        given = [str(row) for row in some], np.array(data.matrix[some]), Batch(tokens)
        found.append((blend.read(*given), deep.read(*given)))
    early, full = (Reading(*map(np.concatenate, zip(*parts, strict=True))) for parts in zip(*found, strict=True))
    return Judged(rows, data.fraud[rows] == dataset.FRAUD, data.scenario[rows], early, full)


def quality(of: Judged) -> Row:
    """Return the shares that leave, the average precision lost, and the frauds that early approval missed."""
    last = int(of.full.exit.max())
    worst = of.full.probability >= np.quantile(of.full.probability, 1 - ALERTS)
    missed = of.fraud & worst & (of.early.exit < last)
    full, early = (metrics.average_precision(of.fraud, one.probability) for one in (of.full, of.early))
    return {
        "payments": len(of.rows), "frauds": int(of.fraud.sum()),
        "leave": [round(float((of.early.exit == exit_).mean()), 4) for exit_ in range(last + 1)],
        "frauds_leave": [int(of.fraud[of.early.exit == exit_].sum()) for exit_ in range(last + 1)],
        "ap_full": round(full, 4), "ap_early": round(early, 4), "ap_lost": round(full - early, 4),
        "missed": int(missed.sum()), "bound": round(upper_bound(int(missed.sum()), int(of.fraud.sum())), 5),
        "shown": [described(of, place) for place in np.flatnonzero(missed)[:SHOWN].tolist()],
    }  # fmt: skip


def described(of: Judged, place: int) -> Row:
    """Return a fraud that left early."""
    return {
        "row": int(of.rows[place]), "scenario": int(of.scenario[place]), "exit": int(of.early.exit[place]),
        "early": round(float(of.early.probability[place]), 5), "full": round(float(of.full.probability[place]), 5),
    }  # fmt: skip


# ---- time


def copies(folder: Path, log: HistoryLog, rows: I64, codes: Floats) -> Looked:
    """Return what the live path holds of payments: copies of their entities' rows as they stood, undecoded."""
    looks = log._looks[rows]
    texts = (folder / TEXTS).read_text(encoding="utf-8").split("\n")
    table, held, done = log._fresh(), np.empty((len(rows), tk.SIDES, hs.HISTORY_BYTES), np.uint8), 0
    for place, look in enumerate(looks):
        until = int(look["at"])
        kind, mask, places, fields = log._part(done, until)
        run_changes(0, until - done, kind, mask, places, fields, table, log._bank.first, codes)
        held[place], done = table[look["rows"]], until
    return Looked(held, asked(looks["query"]), [texts[text] for text in looks["text"]], range(len(rows)))


def asked(recorded: I64) -> I64:
    """Return what payments ask of their sides, (n, 3, 5), of what was recorded of it, (n, 6)."""
    queries = np.zeros((len(recorded), tk.SIDES, QUERY_FIELDS), np.int64)
    for payment, query in zip(recorded, queries, strict=True):
        for side in range(tk.SIDES):
            ask(payment, side, query[side])
    return queries


class Part:
    """The histories of one batch out of many."""

    def __init__(self, looked: Looked, begin: int) -> None:
        self.looked, self.begin = looked, begin

    def tokens(self, rows: Sequence[int] | NDArray[np.intp], sides: int) -> Any:
        """Return the tokens of some rows."""
        return self.looked.tokens(np.asarray(rows) + self.begin, sides)

    def events(self, row: int, sides: int) -> Any:
        """Return the events of one row."""
        return self.looked.events(row + self.begin, sides)


def batches(rows: I64, data: dataset.Dataset, looked: Looked) -> Iterator[tuple[list[str], Any, Part]]:
    """Yield ids, vectors and histories of one batch after the other."""
    for begin in range(0, len(rows), BATCH):
        some = rows[begin : begin + BATCH]
        yield [str(row) for row in some], np.array(data.matrix[some]), Part(looked, begin)


def timed(blend: Blend, given: Sequence[tuple[list[str], Any, Part]]) -> float:
    """Return the processor time of all batches, us."""
    began = time.thread_time_ns()
    for one in given:
        blend.read(*one)
    return (time.thread_time_ns() - began) / 1e3


def costs(blend: Blend, given: Sequence[tuple[list[str], Any, Part]], rounds: int) -> Row:
    """Return us an event: exit 0 alone, early exit, full depth; they take turns, the first round warms up."""
    deep = deepest(blend)
    none = copy.copy(blend)
    none.thresholds = (2.0,) * len(blend.thresholds)
    ways = {"exit_0": none, "early": blend, "full": deep}
    times = [[timed(way, given) for way in ways.values()] for _ in range(rounds + 1)][1:]
    events = sum(len(ids) for ids, *_ in given)
    found = dict(zip(ways, (np.median(times, axis=0) / events).tolist(), strict=True))
    return {name: round(us, 1) for name, us in found.items()} | {"saved": round(1 - found["early"] / found["full"], 3)}


def show(result: Row) -> None:
    """Print what was found."""
    found, cost = result["quality"], result["us_an_event"]
    print(f"{found['payments']:,} payments, {found['frauds']:,} frauds; leave at exit 0, 1, ...:")
    print("  " + ", ".join(f"{share:.1%} ({frauds})" for share, frauds in zip(
        found["leave"], found["frauds_leave"], strict=True)) + "  (frauds among them)")  # fmt: skip
    print(f"time saved at batch {BATCH}: {cost['saved']:.1%} (target {SAVED:.0%}): {cost['early']} us an event for")
    print(f"  {cost['full']} in full depth; {cost['exit_0']} if all left at exit 0 (1 in 64 is probed even then)")
    print(
        f"average precision lost: {found['ap_lost']:+.4f} (most {LOST_AP}): {found['ap_early']} for {found['ap_full']}"
    )
    print(
        f"early approval missed {found['missed']} frauds that full depth puts among the {ALERTS:.0%} worst; with 95 %"
    )
    print(f"  confidence at most {found['bound']:.2%} of frauds are lost (risk control asks for {MOST_LOST:.1%})")
    for one in found["shown"]:
        print("  payment {row}, scenario {scenario}: left at exit {exit} with {early}, full depth says {full}".format(
            **one))  # fmt: skip


def run(given: argparse.Namespace) -> Row:
    """Load an artifact and recorded payments, and measure."""
    blend = Blend.of(registry.load(Path(given.root), given.name))
    data, folder = dataset.read(Path(given.data)), Path(given.recording)
    log = HistoryLog(folder)
    codes = blend.encode(log.blocks())
    some = judged(blend, data, log, codes, given.start)
    rows = some.rows[: given.batches * BATCH]
    looked = copies(folder, log, rows, codes)
    cost = costs(blend, list(batches(rows, data, looked)), given.rounds)
    return {"quality": quality(some), "us_an_event": cost, "thresholds": list(blend.thresholds)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("root", "name", "data", "recording"):
        parser.add_argument(name)
    parser.add_argument("--from", type=float, default=0.85, dest="start")
    parser.add_argument("--batches", type=int, default=100, help="so many are timed")
    parser.add_argument("--rounds", type=int, default=5)
    result = run(parser.parse_args())
    show(result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
