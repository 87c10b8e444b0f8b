"""What learning costs on Kafka, and how soon a label is in force: `make refresh-bench`.

    python -m tests.bench.learning.live [--rate 500] [--every 1s] [--pairs 5] [--seconds 30] [--model demo]

One worker, and two `fraud learn` beside it, of which one sleeps: one refreshes `--every` second, the other never does.
Payments are sent at their intended times, and the verdict on every 14th right behind it, by an analyst, so that it is
learned at the next refresh; one in 100 is a fraud, more than the model says, so that the guard lets payments have what
was learned. Then blocks of `--seconds` take turns, refreshes on and off, the first of each pair by turns. Of each block
the first five seconds are left out: who was asleep catches up in them.

`label_to_live_s`: from a label's record to the first decision by parameters that know of it. `step_ms`: what the end of
a period takes in the learner: gate, learner, export, step bound, guard, outbox. `p99_ms`: of decisions, from the
intended time to a reader, by block; `ratio`: on to off, the geometric mean over pairs with its 95 % interval.
`in_force`: what payments got last; where the guard has gone back (`""`) nothing was swapped since, and the blocks show
nothing. `noise`: the share of the machine that others took, at worst; beside more than a tenth nothing is shown.
"""

import argparse
import json
import math
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fraud.core.fields import Duration
from fraud.core.records import HOUR, SECOND, Label, LabelSource, Verdict
from infra.services import KafkaServer, RedisServer
from models.online.snapshots import Live, decoded, live_in
from streaming.kafka.updates import LIVE, SNAPSHOT
from tests.bench.live.figures import ratio
from tests.bench.live.machine import noise, usage
from tests.bench.live.traffic import BEGAN_NS, CARDS, DAY_NS, Reader, generate
from tests.site import Site, until

LABELLED, FRAUD = 14, 100
LEFT_OUT = 5.0
WARM_SECONDS, WARM_ROUNDS = 10.0, 18
NEVER = "1000h"
STEP = "fraud_refresh_step_seconds"
BASE_SETTINGS = {
    "FRAUD_REFRESH__ENABLED": "true", "FRAUD_GATE__ENABLED": "true", "FRAUD_GATE__PATIENCE": "0",
    **{f"FRAUD_GATE__{chart}__ALARM": "1e9" for chart in ("SOURCE", "SOURCE_STRONG", "MERCHANT", "DEVICE")},
}  # fmt: skip


class Block(NamedTuple):
    """One block: the p99 of its decisions, ms, and the share of the machine that others took."""

    p99: float
    noise: float


class Rig:
    """Servers, a worker, two learners of which one sleeps, and payments with their labels."""

    def __init__(self, kafka: KafkaServer, redis: RedisServer, folder: Path, given: argparse.Namespace) -> None:
        """Start all of it; nobody sleeps yet."""
        self._kafka, self._redis, self._rate, self._sent = kafka, redis, given.rate, 0
        every = {"FRAUD_REFRESH__EVERY": given.every}
        self.site = Site(
            kafka.bootstrap, redis.url, folder / "on", "refresh", model=given.model, environment=BASE_SETTINGS | every
        )
        self.worker = self.site.worker()
        self.on = self.site.book("--http", "0")
        self._never = Idle(self.site, folder / "off")
        self.off = self._never.book()
        until(lambda: '"http_port"' in self.site.log(), lambda: f"the worker; log: {self.site.log()[-1_500:]}")
        until(lambda: '"http_port"' in self.site.log("book"), lambda: f"the learner: {self.site.log('book')[-1_500:]}")

    def close(self) -> None:
        """End what was started."""
        self._never.close()
        self.site.close()

    def learn_until_live(self) -> None:
        """Send payments and labels until payments get what was learned."""
        self.off.send_signal(signal.SIGSTOP)
        for _ in range(WARM_ROUNDS):
            self.send(WARM_SECONDS)
            if any(one.version for one in lives(self.site)):
                return
        msg = f"nothing was promoted in {WARM_ROUNDS * WARM_SECONDS:.0f} s: {self.site.log('book')[-1_500:]}"
        raise AssertionError(msg)

    def block(self, seconds: float, *, on: bool) -> Block:
        """Measure one block."""
        works, sleeps = (self.on, self.off) if on else (self.off, self.on)
        sleeps.send_signal(signal.SIGSTOP)
        works.send_signal(signal.SIGCONT)
        pids = self._pids()
        reader = Reader(self._kafka.bootstrap, self.site.topics.decisions)
        try:
            self.send(LEFT_OUT)
            before = usage(pids)
            intended = self.send(seconds - LEFT_OUT)
            after = usage(pids)
            until(lambda: intended.keys() <= reader.seen.keys(), "all decisions")
        finally:
            reader.close()
        waits = [(reader.seen[name].at - due) / 1e6 for name, due in intended.items()]
        return Block(round(float(np.quantile(waits, 0.99)), 2), round(noise(before, after), 3))

    def send(self, seconds: float) -> Mapping[str, int]:
        """Send payments at their times, labels on a thread beside them."""
        first, count = self._sent, int(self._rate * seconds)
        self._sent += count + 1
        labels = threading.Thread(target=self._label, args=(first, count))
        labels.start()
        intended = generate(self._kafka.bootstrap, self.site.topics.transactions, self._rate, seconds, first)
        labels.join()
        return intended

    def step_ms(self) -> dict[str, float | None]:
        """Return what ends of periods took, ms: mean, and the bound below which 99 of 100 lie."""
        text = metrics_of(self.site)
        total, count = (float(re.findall(rf"^{STEP}_{name} (.*)$", text, re.M)[0]) for name in ("sum", "count"))
        buckets = re.findall(rf'^{STEP}_bucket\{{le="(.*)"\}} (.*)$', text, re.M)
        below = next((float(bound) for bound, held in buckets if float(held) >= 0.99 * count), math.inf)
        return {
            "mean": round(total / count * 1e3, 2),
            "p99_below": below * 1e3 if below < math.inf else None,
            "steps": count,
        }

    def _label(self, first: int, count: int) -> None:
        began, step = time.monotonic(), DAY_NS // (2 * CARDS)
        for number in range(LABELLED, count, LABELLED):
            while (left := began + number / self._rate - time.monotonic()) > 0:
                time.sleep(left)
            at = BEGAN_NS + (first + number) * step + HOUR
            fraud = number // LABELLED % FRAUD == 0
            label = Label(
                tx_id=f"b{first + number}", verdict=Verdict.FRAUD if fraud else Verdict.GENUINE, happened_at=at,
                seen_at=0, source=LabelSource.ANALYST,
            )  # fmt: skip
            self.site.send_labels([label])

    def _pids(self) -> dict[str, int]:
        redis, broker = self._redis.process.pid, self._kafka.processes[0].pid
        assert redis is not None
        assert broker is not None
        ours = {"worker": self.worker.pid, "on": self.on.pid, "off": self.off.pid}
        return {**ours, "redis": redis, "broker": broker}


class Idle(Site):
    """The same topics with a learner of another group that never refreshes; what it would publish nobody sees."""

    def __init__(self, site: Site, folder: Path) -> None:
        """Take the topics of a site."""
        super().__init__(
            site.settings.bootstrap, site.redis_url, folder, site.settings.group, model=site.model,
            environment=BASE_SETTINGS | {"FRAUD_REFRESH__EVERY": NEVER, "FRAUD_KAFKA__GROUP": "never"},
        )  # fmt: skip

    def book(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start a label book of a group of its own."""
        return super().book("--group", "never", *words)


def lives(site: Site) -> list[Live]:
    """Return what payments got, in order."""
    records = site.records(site.topics.updates)
    return [live_in(record.value) for record in records if record.key.decode().startswith(LIVE)]


def metrics_of(site: Site) -> str:
    """Return the metrics of the learner that refreshes."""
    port = json.loads(re.findall(r"\{.*\"http_port\".*\}", site.log("book"))[-1])["http_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return str(answer.read().decode())


def label_to_live(site: Site, since: float) -> list[float]:
    """Return, of each label from a time on (s), the seconds to the first decision by parameters that know of it.

    A version knows of a label when that stands below its positions. It is in force when a decision names it, or a
    later one. The newest labels, of which none knows in the end, are left out.
    """
    held = [
        decoded(record.value)
        for record in site.records(site.topics.updates)
        if record.key.decode().startswith(SNAPSHOT)
    ]
    in_force, waits = in_force_since(site), []
    for record in site.records(site.topics.labels):
        seq = next((one.seq for one in held if below(one.positions, record)), None)
        at = next((at for known, at in in_force if seq is not None and known >= seq), None)
        if at is not None and record.timestamp >= since * 1e3:
            waits.append((at - record.timestamp) / 1e3)
    return waits


def in_force_since(site: Site) -> list[tuple[int, int]]:
    """Return the number of each version that decided, with the time (ms) of its first decision, in order of time."""
    first: dict[int, int] = {}
    for record in site.records(site.topics.decisions):
        version = json.loads(record.value)["versions"].get("parameters", "")
        if version:
            seq = int(version.partition("-")[0])
            first[seq] = min(first.get(seq, record.timestamp), record.timestamp)
    return sorted(first.items(), key=lambda entry: entry[1])


def below(positions: Mapping[str, int], record: Any) -> bool:
    """Tell whether a record stands below positions, by topic and partition."""
    return any(
        record.offset < number
        for place, number in positions.items()
        if (place.partition("@")[0], place.rpartition("/")[2]) == (record.topic, str(record.partition))
    )


def measured(rig: Rig, given: argparse.Namespace) -> dict[str, Any]:
    """Measure; the label's way first, while nobody sleeps who should not."""
    rig.learn_until_live()
    began = time.time()
    rig.send(given.seconds)
    rig.send(LEFT_OUT)
    rows = label_to_live(rig.site, began)
    print(f"labels in force after {np.quantile(rows, [0.5, 0.99])} s; steps {rig.step_ms()}", file=sys.stderr)
    blocks: dict[bool, list[Block]] = {True: [], False: []}
    for number in range(given.pairs):
        for on in (True, False) if number % 2 == 0 else (False, True):
            blocks[on].append(rig.block(given.seconds, on=on))
            print(f"refreshes {'on' if on else 'off'}: {blocks[on][-1]}", file=sys.stderr)
    rig.on.send_signal(signal.SIGCONT)  # who is stopped tells no metrics
    mean, interval = ratio([one.p99 for one in blocks[True]], [one.p99 for one in blocks[False]])
    return {
        "rate": given.rate, "every_s": int(Duration.parse(given.every)) / SECOND,
        "label_to_live_s": {f"p{q}": round(float(np.quantile(rows, q / 100)), 2) for q in (50, 99)}
        | {"labels": len(rows)},
        "step_ms": rig.step_ms(),
        "p99_ms": {"on": [b.p99 for b in blocks[True]], "off": [b.p99 for b in blocks[False]]},
        "ratio": mean, "interval": interval,
        "in_force": [one.version for one in lives(rig.site)][-1:],
        "noise": max((b.noise for both in blocks.values() for b in both), default=None),
    }  # fmt: skip


def main() -> None:
    """Run with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--every", default="1s", help="a refresh period")
    parser.add_argument(
        "--pairs",
        type=int,
        default=5,
        help="blocks with refreshes and without, each; 0: only how soon labels are in force",
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="of each block")
    parser.add_argument("--model", default="demo", help="a shipped booster")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="refresh-") as place:
        folder = Path(place)
        kafka = KafkaServer(folder / "kafka").start(tied=True)
        redis = RedisServer(folder / "redis").start(tied=True)
        rig = Rig(kafka, redis, folder, given)
        try:
            found = measured(rig, given)
        finally:
            rig.close()
            kafka.kill()
            redis.kill()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
