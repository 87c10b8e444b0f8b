"""What was answered while the store was gone, read from the topics in pieces: transactions with their answers."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from fraud.core.errors import DataError
from fraud.core.records import Answer, Arrival, Level
from streaming.kafka import output_log
from streaming.kafka.client import Place
from streaming.kafka.recovery import Reached
from streaming.kafka.source import RecordReader, Waiting
from streaming.kafka.topics import Topics
from streaming.messages import envelope
from streaming.messages.codec import Codec
from streaming.observe.odd_records import OddRecords
from streaming.settings import KafkaSection

PIECE = 256
"""Transactions, and about as many answers, that are in memory at once."""
POLL_MS = 100


class Piece(NamedTuple):
    """Transactions in the order of each partition, and the answers to them."""

    arrivals: Sequence[Arrival]
    answers: Sequence[Answer]


class NoHurry:
    """The TimeBudget of what has its answer: there is time for all, and nothing comes too late."""

    def choose(self, waiting: Waiting) -> Level:
        """Return the whole of it."""
        del waiting
        return Level.FULL

    def late_before(self) -> int:
        """Return the beginning of time."""
        return 0


class Partition:
    """How far one partition has been read: inputs below `next`, answers to inputs below `resume`.

    `waiting` holds answers to inputs that have not been read, each with its place in the output; `answered` the offsets
    of inputs that have an answer, for one without was refused.
    """

    def __init__(self, at: Reached, named: str, odd: OddRecords) -> None:
        """Begin where the store's promise ends; `named` is the topic with its id, as positions name it."""
        self._odd = odd
        self.next = self.resume = max(at.mark.absorb_from, at.absorbed)
        self.output = max(at.mark.output, at.output)
        self.waiting: deque[tuple[Answer, int]] = deque()
        self._answered: set[int] = set()
        self._at, self._named = at, named

    def take(self, record: Any) -> None:
        """Take an answer up, unless it is a second one to its input, or speaks of another topic.

        Of one that cannot be read the input counts as answered, for refused it was not; it is none to stand behind.
        """
        self.output = record.offset + 1
        source = output_log.source_of(record.headers)
        if source is None or source.topic != self._named or source.offset < self.resume:
            return
        self._answered.add(source.offset)
        try:
            answer = envelope.answer_in(record.value, record.headers)
        except DataError:
            self._odd.skip(record.topic)
            return
        self.resume = source.offset + 1
        if answer.repeat_of is None:
            self.waiting.append((answer, record.offset))

    def read(self, records: Sequence[Any]) -> tuple[list[Any], int]:
        """Return those inputs that have been answered, and how many are behind the last answer and to be read again."""
        found = [record for record in records if record.offset < self.resume]
        if found:
            self.next = found[-1].offset + 1
        mine = [record for record in found if record.offset in self._answered]
        self._answered.difference_update(record.offset for record in mine)
        return mine, len(records) - len(found)

    def answers(self) -> list[Answer]:
        """Remove and return the answers to what has been read."""
        found = []
        while self.waiting and self.waiting[0][0].position.offset < self.next:
            found.append(self.waiting.popleft()[0])
        return found

    def reached(self) -> Reached:
        """Return where recovery begins, once all that was read is in the store."""
        output = self.waiting[0][1] if self.waiting else self.output
        return self._at._replace(offset=max(self.next, self._at.offset), absorbed=self.next, output=output)


class Backlog:
    """The transactions since the end of the store's promise that have been answered. For one thread, not the path's."""

    def __init__(
        self, kafka: KafkaSection, codec: Codec, ids: Mapping[str, str], starts: Mapping[Place, Reached],
        odd: OddRecords | None = None,
    ) -> None:  # fmt: skip
        """Take the ids of the input topics, and where to begin in partitions of transactions; connect.

        `odd` counts answers that cannot be read.
        """
        from kafka import TopicPartition

        topics = Topics.of(kafka)
        named = f"{topics.transactions}@{ids[topics.transactions]}"
        self._partitions = {place[1]: Partition(at, named, odd or OddRecords()) for place, at in starts.items()}
        self._place = TopicPartition
        self._topics = topics
        with ExitStack() as opened:
            self._inputs = self._reader(kafka, topics.transactions, {n: p.next for n, p in self._partitions.items()})
            opened.callback(self._inputs.close)
            self._outputs = self._reader(kafka, topics.decisions, {n: p.output for n, p in self._partitions.items()})
            opened.pop_all()
        self._decoder = RecordReader(self._inputs, codec, topics, ids, NoHurry(), PIECE)

    def _reader(self, kafka: KafkaSection, topic: str, offsets: Mapping[int, int]) -> Any:
        reader = output_log.consumer(kafka)
        reader.assign([self._place(topic, number) for number in offsets])
        for number, offset in offsets.items():
            reader.seek(self._place(topic, number), offset)
        return reader

    def piece(self) -> Piece:
        """Return what comes next; empty when nothing more has been answered."""
        found = self._inputs.poll(POLL_MS, max_records=PIECE) if self._partitions else {}
        by_number = {place.partition: records for place, records in found.items()}
        self._read_answers({number: records[-1].offset for number, records in by_number.items()})
        ready = {number: mine for number, records in by_number.items() if (mine := self._answered(number, records))}
        name = self._topics.transactions
        intake = self._decoder.intake({(name, number): records for number, records in ready.items()})
        return Piece(intake.arrivals, [answer for part in self._partitions.values() for answer in part.answers()])

    def left(self) -> int:
        """Return how many answers are left, as of now."""
        ends = self._ends()
        return sum(max(ends[n] - part.output, 0) + len(part.waiting) for n, part in self._partitions.items())

    def reached(self) -> dict[Place, Reached]:
        """Return where recovery begins in each partition, once all pieces so far are in the store."""
        return {(self._topics.transactions, number): part.reached() for number, part in self._partitions.items()}

    def close(self) -> None:
        """Release the consumers."""
        self._inputs.close()
        self._outputs.close()

    def _answered(self, number: int, records: Sequence[Any]) -> list[Any]:
        """Return the records that have been answered; what is behind the last answer is read again."""
        mine, behind = self._partitions[number].read(records)
        if behind:
            self._inputs.seek(self._place(self._topics.transactions, number), records[-behind].offset)
        return mine

    def _read_answers(self, last: Mapping[int, int]) -> None:
        """Read answers up to those of the last inputs, or as far as there are any; of others no more than a piece."""
        ends, parts = self._ends() if last else {}, self._partitions
        while wanted := {n for n, at in last.items() if parts[n].resume <= at and parts[n].output < ends[n]}:
            found = self._outputs.poll(POLL_MS, max_records=PIECE)
            for place, records in found.items():
                part = parts[place.partition]
                if place.partition not in wanted and len(part.waiting) >= PIECE:
                    # Nor could they be paused: the client (3.0.12) then gives out nothing of the others either.
                    self._outputs.seek(place, records[0].offset)
                    continue
                for record in records:
                    part.take(record)
            self._skip_markers(found)

    def _skip_markers(self, found: Mapping[Any, Any]) -> None:
        """Move past what no reader is given, the markers of transactions, when nothing else comes."""
        if not found:
            for number, part in self._partitions.items():
                part.output = max(part.output, self._outputs.position(self._place(self._topics.decisions, number)))

    def _decided(self, numbers: Iterable[int]) -> list[Any]:
        return [self._place(self._topics.decisions, number) for number in numbers]

    def _ends(self) -> dict[int, int]:
        places = self._decided(self._partitions)
        return {place.partition: end for place, end in self._outputs.end_offsets(places).items()} if places else {}
