"""Every implementation of the Source port, each with a way to stage some events: the contract suite runs on all."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import NamedTuple, Protocol

from fraud.core.ports import Source
from fraud.core.records import Answer, Intake, Label, Transaction, Verdict
from fraud.simulate import SimulatedSource, stream
from fraud.simulate.fdh import APRIL_2018
from streaming.embedded.hearing import Hearing
from streaming.feeds.topic_log import TopicLog
from streaming.files.values.rows import Row
from streaming.kafka.link import KafkaLink
from streaming.kafka.topics import Topics
from streaming.messages.codec import Codec
from streaming.messages.envelope import label_out
from streaming.replay.history import HistorySource, history
from tests.links import LinkSite, read_until
from tests.services import scratch

START = 1_750_000_000_000_000_000
BATCH = 32

_names = count()


def payments(number: int) -> list[Transaction]:
    """Return payments of some cards, one a second, under ids that no other test uses."""
    name = next(_names)
    return [
        Transaction(
            id=f"s{name}-{one}", card=f"c{one % 5}", merchant="m", amount=100 + one, base_amount=100 + one,
            happened_at=START + one * 1_000_000_000, seen_at=START + one * 1_000_000_000,
        )
        for one in range(number)
    ]  # fmt: skip


class SourceStage(Protocol):
    """Events that lie ready, and the source that gives them. `expected` is how many there are."""

    expected: int

    def open(self) -> Source:
        """Return the source, where its predecessor's notes say."""

    def read(self, source: Source) -> Intake | None:
        """Return the next read that brings something, None at the end."""

    def commit(self, source: Source, answers: Sequence[Answer]) -> None:
        """Commit as the loop does, and keep what a process would keep to go on."""


class SourceCase(NamedTuple):
    """One implementation. `stage` makes a stage of about so many events; `resumable`: what is noted outlives it."""

    name: str
    implementation: type
    stage: Callable[[int], SourceStage]
    resumable: bool


class Simulated:
    """Simulated traffic, labels included."""

    def __init__(self, number: int) -> None:
        made = stream("fdh").make(cards=number, terminals=20, radius=50, days=1)
        self._traffic = made
        self.expected = len(made) + len(made.verdicts())

    def open(self) -> SimulatedSource:
        return SimulatedSource(self._traffic, batch=BATCH)

    def read(self, source: Source) -> Intake | None:
        return source.read()

    def commit(self, source: Source, answers: Sequence[Answer]) -> None:
        source.commit(answers)


class Heard:
    """Simulated traffic with verdicts of a console between its events."""

    def __init__(self, number: int) -> None:
        self._traffic = Simulated(number)
        self._log, self._topics = TopicLog(scratch("heard")), Topics()
        outlet, verdicts = self._log.outlet(), number // 2
        label = Label(tx_id="of-a-console", verdict=Verdict.FRAUD, happened_at=APRIL_2018, seen_at=0)
        outlet.send([label_out(label, self._topics.labels)] * verdicts)
        outlet.close()
        self.expected = self._traffic.expected + verdicts

    def open(self) -> Hearing:
        feed = self._log.feed([self._topics.labels, self._topics.actions])
        return Hearing(self._traffic.open(), feed, Codec(), self._topics, [])

    def read(self, source: Source) -> Intake | None:
        return source.read()

    def commit(self, source: Source, answers: Sequence[Answer]) -> None:
        source.commit(answers)


class Historical:
    """A history of payments, each with a label a moment later; what a replay keeps is how far it has read."""

    def __init__(self, number: int) -> None:
        self._payments, self._noted = payments(number), 0
        self.expected = 2 * number

    def open(self) -> HistorySource:
        rows = (Row(tx, Verdict.GENUINE, "", None) for tx in self._payments)
        return HistorySource(history(rows, 5), BATCH, skip=self._noted)

    def read(self, source: Source) -> Intake | None:
        return source.read()

    def commit(self, source: Source, answers: Sequence[Answer]) -> None:
        source.commit(answers)
        assert isinstance(source, HistorySource)
        self._noted = source.read_items


class OnKafka:
    """Payments in the partitions of a topic; they end when the link is told to stop and everything was read."""

    def __init__(self, number: int, delivery: str, library: str) -> None:
        self._site = LinkSite(delivery, library=library)
        self._site.pay(payments(number))
        self.expected, self._committed, self._left = number, 0, number

    def open(self) -> KafkaLink:
        self._left = self.expected - self._committed
        return self._site.link()

    def read(self, source: Source) -> Intake | None:
        assert isinstance(source, KafkaLink)
        if not self._left:
            source.stop()
            return source.read()
        intake = read_until(source, 1)[-1]
        self._left -= len(intake.arrivals)
        return intake

    def commit(self, source: Source, answers: Sequence[Answer]) -> None:
        assert isinstance(source, KafkaLink)
        source.write(answers, ())
        source.commit(answers)
        self._committed += len(answers)


SOURCES = [
    SourceCase("simulated", SimulatedSource, Simulated, resumable=False),
    SourceCase("console", Hearing, Heard, resumable=False),
    SourceCase("history", HistorySource, Historical, resumable=True),
    *(
        SourceCase(
            f"{library}, {delivery}", KafkaLink, partial(OnKafka, delivery=delivery, library=library), resumable=True
        )
        for library in ("kafka-python", "confluent")
        for delivery in ("fast", "transactional")
    ),
]
