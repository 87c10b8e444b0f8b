"""A site for tests: topics of its own on a real Kafka, state in a real Redis, workers and the label book as processes.

The reader is ours: it drops decisions at or below the source offset that it has seen of a partition, alerts by id and
dead letters by source position.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import urlopen

from kafka import KafkaProducer
from kafka.errors import KafkaError

from fraud.core.records import Answer, Label, Position, Transaction
from streaming.kafka import output_log
from streaming.kafka.output_log import Once
from streaming.kafka.topics import Topics, admin, create
from streaming.messages import envelope, schema
from streaming.settings import KafkaSection

SECONDS = 60.0


def until(condition: Callable[[], bool], what: str | Callable[[], str], seconds: float = SECONDS) -> None:
    """Poll until something holds; fail naming it when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= end:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {seconds} s: {said}")
        time.sleep(0.05)


def make_anew(kafka: KafkaSection, topic: str) -> None:
    """Delete a topic and make it again: the same name, another id, offsets from 0."""
    client = admin(kafka)
    try:
        client.delete_topics([topic])
    finally:
        client.close()

    def made() -> bool:
        # The broker takes a while to let the name go.
        with suppress(KafkaError):
            return topic in create(kafka, partitions=4)
        return False

    until(made, f"topic {topic} made anew")


def page(site: "Site", number: int, name: str) -> str:
    """Return a page of a worker, whatever its status; nothing where none answers."""
    ports = re.findall(r'"http_port":(\d+)', site.log(f"worker{number}"))
    with suppress(OSError):
        try:
            with urlopen(f"http://127.0.0.1:{ports[-1] if ports else 0}{name}", timeout=5) as answer:
                return str(answer.read().decode())
        except HTTPError as error:
            return error.read().decode()
    return ""


class Read(NamedTuple):
    """What our readers make of the output."""

    answers: list[Answer]
    doubles: int
    """Messages that repeat a source position with another answer, or come twice under one id."""
    raw: int


class Site:
    """One site. `extra` are further words for each worker's command line; without a `redis_url` it is the settings'.

    `library` is the Kafka client of its processes; without one it is that of the environment. `environment` holds
    settings of all of them. `tree` is a copy of the project that its processes run from, None for this one.
    """

    def __init__(
        self,
        kafka: str,
        redis_url: str,
        folder: Path,
        name: str,
        *,
        model: str = "demo",
        extra: Sequence[str] = (),
        library: str = "",
        environment: Mapping[str, str] | None = None,
        tree: Path | None = None,
    ) -> None:
        """Create the topics."""
        chosen = {"FRAUD_KAFKA__LIBRARY": library} if library else {}
        self.environment = chosen | dict(environment or {})
        self.folder, self.redis_url, self.model, self.extra = folder, redis_url, model, tuple(extra)
        self._tree = tree
        self.settings = KafkaSection(bootstrap=kafka, prefix=f"{name}.", group=name)
        self.topics = Topics.of(self.settings)
        self.processes: list[subprocess.Popen[bytes]] = []
        create(self.settings, partitions=4)
        self.connect()

    def connect(self) -> None:
        """Connect what sends, to topics as they are now."""
        self._producer = KafkaProducer(bootstrap_servers=self.settings.bootstrap.split(","), acks="all", linger_ms=1)

    # ---- processes

    def worker(self, number: int = 0, *words: str) -> "subprocess.Popen[bytes]":
        """Start a worker."""
        return self._start(f"worker{number}", ["-m", "fraud", *self._run(number), *words])

    def dying_worker(self, number: int = 0) -> "subprocess.Popen[bytes]":
        """Start a worker that dies after it wrote to the store and before it published; retries have 1 s with it."""
        return self.stopping_worker("after-write", signal.SIGKILL, number, {"FRAUD_ENGINE__RETRY_HORIZON": "1s"})

    def stopping_worker(
        self, place: str, by: signal.Signals, number: int = 0, environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a worker that stops itself once, at a place and by a signal; see `tests.crash.stops_itself`."""
        words = ["-m", "tests.crash.stops_itself", *self._run(number)]
        return self._start(f"worker{number}", words, {"STOP_AT": place, "STOP_BY": by.name, **(environment or {})})

    def _run(self, number: int) -> list[str]:
        kafka = self.settings
        command = ["run", "--bootstrap", kafka.bootstrap, "--model", self.model]
        command += ["--store", self.redis_url] if self.redis_url else []
        command += ["--prefix", kafka.prefix, "--group", kafka.group, "--number", str(number)]
        return [*command, "--member", f"{kafka.group}-{number}", "--http", "0", *self.extra]

    def book(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start the label book."""
        return self._start("book", ["-m", "fraud", *self._learn(), *words])

    def traced_worker(self, out: Path, first: str) -> "subprocess.Popen[bytes]":
        """Start a worker that notes its calls in `out`, in turns that begin with `first`; see `tests.docs.traced`."""
        return self._start("worker0", ["-m", "tests.docs.traced", str(out), first, *self._run(0)])

    def traced_book(self, out: Path, first: str) -> "subprocess.Popen[bytes]":
        """Start a label book that notes its calls in the same way."""
        return self._start("book", ["-m", "tests.docs.traced", str(out), first, *self._learn()])

    def _learn(self) -> list[str]:
        kafka = self.settings
        command = ["learn", "--bootstrap", kafka.bootstrap, "--prefix", kafka.prefix, "--group", kafka.group]
        command += ["--store", self.redis_url, "--state", str(self.folder / "book")]
        return [*command, "--model", self.model, "--http", "-1"]

    def log(self, name: str = "worker0") -> str:
        """Return what a process has written."""
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def _start(
        self, name: str, words: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{name}.log").open("ab") as log:
            every = {**os.environ, **self.environment, **(environment or {})}
            # `python -m` looks for packages in its own folder first.
            command = [sys.executable, *words]
            process = subprocess.Popen(command, stdout=log, stderr=log, env=every, cwd=self._tree)
        self.processes.append(process)
        return process

    def close(self) -> None:
        """End every process."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        self._producer.close()

    # ---- in

    def send(self, transactions: Iterable[Transaction], rate: float = 0.0) -> int:
        """Send transactions, `rate` a second (0: at once); return how many."""
        return self.put(
            self.topics.transactions, ((tx.card.encode(), schema.of_transaction(tx)) for tx in transactions), rate
        )

    def send_labels(self, labels: Iterable[Label]) -> int:
        """Send labels at once; return how many."""
        return self.put(self.topics.labels, ((label.tx_id.encode(), schema.of_label(label)) for label in labels))

    def put(self, topic: str, items: Iterable[tuple[bytes, bytes]], rate: float = 0.0) -> int:
        """Send keys and values to a topic."""
        began, count = time.monotonic(), 0
        for key, value in items:
            if rate and (pause := began + count / rate - time.monotonic()) > 0:
                time.sleep(pause)
            self._producer.send(topic, key=key, value=value)
            count += 1
        self._producer.flush()
        return count

    # ---- out

    def records(self, topic: str) -> list[Any]:
        """Return every record of a topic."""
        partitions = range(1 if topic == self.topics.updates else 4)
        return list(output_log.records(self.settings, {(topic, partition): 0 for partition in partitions}))

    def read(self) -> Read:
        """Return the decisions that our readers accept, in order of partition and source offset."""
        once, answers, doubles, records = Once(self.topics), [], 0, self.records(self.topics.decisions)
        firsts: dict[Position, bytes] = {}
        for record in records:
            answer = envelope.answer_in(record.value, record.headers)
            if once.accepts(record):
                answers.append(answer)
                firsts[answer.position] = record.value
            else:
                doubles += firsts.get(answer.position, record.value) != record.value
        return Read(answers, doubles, len(records))

    def decided(self) -> int:
        """Return how many decisions our readers accept so far."""
        return len(self.read().answers)

    def ends(self, topic: str) -> int:
        """Return how many messages a topic holds, counted by its offsets."""
        from kafka import TopicPartition

        reader = output_log.consumer(self.settings)
        partitions = range(1 if topic == self.topics.updates else 4)
        try:
            return sum(reader.end_offsets([TopicPartition(topic, partition) for partition in partitions]).values())
        finally:
            reader.close()

    def wait_for(self, decisions: int, seconds: float = SECONDS) -> None:
        """Return when so many messages stand in the topic of decisions."""
        until(
            lambda: self.ends(self.topics.decisions) >= decisions,
            lambda: f"{decisions} decisions, found {self.ends(self.topics.decisions)}; log: {self.log()[-1_500:]}",
            seconds,
        )


@contextmanager
def sites(kafka: str, redis_url: str, folder: Path, unique: Callable[[], str]) -> Iterator[Callable[..., Site]]:
    """Yield a maker of sites, each of a name and a folder of its own, and ended with the others."""
    made: list[Site] = []

    def make(**options: Any) -> Site:
        name = unique()
        made.append(Site(kafka, redis_url, folder / name, name, **options))
        return made[-1]

    yield make
    for site in made:
        site.close()
