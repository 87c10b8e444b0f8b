"""Kill -9 at random moments under load, real Kafka and Redis: `make kills N=10`.

    python -m tests.crash.kills [N] [--rate 300] [--seed 1] [--standby] [--cluster]

Two workers and the label book run under load; again and again one of them is killed and started anew. Half of the
kills go to each way of delivery; the last of each half dies between its write and its publishing, and comes back after
the retry horizon. With `--standby` a second process of each worker waits, warmed up, to take over; with `--cluster` the
state lies in a Redis Cluster of three nodes, a new one for each half. `restart_s` is how
long after a kill the last of the worker's partitions had its next decision, of three more kills of each half that fall
into calm, the worker being started again at once; `overlapping_s` is the same after the random ones, from the restart
(with a standby from the kill), while other processes may be starting. When the load is through: `lost` are inputs
without a decision, `double` ids that our readers accept twice, `score_differs` ids with two unequal answers or a vector
in the header that does not give the score, `state_differs` rows whose bytes are not those of a run that was never
interrupted, `histories_differ` histories (of a model that reads them) that did not take in just what they should have:
how many events, a card's own in their order, the known frauds; what they noted of other entities depends on which of
two workers was first. `labels_lost` and `labels_double` verdicts that the workers did not get, or got twice.
Further figures stand in `tests.crash.outcome`. Without `--seed` every run has a seed of its own, which it prints.
"""

import argparse
import json
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from confluent_kafka import Consumer, TopicPartition
from numpy.typing import NDArray

from features.extractor import OnlineExtractor
from features.state import events as ev
from features.state import history as hs
from features.state import layout as at
from features.state.tables import card_key
from features.stores.memory import MemoryStore
from fraud.core import tokens as tk
from fraud.core.ports import Encoder, Scorer
from fraud.core.records import DAY, Answer, Label, LabelSource, Position, Reject, Transaction, Verdict
from fraud.simulate import fdh
from infra.services import KafkaServer, RedisServer
from streaming.kafka.output_log import Once
from streaming.messages import envelope
from streaming.messages.codec import Codec, Limits
from streaming.settings import changed, rates, read_settings
from streaming.wiring import strategy
from tests.crash.outcome import mixed, outcome
from tests.redis_cluster import CLUSTERED, form_cluster
from tests.redis_rows import stored_rows
from tests.site import Site, until

PAUSE = (1.5, 4.0)
HORIZON = 1.0
SETTLE = 6.0
ALONE, CALM = 3, 6.0
"""Kills in calm that a run ends with, and the seconds before each."""
IN_FLIGHT = 0.05
LABELLED = 3
WORKERS = 2
PAIR = "pair "


class Pulse:
    """When decisions came, by partition."""

    def __init__(self, site: Site) -> None:
        """Read along from now on, on a thread of its own."""
        words = {"bootstrap.servers": site.settings.bootstrap, "group.id": "pulse", "fetch.wait.max.ms": 10}
        self._consumer = Consumer({**words, "isolation.level": "read_committed"})
        self._topic = site.topics.decisions
        self._came: dict[int, list[float]] = {number: [] for number in range(4)}
        self._consumer.assign([TopicPartition(self._topic, number, 0) for number in self._came])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def back(self, since: float, until_then: float) -> float | None:
        """Return when the last partition had its next decision after `since` (s, monotonic), None for none in time.

        What the killed process had sent may still arrive for a moment; a partition that somebody else serves is never
        still for long, so the last one is the killed worker's.
        """
        found = []
        for times in self._came.values():
            place = bisect_right(times, since + IN_FLIGHT)
            if place == len(times) or times[place] > until_then:
                return None
            found.append(times[place])
        return max(found)

    def _read(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.05)
            if message is not None and message.error() is None:
                self._came[message.partition() or 0].append(time.monotonic())


class Kill(NamedTuple):
    """One kill of a worker: which, when its successor was started (s, monotonic), whether all else was well."""

    name: str
    restarted: float
    alone: bool = False


class Rig:
    """A site under load, whose processes are killed. With a standby the first of a list works, the second waits."""

    def __init__(self, site: Site, seed: int, standby: bool = False) -> None:
        """Start workers and label book."""
        self.site, self._standby = site, standby
        self._rng = np.random.default_rng(seed)
        words = ("--standby", str(site.folder / "turns")) if standby else ()
        self._parts: dict[str, Any] = {f"worker{n}": (lambda n=n: site.worker(n, *words)) for n in range(WORKERS)}
        self._parts["book"] = site.book
        self._running: dict[str, list[subprocess.Popen[bytes]]] = {
            name: [start()] for name, start in self._parts.items()
        }
        if standby:
            self._wait_for_turns()
            for number in range(WORKERS):
                self._running[f"worker{number}"].append(self._parts[f"worker{number}"]())
        self._pulse = Pulse(site)
        self._kills: list[Kill] = []

    def kill_one(self) -> str:
        """Kill a process at a random moment, wait a while, start it again; return which."""
        time.sleep(float(self._rng.uniform(*PAUSE)))
        name = str(self._rng.choice(list(self._parts)))
        self._kill(name)
        if not self._takes_over(name):
            time.sleep(float(self._rng.choice([0.0, 0.2, 1.0])))
        self._kills.append(Kill(name, time.monotonic()))
        self._running[name].append(self._parts[name]())
        return name

    def kill_alone(self, number: int) -> None:
        """Kill one worker while all else is well, start it again at once, and wait until its partitions are served."""
        name = f"worker{number % WORKERS}"
        time.sleep(CALM)
        self._kill(name)
        killed = time.monotonic()
        self._kills.append(Kill(name, killed, alone=True))
        self._running[name].append(self._parts[name]())
        until(lambda: self._pulse.back(killed, float("inf")) is not None, f"decisions after {name}'s restart")

    def die_unpublished(self) -> str:
        """Let a worker die after it wrote and before it published, and come back after the retry horizon."""
        name = "worker0"
        while self._running[name]:
            self._kill(name)
        self.site.dying_worker().wait(60)
        time.sleep(3 * HORIZON)
        self._kills.append(Kill(name, time.monotonic()))
        self._running[name].append(self._parts[name]())
        return f"{name} between write and publish"

    def waits(self, *, alone: bool) -> list[float]:
        """Return how long killed workers' partitions waited, of those that were back before the next kill.

        Of kills that fell into calm, or of those at random, which may meet another process that starts.
        """
        kills = [kill for kill in self._kills if kill.name != "book"]
        found = []
        for place, kill in enumerate(kills):
            later = [other.restarted for other in kills[place + 1 :]]
            back = self._pulse.back(kill.restarted, min(later, default=float("inf")))
            if back is not None and kill.alone is alone:
                found.append(round(back - kill.restarted, 3))
        return found

    def close(self) -> None:
        """Stop watching."""
        self._pulse.close()

    def _kill(self, name: str) -> None:
        process = self._running[name].pop(0)
        process.kill()
        process.wait()

    def _takes_over(self, name: str) -> bool:
        return self._standby and name != "book"

    def _wait_for_turns(self) -> None:
        for number in range(WORKERS):
            until(lambda name=f"worker{number}": '"started"' in self.site.log(name), "the worker's turn")  # type: ignore[misc]


def payments(count: int, seed: int) -> list[Transaction]:
    """Return simulated payments with hub merchants: few shops, many cards, a third of them in all partitions."""
    traffic = fdh.generate(fdh.Fdh(cards=300, terminals=60, days=90, seed=seed, radius=50.0))
    return list(mixed(islice(traffic.transactions(), count)))


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


def undisturbed(site: Site, encoder: Encoder | None) -> MemoryStore:
    """Return the state that a run without interruption leaves: payments in their order, then verdicts."""
    store = MemoryStore()
    extractor = OnlineExtractor(store)
    codec = Codec(rates(read_settings(None, {})), Limits(ahead=2**62))
    for record in site.records(site.topics.transactions):
        taken = codec.transaction(record.value or b"", Position("t", 0, 0), record.timestamp * 1_000_000)
        if isinstance(taken, Reject):
            continue
        assert isinstance(taken.event, Transaction)
        extractor.open([taken], encoder)
        extractor.absorb(taken.event, None)
        extractor.close([])
    extractor.open([], encoder)
    for record in site.records(site.topics.known):
        extractor.apply(envelope.known_in(record.value), None)
    extractor.close([])
    return store


def scorer_of(model: str) -> Scorer:
    """Return a model as the workers load it."""
    settings = changed(read_settings(None, {}), "model", name=model)
    return strategy(settings, OnlineExtractor(MemoryStore()).version).scorer


def expected_rows(store: MemoryStore) -> dict[str, bytes]:
    """Return every row of a state; names of pairs begin with `PAIR`."""
    return dict(store.entities.items()) | {PAIR + key: row for key, row in store.pairs.items()}


class Taken(NamedTuple):
    """What a history took in, whatever the order in which several workers came to it.

    `window` holds the ids' hashes of its newest events in their order, of a card alone: all its payments lie in one
    partition. `frauds` are those of its newest known frauds, oldest first.
    """

    events: int
    window: tuple[int, ...]
    frauds: tuple[int, ...]


def taken_in(key: str, row: bytes) -> Taken:
    """Return what one history row took in; `row` may lack the zeros at its end."""
    whole = np.zeros(hs.HISTORY_BYTES, np.uint8)
    whole[: len(row)] = np.frombuffer(row, np.uint8)
    events = hs.events_of(whole)
    newest = range(max(events - tk.RING, 0), events) if key.startswith(card_key("")) else range(0)
    window = tuple(id_hash(hs.record_of(whole, sequence)) for sequence in newest)
    slots = [hs.fraud_of(whole, slot) for slot in range(tk.FRAUDS)]
    return Taken(events, window, tuple(id_hash(record) for record in slots if ev.seconds(record)))


def id_hash(record: NDArray[np.uint8]) -> int:
    """Return the hash of a record's transaction id."""
    return int(record[at.E_TX : at.E_TX + 8].view(np.int64)[0])


def histories_differ(site: Site, store: MemoryStore, scorer: Scorer) -> int:
    """Return how many histories in Redis did not take in what those of a state did; 0 for a model that reads none."""
    expected = dict(store.histories_of(scorer.encoder).items()) if scorer.encoder else {}
    held = stored_rows(site.redis_url, list(expected), lambda cache: cache.histories, scorer) if expected else {}
    return sum(taken_in(key, held[key]) != taken_in(key, row) for key, row in expected.items())


def rows_in_redis(site: Site, rows: Sequence[str]) -> dict[str, bytes]:
    """Return the rows of `expected_rows` as Redis holds them."""
    pairs = [row for row in rows if row.startswith(PAIR)]
    held = stored_rows(site.redis_url, [row.removeprefix(PAIR) for row in pairs], lambda cache: cache.pairs)
    entities = stored_rows(site.redis_url, [row for row in rows if row not in set(pairs)], lambda cache: cache.entities)
    return entities | {PAIR + key: row for key, row in held.items()}


def wrong_scores(answers: Sequence[Answer], scorer: Scorer) -> int:
    """Return how many decisions their own header vector does not reproduce, of a model that reads no histories."""
    wrong = 0
    for answer in answers if not scorer.encoder else ():
        if answer.decision.versions.model != scorer.version or answer.repeat_of is not None:
            continue  # decided by rules alone, while the store was gone; or told again, without its vector
        assert answer.vector is not None
        score = scorer.score([answer.decision.tx_id], answer.vector.values[None, :])[0]
        wrong += score.value != answer.decision.score
    return wrong


def judged(
    site: Site, sent: Sequence[Transaction], labels: Sequence[Label], still: int | None = None
) -> dict[str, int]:
    """Return what is wrong after a run, each 0 when all is well; `still` as in `outcome`."""
    read = site.read()
    ids = Counter(answer.decision.tx_id for answer in read.answers if answer.repeat_of is None)
    known = Counter(said(record.value) for record in site.records(site.topics.known))
    applied = accepted_labels(site)
    scorer = scorer_of(site.model)
    store = undisturbed(site, scorer if scorer.encoder else None)
    expected = expected_rows(store)
    held = rows_in_redis(site, list(expected))
    return {
        "lost": len({tx.id for tx in sent} - ids.keys()),
        "double": sum(count - 1 for count in ids.values()),
        "score_differs": read.doubles + wrong_scores(read.answers, scorer),
        "state_differs": sum(held[key] != row for key, row in expected.items()),
        "histories_differ": histories_differ(site, store, scorer),
        "labels_lost": len({(label.tx_id, label.source) for label in labels} - applied.keys()),
        "labels_double": sum(count - 1 for count in known.values()) + sum(count - 1 for count in applied.values()),
        **outcome(site, read, labels, still),
    }


def said(value: bytes) -> tuple[str, LabelSource]:
    """Return of which payment a known label speaks and who said so: silence may have spoken before a late verdict."""
    label = envelope.known_in(value)
    return label.tx_id, label.source


def accepted_labels(site: Site) -> Counter[tuple[str, LabelSource]]:
    """Return how often our readers accept each applied label: by its source offset."""
    once = Once(site.topics)
    found = Counter(said(record.value) for record in site.records(site.topics.applied) if once.accepts(record))
    assert not once.foreign
    return found


def chargebacks(site: Site) -> int:
    """Return of how many payments the verdict that was sent has been applied."""
    return sum(source is LabelSource.CHARGEBACK for _, source in accepted_labels(site))


class Trial(NamedTuple):
    """What one half of a run is made with."""

    delivery: str
    kills: int
    rate: float
    seed: int
    standby: bool
    model: str


class Waits(NamedTuple):
    """How long partitions waited for a decision (s): after lone kills, and after those that may overlap."""

    alone: list[float]
    others: list[float]


def one_run(kafka: str, redis: str, folder: Path, trial: Trial) -> tuple[dict[str, int], Waits]:
    """Run one site under load with so many kills; return what is wrong, and how long killed workers were away."""
    name = f"kills-{trial.delivery}-{trial.seed}"
    site = Site(kafka, redis, folder, name, model=trial.model, extra=("--delivery", trial.delivery))
    try:
        rig = Rig(site, trial.seed, trial.standby)
        sent = payments(int(trial.rate * (trial.kills * (sum(PAUSE) / 2 + 2) + 40 + 12 * ALONE)), trial.seed)
        stop, counted = threading.Event(), [0]
        thread = threading.Thread(target=lambda: counted.__setitem__(0, load(site, sent, trial.rate, stop)))
        thread.start()
        until(lambda: site.ends(site.topics.decisions) > 0, "the first decision")
        still = sys.maxsize
        for number in range(trial.kills):
            killed = rig.kill_one() if number < trial.kills - 1 else rig.die_unpublished()
            print(f"{trial.delivery}: kill {number + 1} of {trial.kills}: {killed}", file=sys.stderr)
            if number == trial.kills // 2:
                still = time.time_ns()
                site.send_labels(labels_of(sent[: site.ends(site.topics.decisions) // 2]))
        for number in range(ALONE):
            rig.kill_alone(number)
        time.sleep(SETTLE)
        stop.set()
        thread.join()
        sent = sent[: counted[0]]
        labels = labels_of(sent)
        site.send_labels(labels)
        until(lambda: site.decided() >= len(sent), "every decision", 120)
        until(lambda: chargebacks(site) >= len(labels), "every label applied", 120)
        time.sleep(1.0)
        rig.close()
        return judged(site, sent, labels, still), Waits(rig.waits(alone=True), rig.waits(alone=False))
    finally:
        site.close()


@contextmanager
def node(folder: Path) -> Iterator[str]:
    """Run a Redis; yield its address."""
    server = RedisServer(folder).start(tied=True)
    try:
        yield server.url
    finally:
        server.kill()


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Run a Redis Cluster of three nodes; yield its address."""
    with ExitStack() as running:
        servers = [RedisServer(folder / str(number), options=CLUSTERED).start(tied=True) for number in range(3)]
        for server in servers:
            running.callback(server.kill)
        for client in form_cluster(servers):
            client.close()
        yield f"redis+cluster://127.0.0.1:{servers[0].port}"


def spread(times: Sequence[float]) -> dict[str, float]:
    """Return median and worst of some times."""
    return {"median": round(float(np.median(times)), 2), "worst": round(max(times), 2)}


def main() -> None:
    """Run with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kills", type=int, nargs="?", default=10)
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--model", default="demo", help="a shipped model, as demo-blend, or one in build/models")
    parser.add_argument("--standby", action="store_true", help="a second process of each worker waits to take over")
    parser.add_argument("--cluster", action="store_true", help="state in a Redis Cluster of three nodes")
    given = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    print(f"seed {seed}", file=sys.stderr)
    total: Counter[str] = Counter()
    waits: dict[str, dict[str, dict[str, float]]] = {"restart_s": {}, "overlapping_s": {}}
    with tempfile.TemporaryDirectory(prefix="kills-") as place:
        folder = Path(place)
        kafka, store = KafkaServer(folder / "kafka").start(tied=True), cluster if given.cluster else node
        try:
            halves = {"fast": given.kills - given.kills // 2, "transactional": given.kills // 2}
            for delivery, kills in halves.items():
                if kills:
                    trial = Trial(delivery, kills, given.rate, seed, given.standby, given.model)
                    with store(folder / f"redis-{delivery}") as redis_url:
                        found, away = one_run(kafka.bootstrap, redis_url, folder / delivery, trial)
                    print(f"{delivery}: {found}; away {away} s", file=sys.stderr)
                    total.update(found)
                    for name, times in zip(waits, away, strict=True):
                        if times:
                            waits[name][delivery] = spread(times)
        finally:
            kafka.kill()
    print(json.dumps({"kills": given.kills, "seed": seed, **total, **waits}))
    sys.exit(1 if any(total.values()) else 0)


if __name__ == "__main__":
    main()
