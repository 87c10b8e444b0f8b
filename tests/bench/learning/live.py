"""What learning costs on Kafka, and how soon a label is in force: `make refresh-bench`.

    python -m tests.bench.learning.live [--rate 500] [--every 1s] [--pairs 5] [--seconds 30] [--model demo]

One worker, and two `fraud learn` beside it, of which one sleeps: one refreshes `--every` second, the other never does.
Payments are sent at their intended times, and the verdict on every 14th a second later, by an analyst, so that it is
learned at the next refresh; one in 100 is a fraud, more than the model says, so that the guard lets payments have what
was learned. When they do, labels are followed for `--seconds`. Then blocks of `--seconds` take turns, refreshes on and
off, the first of each pair by turns; who was asleep has caught up before a block counts. With `--pairs 0` there are
none. With longer periods: `--every 1m --pairs 0 --seconds 300`.

`label_to_live_s`: from a label's record to the first decision by parameters that know of it. A label that moves no
payment by a thousandth has no parameters of its own: of it the record of its period's end knows (`without_version`).
`never`: labels that nothing knew of in the end; for the quantiles they took for ever. `early`: labels that came before
the label book had their payment, and were learned a period later than they seem.
`step_ms`: what the end of a period takes in the learner: gate, learner, export, step bound, guard, outbox. `p99_ms`: of
decisions, from the intended time to a reader, by block; `ratio`: on to off, the geometric mean over pairs with its 95 %
interval. `versions`: how many decided while labels were followed, and in the blocks. `in_force`: what payments got
last; where the guard has gone back (`""`) nothing was swapped since, and the blocks show nothing. `noise`: the share of
the machine that others took, at worst; beside more than a tenth nothing is shown.
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

import msgspec
import numpy as np

from fraud.core.fields import Duration
from fraud.core.records import HOUR, SECOND, Label, LabelSource, Verdict
from infra.services import KafkaServer, RedisServer
from models.online.snapshots import Live, decoded, live_in
from streaming.kafka.updates import LIVE, PERIOD, SNAPSHOT
from streaming.replay.learning import number_of
from tests.bench.live.figures import ratio
from tests.bench.live.machine import noise, usage
from tests.bench.live.traffic import BEGAN_NS, CARDS, DAY_NS, Reader, generate
from tests.site import Site, until

LABELLED, FRAUD, LABEL_AFTER = 14, 100, 1.0
LEFT_OUT, MOST_LEFT_OUT, CLOSE_BEHIND = 5.0, 12, 1_000
"""A block counts once who was asleep is no more decisions behind; until then its traffic runs, seconds at a time."""
WARM_SECONDS, WARM_FOR, WARM_PERIODS = 10.0, 300.0, 10
"""For how long, at most, payments are sent until they get what was learned: seconds, and periods beside those."""
STARTED_WITHIN = 300.0
"""The first start in a new checkout compiles the loops."""
NEVER = "1000h"
STEP = "fraud_refresh_step_seconds"
BASE_SETTINGS = {
    "FRAUD_REFRESH__ENABLED": "true", "FRAUD_GATE__ENABLED": "true", "FRAUD_GATE__PATIENCE": "0s",
    **{f"FRAUD_GATE__{chart}__ALARM": "1e9" for chart in ("SOURCE", "SOURCE_STRONG", "SOURCE_SURE")},
    **{f"FRAUD_GATE__{chart}__ALARM": "1e9" for chart in ("MERCHANT", "DEVICE")},
}  # fmt: skip


class Block(NamedTuple):
    """One block: the p99 of its decisions, ms, and the share of the machine that others took."""

    p99: float
    noise: float


class Rig:
    """Servers, a worker, two learners of which one sleeps, and payments with their labels."""

    def __init__(self, kafka: KafkaServer, redis: RedisServer, folder: Path, given: argparse.Namespace) -> None:
        """Start all of it; nobody sleeps yet."""
        self._kafka, self._redis, self._rate, self._sent, self._paid = kafka, redis, given.rate, 0, 0
        self._every = int(Duration.parse(given.every)) / SECOND
        every = {"FRAUD_REFRESH__EVERY": given.every}
        self.site = Site(
            kafka.bootstrap, redis.url, folder / "on", "refresh", model=given.model, environment=BASE_SETTINGS | every
        )
        self.worker = self.site.worker()
        self.on = self.site.book("--http", "0")
        self._never = Idle(self.site, folder / "off")
        self.off = self._never.book("--http", "0")
        for site, log in ((self.site, "worker0"), (self.site, "book"), (self._never, "book")):
            until(lambda site=site, log=log: self._has_started(site, log), f"{log} has started", STARTED_WITHIN)  # type: ignore[misc]

    def close(self) -> None:
        """End what was started."""
        self._never.close()
        self.site.close()

    def learn_until_live(self) -> None:
        """Send payments and labels until payments get what was learned."""
        self.off.send_signal(signal.SIGSTOP)
        end = time.monotonic() + WARM_FOR + WARM_PERIODS * self._every
        while time.monotonic() < end:
            self.send(WARM_SECONDS)
            if (found := lives(self.site)) and found[-1].version:
                return
            losses = figures_of(self.site, "fraud_refresh_loss_nats")
            print(f"not yet in force; lost so far, nats, by who said it: {losses}", file=sys.stderr)
        msg = f"nothing was promoted in time: {self.site.log('book')[-1_500:]}"
        raise AssertionError(msg)

    def follow(self, seconds: float) -> float:
        """Send payments and labels for so long, and on until those must be in force; return the noise meanwhile."""
        before = usage(self._pids())
        self.send(seconds)
        after = usage(self._pids())
        self.send(self._every + LEFT_OUT)
        return round(noise(before, after), 3)

    def block(self, seconds: float, *, on: bool) -> Block:
        """Measure one block."""
        works, sleeps = (self.on, self.off) if on else (self.off, self.on)
        sleeps.send_signal(signal.SIGSTOP)
        works.send_signal(signal.SIGCONT)
        pids = self._pids()
        reader = Reader(self._kafka.bootstrap, self.site.topics.decisions)
        try:
            self._catch_up(self.site if on else self._never)
            before = usage(pids)
            intended = self.send(seconds)
            after = usage(pids)
            until(lambda: intended.keys() <= reader.seen.keys(), "all decisions")
        finally:
            reader.close()
        waits = [(reader.seen[name].at - due) / 1e6 for name, due in intended.items()]
        return Block(round(float(np.quantile(waits, 0.99)), 2), round(noise(before, after), 3))

    def send(self, seconds: float) -> Mapping[str, int]:
        """Send payments at their times, labels on a thread beside them."""
        self._need_all()
        first, count = self._sent, int(self._rate * seconds)
        self._sent += count + 1
        self._paid += count
        labels = threading.Thread(target=self._label, args=(first, count), daemon=True)
        labels.start()
        intended = generate(self._kafka.bootstrap, self.site.topics.transactions, self._rate, seconds, first)
        labels.join(LABEL_AFTER + STARTED_WITHIN)
        assert not labels.is_alive(), "labels were not sent in time"
        self._need_all()
        return intended

    def step_ms(self) -> dict[str, float | None]:
        """Return what ends of periods took, ms: mean, and the bound below which 99 of 100 lie."""
        text = metrics_of(self.site)
        total, count = (float(re.findall(rf"^{STEP}_{name} (.*)$", text, re.M)[0]) for name in ("sum", "count"))
        buckets = re.findall(rf'^{STEP}_bucket\{{le="(.*)"\}} (.*)$', text, re.M)
        below = next((float(bound) for bound, held in buckets if float(held) >= 0.99 * count), math.inf)
        return {
            "mean": round(total / count * 1e3, 2) if count else None,
            "p99_below": below * 1e3 if below < math.inf else None,
            "steps": count,
        }

    def _catch_up(self, site: Site) -> None:
        """Send payments until who was asleep has read what came meanwhile."""
        for _ in range(MOST_LEFT_OUT):
            self.send(LEFT_OUT)
            behind = self._paid - figures_of(site, 'fraud_book_decisions_total{outcome="decisions"}')[0]
            if behind <= CLOSE_BEHIND:
                return
        seconds = MOST_LEFT_OUT * LEFT_OUT
        msg = f"a learner is {behind:.0f} decisions behind after {seconds:.0f} s: the machine is too slow"
        raise AssertionError(msg)

    def _has_started(self, site: Site, log: str) -> bool:
        self._need_all()
        return '"http_port"' in site.log(log)

    def _need_all(self) -> None:
        """Raise AssertionError when a process has ended: nothing more would come of it."""
        for site, process, log in (
            (self.site, self.worker, "worker0"), (self.site, self.on, "book"), (self._never, self.off, "book"),
        ):  # fmt: skip
            if process.poll() is not None:
                msg = f"{log} has ended with {process.returncode}: {site.log(log)[-1_500:]}"
                raise AssertionError(msg)

    def _label(self, first: int, count: int) -> None:
        began, step = time.monotonic() + LABEL_AFTER, DAY_NS // (2 * CARDS)
        for number in range(LABELLED, count, LABELLED):
            while (left := began + number / self._rate - time.monotonic()) > 0:
                time.sleep(left)
            at = BEGAN_NS + (first + number) * step + HOUR
            fraud = (first + number) // LABELLED % FRAUD == 0
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
    """Return the metrics of a site's learner."""
    port = json.loads(re.findall(r"\{.*\"http_port\".*\}", site.log("book"))[-1])["http_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=STARTED_WITHIN) as answer:
        return str(answer.read().decode())


def figures_of(site: Site, name: str) -> list[float]:
    """Return the values of a site's learner under a metric's name, or the beginning of one."""
    return [float(value) for value in re.findall(rf"^{re.escape(name)}\S* (.*)$", metrics_of(site), re.M)]


class Knowing(NamedTuple):
    """What says up to where labels are learned: a version's number, or a period's end at `at` (ms) that needed none."""

    positions: Mapping[str, int]
    seq: int
    at: int = 0


class Ended(msgspec.Struct):
    """The record of a period's end: the newest version by then, and up to where labels are learned."""

    version: str
    positions: dict[str, int]


class Waits(NamedTuple):
    """How long labels took to be in force, s, infinite where they never were; how many needed no version."""

    seconds: list[float]
    without_version: int


def label_to_live(site: Site, since: float, to: float) -> Waits:
    """Return, of each label between two times (s), the seconds until payments are decided by what knows of it.

    That knows of a label under whose positions it stands. A version is in force when a decision names it, or a later
    one; a period's end that needed no version is when it is told, and its version in force.
    """
    known, in_force = knowing(site), in_force_since(site)
    seconds, without_version = [], 0
    for record in site.records(site.topics.labels):
        if not since * 1e3 <= record.timestamp < to * 1e3:
            continue
        by = next((one for one in known if below(one.positions, record)), None)
        at = next((at for seq, at in in_force if by is not None and seq >= by.seq), None)
        seconds.append(math.inf if by is None or at is None else (max(at, by.at) - record.timestamp) / 1e3)
        without_version += by is not None and by.at > 0
    return Waits(seconds, without_version)


def knowing(site: Site) -> list[Knowing]:
    """Return what says up to where labels are learned, in order: a version before the end of the period it is of."""
    found = []
    for record in site.records(site.topics.updates):
        key = record.key.decode()
        if key.startswith(SNAPSHOT):
            snapshot = decoded(record.value)
            found.append(Knowing(snapshot.positions, snapshot.seq))
        elif key.startswith(PERIOD):
            ended = msgspec.json.decode(record.value, type=Ended)
            found.append(Knowing(ended.positions, number_of(ended.version), record.timestamp))
    return found


def in_force_since(site: Site) -> list[tuple[int, int]]:
    """Return the number of each version that decided, with the time (ms) of its first decision, in order of time."""
    first: dict[int, int] = {}
    for record in site.records(site.topics.decisions):
        version = json.loads(record.value)["versions"].get("parameters", "")
        if version:
            first[number_of(version)] = min(first.get(number_of(version), record.timestamp), record.timestamp)
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
    noisy = [rig.follow(given.seconds)]
    waits, steps = label_to_live(rig.site, began, began + given.seconds), rig.step_ms()
    followed = versions(rig.site, began, time.time())
    print(f"labels in force after {quantiles(waits.seconds)} s; steps {steps}; noise {noisy}", file=sys.stderr)
    blocks: dict[bool, list[Block]] = {True: [], False: []}
    begun = time.time()
    for number in range(given.pairs):
        for on in (True, False) if number % 2 == 0 else (False, True):
            blocks[on].append(rig.block(given.seconds, on=on))
            print(f"refreshes {'on' if on else 'off'}: {blocks[on][-1]}", file=sys.stderr)
    rig.on.send_signal(signal.SIGCONT)  # who is stopped tells no metrics
    mean, interval = ratio([one.p99 for one in blocks[True]], [one.p99 for one in blocks[False]])
    noisy += [b.noise for both in blocks.values() for b in both]
    return {
        "rate": given.rate, "every_s": int(Duration.parse(given.every)) / SECOND,
        "label_to_live_s": quantiles(waits.seconds) | {
            "labels": len(waits.seconds), "never": sum(map(math.isinf, waits.seconds)),
            "without_version": waits.without_version,
            "early": int(sum(figures_of(rig.site, 'fraud_labels_total{outcome="unmatched"}'))),
        },
        "step_ms": rig.step_ms(),
        "p99_ms": {"on": [b.p99 for b in blocks[True]], "off": [b.p99 for b in blocks[False]]},
        "ratio": mean, "interval": interval,
        "versions": [followed, versions(rig.site, begun, time.time())],
        "in_force": [one.version for one in lives(rig.site)][-1:],
        "noise": max(noisy),
    }  # fmt: skip


def quantiles(seconds: list[float]) -> dict[str, float | None]:
    """Return median and p99, None where that never was."""
    found = {f"p{q}": float(np.quantile(seconds, q / 100, method="higher")) for q in (50, 99)} if seconds else {}
    return {name: round(value, 2) if math.isfinite(value) else None for name, value in found.items()}


def versions(site: Site, since: float, to: float) -> int:
    """Return how many versions decided for the first time between two times (s)."""
    return sum(since * 1e3 <= at < to * 1e3 for _, at in in_force_since(site))


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
