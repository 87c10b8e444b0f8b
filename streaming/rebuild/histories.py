"""Make the histories of another encoder beside those in use, from the topics, then point to them.

Workers go on meanwhile. What they commit while this runs is caught up with in further passes; what is left then (the
last seconds) each of them reads again when it takes the model up, from where the pointer says that it is missing.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Protocol

from features.state.tables import RecordTable, entity_keys
from fraud.core.ports import Extractor, Scorer
from fraud.core.records import Arrival, KnownLabel, Transaction
from streaming.kafka.client import Place
from streaming.kafka.model_pointer import Begin, Pointer, pointer_in
from streaming.kafka.offsets import commit_mark_in
from streaming.rebuild.inputs import InputLog

BATCH = 256
CAUGHT_UP, MOST_PASSES = 1_000, 20


class End(NamedTuple):
    """Up to where a pass goes in one input partition, and where the answers of what comes after begin at the latest."""

    offset: int
    output: int


class HistoryStore(Protocol):
    """What the making of histories asks of the store that serves."""

    def pointer(self) -> bytes:
        """Return what names the model in use, empty when nothing was ever set."""

    def point(self, to: bytes, encoder: str) -> None:
        """Name the model in use, and the encoder of its histories."""

    def begin_histories(self, encoder: str, *, unused: bool) -> None:
        """Make room for the histories of an encoder; raise StateError when there are some already, in use or not."""

    def put_histories(self, encoder: str, rows: Iterable[tuple[str, bytes]], marks: Mapping[str, int]) -> int:
        """Write histories with the marks of all that they took in; return how many."""

    def close(self) -> None:
        """Release the connections."""


class ScratchStore(Protocol):
    """What it asks of the store in which they are made."""

    def histories_of(self, encoder: str) -> RecordTable:
        """Return the histories of an encoder."""


class Reencode:
    """One making of histories. `total` is the number of payments of its first pass, once it has begun."""

    def __init__(
        self, name: str, scorer: Scorer, inputs: InputLog, scratch: ScratchStore, extractor: Extractor,
        store: HistoryStore,
    ) -> None:  # fmt: skip
        """Take a model, what is read, an empty store with an extractor on it, and the store that serves."""
        self._name, self._scorer, self._inputs = name, scorer, inputs
        self._scratch, self._extractor, self._store = scratch, extractor, store
        self._done: dict[Place, End] = {}
        self._ends: dict[Place, End] = {}
        self.total = 0

    def begin(self) -> None:
        """Look where the workers' commits stand.

        Raises:
            StateError: when the store holds histories of the model's encoder already.
        """
        encoder = self._scorer.encoder
        if not encoder:
            return
        used = pointer_in(self._store.pointer())
        self._store.begin_histories(encoder, unused=used is not None and used.encoder != encoder)
        self._ends = self._committed()
        payments = self._inputs.topics.transactions
        self.total = sum(end.offset for (topic, _), end in self._ends.items() if topic == payments)

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
            f"{self._inputs.named(topic)}:{partition}": end.offset - 1
            for (topic, partition), end in self._done.items()
            if end.offset
        }
        return self._store.put_histories(self._scorer.encoder, rows, marks)

    def _begins(self) -> tuple[Begin, ...]:
        return tuple(
            Begin(self._inputs.named(topic), partition, end.offset, end.output)
            for (topic, partition), end in self._done.items()
        )

    def _streams(self) -> list[Iterator[Arrival]]:
        """Return what each partition holds, verdicts first: at equal times they come before payments."""
        inputs, topics = self._inputs, self._inputs.topics
        partitions = sorted({partition for _, partition in self._ends})
        return [
            *(inputs.verdicts(number, *self._span((topics.known, number))) for number in partitions),
            *(inputs.payments(number, *self._span((topics.transactions, number))) for number in partitions),
        ]

    def _span(self, place: Place) -> tuple[int, int]:
        """Return from where to where this pass reads a partition."""
        return self._done[place].offset if place in self._done else 0, self._ends[place].offset

    def _committed(self) -> dict[Place, End]:
        """Return, for each input partition, the offset that the workers have committed."""
        return {
            place: End(commit.offset, commit_mark_in(commit).output) if commit else End(0, 0)
            for place, commit in self._inputs.committed().items()
        }
