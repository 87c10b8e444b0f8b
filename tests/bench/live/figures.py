"""The figures of runs: latencies, levels, marks that are right or wrong, and medians over runs."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from fraud.core.records import Mark
from tests.bench.live.traffic import Came

BUDGET_MS = 50.0
LATE = Mark.OVERDUE.value
NOTHING = float("inf")
T_95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}
"""Student's t at 97.5 % by degrees of freedom."""


class Run(msgspec.Struct, frozen=True):
    """One run: latencies in ms, shares of what came, CPU in ms a message, bytes of the append-only file a message.

    `late_unmarked` took longer than the budget and is not marked so, `marked_in_time` the other way round; `noise` is
    the share of the machine that others took, before or during, whichever is more. `hits` is the share of rows that the
    worker had at hand, None for a floor.
    """

    p50: float = NOTHING
    p99: float = NOTHING
    p999: float = NOTHING
    over: float = 0.0
    lost: int = 0
    late_unmarked: float = 0.0
    marked_in_time: float = 0.0
    worker_cpu: float = 0.0
    redis_cpu: float = 0.0
    broker_cpu: float = 0.0
    aof_bytes: float = 0.0
    noise: float = 0.0
    hits: float | None = None
    levels: dict[str, float] = {}
    marks: dict[str, float] = {}


def latencies(intended: Mapping[str, int], seen: Mapping[str, Came]) -> dict[str, float]:
    """Return, in ms, how long after its intended time each message came."""
    return {tx_id: (seen[tx_id].at - due) / 1e6 for tx_id, due in intended.items() if tx_id in seen}


def figures(intended: Mapping[str, int], seen: Mapping[str, Came]) -> Run:
    """Return the figures of what was sent and what came; costs and noise are put in by who measured them."""
    waits = latencies(intended, seen)
    if not waits:
        return Run(lost=len(intended))
    p50, p99, p999 = np.percentile(list(waits.values()), [50, 99, 99.9]).tolist()
    late = {tx_id for tx_id, wait in waits.items() if wait > BUDGET_MS}
    marked = {tx_id for tx_id in waits if LATE in seen[tx_id].marks}
    return Run(
        p50=p50,
        p99=p99,
        p999=p999,
        over=len(late) / len(waits),
        lost=len(intended) - len(waits),
        late_unmarked=len(late - marked) / len(waits),
        marked_in_time=len(marked - late) / len(waits),
        levels=shares([seen[tx_id].level for tx_id in waits if seen[tx_id].level], len(waits)),
        marks=shares([mark for tx_id in waits for mark in seen[tx_id].marks], len(waits)),
    )


def shares(names: Sequence[str], of: int) -> dict[str, float]:
    """Return the share that each name has, most frequent first."""
    return {name: count / of for name, count in Counter(names).most_common()}


def median(runs: Sequence[Run]) -> Run:
    """Return the median of each figure over runs; what was lost adds up, the noise is the highest."""
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(Run):
        values = [getattr(run, field.name) for run in runs]
        if field.name in ("levels", "marks"):
            names = dict.fromkeys(name for value in values for name in value)
            found[field.name] = {name: float(np.median([value.get(name, 0.0) for value in values])) for name in names}
        elif field.name == "hits":
            known = [value for value in values if value is not None]
            found[field.name] = float(np.median(known)) if known else None
        else:
            found[field.name] = float(np.median(values))
    return Run(**{**found, "lost": sum(run.lost for run in runs), "noise": max(run.noise for run in runs)})  # type: ignore[arg-type]


def ratio(ones: Sequence[float], others: Sequence[float]) -> tuple[float | None, list[float]]:
    """Return the geometric mean over pairs of one to the other, and its 95 % interval; None without pairs."""
    if not ones:
        return None, []
    logs = [math.log(one / other) for one, other in zip(ones, others, strict=True)]
    mean = statistics.fmean(logs)
    if len(logs) < 2:
        return round(math.exp(mean), 3), []
    half = T_95.get(len(logs) - 1, 2.0) * statistics.stdev(logs) / math.sqrt(len(logs))
    return round(math.exp(mean), 3), [round(math.exp(mean - half), 3), round(math.exp(mean + half), 3)]


def rounded(run: Run) -> dict[str, object]:
    """Return one run's figures for the record."""
    return {name: round_all(value) for name, value in msgspec.structs.asdict(run).items()}


def round_all(value: object) -> object:
    """Return numbers with four digits behind the point; infinity, which JSON does not know, as null."""
    if isinstance(value, dict):
        return {name: round_all(each) for name, each in value.items()}
    if isinstance(value, float):
        return round(value, 4) if value != NOTHING else None
    return value


class Row(msgspec.Struct, frozen=True):
    """One rate on one client: every run that counts, of the path and of its floor, and those that show nothing."""

    rate: float
    library: str
    path: list[Run]
    floor: list[Run]
    discarded: list[Run] = []
    noisy: int = 0

    def record(self) -> dict[str, object]:
        """Return it as it is written: medians, ratios, all values."""
        path, floor = median(self.path), median(self.floor)
        return {
            "rate": self.rate,
            "library": self.library,
            "path": rounded(path),
            "floor": rounded(floor),
            "p50_ratio": round_all(path.p50 / floor.p50),
            "p99_ratio": round_all(path.p99 / floor.p99),
            "runs": {"path": [rounded(run) for run in self.path], "floor": [rounded(run) for run in self.floor]},
            "discarded": [rounded(run) for run in self.discarded],
            "noisy_runs": self.noisy,
        }


def against(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Return, for each rate and client, how p50 and p99 compare with those under another setting, run by run.

    Clients under the other setting have a `+` behind their names.
    """
    by_name = {(row.rate, row.library): row for row in rows}
    pairs = [(row, by_name[row.rate, f"{row.library}+"]) for row in rows if (row.rate, f"{row.library}+") in by_name]
    found: list[dict[str, object]] = []
    for one, other in pairs:
        ratios = {
            name: ratio([getattr(run, name) for run in one.path], [getattr(run, name) for run in other.path])
            for name in ("p50", "p99")
        }
        found.append({"rate": one.rate, "library": one.library, "noisy": one.noisy + other.noisy, **ratios})
    return found


HEADS = (
    ("rate/s", 7), ("client", 13), ("p50 ms", 7), ("p99", 7), ("p99.9", 7), ("floor", 7), ("p99", 7), ("p50 x", 6),
    ("p99 x", 6), (">50ms %", 8), ("unmarked", 9), ("in time", 8), ("worker", 7), ("floor", 6), ("redis", 6),
    ("broker", 7), ("aof B", 7), ("hits %", 7), ("lost", 5), ("others %", 9),
)  # fmt: skip


def head() -> str:
    """Return the line above the table."""
    return " ".join(f"{name:>{width}}" for name, width in HEADS)


def line(row: Row) -> str:
    """Return one row of the table, with what decided below it."""
    path, floor = median(row.path), median(row.floor)
    cells = (
        f"{row.rate:,.0f}", row.library, f"{path.p50:.1f}", f"{path.p99:.1f}", f"{path.p999:.1f}", f"{floor.p50:.1f}",
        f"{floor.p99:.1f}", f"{path.p50 / floor.p50:.2f}", f"{path.p99 / floor.p99:.2f}", f"{path.over:.2%}"[:-1],
        f"{path.late_unmarked:.2%}"[:-1], f"{path.marked_in_time:.2%}"[:-1], f"{path.worker_cpu:.2f}",
        f"{floor.worker_cpu:.2f}", f"{path.redis_cpu:.2f}", f"{path.broker_cpu:.2f}", f"{path.aof_bytes:,.0f}",
        "-" if path.hits is None else f"{path.hits:.1%}"[:-1], f"{path.lost}",
        f"{max(path.noise, floor.noise):.0%}"[:-1],
    )  # fmt: skip
    text = " ".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, HEADS, strict=True))
    told = ", ".join(f"{name} {share:.1%}" for name, share in {**path.levels, **path.marks}.items())
    warning = f"  NOISY: {row.noisy} of {len(row.path) + len(row.floor)} runs show nothing" if row.noisy else ""
    return f"{text}\n{'':>8}{told}{warning}"
