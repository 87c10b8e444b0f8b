"""What processes cost, and whether the machine was quiet enough for what was measured on it to mean anything."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1
LOOK_SECONDS = 1.0

T = TypeVar("T")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used, with that of its children that have ended."""
    fields = (PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / TICKS


def busy_seconds(stat: str | None = None) -> float:
    """Return the CPU time that all cores have spent on anything, what other machines took of them included."""
    fields = (stat if stat is not None else (PROC / "stat").read_text()).splitlines()[0].split()[1:9]
    user, nice, system, _, _, irq, softirq, steal = (int(field) for field in fields)
    return (user + nice + system + irq + softirq + steal) / TICKS


class Usage(NamedTuple):
    """CPU time so far (s): of the whole machine, and of the processes that belong to the bench, by name."""

    at: float
    busy: float
    ours: Mapping[str, float]


def usage(pids: Mapping[str, int]) -> Usage:
    """Return the usage now, of these processes and of this one."""
    ours = {name: cpu_seconds(pid) for name, pid in {**pids, "bench": os.getpid()}.items()}
    return Usage(time.monotonic(), busy_seconds(), ours)


def used(before: Usage, after: Usage, name: str) -> float:
    """Return the CPU seconds of one process between two moments."""
    return after.ours[name] - before.ours[name]


def noise(before: Usage, after: Usage, cores: int = CORES) -> float:
    """Return the share of the machine's CPU time between two moments that went to processes not of the bench."""
    ours = sum(used(before, after, name) for name in before.ours)
    whole = max(after.at - before.at, 1e-9) * cores
    return min(max((after.busy - before.busy - ours) / whole, 0.0), 1.0)


def look(pids: Mapping[str, int], seconds: float = LOOK_SECONDS) -> float:
    """Return the noise while nothing is measured, of the next moment."""
    before = usage(pids)
    time.sleep(seconds)
    return noise(before, usage(pids))


def quiet(run: Callable[[], T], level: Callable[[T], float], limit: float, most: int) -> tuple[T, list[T], bool]:
    """Run until a run's noise is within a limit, at most so many times.

    Returns the run that counts (the quiet one, or else the least noisy), those that show nothing, and whether it is
    noisy itself.
    """
    runs: list[T] = []
    for _ in range(max(most, 1)):
        runs.append(run())
        if level(runs[-1]) <= limit:
            return runs[-1], runs[:-1], False
    best = min(runs, key=level)
    return best, [each for each in runs if each is not best], True
