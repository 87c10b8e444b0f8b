"""Kill -9 of learner, label book and workers during refreshes, real Kafka and Redis: `make kills LEARN=1 N=20`.

    python -m tests.crash.learner [N] [--rate 250] [--seed 1] [--delivery fast]

Two workers and `fraud learn` run under load with a refresh each second; labels, which tell of more frauds than the
model does, come right behind their payments; operators pin and unpin. Again and again one process is killed and started
anew. When the load is through, all is put to an uninterrupted `fraud learn` on a copy of the same topics. Counted is, 0
when all is well: `lost` and `double` decisions, `state_differs` rows (as `tests.crash.kills` has them), `unknown`
decisions whose `parameters` have no snapshot, `score_differs` decisions that their vector and parameters do not
reproduce, `twice` versions or events published twice, `gaps` in the numbers of events, `labels_lost` and
`labels_double` verdicts that the workers did not get or got twice, `learned_differs` labels that were not learned as
often as without a kill, `orders_lost` orders without their answer. `versions`, `used`, `events` and `learned` say
that there was something to see.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaProducer

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.records import DAY, HOUR, Answer, Label, LabelSource, Level, Transaction, Verdict
from fraud.simulate import fdh
from infra.services import KafkaServer, RedisServer
from models.online.snapshots import Snapshot, decoded, event_in
from streaming.kafka.updates import EVENT, SNAPSHOT, newest
from streaming.messages.actions import of_action
from streaming.messages.schema import Do, RefreshMessage
from streaming.settings import changed, read_settings
from streaming.wiring import refreshing, strategy
from tests.crash.kills import PAUSE, Rig, accepted_labels, expected_rows, rows_in_redis, said, undisturbed
from tests.crash.kills import load as send_at_rate
from tests.site import Site, until

MATURITY = 12 * DAY
LEARNING = {
    "FRAUD_REFRESH__ENABLED": "true", "FRAUD_REFRESH__EVERY": "1s", "FRAUD_GATE__ENABLED": "true",
    "FRAUD_GATE__PATIENCE": "0s", "FRAUD_LEARNING__MATURITY": "12d",
    # Whatever waits after a kill is decided by the whole model: what rules alone decide is not learned.
    "FRAUD_SERVING__BUDGET": "10m",
    # What these labels say no model would: an alarm would hold them, and when it comes depends on their order.
    **{f"FRAUD_GATE__{chart}__ALARM": "1e9" for chart in ("SOURCE", "SOURCE_STRONG", "SOURCE_SURE")},
    **{f"FRAUD_GATE__{chart}__ALARM": "1e9" for chart in ("MERCHANT", "DEVICE")},
}  # fmt: skip
LABELLED, FRAUD, WAVE = 3, 25, 200
SETTLE = 5.0
SETTLED, STILL = 120.0, 8
"""How long (s) all learning is waited for, and for how many looks, one a second, nothing more may be learned."""
EVERY_ORDER = 1.5
COPIED = 2_000


def payments(count: int, seed: int) -> list[Transaction]:
    """Return simulated payments of few days, so that none is old enough to be learned untold before the last ones."""
    traffic = fdh.generate(fdh.Fdh(cards=3_000, terminals=3_000, days=11, seed=seed))
    return [tx for _, tx in zip(range(count), traffic.transactions(), strict=False)]


def labels_of(sent: Sequence[Transaction]) -> list[Label]:
    """Return verdicts on every third payment, an hour after it: by analysts, and as chargebacks.

    One in 25 is a fraud for a while, then none is, and so on: there is always something new to learn.
    """
    return [
        Label(
            tx_id=tx.id,
            verdict=Verdict.FRAUD if number % FRAUD == 0 and number // WAVE % 2 == 0 else Verdict.GENUINE,
            happened_at=tx.happened_at + HOUR,
            seen_at=0,
            source=LabelSource.CHARGEBACK if number % 2 else LabelSource.ANALYST,
        )
        for number, tx in enumerate(sent[::LABELLED])
    ]


def last_ones(sent: Sequence[Transaction]) -> list[Transaction]:
    """Return payments so late that all others are old enough to be learned."""
    at = sent[-1].happened_at + MATURITY + DAY
    return [msgspec.structs.replace(tx, id=f"last{n}", happened_at=at) for n, tx in enumerate(sent[-8:])]


class Load:
    """Payments at a rate, their labels right behind them, and an operator's orders."""

    def __init__(self, site: Site, sent: Sequence[Transaction], rate: float) -> None:
        """Start sending, on threads."""
        self._site, self._all, self._rate = site, sent, rate
        self.sent: list[Transaction] = []
        self.labels: list[Label] = []
        self.orders = 0
        self._stop = threading.Event()
        work = self._payments, self._orders
        self._threads = [threading.Thread(target=each, daemon=True) for each in work]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stop, when what was sent has its labels."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _payments(self) -> None:
        step = max(int(self._rate), 3) // LABELLED * LABELLED
        while not self._stop.is_set() and len(self.sent) < len(self._all):
            some = self._all[len(self.sent) : len(self.sent) + step]
            send_at_rate(self._site, some, self._rate, threading.Event())
            labels = labels_of([*self.sent, *some])[len(self.labels) :]
            self._site.send_labels(labels)
            self.sent += some
            self.labels += labels

    def _orders(self) -> None:
        """Pin the newest version, and let go of it, in turn."""
        while not self._stop.wait(EVERY_ORDER):
            found = newest(self._site.settings, lambda held: any(key.startswith(SNAPSHOT) for key in held))
            keys = [key for key in found if key.startswith(SNAPSHOT)]
            if keys:
                pin, version = self.orders % 2 == 0, keys[-1].removeprefix(SNAPSHOT)
                order = RefreshMessage(do=Do.PIN, version=version) if pin else RefreshMessage(do=Do.UNPIN)
                self._site.put(self._site.topics.actions, [(b"", of_action(order))])
                self.orders += 1


def updates(site: Site) -> list[tuple[str, bytes]]:
    """Return every record of what was learned, in order."""
    return [(record.key.decode(), record.value) for record in site.records(site.topics.updates)]


def snapshots(site: Site) -> dict[str, Snapshot]:
    """Return every snapshot by its version, in order."""
    found = [decoded(body) for key, body in updates(site) if key.startswith(SNAPSHOT)]
    return {one.version: one for one in found}


def learned(site: Site) -> dict[str, float]:
    """Return how many labels the last book has learned, by source and verdict, as its metrics say."""
    port = json.loads(re.findall(r"\{.*\"http_port\".*\}", site.log("book"))[-1])["http_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    return {name: float(value) for name, value in re.findall(r"^fraud_labels_learned_total(\{.*\}) (.*)$", text, re.M)}


def settled(site: Site, expected: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return what was learned once nothing more is; or as soon as that is what is expected, if that comes in time.

    The last to be learned, all at once, are those on which nobody has spoken.
    """
    end, seen = time.monotonic() + SETTLED, [learned(site)]
    while time.monotonic() < end and seen[-1] != expected:
        time.sleep(1.0)
        seen.append(learned(site))
        last = seen[-STILL:]
        if expected is None and any("untold" in name for name in seen[-1]) and last == [seen[-1]] * STILL:
            break
    return seen[-1]


def calm(site: Site, folder: Path, expected: Mapping[str, float]) -> dict[str, float]:
    """Return what an uninterrupted book learns from a copy of a site's topics."""
    other = Site(
        site.settings.bootstrap, site.redis_url, folder, f"{site.settings.group}-calm", environment=site.environment
    )
    producer = KafkaProducer(bootstrap_servers=site.settings.bootstrap, acks="all", linger_ms=5)
    try:
        for name in ("labels", "decisions", "actions"):
            for record in site.records(getattr(site.topics, name)):
                where = {"partition": record.partition, "headers": list(record.headers)}
                producer.send(getattr(other.topics, name), key=record.key, value=record.value, **where)
        producer.flush()
        other.book("--http", "0")
        until(lambda: '"http_port"' in other.log("book"), lambda: f"the book: {other.log('book')[-1_500:]}")
        return settled(other, expected)
    finally:
        producer.close()
        other.close()


def wrong_scores(answers: Sequence[Answer], held: dict[str, Snapshot], model: str) -> int:
    """Return how many decisions their vector and parameters do not reproduce."""
    settings = changed(read_settings(None, {}), "model", name=model)
    chosen = strategy(settings, OnlineExtractor(MemoryStore()).version)
    made, base = refreshing(chosen), chosen.scorer
    assert made is not None
    scorers = {"": base} | {version: made.scorers(one)[Level.FULL] for version, one in held.items()}
    wrong = 0
    for answer in answers:
        decision, scorer = answer.decision, scorers.get(answer.decision.versions.parameters)
        if decision.versions.model != base.version or answer.vector is None or scorer is None:
            continue  # decided by rules alone, while the store was gone
        wrong += scorer.score([decision.tx_id], answer.vector.values[None, :])[0].value != decision.model_score
    return wrong


def judged(site: Site, load: Load, sent: Sequence[Transaction], folder: Path) -> dict[str, Any]:
    """Return what is wrong after a run, each 0 when all is well, and what there was to see."""
    mine, read, records, held = settled(site), site.read(), updates(site), snapshots(site)
    ids = Counter(answer.decision.tx_id for answer in read.answers)
    named = Counter(answer.decision.versions.parameters for answer in read.answers)
    keys = Counter(key for key, _ in records if key.startswith((SNAPSHOT, EVENT)))
    events = [event_in(body) for key, body in records if key.startswith(EVENT)]
    known = Counter(said(record.value) for record in site.records(site.topics.known))
    applied, told = accepted_labels(site), {(label.tx_id, label.source) for label in load.labels}
    store = undisturbed(site, None)
    rows = expected_rows(store)
    in_redis = rows_in_redis(site, list(rows))
    undone = calm(site, folder / "calm", mine)
    return {
        "lost": len({tx.id for tx in sent} - ids.keys()),
        "double": sum(count - 1 for count in ids.values()) + read.doubles,
        "state_differs": sum(in_redis[key] != row for key, row in rows.items()),
        "unknown": sum(count for version, count in named.items() if version and version not in held),
        "score_differs": wrong_scores(read.answers, held, site.model),
        "twice": sum(count - 1 for count in keys.values()),
        "gaps": len(set(range(1, len(events) + 1)) ^ {event.seq for event in events}),
        "labels_lost": len(told - applied.keys()),
        "labels_double": sum(known[name] - 1 for name in known) + sum(applied[name] - 1 for name in applied),
        "learned_differs": int(sum(abs(mine.get(name, 0) - undone.get(name, 0)) for name in mine.keys() | undone)),
        "orders_lost": load.orders - sum("order" in event.details for event in events),
        "versions": len(held),
        "used": len(named) - ("" in named),
        "events": dict(Counter(event.kind for event in events)),
        "learned": mine,
    }


WRONG = (
    "lost", "double", "state_differs", "unknown", "score_differs", "twice", "gaps", "labels_lost", "labels_double",
    "learned_differs", "orders_lost",
)  # fmt: skip


class Learners(Site):
    """A site whose book shows its metrics."""

    def book(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start the label book."""
        return super().book("--http", "0", *words)


def one_run(kafka: str, redis: str, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Run one site under load with so many kills; return what is wrong."""
    site = Learners(
        kafka, redis, folder / "site", f"learner-{given.seed}", model=given.model,
        extra=("--delivery", given.delivery), environment=LEARNING,
    )  # fmt: skip
    try:
        rig = Rig(site, given.seed)
        seconds = given.kills * (sum(PAUSE) / 2 + 2) + 60
        load = Load(site, payments(int(given.rate * seconds), given.seed), given.rate)
        until(lambda: bool(snapshots(site)), lambda: f"a version; log: {site.log('book')[-1_500:]}", 90)
        for number in range(given.kills):
            print(f"kill {number + 1} of {given.kills}: {rig.kill_one()}", file=sys.stderr)
        time.sleep(SETTLE)
        load.end()
        until(lambda: site.decided() >= len(load.sent), "every decision", 120)
        until(lambda: len(accepted_labels(site)) >= len(load.labels), "every label applied", 120)
        last = last_ones(load.sent)
        site.send(last)
        sent = [*load.sent, *last]
        until(lambda: site.decided() >= len(sent), "the last decisions", 60)
        rig.close()
        return judged(site, load, sent, folder)
    finally:
        site.close()


def main() -> None:
    """Run with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kills", type=int, nargs="?", default=20)
    parser.add_argument("--rate", type=float, default=250.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="demo", help="a shipped booster")
    parser.add_argument("--delivery", default="fast", choices=["fast", "transactional"])
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="learner-") as place:
        folder = Path(place)
        kafka = KafkaServer(folder / "kafka").start(tied=True)
        redis = RedisServer(folder / "redis").start(tied=True)
        try:
            found = one_run(kafka.bootstrap, redis.url, folder, given)
        finally:
            kafka.kill()
            redis.kill()
    print(json.dumps({"kills": given.kills, **found}))
    sys.exit(1 if any(found[name] for name in WRONG) else 0)


if __name__ == "__main__":
    main()
