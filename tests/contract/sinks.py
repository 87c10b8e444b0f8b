"""Every implementation of the Sink port, each with a way to look at what it made: the contract suite runs on all."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from resource import RLIMIT_FSIZE, getrlimit, setrlimit
from typing import Any, NamedTuple

import msgspec
import pytest
from pyarrow import parquet
from rich.console import Console

from fraud.cli import output
from fraud.cli.screen import Screen
from fraud.core.decisions import alert_of
from fraud.core.ports import Sink
from fraud.core.records import BASE, Action, Answer, Position, Raised, Reason, Reject, Transaction
from fraud.training.prequential import Collected
from streaming.embedded.publishing import Published
from streaming.feeds.topic_log import TopicLog
from streaming.files.dead_letters import DeadLetterFile
from streaming.files.decisions import FileSink, Tee
from streaming.files.spool import NAME, Spool
from streaming.kafka.link import KafkaLink
from streaming.kafka.topics import Topics
from streaming.messages import envelope, schema
from streaming.observe.stages import Watch
from streaming.replay.job import Later, Ledger
from tests.contract.driving import answer
from tests.contract.sources import payments
from tests.links import LinkSite, read_until

CUT = Position("transactions", 0, 100)


def decided(tx: Transaction, position: Position, number: int) -> Answer:
    """Return a made-up answer; every second one has an alert."""
    made = answer(tx, position, score=0.5)
    if number % 2 == 0:
        return made
    reasons = (Reason("r", "a reason", 1.0),)
    decision = msgspec.structs.replace(
        made.decision, action=Action.REVIEW, reasons=reasons, alert=Raised(f"alert {number}", 2, 1)
    )
    return msgspec.structs.replace(made, decision=decision, alert=alert_of(decision))


class Stage:
    """One sink of a test: what it is given, what is found where it puts it, and how it is made to fail.

    `seen` returns what somebody else finds; `expected` says what that should be. `closed_first` is set when nothing is
    found before the sink is closed, `fails` when it can be made to fail, `before` when it keeps alerts and decisions.
    """

    closed_first = False
    fails = True
    keeps_rejects = False
    before = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self) -> Sink:
        """Return the sink, ready for the first batch."""
        raise NotImplementedError

    def answers(self) -> list[Answer]:
        """Return six answers, three of them with an alert."""
        return [decided(tx, Position("transactions", 0, n), n) for n, tx in enumerate(payments(6))]

    def rejects(self) -> list[Reject]:
        """Return two rejects, one of bytes that are no text."""
        return [
            Reject("json", "no JSON object", b"\xff\x00{", Position("transactions", 0, 100), seen_at=5),
            Reject("amount", "amount is -1: expected a whole number", b'{"amount":-1}', Position("transactions", 1, 7)),
        ]

    def seen(self) -> Any:
        """Return what somebody else finds."""
        raise NotImplementedError

    def expected(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> Any:
        """Return what should be found after these were written: ids of the decisions, in order."""
        del rejects
        return [each.decision.tx_id for each in answers]

    def found_rejects(self) -> list[tuple[bytes, str]]:
        """Return bytes and reason of each reject that is found."""
        raise NotImplementedError

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Let the sink fail in here, in its first write or in the flush behind it: files cannot grow."""
        soft, hard = getrlimit(RLIMIT_FSIZE)
        setrlimit(RLIMIT_FSIZE, (0, hard))
        try:
            yield
        finally:
            setrlimit(RLIMIT_FSIZE, (soft, hard))


class JsonFile(Stage):
    """Decisions as JSON Lines, looked at while the part file is written."""

    def open(self) -> Sink:
        return FileSink(self.folder / "out.jsonl")

    def seen(self) -> Any:
        lines = (self.folder / "out.jsonl.new").read_bytes().splitlines()
        return [msgspec.json.decode(line)["tx_id"] for line in lines]


class ParquetFile(Stage):
    """Decisions as Parquet, which can be read when it is finished."""

    closed_first = True

    def open(self) -> Sink:
        return FileSink(self.folder / "out.parquet")

    def seen(self) -> Any:
        part = self.folder / "out.parquet.new"
        return parquet.read_table(part).column("tx_id").to_pylist() if part.stat().st_size else []


class Spooled(Stage):
    """Decisions beside the snapshots of a replay."""

    def open(self) -> Sink:
        spool = Spool(self.folder, self.folder / "out.parquet")
        spool.start()
        return spool

    def seen(self) -> Any:
        return [msgspec.json.decode(line)["tx_id"] for line in (self.folder / NAME).read_bytes().splitlines()]


class Letters(Stage):
    """Dead letters in a file."""

    keeps_rejects = True

    def open(self) -> Sink:
        return DeadLetterFile(self.folder / "dead.jsonl")

    def seen(self) -> Any:
        return len(self.found_rejects())

    def expected(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> Any:
        return len(rejects)

    def found_rejects(self) -> list[tuple[bytes, str]]:
        letters = DeadLetterFile(self.folder / "dead.jsonl").letters().values()
        return [(letter.bytes(), letter.reason) for letter in letters]


class Both(Letters):
    """Letters and decisions, as a replay has them."""

    def open(self) -> Sink:
        return Tee(DeadLetterFile(self.folder / "dead.jsonl"), FileSink(self.folder / "out.jsonl"))

    def seen(self) -> Any:
        return len(self.found_rejects()), JsonFile(self.folder).seen()

    def expected(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> Any:
        return len(rejects), Stage.expected(self, answers, rejects)


class FromADay(Both):
    """Letters and decisions of a replay that writes what is late enough, which is all of it here."""

    def open(self) -> Sink:
        return Later(super().open(), since=0, until=0)


class Counted(Stage):
    """A replay's counts; they are in this process, so nothing fails."""

    fails = False

    def open(self) -> Sink:
        self.ledger = Ledger()
        return self.ledger

    def seen(self) -> Any:
        return self.ledger.digest.count, self.ledger.alerts, self.ledger.rejects

    def expected(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> Any:
        return len(answers), sum(each.alert is not None for each in answers), len(rejects)


class Judged(Stage):
    """What a prequential run keeps of payments that a model has scored; it is in this process, so nothing fails."""

    fails = False

    def open(self) -> Sink:
        self.collected = Collected()
        return self.collected

    def answers(self) -> list[Answer]:
        made = super().answers()
        scored = {"model_score": 0.5, "parts": ((BASE, 0.0),)}
        return [
            msgspec.structs.replace(each, decision=msgspec.structs.replace(each.decision, **scored)) for each in made
        ]

    def seen(self) -> Any:
        return self.collected.ids

    def expected(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> Any:
        return [each.decision.tx_id for each in answers]


class OnScreen(Stage):
    """The demo's alerts, a line each. A terminal that goes away ends the process, so it is not made to fail."""

    fails = False

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(folder)
        self._text = io.StringIO()
        console = Console(file=self._text, width=500, highlight=False, soft_wrap=True)
        patch.setattr(output, "out", console)
        patch.setattr(output, "err", console)

    def open(self) -> Sink:
        screen = Screen()
        screen.live = True
        return screen

    def seen(self) -> Any:
        return [line.split()[0] for line in self._text.getvalue().splitlines()]

    def expected(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> Any:
        shown = ["REVIEW" for each in answers if each.decision.action is Action.REVIEW]
        return [*shown, *("rejected:" for _ in rejects)]


class InLog(Stage):
    """What an embedded engine publishes into a log."""

    def open(self) -> Sink:
        return Published(TopicLog(self.folder).outlet(), Topics(), since=0, watch=Watch())

    def seen(self) -> Any:
        feed = TopicLog(self.folder).feed([Topics().decisions])
        feed.start({})
        found = [schema.decision_in(record.value).tx_id for record in feed.poll(0.0)]
        feed.close()
        return found


class OnKafka(Stage):
    """A link on topics of its own; its answers are to payments that it has read, in one partition."""

    keeps_rejects = before = True

    def __init__(self, folder: Path, delivery: str, library: str) -> None:
        super().__init__(folder)
        self.site = LinkSite(delivery, library=library)

    def open(self) -> Sink:
        self.site.put((schema.of_transaction(tx) for tx in payments(6)), partition=0)
        self.link = self.site.link()
        intakes = read_until(self.link, 6)
        self._arrivals = [arrival for intake in intakes for arrival in intake.arrivals]
        return self.link

    def answers(self) -> list[Answer]:
        found = []
        for number, arrival in enumerate(self._arrivals):
            assert isinstance(arrival.event, Transaction)
            found.append(decided(arrival.event, arrival.position, number))
        return found

    def rejects(self) -> list[Reject]:
        topic = self._arrivals[0].position.topic
        return [
            msgspec.structs.replace(each, position=Position(topic, each.position.partition, each.position.offset))
            for each in super().rejects()
        ]

    def seen(self) -> Any:
        topics = self.site.topics
        alerts = {msgspec.json.decode(record.value)["tx_id"] for record in self.site.records(topics.alerts)}
        decisions = [schema.decision_in(record.value).tx_id for record in self.site.records(topics.decisions)]
        return decisions, alerts, len(self.found_rejects())

    def expected(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> Any:
        decisions = [each.decision.tx_id for each in answers]
        return decisions, {each.alert.tx_id for each in answers if each.alert}, len(rejects)

    def found_rejects(self) -> list[tuple[bytes, str]]:
        return [
            (record.value, (envelope.header(record.headers, envelope.REASON) or b"").decode())
            for record in self.site.records(self.site.topics.dead)
        ]

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Let the broker refuse every alert."""
        self.site.limit(self.site.topics.alerts, 10)
        yield


class SinkCase(NamedTuple):
    """One implementation, and what stages it in an empty folder."""

    name: str
    implementation: type
    stage: Callable[[Path, pytest.MonkeyPatch], Stage]


SINKS = [
    SinkCase("file", FileSink, lambda folder, _: JsonFile(folder)),
    SinkCase("parquet", FileSink, lambda folder, _: ParquetFile(folder)),
    SinkCase("spool", Spool, lambda folder, _: Spooled(folder)),
    SinkCase("dead letters", DeadLetterFile, lambda folder, _: Letters(folder)),
    SinkCase("tee", Tee, lambda folder, _: Both(folder)),
    SinkCase("from a day", Later, lambda folder, _: FromADay(folder)),
    SinkCase("ledger", Ledger, lambda folder, _: Counted(folder)),
    SinkCase("prequential", Collected, lambda folder, _: Judged(folder)),
    SinkCase("screen", Screen, OnScreen),
    SinkCase("log in a folder", Published, lambda folder, _: InLog(folder)),
    SinkCase("kafka-python, fast", KafkaLink, lambda folder, _: OnKafka(folder, "fast", "kafka-python")),
    SinkCase(
        "kafka-python, transactions", KafkaLink, lambda folder, _: OnKafka(folder, "transactional", "kafka-python")
    ),
    SinkCase("confluent, fast", KafkaLink, lambda folder, _: OnKafka(folder, "fast", "confluent")),
    SinkCase("confluent, transactions", KafkaLink, lambda folder, _: OnKafka(folder, "transactional", "confluent")),
]
