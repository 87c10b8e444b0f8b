"""The demo on a real Kafka and Redis: topics, a worker, the label book and traffic, decisions read back."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from fraud.cli import options, output
from fraud.cli.demo_embedded import CHANGE_DAY, CHANGED, DEADLINE, EVERY, MATURITY, TRAFFIC, WARM_DAYS
from fraud.cli.demo_site import Till
from fraud.cli.panel import Board, Learning
from fraud.cli.screen import line, when
from fraud.core.learning.outcomes import Outcome, loss, probability
from fraud.core.records import DAY, Action, Decision, Label, Transaction, log_odds_in
from fraud.simulate.shift import generate
from fraud.simulate.source import Pace, SimulatedSource
from models.online.snapshots import EVENT, HELD, LIVE, SNAPSHOT, Event, decoded, live_in
from streaming import clock
from streaming.feeds.kafka import KafkaFeed, open_outlet
from streaming.kafka import output_log, topics
from streaming.kafka.updates import Update, UpdateReader, open_updates
from streaming.messages import envelope, schema
from streaming.messages.actions import case_action_in, release_out
from streaming.messages.feed import Feed, Outlet
from streaming.observe.latency import Latencies
from streaming.settings import KafkaSection

PREFIX, GROUP = "demo.", "fraud-demo"
CARDS, MERCHANTS = 250, 100
LOGS = Path("build/demo")
POLL_MS = 50
LEARNS = {
    "FRAUD_REFRESH__ENABLED": "true", "FRAUD_GATE__ENABLED": "true", "FRAUD_REFRESH__CLOCK": "stream",
    "FRAUD_REFRESH__EVERY": str(EVERY), "FRAUD_LEARNING__MATURITY": str(MATURITY),
    "FRAUD_LABELS__DEADLINE": str(DEADLINE),
}  # fmt: skip
"""How the demo's processes learn: by the stream's own time, which runs fast."""


class Traffic:
    """Sends simulated payments and their labels, history first, on a thread of its own."""

    def __init__(self, kafka: KafkaSection, seed: int, day_seconds: float) -> None:
        """Prepare; nothing is sent before `start`."""
        self._kafka, self._topics = kafka, topics.Topics.of(kafka)
        self._made = generate(replace(TRAFFIC, cards=CARDS, merchants=MERCHANTS, seed=seed))
        self.since = TRAFFIC.start + WARM_DAYS * DAY
        pace = Pace(clock.monotonic_ns, clock.sleep, DAY / 1e9 / day_seconds, self.since)
        self._source = SimulatedSource(self._made, batch=64, pace=pace)
        self.labels = 0
        self.frauds: dict[str, bool] = {}
        """What each live payment is, which only a simulation knows."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """End after the batch in hand."""
        self._stop.set()
        self._thread.join(5)

    def _send(self) -> None:
        from kafka import KafkaProducer

        producer = KafkaProducer(**topics.client_options(self._kafka, KafkaProducer))
        while not self._stop.is_set() and (intake := self._source.read()) is not None:
            for arrival in intake.arrivals:
                event = arrival.event
                if isinstance(event, Transaction):
                    if event.seen_at >= self.since:
                        self.frauds[event.id] = bool(self._made.fraud[arrival.position.offset])
                    value = schema.of_transaction(event)
                    producer.send(self._topics.transactions, key=event.card.encode(), value=value)
                elif isinstance(event, Label):
                    self.labels += event.seen_at >= self.since
                    producer.send(self._topics.labels, key=event.tx_id.encode(), value=schema.of_label(event))
        producer.close()


class Counter:
    """The site's part on topic `actions`: orders are read there, and what went through is reported there."""

    def __init__(self, board: Board, feed: Feed, outlet: Outlet, topic: str) -> None:
        """Take a feed and an outlet of the topic; orders of before belong to another demo."""
        self._feed, self._outlet, self._topic = feed, outlet, topic
        feed.start({})
        feed.start(feed.ends())
        self.till = Till(board, self._report)

    def turn(self) -> None:
        """Carry out what was ordered since."""
        for record in self._feed.poll(0.0):
            if (order := case_action_in(record.value)) is not None:
                self.till.obey(order)

    def close(self) -> None:
        """Release both clients."""
        self._feed.close()
        self._outlet.close()

    def _report(self, tx_id: str, at: int) -> None:
        self._outlet.send([release_out(tx_id, at, self._topic)])


class Lesson:
    """What is shown of learning: what the learner publishes, and what that gained by the simulator's own truth."""

    def __init__(self, board: Board, traffic: Traffic) -> None:
        """Start with the frozen model."""
        self._board, self._traffic = board, traffic
        self._changes_at = TRAFFIC.start + CHANGE_DAY * DAY
        self.now = Learning("")

    def take(self, update: Update) -> None:
        """Take in one record of the topic of model updates."""
        if update.key.startswith(SNAPSHOT):
            snapshot, learned = decoded(update.value), dict[str, int]()
            for name, count in snapshot.labels.items():
                source = name.partition("/")[0]
                learned[source] = learned.get(source, 0) + count
            self.now = self.now._replace(
                refreshes=snapshot.seq, evidence=snapshot.evidence, weights=snapshot.weights, learned=learned
            )
        elif update.key.startswith(LIVE):
            version = live_in(update.value).version
            self.now = self.now._replace(version=version, on=bool(version))
        elif update.key.startswith(HELD):
            held = {chart: one["count"] for chart, one in msgspec.json.decode(update.value).items()}
            self.now = self.now._replace(held=held)
        elif update.key.startswith(EVENT):
            event = msgspec.json.decode(update.value, type=Event)
            if event.kind != "refreshed" and event.at >= self._traffic.since:
                self._board.event(when(event.at), event.kind, event.text)

    def decided(self, decision: Decision) -> None:
        """Take in a live decision: what it cost the frozen model, and what it cost as it was served."""
        base = log_odds_in(decision.parts)
        fraud = self._traffic.frauds.pop(decision.tx_id, None)
        if base is not None and decision.model_score is not None and fraud is not None:
            now, truth = self.now, Outcome(fraud)
            self.now = now._replace(
                labels=now.labels + 1, frauds=now.frauds + fraud, frozen=now.frozen + loss(truth, probability(base)),
                served=now.served + loss(truth, decision.model_score),
            )  # fmt: skip
        if self._changes_at and decision.happened_at >= self._changes_at:
            self._changes_at = 0
            self._board.event(when(decision.happened_at), "tactics", CHANGED)
        self._board.show(self.now._replace(day=when(decision.happened_at)), decision.happened_at)

    def result(self) -> dict[str, Any]:
        """Return what the last line tells of learning."""
        now = self.now
        return {
            "parameters": now.version, "refreshes": now.refreshes, "learned": sum(now.learned.values()),
            "held": sum(now.held.values()), "gain": None if now.gain is None else round(now.gain, 4),
        }  # fmt: skip


def live(
    *, kafka: str, redis: str, seed: int, day_seconds: float, seconds: float, model: str,
    settings: Path | None,
) -> dict[str, Any]:  # fmt: skip
    """Run the demo on a cluster; return its last line. The state store should be the demo's own."""
    site = options.service(settings, bootstrap=kafka, store=redis, prefix=PREFIX, group=GROUP).kafka
    topics.create(site)
    traffic = Traffic(site, seed, day_seconds)
    words = ["--bootstrap", kafka, "--prefix", PREFIX, "--group", GROUP]
    worker = ["run", *words, "--store", redis, "--model", model, "--rules", "default", "--number", "0"]
    with child("worker", worker), child("book", ["learn", *words, "--state", str(LOGS)], model):
        output.say(f"Worker and label book run; what they say goes to {LOGS}/. History first, then live.")
        traffic.start()
        try:
            return follow(site, traffic, seconds)
        finally:
            traffic.stop()


def follow(kafka: KafkaSection, traffic: Traffic, seconds: float) -> dict[str, Any]:
    """Print alerts as decisions come in, and how learning stands; return counts and latency when the time is up."""
    named, board = topics.Topics.of(kafka), Board(DAY)
    with (
        closing(output_log.open_output(kafka, [named.decisions], at_end=True)) as reader,
        closing(open_updates(kafka, at_end=True)) as updates,
        closing(Counter(board, KafkaFeed(kafka, [named.actions]), open_outlet(kafka), named.actions)) as counter,
    ):
        watch = Watch(traffic, Lesson(board, traffic), counter, seconds)
        try:
            with board:
                while not watch.over():
                    watch.take(reader, updates)
        except KeyboardInterrupt:
            pass
        return watch.result()


class Watch:
    """Count what comes in, and show it."""

    def __init__(self, traffic: Traffic, lesson: Lesson, counter: Counter, seconds: float) -> None:
        """Take how long to run from the first live decision on, seconds; 0: no end."""
        self._traffic, self._lesson, self._counter, self._seconds = traffic, lesson, counter, seconds
        self._latencies, self._decisions, self._alerts = Latencies(), 0, 0
        self._end: float | None = None

    def over(self) -> bool:
        """Tell whether the time is up."""
        return self._end is not None and clock.monotonic_ns() >= self._end

    def take(self, reader: Any, updates: UpdateReader) -> None:
        """Take in what is new."""
        for update in updates.poll(0):
            self._lesson.take(update)
        for record in reader.poll(POLL_MS):
            decision = envelope.answer_in(record.value, record.headers).decision
            if decision.happened_at >= self._traffic.since:
                self._live(decision)
        self._counter.turn()

    def result(self) -> dict[str, Any]:
        """Return the demo's last line."""
        p50, p99 = self._latencies.quantile_ms(0.50), self._latencies.quantile_ms(0.99)
        counts = {"decisions": self._decisions, "alerts": self._alerts, "labels": self._traffic.labels}
        orders = self._counter.till.result()
        return {**counts, "p50_ms": p50, "p99_ms": p99, **orders, **self._lesson.result()}

    def _live(self, decision: Decision) -> None:
        if self._end is None and self._seconds:
            self._end = clock.monotonic_ns() + self._seconds * 1e9
        self._decisions += 1
        self._latencies.add(max(clock.now_ns() - decision.seen_at, 0))
        self._lesson.decided(decision)
        self._counter.till.hear(decision)
        if decision.action is not Action.APPROVE:
            self._alerts += 1
            output.out.print(line(decision))


@contextmanager
def child(name: str, words: list[str], model: str = "") -> Iterator[None]:
    """Run one of the service's processes beside the demo; `model` is what the label book learns on."""
    LOGS.mkdir(parents=True, exist_ok=True)
    env = os.environ | LEARNS | ({"FRAUD_MODEL__NAME": model} if model else {})
    with (LOGS / f"{name}.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "fraud", *words], stdout=log, stderr=log, env=env)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
