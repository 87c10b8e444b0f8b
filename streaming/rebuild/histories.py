"""Make the histories of another encoder beside those in use, from the topics, then point to them.

Workers go on meanwhile. What they commit while this runs is caught up with in further passes; what is left then (the
last seconds) each of them reads again when it takes the model up, from where the pointer says that it is missing.
"""

import heapq
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from features.extractor import OnlineExtractor
from features.state.tables import entity_keys
from features.stores.memory import MemoryStore
from features.stores.redis import RedisStore
from fraud.core.ports import Scorer
from fraud.core.records import Arrival, KnownLabel, Position, Reject, Transaction
from streaming import wiring
from streaming.kafka import output_log
from streaming.kafka.model_pointer import Begin, Pointer, pointer_in
from streaming.kafka.offsets import mark_in
from streaming.kafka.topics import Topics, ids
from streaming.messages import envelope
from streaming.messages.codec import Codec, Limits
from streaming.settings import ServiceSettings, rates
from streaming.worker.service import open_store

BATCH = 256
CAUGHT_UP, MOST_PASSES = 1_000, 20
Place = tuple[str, int]


class End(NamedTuple):
    """Up to where a pass goes in one input partition, and where the answers of what comes after begin at the latest."""

    offset: int
    output: int


class Reencode:
    """One making of histories. `total` is the number of payments of its first pass."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Load the model of the settings, connect, and look where the workers' commits stand.

        Raises:
            ArtifactError: when the model does not exist or does not fit this release.
            StateError: when the store holds histories of its encoder already.
        """
        self._kafka, self._name = settings.kafka, settings.model.name
        self._topics = Topics.of(settings.kafka)
        self._ids = ids(settings.kafka, (self._topics.transactions, self._topics.known))
        self._codec = Codec(rates(settings), Limits(ahead=2**62))
        self._scratch = MemoryStore()
        self._extractor = OnlineExtractor(self._scratch)
        self._scorer: Scorer = wiring.scorer(self._name, Path(settings.model.folder), self._extractor.version)
        self._store: RedisStore = open_store(settings)
        if self._scorer.encoder:
            used = pointer_in(self._store.pointer())
            unused = used is not None and used.encoder != self._scorer.encoder
            self._store.begin_histories(self._scorer.encoder, unused=unused)
        self._done: dict[Place, End] = {}
        self._unread: dict[int, int] = {}
        self._ends = self._committed() if self._scorer.encoder else {}
        self.total = sum(end.offset for (topic, _), end in self._ends.items() if topic == self._topics.transactions)

    def run(self, step: Callable[[int], None]) -> dict[str, Any]:
        """Make the histories and point to them; return the last line's content. `step` is told the records done."""
        passes = records = rows = 0
        read = CAUGHT_UP + 1
        while self._scorer.encoder and read > CAUGHT_UP and passes < MOST_PASSES:
            if passes:
                self._ends = self._committed()
            read, keys = self._absorb(partial(self._told, step, records))
            rows += self._put(keys)
            records, passes = records + read, passes + 1
        pointer = Pointer(self._name, self._scorer.version, self._scorer.encoder, self._begins())
        self._store.point(pointer.bytes(), self._scorer.encoder)
        self._store.close()
        return {"records": records, "passes": passes, "rows": rows, "model": self._scorer.version}

    def _told(self, step: Callable[[int], None], before: int, done: int) -> None:
        step(min(before + done, self.total))

    def _absorb(self, step: Callable[[int], None]) -> tuple[int, set[str]]:
        """Take in what lies between the last pass and the ends of this one; return how much, and whom it touched."""
        done, keys = 0, set[str]()
        arrivals = heapq.merge(*self._streams(), key=lambda arrival: arrival.event.seen_at)
        while batch := list(islice(arrivals, BATCH)):
            self._extractor.open(batch, self._scorer)
            for arrival in batch:
                if isinstance(arrival.event, Transaction):
                    keys.update(entity_keys(arrival.event))
                    self._extractor.absorb(arrival.event, arrival.position)
                elif isinstance(arrival.event, KnownLabel):
                    keys.update(entity_keys(arrival.event))
                    self._extractor.apply(arrival.event, arrival.position)
            self._extractor.close([])
            done += len(batch)
            step(done)
        self._done = self._ends
        return done, keys

    def _put(self, keys: set[str]) -> int:
        """Write the histories that a pass has touched, with the marks of all that it took in."""
        if not keys:
            return 0
        table = self._scratch.histories_of(self._scorer.encoder)
        rows = ((key, table.get(key)) for key in sorted(keys) if table.find(key))
        marks = {
            f"{self._named(topic)}:{partition}": end.offset - 1
            for (topic, partition), end in self._done.items()
            if end.offset
        }
        return self._store.put_histories(self._scorer.encoder, rows, marks)

    def _begins(self) -> tuple[Begin, ...]:
        return tuple(
            Begin(self._named(topic), partition, end.offset, end.output)
            for (topic, partition), end in self._done.items()
        )

    def _named(self, topic: str) -> str:
        return f"{topic}@{self._ids[topic]}"

    def _streams(self) -> list[Iterator[Arrival]]:
        """Return what each partition holds, verdicts first: at equal times they come before payments."""
        partitions = sorted({partition for _, partition in self._ends})
        return [*(self._verdicts(number) for number in partitions), *(self._payments(number) for number in partitions)]

    def _payments(self, partition: int) -> Iterator[Arrival]:
        place = self._topics.transactions, partition
        begin, end = self._from(place), self._ends[place].offset
        if begin >= end:
            return
        for record in output_log.records(self._kafka, {place: begin}):
            if record.offset >= end:
                return
            position = Position(self._named(record.topic), partition, record.offset)
            value = envelope.unwrapped(record.value or b"", record.headers)
            taken = self._codec.transaction(value, position, record.timestamp * 1_000_000, ())
            if not isinstance(taken, Reject):
                yield taken

    def _verdicts(self, partition: int) -> Iterator[Arrival]:
        """Yield the verdicts that workers have applied, under the position that they came from."""
        place = self._topics.known, partition
        begin, end = self._from(place), self._ends[place].offset
        if begin >= end:
            return
        for record in output_log.records(
            self._kafka, {(self._topics.applied, partition): self._unread.get(partition, 0)}
        ):
            source = output_log.source_of(record.headers)
            if source is None or source.topic != self._named(self._topics.known) or source.offset < begin:
                continue
            if source.offset >= end:
                self._unread[partition] = record.offset
                return
            yield Arrival(envelope.known_in(record.value), source)

    def _from(self, place: Place) -> int:
        return self._done[place].offset if place in self._done else 0

    def _committed(self) -> dict[Place, End]:
        """Return, for each input partition, the offset that the workers have committed."""
        from kafka import TopicPartition

        reader = output_log.consumer(self._kafka, group_id=self._kafka.group)
        try:
            found = {}
            for topic in (self._topics.transactions, self._topics.known):
                for number in sorted(reader.partitions_for_topic(topic)):
                    held = reader.committed(TopicPartition(topic, number), metadata=True)
                    if held is None or held.offset < 0:
                        found[topic, number] = End(0, 0)
                    else:
                        found[topic, number] = End(held.offset, mark_in(held.metadata, held.offset).output)
            return found
        finally:
            reader.close()
