"""Three times what is sustainable, then half of it, on real Kafka and Redis: `make overload`.

    python -m tests.bench.overload [--model demo-blend] [--rate N] [--seconds 60]

Without `--rate` the highest rate that holds p99 <= 50 ms is looked for first, from 150/s in steps of a third. Payments
go out at their intended times whatever comes back. When a payment was sent is its record's time stamp; when its
decision arrived is when the broker appended it (the topic is set to note that), so neither a slow generator nor a slow
reader is counted against the worker. Late is a decision that took more than the budget by these two.

Prints a table, writes build/overload.json, ends with one JSON line, and with status 1 when a promise is broken: none
lost, late without a mark at most .1 %, marked but in time at most 1 %, backlog gone in at most the overload's time.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from confluent_kafka import Producer
from kafka.admin import ConfigResource, ConfigResourceType

from fraud.core.records import Mark
from infra.services import KafkaServer, RedisServer
from streaming.kafka.topics import admin
from streaming.messages import envelope, schema
from tests.bench.live.traffic import messages
from tests.site import Site, until

BUDGET_MS = 50
OUT = Path("build/overload.json")
FIRST_RATE, STEP, TRY_SECONDS = 150.0, 4 / 3, 10.0
WARM_SECONDS = 5.0
UNMARKED, WRONGED, IN_TIME = 0.001, 0.01, 0.99


class Decided(NamedTuple):
    """One decision: when its payment was sent and it arrived (ms since the epoch), its level, and what it says."""

    sent: int
    arrived: int
    level: str
    marked: bool
    brief: bool

    @property
    def late(self) -> bool:
        """Tell whether it took more than the budget."""
        return self.arrived - self.sent > BUDGET_MS


class Load:
    """Payments into a site."""

    def __init__(self, site: Site) -> None:
        """Begin with the first id, and let the broker note when decisions arrive."""
        self._site, self.sent = site, 0
        client = admin(site.settings)
        stamped = {"message.timestamp.type": "LogAppendTime"}
        client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, site.topics.decisions, stamped)])
        client.close()

    def send(self, rate: float, seconds: float) -> tuple[int, int]:
        """Send at a rate; return when that began and ended, in ms since the epoch."""
        producer = Producer({"bootstrap.servers": self._site.settings.bootstrap, "linger.ms": 0, "acks": "1"})
        source = messages(np.random.default_rng(self.sent), self.sent)
        number = int(rate * seconds)
        begins, began = time.time_ns(), time.monotonic_ns()
        for place, (_, key, value) in enumerate(islice(source, number)):
            while (left := began + int(place * 1e9 / rate) - time.monotonic_ns()) > 0:
                producer.poll(0)
                time.sleep(min(left / 1e9, 0.0005))
            producer.produce(self._site.topics.transactions, key=key, value=value)
        producer.flush()
        self.sent += number
        return begins // 1_000_000, time.time_ns() // 1_000_000

    def drain(self, seconds: float) -> None:
        """Wait until everything sent is decided, or the time is over."""
        end = time.monotonic() + seconds
        while self._site.ends(self._site.topics.decisions) < self.sent and time.monotonic() < end:
            time.sleep(0.5)


def decided(site: Site) -> list[Decided]:
    """Return every decision, in the order of arrival."""
    stamps = {(one.partition, one.offset): one.timestamp for one in site.records(site.topics.transactions)}
    found = []
    for record in site.records(site.topics.decisions):
        decision = schema.decision_in(record.value)
        source = envelope.position_in(envelope.header(record.headers, envelope.SOURCE) or b"")
        marks = decision.marks
        found.append(
            Decided(
                stamps[source.partition, source.offset], record.timestamp, decision.level.value,
                Mark.OVERDUE in marks, Mark.BRIEF_REASONS in marks,
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: one.arrived)


def highest_rate(site: Site, load: Load) -> float:
    """Return the highest rate at which 99 of 100 decisions take the budget or less."""
    rate, held = FIRST_RATE, FIRST_RATE
    while True:
        began, ended = load.send(rate, TRY_SECONDS)
        load.drain(20.0)
        these = [one for one in decided(site) if began <= one.sent <= ended]
        p99 = float(np.percentile([one.arrived - one.sent for one in these], 99))
        print(f"{rate:>7,.0f}/s p99 {p99:>8,.0f} ms", flush=True)
        if p99 > BUDGET_MS:
            return held
        rate, held = rate * STEP, rate


def figures(phase: str, these: Sequence[Decided]) -> dict[str, Any]:
    """Return what is told of the decisions of a phase."""
    count = max(len(these), 1)
    levels = Counter(one.level for one in these)
    return {
        "phase": phase,
        "decisions": len(these),
        "levels": {level: round(number / count, 4) for level, number in sorted(levels.items())},
        "late": sum(one.late for one in these) / count,
        "late_unmarked": sum(one.late and not one.marked for one in these) / count,
        "marked_in_time": sum(one.marked and not one.late for one in these) / count,
        "brief": sum(one.brief for one in these) / count,
    }


def gone_after(these: Sequence[Decided], ended: int) -> float:
    """Return the seconds from the end of the overload to the first second whose answers are in time again."""
    seconds: dict[int, list[bool]] = {}
    for one in these:
        if one.arrived >= ended:
            seconds.setdefault((one.arrived - ended) // 1_000, []).append(not one.late)
    return float(min((at for at, held in seconds.items() if np.mean(held) >= IN_TIME), default=10**6))


def show(row: dict[str, Any]) -> None:
    """Print a phase."""
    levels = " ".join(f"{level} {share:6.1%}" for level, share in row["levels"].items())
    print(
        f"{row['phase']:<10} {row['decisions']:>8,} late {row['late']:7.2%} unmarked {row['late_unmarked']:8.3%} "
        f"marked in time {row['marked_in_time']:8.3%} brief {row['brief']:6.2%}  {levels}",
        flush=True,
    )


def measured(site: Site, rate: float, seconds: float) -> dict[str, Any]:
    """Overload a site and let it recover; return what came of it."""
    load = Load(site)
    load.send(100.0, WARM_SECONDS)
    load.drain(30.0)
    rate = rate or highest_rate(site, load)
    calm = load.send(rate / 2, seconds / 4)
    over = load.send(3 * rate, seconds)
    after = load.send(rate / 2, seconds)
    load.drain(120.0)
    all_of = decided(site)
    phases = {"calm": calm, "overload": over, "after": (over[1] + 1, after[1])}
    rows = [figures(name, [one for one in all_of if a <= one.sent <= b]) for name, (a, b) in phases.items()]
    whole = figures("both", [one for one in all_of if over[0] <= one.sent <= after[1]])
    for row in (*rows, whole):
        show(row)
    return {
        "rate": rate, "load": os.getloadavg()[0], "phases": rows, "both": whole, "lost": load.sent - len(all_of),
        "overload_s": (over[1] - over[0]) / 1e3, "gone_after_s": gone_after(all_of, over[1]),
    }  # fmt: skip


def broken(found: dict[str, Any]) -> list[str]:
    """Return the promises that a run broke."""
    both = found["both"]
    checks = {
        f"{found['lost']} lost": found["lost"] != 0,
        f"late without a mark {both['late_unmarked']:.3%}": both["late_unmarked"] > UNMARKED,
        f"marked but in time {both['marked_in_time']:.3%}": both["marked_in_time"] > WRONGED,
        f"backlog gone after {found['gone_after_s']:.0f} s": found["gone_after_s"] > found["overload_s"],
    }
    return [words for words, failed in checks.items() if failed]


def main() -> None:
    """Run with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo-blend")
    parser.add_argument("--rate", type=float, default=0.0, help="the highest sustainable rate, where it is known")
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="overload-") as name:
        folder = Path(name)
        kafka = KafkaServer(folder / "kafka").start(tied=True)
        redis = RedisServer(folder / "redis").start(tied=True)
        site = Site(kafka.bootstrap, redis.url, folder / "site", "overload", model=given.model)
        try:
            site.worker()
            until(lambda: '"http_port"' in site.log(), "the worker starts", 120)
            found = measured(site, given.rate, given.seconds)
        finally:
            site.close()
            kafka.kill()
            redis.kill()
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1))
    failed = broken(found)
    print(
        f"rate {found['rate']:,.0f}/s, lost {found['lost']}, backlog gone {found['gone_after_s']:.0f} s after", *failed
    )
    print(json.dumps(found))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
