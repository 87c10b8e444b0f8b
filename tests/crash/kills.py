"""Kill -9 at random moments under load, real Kafka and Redis: `make kills N=10`.

    python -m tests.crash.kills [N] [--rate 300] [--seed 1]

Two workers and the label book run under load; again and again one of them is killed and started anew. Half of the
kills go to each way of delivery. When the load is through: `lost` are inputs without a decision, `double` ids that our
readers accept twice, `score_differs` ids with two unequal answers or a vector in the header that does not give the
score, `state_differs` rows whose bytes are not those of a run that was never interrupted, `labels_lost` and
`labels_double` verdicts that the workers did not get, or got twice.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from features.stores.redis import RedisStore
from fraud.core.records import DAY, Answer, Arrival, Label, Position, Transaction, Verdict
from fraud.simulate import fdh
from infra.services import KafkaServer, RedisServer
from streaming import configuration, tail, wire
from streaming.codec import Codec, Limits
from streaming.wiring import judges
from tests.site import Site, until

PAUSE = (1.5, 4.0)
LABELLED = 3
WORKERS = 2


class Rig:
    """A site under load, whose processes are killed."""

    def __init__(self, site: Site, seed: int) -> None:
        """Start workers and label book."""
        self.site = site
        self._rng = np.random.default_rng(seed)
        self._parts: dict[str, Any] = {f"worker{n}": (lambda n=n: site.worker(n)) for n in range(WORKERS)}
        self._parts["book"] = site.book
        self._running: dict[str, subprocess.Popen[bytes]] = {name: start() for name, start in self._parts.items()}
        self.waits: list[float] = []

    def kill_one(self) -> str:
        """Kill a process at a random moment, wait a while, start it again; return which."""
        time.sleep(float(self._rng.uniform(*PAUSE)))
        name = str(self._rng.choice(list(self._parts)))
        self._running[name].kill()
        self._running[name].wait()
        time.sleep(float(self._rng.choice([0.0, 0.2, 1.0])))
        self._running[name] = self._parts[name]()
        return name


def payments(count: int, seed: int) -> list[Transaction]:
    """Return simulated payments with hub merchants: few shops, many cards."""
    traffic = fdh.generate(fdh.Fdh(cards=300, terminals=60, days=90, seed=seed, radius=50.0))
    return list(islice(traffic.transactions(), count))


def labels_of(sent: Sequence[Transaction]) -> list[Label]:
    """Return a verdict on every third payment."""
    return [
        Label(
            tx_id=tx.id,
            verdict=Verdict.FRAUD if number % 2 else Verdict.GENUINE,
            happened_at=tx.happened_at + DAY,
            seen_at=0,
        )
        for number, tx in enumerate(sent[::LABELLED])
    ]


def load(site: Site, sent: Sequence[Transaction], rate: float, stop: threading.Event) -> int:
    """Send payments at a rate until told to stop, labels a while behind; return how many payments."""
    step = max(int(rate / 10), 1)
    done = 0
    while not stop.is_set() and done < len(sent):
        site.send(sent[done : done + step], rate)
        done += step
    return min(done, len(sent))


def expected_rows(site: Site) -> dict[str, bytes]:
    """Return every row as a run without interruption leaves it: payments in their order, then verdicts."""
    store = MemoryStore()
    extractor = OnlineExtractor(store)
    codec = Codec(configuration.rates(configuration.read(None, {})), Limits(ahead=2**62))
    extractor.open([])
    for record in site.records(site.topics.transactions):
        taken = codec.transaction(record.value, Position("t", 0, 0), record.timestamp * 1_000_000)
        assert isinstance(taken, Arrival)
        assert isinstance(taken.event, Transaction)
        extractor.absorb(taken.event, None)
    for record in site.records(site.topics.known):
        extractor.apply(wire.known_in(record.value), None)
    extractor.close([])
    rows = dict(store.entities.items())
    return rows | {"pair " + key: row for key, row in store.pairs.items()}


def stored_rows(site: Site, rows: Sequence[str]) -> dict[str, bytes]:
    """Return the same rows as Redis holds them."""
    store = RedisStore(site.redis_url, timeout=10)
    found = {}
    for key in rows:
        name = store._keys.pair(key.removeprefix("pair ")) if key.startswith("pair ") else store._keys.row(key)
        found[key] = store._client.hget(name, "r") or b""
    store.close()
    return found


def wrong_scores(answers: Sequence[Answer], model: str) -> int:
    """Return how many decisions their own header vector does not reproduce."""
    settings = configuration.changed(configuration.read(None, {}), "model", name=model)
    scorer = judges(settings, OnlineExtractor(MemoryStore()).version).scorer
    wrong = 0
    for answer in answers:
        if answer.decision.versions.model != scorer.version:
            continue  # decided by rules alone, while the store was gone
        assert answer.vector is not None
        score = scorer.score([answer.decision.tx_id], answer.vector.values[None, :])[0]
        wrong += score.value != answer.decision.score
    return wrong


def judged(site: Site, sent: Sequence[Transaction], labels: Sequence[Label]) -> dict[str, int]:
    """Return what is wrong after a run, each 0 when all is well."""
    read = site.read()
    ids = Counter(answer.decision.tx_id for answer in read.answers)
    known = Counter(wire.known_in(record.value).tx_id for record in site.records(site.topics.known))
    applied = accepted_labels(site)
    expected = expected_rows(site)
    held = stored_rows(site, list(expected))
    return {
        "lost": len({tx.id for tx in sent} - ids.keys()),
        "double": sum(count - 1 for count in ids.values()),
        "score_differs": read.doubles + wrong_scores(read.answers, site.model),
        "state_differs": sum(held[key] != row for key, row in expected.items()),
        "labels_lost": len({label.tx_id for label in labels} - applied.keys()),
        "labels_double": sum(count - 1 for count in known.values()) + sum(count - 1 for count in applied.values()),
    }


def accepted_labels(site: Site) -> Counter[str]:
    """Return how often our readers accept each applied label: by its source offset."""
    seen: dict[int, int] = {}
    found: Counter[str] = Counter()
    for record in site.records(site.topics.applied):
        source = tail.source_of(record.headers)
        assert source is not None
        if source.offset > seen.get(record.partition, -1):
            seen[record.partition] = source.offset
            found[wire.known_in(record.value).tx_id] += 1
    return found


def one_run(kafka: str, redis: str, folder: Path, delivery: str, kills: int, rate: float, seed: int) -> dict[str, int]:
    """Run one site under load with so many kills; return what is wrong."""
    site = Site(kafka, redis, folder, f"kills-{delivery}-{seed}", extra=("--delivery", delivery))
    try:
        rig = Rig(site, seed)
        sent = payments(int(rate * (kills * (sum(PAUSE) / 2 + 2) + 20)), seed)
        stop, counted = threading.Event(), [0]
        thread = threading.Thread(target=lambda: counted.__setitem__(0, load(site, sent, rate, stop)))
        thread.start()
        until(lambda: site.ends(site.topics.decisions) > 0, "the first decision")
        for number in range(kills):
            print(f"{delivery}: kill {number + 1} of {kills}: {rig.kill_one()}", file=sys.stderr)
            if number == kills // 2:
                site.send_labels(labels_of(sent[: site.ends(site.topics.decisions) // 2]))
        stop.set()
        thread.join()
        sent = sent[: counted[0]]
        labels = labels_of(sent)
        site.send_labels(labels)
        until(lambda: site.decided() >= len(sent), "every decision", 120)
        until(lambda: len(accepted_labels(site)) >= len(labels), "every label applied", 120)
        return judged(site, sent, labels)
    finally:
        site.close()


def main() -> None:
    """Run with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int, nargs="?", default=10)
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        kafka = KafkaServer(folder / "kafka").start(tied=True)
        redis = RedisServer(folder / "redis").start(tied=True)
        try:
            halves = {"fast": given.kills - given.kills // 2, "transactional": given.kills // 2}
            for delivery, kills in halves.items():
                if kills:
                    redis_url = redis.url.replace("/0", "/1") if delivery == "transactional" else redis.url
                    found = one_run(
                        kafka.bootstrap, redis_url, folder / delivery, delivery, kills, given.rate, given.seed
                    )
                    print(f"{delivery}: {found}", file=sys.stderr)
                    total.update(found)
        finally:
            kafka.kill()
            redis.kill()
    print(json.dumps({"kills": given.kills, **total}))
    sys.exit(1 if any(total.values()) else 0)


if __name__ == "__main__":
    main()
