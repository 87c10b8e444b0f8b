"""Hostile, partial and late labels through the whole live engine: entity state, gate, learner and guard.

    python -m tests.bench.learning.hostile poison|tactic|late --data FILE.parquet [--mapping fdh] [--model demo]
        [--days 120] [--labels 300000] [--share 0.3] [--scenario 2] [--every 1h] [--operator 1d] [--silent]
        [--refuse]

`poison`: from two fifths of the stream on, a share of so many labels in a row is flipped, whoever says them. `tactic`:
in that stretch one source tells genuine of every fraud of one scenario. Each is replayed with the gate and without, and
so are the true labels; what is compared are the probabilities that payments were served with, over the stretch and the
week behind it, by the truth. With `--operator` somebody looks so long after a chart began to hold, and throws away what
it holds; without, all that the source says from then on waits. `--silent` adds a run in which nobody says anything in
the stretch: what is then lost is lost to any gate that takes no lie for true. `late`: chargebacks come log-normally
late (median 7 days, 5 % never), nobody speaks of what is genuine, and silence says so at 45 days; what is asked is
whether mean probability and share of frauds agree, in all, once silence speaks (`settled`), and week by week, for each
expert and for what payments were served with. The labels speak of all payments, so all go through; with `--refuse` the
model's policy stands, and frauds are told that nobody could have known of.

Labels are told a day late, those of half of the payments, and all of the scenario in question, by analysts, the others
as chargebacks. Ends with one JSON line.
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.console import Console

from fraud.cli import options
from fraud.core import metrics
from fraud.core.fields import Duration
from fraud.core.policy import ThresholdPolicy
from fraud.core.records import DAY, LabelSource, Verdict
from fraud.training.prequential import Collected, Served, Truth, Truths, log_loss
from models.boosting.trees import F64
from models.online.loop import Closed
from streaming import wiring
from streaming.files.column_file import write
from streaming.files.values.rows import Row
from streaming.replay.job import Request
from streaming.replay.learning import EmbeddedLearning
from streaming.settings import changed
from tests.bench.learning.by_week import ByWeek
from tests.bench.learning.late import over, told_late
from tests.bench.learning.prequential import NEVER, Bools

FOLDER = Path("build/learning/hostile")
BEGIN = 0.4
DELAY = DAY
AFTER = 7 * DAY
SETTLED = 60 * DAY
"""Age of the stream by which silence has spoken for a maturity and a week."""
ALL_THROUGH = ThresholdPolicy(challenge=2.0, review=2.0, decline=2.0)
BUDGET = 0.01


class Stream(NamedTuple):
    """Payments of a file, and what they were: ids, times (ns), frauds, scenarios, in order of time."""

    data: Path
    ids: list[str]
    time: NDArray[np.int64]
    fraud: Bools
    scenario: NDArray[np.str_]

    @property
    def truths(self) -> Truths:
        """Return what is known in the end."""
        by_id = {one: Truth(bool(fraud), NEVER) for one, fraud in zip(self.ids, self.fraud, strict=True)}
        return Truths(by_id, self.time)


class Said(NamedTuple):
    """Labels in a file, which of them lie (a flag a payment), and from which label on, until when (ns)."""

    path: Path
    lies: Bools
    begin: int
    end: int


def read(given: argparse.Namespace) -> Stream:
    """Return the first days of a file."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"first-{given.days}-{given.data.stem}.parquet"
    rows = [row for row in table(given.data, given.mapping).rows() if isinstance(row, Row)]
    end = rows[0].tx.happened_at + given.days * DAY
    rows = [row for row in rows if row.tx.happened_at < end]
    if not path.exists():
        pq.write_table(pq.read_table(given.data).slice(0, len(rows)), path)
    return Stream(
        path, [row.tx.id for row in rows], np.array([row.tx.happened_at for row in rows], np.int64),
        np.array([row.verdict is Verdict.FRAUD for row in rows]), np.array([row.scenario for row in rows]),
    )  # fmt: skip


def table(data: Path, mapping: str) -> Any:
    """Return a file of payments."""
    return wiring.table(Request(
        data=data, mapping=mapping, delay=None, out=None, state=None, every=0, settings=options.settings(None),
    ))  # fmt: skip


def told(name: str, stream: Stream, given: argparse.Namespace) -> tuple[Said, Said]:
    """Return true labels, and those with lies in them."""
    begin = int(len(stream.ids) * BEGIN)
    end = min(begin + given.labels, len(stream.ids)) - 1
    rng = np.random.default_rng(3)
    stretch = np.zeros(len(stream.ids), bool)
    stretch[begin : end + 1] = True
    tactic = stream.scenario == given.scenario
    lies = stretch & (rng.random(len(stretch)) < given.share if name == "poison" else tactic & stream.fraud)
    analyst = tactic | (rng.random(len(stretch)) < 0.5)
    source = np.where(analyst, LabelSource.ANALYST.value, LabelSource.CHARGEBACK.value)
    at = stream.time + DELAY
    spans = int(at[begin]), int(at[end]) + AFTER
    true = labels(FOLDER / f"{name}-true.parquet", stream, stream.fraud, source, at)
    false = labels(FOLDER / f"{name}-lies.parquet", stream, stream.fraud ^ lies, source, at)
    return Said(true, lies & False, *spans), Said(false, lies, *spans)


def untold(stream: Stream, said: Said) -> Said:
    """Return the true labels without those of the stretch in which others lie."""
    at = stream.time + DELAY
    kept = (at < said.begin) | (at >= said.end - AFTER)
    source = np.full(len(at), LabelSource.CHARGEBACK.value)
    return said._replace(path=labels(FOLDER / "silent.parquet", stream, stream.fraud, source, at, kept))


def labels(
    path: Path, stream: Stream, fraud: Bools, source: NDArray[np.str_], at: NDArray[np.int64], rows: Bools | None = None
) -> Path:
    """Write labels; return where."""
    use = np.flatnonzero(np.ones(len(fraud), bool) if rows is None else rows)
    verdict = np.where(fraud, Verdict.FRAUD.value, Verdict.GENUINE.value)
    columns = {
        "tx_id": np.array([stream.ids[row] for row in use]), "verdict": verdict[use], "source": source[use],
        "happened_at": at[use],
    }  # fmt: skip
    write(path, columns)
    return path


def late(stream: Stream) -> Path:
    """Write chargebacks that come late, for frauds alone; return where."""
    at = told_late(stream.time, stream.fraud)
    source = np.full(len(at), LabelSource.CHARGEBACK.value)
    return labels(FOLDER / "late.parquet", stream, stream.fraud, source, at, at < NEVER)


def replayed(
    stream: Stream, given: argparse.Namespace, said: Path, *, gate: bool
) -> tuple[list[str], Served, Mapping[str, Any], ByWeek | None]:
    """Replay; return ids and what was served, in order of time, the loop's figures, and what it said by week."""
    found = changed(options.settings(None, model=given.model, learn=True), "refresh", every=Duration.parse(given.every))
    found = changed(found, "gate", enabled=gate)
    if given.what == "late" and not given.refuse:
        found = changed(found, "policy", kind="threshold", threshold=ALL_THROUGH)
    request = Request(
        data=stream.data, mapping=given.mapping, delay=None, out=None, state=None, every=0, settings=found, labels=said,
    )  # fmt: skip
    collected = Collected()
    job = wiring.replay(request, collected)
    learning = job.learning if isinstance(job.learning, EmbeddedLearning) else None
    if given.operator:
        Operator(Duration.parse(given.operator)).watch(learning)
    by_week = ByWeek(learning) if learning is not None else None
    job.run(lambda done: None)
    return collected.ids, collected.decided(stream.truths), learning.figures() if learning else {}, by_week


class Operator:
    """Somebody who throws away what a chart holds, so long (ns of the stream) after it began to."""

    def __init__(self, after: int) -> None:
        """Take how long it is until somebody looks."""
        self._after = after

    def watch(self, learning: Any) -> None:
        """Look at each end of a period of a replay's loop."""
        loop = learning._loop
        close = loop.close

        def watched(period: int, now: int, *rest: Any) -> Closed:
            closed: Closed = close(period, now, *rest)
            for chart, held in loop.held().items():
                if held.since <= now - self._after:
                    closed = closed._replace(known=closed.known + loop.drop(chart, now).known)
            return closed

        loop.close = watched


def compared(name: str, stream: Stream, given: argparse.Namespace) -> dict[str, Any]:
    """Return what lies cost, with the gate and without."""
    true, false = told(name, stream, given)
    found: dict[str, Any] = {"labels": given.labels, "lies": int(false.lies.sum())}
    tactic = {one for one, at in zip(stream.ids, stream.scenario == given.scenario, strict=True) if at}
    silent = [("silent", untold(stream, false))] if given.silent else []
    for how, gate in (("with_gate", True), ("without_gate", False)):
        for what, said in [("clean", true), ("lies", false), *(silent if gate else [])]:
            ids, served, figures, _ = replayed(stream, given, said.path, gate=gate)
            span = (served.of.time >= said.begin) & (served.of.time < said.end)
            shown = measured(served, span, np.array([one in tactic for one in ids]))
            shown |= {key: figures.get("counts", {}).get(key, 0) for key in ("alarm", "promoted", "reverted")}
            shown["held"] = figures.get("held", {})
            found.setdefault(how, {})[what] = shown
            Console(stderr=True).print(how, what, shown)
    return found


def measured(served: Served, span: Bools, tactic: Bools) -> dict[str, Any]:
    """Return average precision, log-loss, and recall of a scenario within the budget of alerts, of base and served."""
    of = served.of
    found: dict[str, Any] = {}
    for name, score in pairs(served):
        fraud, p = of.fraud[span], score[span]
        alerts = p >= np.quantile(p, 1 - BUDGET)
        mine = tactic[span] & fraud
        found[name] = {
            "ap": round(metrics.average_precision(fraud, p), 4), "log_loss": round(log_loss(fraud, p), 5),
            "recall_of_scenario": round(float(alerts[mine].mean()), 4) if mine.any() else None,
        }  # fmt: skip
    return found


def agreement(served: Served, since: int) -> dict[str, Any]:
    """Return mean probability over the share of frauds, of base and served, from a time (ns) on."""
    rows = served.of.time >= since
    return {name: over(score[rows], served.of.fraud[rows]) for name, score in pairs(served)}


def pairs(served: Served) -> Iterable[tuple[str, F64]]:
    """Return base and served probabilities by name."""
    return ("base", served.of.frozen), ("served", served.p)


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.learning.hostile", description=__doc__)
    parser.add_argument("what", choices=["poison", "tactic", "late"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--mapping", default="fdh")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--days", type=int, default=120, help="of the file that are taken")
    parser.add_argument("--labels", type=int, default=300_000, help="in a row, among which the lies are")
    parser.add_argument("--share", type=float, default=0.3, help="of them that lie")
    parser.add_argument("--scenario", default="2", help="the tactic that one source tells genuine")
    parser.add_argument("--every", default="1h", help="a refresh period of the stream")
    parser.add_argument("--operator", help="throws away what a chart holds so long after it began to, as 1d")
    parser.add_argument("--refuse", action="store_true", help="late: the model's policy stands, not all goes through")
    parser.add_argument("--silent", action="store_true", help="a run without any label in the stretch too")
    return parser.parse_args()


def main() -> None:
    """Replay, and tell what came of it."""
    given = arguments()
    stream = read(given)
    if given.what == "late":
        ids, served, figures, by_week = replayed(stream, given, late(stream), gate=True)
        begin = int(stream.time[int(len(stream.time) * BEGIN)])
        found: dict[str, Any] = {
            "mean_p_over_share": agreement(served, begin), "told": figures.get("told", {}),
            "settled": agreement(served, int(stream.time[0]) + SETTLED),
            "learned": figures.get("learned", {}), "counts": figures.get("counts", {}),
            **measured(served, served.of.time >= begin, np.zeros(len(served.p), bool)),
            "weeks": by_week.weeks(ids, served.of.time, served.of.fraud, served.p) if by_week else [],
        }  # fmt: skip
    else:
        found = compared(given.what, stream, given)
    print(json.dumps({given.what: found}))


if __name__ == "__main__":
    main()
