"""A live run through Kafka and Redis against the replay of its own log: `make parity`.

    python -m tests.parity.live [--rows 200000] [--data FILE] [--model demo] [--refreshes]

One worker and the label book, undisturbed; payments as fast as they go, far beyond what the worker keeps in time, so
that levels change and decisions are late; each label when the stream's time reaches it. The replay takes transactions,
the applied labels, and of the decisions `seen_at`, level, explainer, parameters and what was late, in the order in
which the worker saw them, through the engine with the embedded store. Compared: the whole decision and its vector, to
the last digit; and the verdicts that were applied with those that were sent.

With `--refreshes` parameters change twenty times a second, by scripted snapshots on the topic, from which the replay
reads them back; and there are two workers, the second of which hears of none until the run is half over. For what two
workers take in at one merchant lies in no log, merchants and devices are told apart by their card's partition.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import count, islice
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

import msgspec
from kafka import KafkaProducer
from kafka.partitioner.default import murmur2

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.engine import Engine, Lateness, Strategy
from fraud.core.records import (
    Answer,
    Arrival,
    Decision,
    Intake,
    Label,
    Level,
    Mark,
    Position,
    Reject,
    Transaction,
    Verdict,
    as_decided,
)
from fraud.simulate import fdh
from infra.services import KafkaServer, RedisServer
from models.online import snapshots
from models.online.snapshots import Live, Snapshot
from streaming.files.table import Table
from streaming.files.values import mapping
from streaming.files.values.rows import Row
from streaming.kafka import output_log, updates
from streaming.messages import envelope
from streaming.messages.codec import Codec, Limits
from streaming.replay.history import HistorySource, history, ordered
from streaming.settings import changed, rates, read_settings
from streaming.wiring import strategy
from tests.parity.refreshes import knowing, scorers_of, scripted
from tests.site import Site, page, until

DELAY = 7 * 86_400 * 1_000_000_000
BATCH = 64
PARTITIONS = 4
EVERY_SECONDS = 0.05
LISTENS = "FRAUD_REFRESH__ENABLED"


A_CARD = 100
"""A simulated card pays a little more often than that in the sixty days of a run."""


def stream(data: Path | None, rows: int) -> Iterator[Arrival | Reject]:
    """Yield payments and their labels by time: of the file, or simulated ones."""
    if data is None:
        cards = max(400, -(-rows // A_CARD))
        traffic = fdh.generate(fdh.Fdh(cards=cards, terminals=2 * cards, days=60, seed=9, radius=12.0))
        truth = zip(traffic.transactions(), traffic.fraud.tolist(), strict=True)
        made = (Row(tx, Verdict.FRAUD if fraud else Verdict.GENUINE, "", None) for tx, fraud in truth)
        return history(ordered(islice(made, rows)), DELAY)
    return history(ordered(islice(Table(data, mapping.load("fdh")).rows(), rows)), DELAY)


def apart(events: Iterator[Arrival | Reject]) -> Iterator[Arrival | Reject]:
    """Yield events whose merchants and devices are told apart by the partition of their card."""
    for event in events:
        if isinstance(event, Arrival) and isinstance(tx := event.event, Transaction):
            yield msgspec.structs.replace(event, event=set_apart(tx))
        else:
            yield event


def own_partition(card: str) -> int:
    """Return the partition that a card's payments go to."""
    return int((murmur2(card.encode()) & 0x7FFFFFFF) % PARTITIONS)


def set_apart(tx: Transaction) -> Transaction:
    """Return a payment at a merchant, and by a device, that no card of another partition uses."""
    number = own_partition(tx.card)
    device = tx.device and f"{tx.device}-{number}"
    return msgspec.structs.replace(tx, merchant=f"{tx.merchant}-{number}", device=device)


def feed(site: Site, events: Iterator[Arrival | Reject]) -> tuple[int, int]:
    """Send a stream in its order; return how many payments and labels."""
    source, payments, labels = HistorySource(events, 500), 0, 0
    while (intake := source.read()) is not None:
        payments += site.send(transactions(intake))
        labels += site.send_labels(a.event for a in intake.arrivals if isinstance(a.event, Label))
        # The label book must keep pace with the stream's time, as it does live.
        if payments % 5_000 < 500:
            until(lambda done=payments: site.ends(site.topics.decisions) >= done - 4_000, "the worker keeps up", 300)  # type: ignore[misc]
    return payments, labels


def transactions(intake: Intake) -> Iterator[Transaction]:
    """Yield the payments of a batch."""
    return (a.event for a in intake.arrivals if isinstance(a.event, Transaction))


# ---- refreshes


class Publisher:
    """A learner by script: a snapshot with small random changes, and that it is live, again and again."""

    def __init__(self, site: Site) -> None:
        """Connect."""
        self._site, self._strategy = site, strategy_of(site.model)
        self._producer = KafkaProducer(bootstrap_servers=site.settings.bootstrap.split(","), acks="all")
        self._ended = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self.published = 0

    def start(self) -> "Publisher":
        """Begin to publish, in a thread."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Publish no more."""
        self._ended.set()
        self._thread.join()
        self.disconnect()

    def disconnect(self) -> None:
        """Let the broker go."""
        self._producer.close()

    def publish(self, snapshot: Snapshot) -> None:
        """Publish a snapshot and that it is live."""
        live = Live(base=snapshot.base, version=snapshot.version, seq=snapshot.seq, why="script", at=time.time_ns())
        for key, record in ((f"snapshot/{snapshot.version}", snapshot), (f"live/{snapshot.base}", live)):
            self._producer.send(self._site.topics.updates, key=key.encode(), value=snapshots.encoded(record))
        self._producer.flush()
        self.published += 1

    def _run(self) -> None:
        for seq in count(1):
            self.publish(scripted(self._strategy, seq))
            if self._ended.wait(EVERY_SECONDS):
                return


def published(site: Site) -> list[Snapshot]:
    """Return every snapshot that the topic holds."""
    found = updates.newest(site.settings, updates.everything)
    return [snapshots.decoded(value) for key, value in found.items() if key.startswith(snapshots.SNAPSHOT)]


def listening(site: Site, *, heard: bool) -> None:
    """Let the processes of a site that are started from now on listen for refreshes, or not."""
    site.environment[LISTENS] = str(heard).lower()


# ---- the replay


def log_of(site: Site, decided: Sequence[Answer]) -> list[Arrival]:
    """Return what the workers took up, in the order in which they did."""
    made = {(answer.position.partition, answer.position.offset): answer.decision for answer in decided}
    found = read_settings(None, {})
    codec = Codec(rates(found), Limits(ahead=2**62))
    arrivals = []
    for record in site.records(site.topics.transactions):
        place = record.partition, record.offset
        if place in made:
            position = Position("transactions", *place)
            taken = codec.transaction(record.value, position, made[place].seen_at)
            assert isinstance(taken, Arrival)
            arrivals.append(as_decided(taken, made[place]))
    once = output_log.Once(site.topics)
    for record in filter(once.accepts, site.records(site.topics.applied)):
        source = output_log.source_of(record.headers)
        assert source is not None
        arrivals.append(Arrival(envelope.known_in(record.value), source))
    return sorted(arrivals, key=lambda arrival: arrival.event.seen_at)


def strategy_of(model: str) -> Strategy:
    """Return a model's strategy, as the workers have it."""
    settings = changed(read_settings(None, {}), "model", name=model)
    return strategy(settings, OnlineExtractor(MemoryStore()).version)


def replayed(log: Sequence[Arrival], model: str, learned: Sequence[Snapshot] = ()) -> dict[str, Decision]:
    """Return the decisions of a replay that knows these snapshots, by transaction."""
    return {answer.decision.tx_id: answer.decision for answer in answered_again(log, model, learned)}


def answered_again(log: Sequence[Arrival], model: str, learned: Sequence[Snapshot] = ()) -> Iterator[Answer]:
    """Yield the answers of a replay that knows these snapshots."""
    settings, store = read_settings(None, {}), MemoryStore()
    frozen = strategy_of(model)
    chosen = knowing(frozen, scorers_of(frozen, *learned)) if learned else frozen
    engine = Engine(OnlineExtractor(store), store, chosen, None, Lateness(settings.lateness.allowed))
    for begin in range(0, len(log), BATCH):
        yield from engine.handle(log[begin : begin + BATCH])


def differing(live: Sequence[Answer], again: Mapping[str, Decision]) -> list[str]:
    """Return the ids of decisions that are not the same."""
    return [answer.decision.tx_id for answer in live if answer.decision != again.get(answer.decision.tx_id)]


def vectors_differing(live: Sequence[Answer], again: Sequence[Answer]) -> int:
    """Return how many decisions rest on another vector than the replay's; a repeat carries none."""
    made = {answer.decision.tx_id: answer.vector for answer in again}
    held = [(answer.vector, made.get(answer.decision.tx_id)) for answer in live if answer.vector is not None]
    return sum(there is None or there.values.tobytes() != here.values.tobytes() for here, there in held)


def turned(site: Site) -> int:
    """Return of how many payments another verdict was applied than topic `labels` holds."""
    codec, told, position = Codec(), dict[str, Verdict](), Position("labels", 0, 0)
    for record in site.records(site.topics.labels):
        taken = codec.label(record.value, position, time.time_ns())
        if isinstance(taken, Arrival) and isinstance(taken.event, Label):
            told[taken.event.tx_id] = taken.event.verdict
    applied = [envelope.known_in(record.value) for record in site.records(site.topics.applied)]
    return len({label.tx_id for label in applied if told.get(label.tx_id, label.verdict) is not label.verdict})


def hurried(decisions: Sequence[Decision]) -> dict[str, int]:
    """Return how many decisions there are of each level, explainer and mark: whether time was short at all."""
    words = [word for one in decisions for word in (f"level {one.level}", f"explainer {one.explainer}", *one.marks)]
    return dict(sorted(Counter(map(str, words)).items()))


class Compared(NamedTuple):
    """A run beside its replay: payments, decisions that differ, labels applied, what was short.

    `parameters` are the versions that payments met, `frozen` counts those that the model decided as it was trained.
    `vectors` are decisions on another vector than the replay's, `turned` verdicts that are not those that were sent.
    """

    rows: int
    differ: list[str]
    labels: int
    of: dict[str, int]
    parameters: int
    frozen: int
    vectors: int = 0
    turned: int = 0


def is_ready(site: Site, number: int) -> bool:
    """Tell whether a worker has partitions."""
    return page(site, number, "/readyz") == "ready\n"


def compare(site: Site, events: Iterator[Arrival | Reject]) -> Compared:
    """Run live by one worker, then replay."""
    site.book()
    site.worker()
    return compared(site, *feed(site, events))


def compare_refreshed(site: Site, events: Sequence[Arrival | Reject]) -> Compared:
    """Run live by two workers and many refreshes, of which the second one hears from the middle on; then replay."""
    half = len(events) // 2
    with closing(Publisher(site).start()):
        listening(site, heard=False)
        site.book()
        deaf = site.worker(1)
        listening(site, heard=True)
        site.worker(0)
        until(lambda: is_ready(site, 0) and is_ready(site, 1), "both have partitions")
        first = feed(site, apart(iter(events[:half])))
        until(lambda: site.ends(site.topics.decisions) >= first[0], "the first half", 600)
        deaf.terminate()
        deaf.wait()
        site.worker(1)
        until(lambda: is_ready(site, 1), "the second one has partitions again")
        second = feed(site, apart(iter(events[half:])))
        payments, labels = first[0] + second[0], first[1] + second[1]
        until(lambda: site.ends(site.topics.decisions) >= payments, "every decision", 600)
    return compared(site, payments, labels)


def compared(site: Site, payments: int, labels: int) -> Compared:
    """Return a run that has been fed so much beside its replay, once all of it is through."""
    until(lambda: site.ends(site.topics.decisions) >= payments, "every decision", 600)
    until(lambda: site.ends(site.topics.known) >= labels, "every label known", 300)
    until(lambda: site.ends(site.topics.applied) >= labels, "every label applied", 300)
    live = site.read().answers
    made = [answer.decision for answer in live]
    versions = Counter(decision.versions.parameters for decision in made if decision.level is not Level.RULES)
    learned = [snapshot for snapshot in published(site) if snapshot.version in versions]
    again = list(answered_again(log_of(site, live), site.model, learned))
    differ = differing(live, {answer.decision.tx_id: answer.decision for answer in again})
    frozen, vectors = versions.pop("", 0), vectors_differing(live, again)
    return Compared(payments, differ, labels, hurried(made), len(versions), frozen, vectors, turned(site))


def main() -> None:
    """Run with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--data", type=Path, default=None, help="the handbook's file; default: simulated traffic")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--refreshes", action="store_true", help="two workers, parameters that change all the time")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="parity-") as name:
        folder = Path(name)
        kafka = KafkaServer(folder / "kafka").start(tied=True)
        redis = RedisServer(folder / "redis").start(tied=True)
        site = Site(kafka.bootstrap, redis.url, folder / "site", "parity", model=given.model)
        try:
            events = stream(given.data, given.rows)
            found = compare_refreshed(site, list(events)) if given.refreshes else compare(site, events)
        finally:
            site.close()
            kafka.kill()
            redis.kill()
    seconds = time.monotonic() - began
    print(f"{found.rows:,} payments, {found.labels:,} labels in {seconds:.0f} s", file=sys.stderr)
    print(json.dumps(found._asdict() | {"differ": len(found.differ)}))
    sys.exit(judged(found, refreshes=given.refreshes))


def judged(found: Compared, *, refreshes: bool) -> str | int:
    """Return what a run ends with: 0, 1 where decisions differ, or why it shows nothing."""
    if len({word for word in found.of if word.startswith("level")}) < 2:
        return "the worker was never short of time, so this run shows nothing of an overload: give it more --rows"
    if gone := found.of.get(Mark.STORE_DOWN.value, 0):
        return (
            f"{gone} payments were decided while the store was taken for gone, so this run shows nothing: give the "
            "machine to it alone, or the path more time (FRAUD_STORE__PATH_TIMEOUT)"
        )
    if refreshes and found.parameters < 100:
        return f"payments met {found.parameters} versions of parameters, 100 are wanted: give it more --rows"
    return 1 if found.differ or found.vectors or found.turned else 0


if __name__ == "__main__":
    main()
