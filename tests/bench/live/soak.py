"""The worker for long: does its memory grow, and what do rewrites of the append-only file cost? `make soak`.

    python -m tests.bench.live.soak [--seconds 1800] [--rate 500] [--model demo-blend]

Prints a line a minute: the worker's memory, p99.9 of the minute's decisions, and how often the append-only file has
been rewritten. Ends with one JSON line: `mib_an_hour` is the slope after the first minutes (a fifth of the run, at
most five minutes: caches fill).
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import redis as client

from infra.services import KafkaServer, RedisServer
from tests.bench.live.figures import latencies
from tests.bench.live.traffic import Reader, generate
from tests.site import Site, until

MINUTE, FIRST_SHARE, FIRST_SECONDS = 60.0, 0.2, 300.0
REWRITES = {"auto-aof-rewrite-min-size": "256mb"}
"""The file is written anew when it has doubled beyond that, so that half an hour sees it happen."""


class Look(NamedTuple):
    """What is seen at the end of a minute: seconds since the start, MiB held, p99.9 in ms, rewrites so far."""

    at: float
    mib: float
    p999: float
    rewrites: int


def resident(pid: int) -> float:
    """Return the memory a process holds, MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def rewrites(url: str) -> int:
    """Return how often a Redis has rewritten its append-only file since it started."""
    with client.Redis.from_url(url) as asked:
        return int(asked.info("persistence").get("aof_rewrites", 0))


def slope(looks: Sequence[Look], seconds: float) -> float | None:
    """Return by how many MiB an hour memory grew after the first minutes; None with fewer than three looks at it."""
    begin = min(FIRST_SHARE * seconds, FIRST_SECONDS)
    late = np.array([(look.at, look.mib) for look in looks if look.at >= begin])
    return float(np.polyfit(late[:, 0], late[:, 1], 1)[0]) * 3_600 if len(late) > 2 else None


def watched(site: Site, pid: int, rate: float, seconds: float) -> tuple[list[Look], list[float], int]:
    """Load a worker; return a look a minute, every latency (ms) and how many decisions were lost."""
    reader, looks, waits, at = Reader(site.settings.bootstrap, site.topics.decisions), list[Look](), list[float](), 0.0
    open_: dict[str, int] = {}
    sent = 0
    while at < seconds:
        part = min(MINUTE, max(seconds / 10, 1.0), seconds - at)
        open_ |= generate(site.settings.bootstrap, site.topics.transactions, rate, part, sent)
        sent, at = sent + int(rate * part) + 1, at + part
        found = latencies(open_, reader.seen)
        for tx_id in found:
            del open_[tx_id], reader.seen[tx_id]
        waits += found.values()
        p999 = float(np.percentile(list(found.values()), 99.9)) if found else float("nan")
        looks.append(Look(at, resident(pid), p999, rewrites(site.redis_url)))
        print(
            f"{at:6.0f} s {looks[-1].mib:8.1f} MiB  p99.9 {p999:7.1f} ms  rewrites {looks[-1].rewrites}",
            file=sys.stderr,
        )
    until(lambda: open_.keys() <= reader.seen.keys(), lambda: f"{len(open_)} decisions", 30)
    waits += latencies(open_, reader.seen).values()
    reader.close()
    return looks, waits, len(open_.keys() - reader.seen.keys())


def main() -> None:
    """Run with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1_800.0)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--model", default="demo-blend", help="a shipped model, or one in build/models")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        kafka = KafkaServer(folder / "kafka").start(tied=True)
        redis = RedisServer(folder / "redis", options=REWRITES).start(tied=True)
        words = ("--rules", "default")
        site = Site(kafka.bootstrap, redis.url, folder / "site", "soak", model=given.model, extra=words)
        try:
            worker = site.worker()
            until(lambda: '"http_port"' in site.log(), "the worker's port")
            looks, waits, lost = watched(site, worker.pid, given.rate, given.seconds)
        finally:
            site.close()
            kafka.kill()
            redis.kill()
    grown = slope(looks, given.seconds)
    p50, p999 = np.percentile(waits, [50, 99.9]).tolist()
    result = {
        "decisions": len(waits), "lost": lost, "first_mib": round(looks[0].mib, 1), "last_mib": round(looks[-1].mib, 1),
        "mib_an_hour": round(grown, 2) if grown is not None else None, "p50_ms": round(p50, 2),
        "p999_ms": round(p999, 2), "rewrites": looks[-1].rewrites,
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
