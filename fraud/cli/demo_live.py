"""The demo on a real Kafka and Redis: topics, a worker, the label book and traffic, decisions read back."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fraud.cli import options, output
from fraud.cli.screen import line
from fraud.core.records import DAY, Action, Label, Transaction
from fraud.simulate import fdh
from fraud.simulate.source import Pace, SimulatedSource
from streaming import clock
from streaming.kafka import output_log, topics
from streaming.messages import envelope, schema
from streaming.observe.latency import Latencies
from streaming.settings import KafkaSection

PREFIX, GROUP = "demo.", "fraud-demo"
CARDS, TERMINALS, DAYS, WARM_DAYS = 500, 1_000, 90, 10
LABEL_DELAY = 7 * DAY
LOGS = Path("build/demo")
POLL_MS = 50


class Traffic:
    """Sends simulated payments and their labels, history first, on a thread of its own."""

    def __init__(self, kafka: KafkaSection, seed: int, day_seconds: float) -> None:
        """Prepare; nothing is sent before `start`."""
        self._kafka, self._topics = kafka, topics.Topics.of(kafka)
        made = fdh.generate(fdh.Fdh(cards=CARDS, terminals=TERMINALS, days=DAYS, seed=seed, radius=12.0))
        self.since = made.transaction(0).happened_at // DAY * DAY + WARM_DAYS * DAY
        pace = Pace(clock.monotonic_ns, clock.sleep, DAY / 1e9 / day_seconds, self.since)
        self._source = SimulatedSource(made, delay=LABEL_DELAY, batch=64, pace=pace)
        self.labels = 0
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
                    value = schema.of_transaction(event)
                    producer.send(self._topics.transactions, key=event.card.encode(), value=value)
                elif isinstance(event, Label):
                    self.labels += event.seen_at >= self.since
                    producer.send(self._topics.labels, key=event.tx_id.encode(), value=schema.of_label(event))
        producer.close()


def live(
    *, kafka: str, redis: str, seed: int, day_seconds: float, seconds: float, model: str,
    settings: Path | None,
) -> dict[str, Any]:  # fmt: skip
    """Run the demo on a cluster; return its last line. The state store should be the demo's own."""
    site = options.service(settings, bootstrap=kafka, store=redis, prefix=PREFIX, group=GROUP).kafka
    topics.create(site)
    traffic = Traffic(site, seed, day_seconds)
    words = ["--bootstrap", kafka, "--prefix", PREFIX, "--group", GROUP]
    worker = ["run", *words, "--store", redis, "--model", model, "--rules", "default"]
    with child("worker", worker), child("book", ["learn", *words, "--state", str(LOGS)]):
        output.say(f"Worker and label book run; what they say goes to {LOGS}/. History first, then live.")
        traffic.start()
        try:
            return follow(site, traffic, seconds)
        finally:
            traffic.stop()


def follow(kafka: KafkaSection, traffic: Traffic, seconds: float) -> dict[str, Any]:
    """Print alerts as decisions come in; return counts and latency when the time is up."""
    reader = output_log.open_output(kafka, [topics.Topics.of(kafka).decisions], at_end=True)
    latencies, decisions, alerts = Latencies(), 0, 0
    end: float | None = None
    try:
        while end is None or clock.monotonic_ns() < end:
            for record in reader.poll(POLL_MS):
                decision = envelope.answer_in(record.value, record.headers).decision
                if decision.happened_at < traffic.since:
                    continue
                if end is None and seconds:
                    end = clock.monotonic_ns() + seconds * 1e9
                decisions += 1
                latencies.add(max(clock.now_ns() - decision.seen_at, 0))
                if decision.action is not Action.APPROVE:
                    alerts += 1
                    output.out.print(line(decision))
    except KeyboardInterrupt:
        pass
    finally:
        reader.close()
    p50, p99 = latencies.quantile_ms(0.50), latencies.quantile_ms(0.99)
    return {"decisions": decisions, "alerts": alerts, "labels": traffic.labels, "p50_ms": p50, "p99_ms": p99}


@contextmanager
def child(name: str, words: list[str]) -> Iterator[None]:
    """Run one of the service's processes beside the demo."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / f"{name}.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "fraud", *words], stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
