"""Everything else that goes wrong, under load, real Kafka and Redis: `make faults`.

    python -m tests.crash.faults [SCENARIO ...] [--rate 300] [--seconds 20]

Each scenario runs a site under load, breaks something, lets it mend, and judges like `tests.crash.kills`: nothing lost,
nothing double, no answer that differs, state as if nothing had happened. `in_time` is the share of what was sent while
something was broken that was decided within 50 ms (of at least 95 % while Redis hangs), `longest_pause_ms` the longest
time without any decision.
"""

import argparse
import json
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any, NamedTuple

import msgspec

from fraud.core.errors import BEGIN_AGAIN
from fraud.core.records import DAY, Label, Transaction, Verdict
from infra.services import KafkaServer, RedisServer
from streaming.kafka import output_log
from streaming.messages import envelope, schema
from tests.crash.kills import chargebacks, judged, load, payments
from tests.crash.stops_itself import PLACES
from tests.edges import NEAR, Edge, EdgeSender
from tests.proxy import Proxy
from tests.site import Site, make_anew, page, until

BUDGET_MS, IN_TIME = 50, 0.95
"""What a decision may take, and the share of decisions that are to keep to it while Redis hangs."""
WRONG = "lost", "double", "score_differs", "state_differs", "vectors_differ", "alerts_lost", "late"
TWICE = 64
"""Positions that docs/delivery.md lets a worker publish twice that was stopped: two batches."""


class Held(Site):
    """A site whose load can be held, and whose topic of transactions can be made anew, which it remembers."""

    def __init__(self, *words: Any, **options: Any) -> None:
        """Create the topics."""
        super().__init__(*words, **options)
        self.load = threading.Lock()
        self._before: list[Any] = []

    def send(self, transactions: Iterable[Transaction], rate: float = 0.0) -> int:
        """Send transactions unless the load is held."""
        with self.load:
            return super().send(transactions, rate)

    def records(self, topic: str) -> list[Any]:
        """Return every record of a topic, those of its namesakes that are gone first."""
        return [*(self._before if topic == self.topics.transactions else ()), *super().records(topic)]

    def make_anew(self) -> None:
        """Delete the topic of transactions and make it again, once all that it holds is decided; the load is held."""
        until(lambda: self.decided() >= self.ends(self.topics.transactions), "every decision of before", 60)
        self._before = self.records(self.topics.transactions)
        make_anew(self.settings, self.topics.transactions)
        self.connect()


class Stage(NamedTuple):
    """What a scenario acts on."""

    kafka: KafkaServer
    redis: RedisServer
    site: Held
    workers: list["subprocess.Popen[bytes]"]
    proxy: Proxy
    """What the workers reach Redis by."""


def redis_killed(stage: Stage) -> None:
    """Redis is killed and comes back at once."""
    stage.redis.kill()
    stage.redis.start(tied=True)


def redis_cut(stage: Stage) -> None:
    """Redis loses power: the last second of its file is gone when it comes back."""
    before = stage.redis.aof_bytes()
    time.sleep(1.0)
    stage.redis.kill()
    stage.redis.cut_aof(max(stage.redis.aof_bytes() - before, 1))
    stage.redis.start(tied=True)


def cut_inside(stage: Stage, rounds: int = 6) -> None:
    """Connections to Redis are cut inside what is said, writes and answers alike; then Redis dies as well."""
    for number in range(rounds):
        before = stage.proxy.cuts
        stage.proxy.cut()
        until(lambda before=before: stage.proxy.cuts > before, "a message cut short", 30)  # type: ignore[misc]
        if number % 3 == 2:
            stage.redis.kill()
        stage.proxy.mend()
        if number % 3 == 2:
            stage.redis.start(tied=True)
        time.sleep(2.0)


def hung_lines(stage: Stage, seconds: float = 10.0) -> None:
    """The network to Redis passes nothing on for a while, and closes nothing."""
    stage.proxy.hang()
    time.sleep(seconds)
    stage.proxy.mend()


def older_copy(stage: Stage, seconds: float = 8.0) -> None:
    """Redis comes back with an older copy of its own file, as a backup put back, or a replica that lagged."""
    kept = stage.redis.folder / "older"
    copytree(stage.redis.folder / "appendonlydir", kept)
    time.sleep(seconds)
    stage.redis.kill()
    rmtree(stage.redis.folder / "appendonlydir")
    copytree(kept, stage.redis.folder / "appendonlydir")
    stage.redis.start(tied=True)
    until(lambda: older(stage) > 0, lambda: f"the copy to be noticed; log: {stage.site.log()[-1_500:]}", 60)


def older(stage: Stage) -> int:
    """Return how often a worker has said that the store is an older copy."""
    return sum(stage.site.log(f"worker{n}").count('"store is an older copy"') for n in range(len(stage.workers)))


def book_away(stage: Stage) -> None:
    """The label book is away while verdicts come in time and their deadline passes: silence must not go first."""
    site = stage.site
    site.environment["FRAUD_LABELS__DEADLINE"] = "5d"
    book = site.book()
    until(lambda: '"started"' in site.log("book"), "the label book at work", 60)
    book.kill()
    book.wait()
    now = newest(site)
    made = [answer.decision for answer in site.read().answers if answer.decision.happened_at > now - DAY]
    told = [Label(tx_id=one.tx_id, verdict=Verdict.FRAUD, happened_at=one.happened_at, seen_at=0) for one in made[:100]]
    site.send_labels(told)
    until(lambda: newest(site) >= now + 6 * DAY, "six days of the stream", 120)
    site.book()
    until(lambda: chargebacks(site) >= len(told), "every verdict applied", 90)
    known = [envelope.known_in(record.value) for record in site.records(site.topics.known)]
    first: dict[str, Verdict] = {}
    for label in known:
        first.setdefault(label.tx_id, label.verdict)
    late = [label.tx_id for label in told if first[label.tx_id] is not Verdict.FRAUD]
    assert not late, f"silence went before {len(late)} of {len(told)} verdicts that had come in time"


def newest(site: Site) -> int:
    """Return up to when the stream has come."""
    return max(answer.decision.happened_at for answer in site.read().answers)


def redis_gone(stage: Stage, seconds: float = 30.0) -> None:
    """Redis is away for half a minute."""
    stage.redis.kill()
    time.sleep(seconds)
    stage.redis.start(tied=True)


def hung(stage: Stage, seconds: float = 30.0) -> None:
    """Redis does not answer for half a minute, though its port is open."""
    stage.redis.process.pause()
    time.sleep(seconds)
    stage.redis.process.wake()


def kafka_restarted(stage: Stage) -> None:
    """Kafka is killed and comes back; a worker that stopped without a commit is started again, as its site would."""
    stage.kafka.kill()
    stage.kafka.start(tied=True)
    revive(stage)


def zombie(stage: Stage) -> None:
    """A worker sleeps past its session time-out, another takes over, the first wakes."""
    stage.workers[0].send_signal(signal.SIGSTOP)
    time.sleep(16.0)
    stage.workers[0].send_signal(signal.SIGCONT)
    time.sleep(2.0)
    revive(stage)


def zombie_at(place: str, stage: Stage) -> None:
    """A worker stops at a place of its own, another takes over, the first goes on from there."""
    stage.workers[0].terminate()
    stage.workers[0].wait()
    stage.workers[0] = stopped = stage.site.stopping_worker(place, signal.SIGSTOP)
    if place == "in-rebalance":
        until(lambda: page(stage.site, 0, "/readyz") == "ready\n", "the worker to have partitions that it can give", 60)
        stage.workers.append(stage.site.worker(len(stage.workers)))
    until(lambda: is_stopped(stopped), f"the worker to stop {place}", 60)
    time.sleep(16.0)
    stopped.send_signal(signal.SIGCONT)
    time.sleep(2.0)
    revive(stage)


def is_stopped(process: "subprocess.Popen[bytes]") -> bool:
    """Tell whether a process is stopped by a signal."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].startswith("T")


def unpublished(stage: Stage) -> None:
    """A worker dies after it wrote to the store and before it published; it comes back after the retry horizon."""
    for worker in stage.workers:
        worker.terminate()
        worker.wait()
    site = stage.site
    site.dying_worker().wait(60)
    time.sleep(3.0)
    stage.workers[0] = site.worker(0)
    if len(stage.workers) > 1:
        stage.workers[1] = site.worker(1)


def large(stage: Stage, rounds: int = 8) -> None:
    """Messages of up to 1 MB come among the others, on every partition: no worker ends, nor does the label book."""
    site, sender = stage.site, EdgeSender(stage.site.settings.bootstrap)
    book = site.book()
    paid = iter(payments(rounds, 17))
    for _ in range(rounds):
        tx = next(paid)
        tx = msgspec.structs.replace(tx, card="large", id=f"large-{tx.id}")
        for partition in range(4):
            sender.send(site.topics.transactions, LARGE, [partition])
        trace = Edge("trace", schema.of_transaction(tx), b"k", (("tracestate", b"a" * 1_000_000),))
        sender.send(site.topics.transactions, [trace])
        sender.send(site.topics.labels, LARGE)
        time.sleep(1.0)
    sender.close()
    refused = rounds * len(LARGE) * 5
    until(lambda: site.ends(site.topics.dead) >= refused, lambda: f"{refused} letters; log: {site.log()[-1_500:]}", 60)
    ended = [process.args for process in (*stage.workers, book) if process.poll() is not None]
    assert not ended, f"ended: {ended}; log: {site.log()[-1_500:]}"


LARGE = [
    Edge("near the limit", b"x" * NEAR),
    Edge("large when unpacked", b"x" * 5_000_000, codec="gzip"),
    Edge("long header", b"{}", headers=(("h", b"v" * 1_000_000),)),
    Edge("long key", b"{}", b"k" * 1_000_000),
]


def topic_recreated(stage: Stage) -> None:
    """The topic of transactions is deleted and made again under live workers; both notice, and are started again."""
    with stage.site.load:
        stage.site.make_anew()
    ended = [worker.wait(30) for worker in stage.workers]
    assert ended == [BEGIN_AGAIN] * len(ended), f"statuses {ended}, expected {BEGIN_AGAIN}: {stage.site.log()[-1_500:]}"
    revive(stage)


def commits_refused(stage: Stage, seconds: float = 40.0) -> None:
    """Kafka refuses every commit for a while: workers say so, are not ready, and let no first answer age."""
    limit = {"offset.metadata.max.bytes": 20}
    stage.kafka.kill()
    stage.kafka.options.update(limit)
    stage.kafka.start(tied=True)
    revive(stage)
    time.sleep(seconds)
    numbers = range(len(stage.workers))
    until(lambda: all("commits" in page(stage.site, n, "/readyz") for n in numbers), "workers wait for commits", 30)
    assert all('"commits refused"' in stage.site.log(f"worker{number}") for number in numbers)
    stage.kafka.kill()
    for word in limit:
        del stage.kafka.options[word]
    stage.kafka.start(tied=True)
    revive(stage)


def revive(stage: Stage) -> None:
    """Start workers again that have ended."""
    for number, worker in enumerate(stage.workers):
        if worker.poll() is not None:
            stage.workers[number] = stage.site.worker(number)


BY_STORE = redis_killed, redis_cut, redis_gone, hung, cut_inside, hung_lines, older_copy
BY_KAFKA = kafka_restarted, topic_recreated, commits_refused
SCENARIOS: dict[str, Callable[[Stage], None]] = {
    **{function.__name__: function for function in (*BY_STORE, *BY_KAFKA, zombie, unpublished, large, book_away)},
    **{f"zombie_{place.replace('-', '_')}": partial(zombie_at, place) for place in PLACES},
}


THROUGH_PROXY = {"cut_inside", "hung_lines"}


def one(name: str, folder: Path, rate: float, seconds: float) -> dict[str, Any]:
    """Run one scenario with servers of its own; return what is wrong, and how many were decided by rules alone."""
    kafka = KafkaServer(folder / "kafka").start(tied=True)
    redis = RedisServer(folder / "redis").start(tied=True)
    seed = secrets.randbelow(1_000_000)
    proxy = Proxy(redis.port, seed)
    url = f"redis://127.0.0.1:{proxy.port}/0" if name in THROUGH_PROXY else redis.url
    site = Held(kafka.bootstrap, url, folder / "site", name.replace("_", "-"))
    try:
        stage = Stage(kafka, redis, site, [site.worker(0), site.worker(1)], proxy)
        sent, stop, counted = payments(int(rate * (seconds + 90)), seed), threading.Event(), [0]
        thread = threading.Thread(target=lambda: counted.__setitem__(0, load(site, sent, rate, stop)))
        thread.start()
        until(
            lambda: site.ends(site.topics.decisions) > rate, lambda: f"the first decisions; log: {site.log()[-1_500:]}"
        )
        time.sleep(seconds / 2)
        began, broken = time.monotonic(), time.time()
        SCENARIOS[name](stage)
        mended = time.time()
        time.sleep(seconds / 2)
        stop.set()
        thread.join()
        sent = sent[: counted[0]]
        revive(stage)
        until(lambda: site.decided() >= len(sent), "every decision", 150)
        until(lambda: settled(site), lambda: f"the store back in every worker; log: {site.log()[-1_500:]}", 60)
        # Offsets of two topics of one name are no order that a replay could go by.
        found: dict[str, Any] = dict(judged(site, sent, [], still=0 if name == "topic_recreated" else None))
        by_rules = sum("store-down" in answer.decision.marks for answer in site.read().answers)
        found |= {"seed": seed, "sent": len(sent), "by_rules": by_rules, "seconds": round(time.monotonic() - began)}
        found |= punctuality(site, broken, mended)
        return found | {"late": int(name == "hung" and found["in_time"] < IN_TIME)}
    finally:
        site.close()
        proxy.close()
        kafka.kill()
        redis.kill()


def punctuality(site: Site, broken: float, mended: float) -> dict[str, float]:
    """Return the share of what was sent while all was broken and decided within 50 ms, and pauses without a decision.

    Times are those of the records; the longest pause is of the whole run.
    """
    sent = {(record.partition, record.offset): record.timestamp for record in site.records(site.topics.transactions)}
    decided = sorted(site.records(site.topics.decisions), key=lambda record: record.timestamp)
    waits = []
    for record in decided:
        source = output_log.source_of(record.headers)
        assert source is not None
        at = sent[source.partition, source.offset]
        if broken <= at / 1e3 <= mended:
            waits.append(record.timestamp - at)
    times = [record.timestamp for record in decided]
    pause = max((after - before for before, after in pairwise(times)), default=0)
    in_time = sum(wait <= BUDGET_MS for wait in waits) / max(len(waits), 1)
    return {"broken_sent": len(waits), "in_time": round(in_time, 4), "longest_pause_ms": pause}


def settled(site: Site) -> bool:
    """Tell whether every worker that lost the store has it back."""
    logs = [site.log(f"worker{number}") for number in (0, 1)]
    return all(log.count('"store gone"') <= log.count('"store back"') for log in logs)


def is_wrong(found: Mapping[str, Any]) -> bool:
    """Tell whether anything is wrong; what a worker had in hand when it was stopped may be published once more."""
    return any(found[key] for key in WRONG) or found["published_twice"] > TWICE


def main() -> None:
    """Run scenarios; exit status 1 when something was lost, double or different."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--seconds", type=float, default=16.0)
    given = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    if unknown := set(given.scenarios) - SCENARIOS.keys():
        parser.error(f"unknown scenario {', '.join(sorted(unknown))}: expected {', '.join(SCENARIOS)}")
    for name in given.scenarios or SCENARIOS:
        with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
            results[name] = one(name, Path(folder), given.rate, given.seconds)
        print(f"{name}: {results[name]}", file=sys.stderr)
    print(json.dumps(results))
    sys.exit(1 if any(is_wrong(result) for result in results.values()) else 0)


if __name__ == "__main__":
    main()
