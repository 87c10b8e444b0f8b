"""Fill an empty state store from the topics: what the workers have absorbed, absorbed again.

The state is made in this process and written at the end. A copy of it is kept on disk now and then, so that an attempt
that was killed is gone on with. Nobody may work on the state meanwhile, and the topics hold what they hold: what they
have let go of is in no row.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from features.state.layout import LAYOUT_VERSION
from features.state.tables import SEPARATOR, RecordTable, card_key, entity_keys
from fraud.core.errors import StateError
from fraud.core.ports import Extractor
from fraud.core.records import SECOND, Arrival, KnownLabel, Transaction
from streaming import clock
from streaming.kafka.offsets import commit_mark_in
from streaming.rebuild.inputs import InputLog
from streaming.rebuild.progress import Head, load, save

TOLD_EVERY = 256
SAVE_EVERY, SAVE_SHARE = 60 * SECOND, 10
"""A copy is kept so often, and no oftener than takes a tenth of the time."""
PAYMENTS_A_SECOND = 20_000
"""What the estimate goes by: one core, measured by tests/bench/rebuild.py."""

Marks = Mapping[str, int]
Given = Iterable[tuple[str, bytes, Marks]]


class EmptyStore(Protocol):
    """What a rebuilding asks of the store that it fills."""

    def applied_offsets(self) -> dict[tuple[str, int], int]:
        """Return the highest offset applied for each (topic, partition)."""

    def put_state(self, entities: Given, pairs: Given) -> int:
        """Set rows that nobody else writes: key, row, and the offsets that it holds; return how many."""

    def put_marks(self, marks: Marks) -> None:
        """Set the highest offset applied of each partition, by the names of fields."""

    def take_over(self, birth: str) -> None:
        """Take the name of the state that this one is made from."""

    def close(self) -> None:
        """Release the connections."""


class Scratch(Protocol):
    """The store in this process that the state is made in."""

    entities: RecordTable
    pairs: RecordTable

    def applied_offsets(self) -> dict[tuple[str, int], int]:
        """Return the highest offset applied for each (topic, partition)."""

    def stand_at(self, marks: Mapping[tuple[str, int], int]) -> None:
        """Take everything up to these offsets for applied."""


class Made(NamedTuple):
    """Where a state is made, by what, and where a copy of it is kept."""

    scratch: Scratch
    extractor: Extractor
    kept: Path


class Rebuild:
    """One rebuilding. `total` is the number of payments to be read, once it has begun, `resumed` how many were before.

    Payments first, then verdicts: rows depend on the set of both, not on their order. Each row is written with the
    offsets that it holds, so the workers go on from their commits as if nothing had happened.
    """

    def __init__(self, inputs: InputLog, store: EmptyStore, made: Made, need_alone: Callable[[], None]) -> None:
        """Take what is read, the store to be filled, where the state is made, and what raises while workers run."""
        self._inputs, self._store, self._made, self._need_alone = inputs, store, made, need_alone
        self._births: set[str] = set()
        self._ends: dict[int, int] = {}
        self._at = Head(())
        self._saved_at, self._save_ns = clock.monotonic_ns(), 0
        self.total = self.resumed = 0

    def begin(self) -> None:
        """Look where the workers' commits stand, and whether an earlier attempt has come some way.

        Raises:
            StateError: when the store is not empty, or workers are at work.
        """
        if self._store.applied_offsets():
            msg = "the state store is not empty: rebuild into an empty one, or empty it first"
            raise StateError(msg)
        self._need_alone()
        self._look()
        scratch = self._made.scratch
        head = load(self._made.kept, self._site, (scratch.entities, scratch.pairs))
        if head is not None:
            self._at = head
            scratch.stand_at({(topic, number): offset for topic, number, offset in head.marks})
        self.resumed = sum(self._at.done.values())
        self.total = sum(self._ends.values())

    @property
    def estimate(self) -> int:
        """Return how many seconds it will take, about."""
        return (self.total - self.resumed) // PAYMENTS_A_SECOND

    def run(self, step: Callable[[int], None]) -> dict[str, Any]:
        """Rebuild; return the last line's content. `step` is told the records done.

        Raises:
            StateError: when workers were started meanwhile.
        """
        rejected, records, ended = self._inputs.rejected(), 0, dict[int, int]()
        while self._ends != ended:
            ended = dict(self._ends)
            records += self._absorb(rejected, lambda done, before=records: step(self.resumed + before + done))  # type: ignore[misc]
            # Who was started meanwhile on another state has committed since.
            self._need_alone()
            self._look()
        rows = self._write()
        self._made.kept.unlink(missing_ok=True)
        if birth := max(self._births, default=""):
            self._store.take_over(birth)
        self._store.close()
        return {"records": self.resumed + records, "resumed": self.resumed, "rows": rows}

    @property
    def _site(self) -> tuple[str, ...]:
        topics = self._inputs.topics
        return LAYOUT_VERSION, self._inputs.named(topics.transactions), self._inputs.named(topics.known)

    def _look(self) -> None:
        """Look where the workers' commits stand now."""
        for (topic, number), commit in self._inputs.committed().items():
            mark = commit_mark_in(commit)
            if topic == self._inputs.topics.transactions:
                ours = commit is not None and f"{topic}@{mark.topic}" in (f"{topic}@", self._inputs.named(topic))
                self._ends[number] = commit.offset if commit and ours else 0
                self._births.add(mark.birth)

    def _absorb(self, rejected: Mapping[int, set[int]], step: Callable[[int], None]) -> int:
        """Take in what there is up to the ends; return how many payments that were."""
        extractor, done, labels = self._made.extractor, 0, 0
        extractor.open([])
        for arrival in self._arrivals(rejected):
            event, number = arrival.event, arrival.position.partition
            if isinstance(event, Transaction):
                extractor.absorb(event, arrival.position)
                self._at.done[number] = arrival.position.offset + 1
                done += 1
            elif isinstance(event, KnownLabel):
                extractor.apply(event, arrival.position)
                labels += 1
            self._touch(event, number)  # type: ignore[arg-type]
            if (done + labels) % TOLD_EVERY == 0:
                step(done)
                self._save_when_due()
        extractor.close([])
        step(done)
        self._at.done.update(self._ends)
        return done

    def _touch(self, event: Transaction | KnownLabel, number: int) -> None:
        partitions, bit = self._at.partitions, 1 << number
        for key in entity_keys(event):
            partitions[key] = partitions.get(key, 0) | bit

    def _arrivals(self, rejected: Mapping[int, set[int]]) -> Iterator[Arrival]:
        for number, end in self._ends.items():
            left_out = rejected.get(number, set())
            for arrival in self._inputs.payments(number, self._at.done.get(number, 0), end):
                if arrival.position.offset not in left_out:
                    yield arrival
        for number in self._ends:
            for offset, arrival in self._inputs.applied(number, self._at.unread.get(number, 0)):
                yield arrival
                self._at.unread[number] = offset + 1

    # ---- what is kept of an attempt

    def _save_when_due(self) -> None:
        """Keep a copy between two records, when it is time."""
        now = clock.monotonic_ns()
        if now - self._saved_at < max(SAVE_EVERY, SAVE_SHARE * self._save_ns):
            return
        scratch = self._made.scratch
        marks = [(topic, number, offset) for (topic, number), offset in scratch.applied_offsets().items()]
        head = msgspec.structs.replace(self._at, site=self._site, marks=marks)
        save(self._made.kept, head, (scratch.entities, scratch.pairs))
        self._saved_at = clock.monotonic_ns()
        self._save_ns = self._saved_at - now

    # ---- the end

    def _write(self) -> int:
        """Write the state: the marks last, so that one that was not written whole is an empty one still."""
        scratch, held = self._made.scratch, self._made.scratch.applied_offsets()
        marks = {f"{topic}:{number}": offset for (topic, number), offset in held.items()}
        by_bits: dict[int, Marks] = {}

        def of(entity: str) -> Marks:
            bits = self._at.partitions.get(entity, 0)
            if bits not in by_bits:
                by_bits[bits] = {f"{topic}:{n}": offset for (topic, n), offset in held.items() if bits >> n & 1}
            return by_bits[bits]

        count = self._store.put_state(
            ((key, row, of(key)) for key, row in scratch.entities.items()),
            ((key, row, of(card_key(key.partition(SEPARATOR)[0]))) for key, row in scratch.pairs.items()),
        )
        self._store.put_marks(marks)
        return count
