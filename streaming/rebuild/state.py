"""Fill an empty state store from the topics: what the workers have absorbed, absorbed again."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Protocol

from fraud.core.errors import StateError
from fraud.core.ports import Extractor
from fraud.core.records import Arrival, KnownLabel, Transaction
from streaming.kafka.offsets import commit_mark_in
from streaming.rebuild.inputs import InputLog

BATCH = 256


class EmptyStore(Protocol):
    """What a rebuilding asks of the store that it fills."""

    def applied_offsets(self) -> dict[tuple[str, int], int]:
        """Return the highest offset applied for each (topic, partition)."""

    def take_over(self, birth: str) -> None:
        """Take the name of the state that this one is made from."""

    def close(self) -> None:
        """Release the connections."""


class Rebuild:
    """One rebuilding. `total` is the number of records to be read, once it has begun.

    Payments first, then verdicts: rows depend on the set of both, not on their order. Each is applied under its own
    position, so the workers go on from their commits as if nothing had happened.
    """

    def __init__(self, inputs: InputLog, store: EmptyStore, extractor: Extractor) -> None:
        """Take what is read, and a store with an extractor on it."""
        self._inputs, self._store, self._extractor = inputs, store, extractor
        self._births: set[str] = set()
        self._ends: dict[int, int] = {}
        self.total = 0

    def begin(self) -> None:
        """Look where the workers' commits stand.

        Raises:
            StateError: when the store is not empty.
        """
        if self._store.applied_offsets():
            msg = "the state store is not empty: rebuild into an empty one, or empty it first"
            raise StateError(msg)
        for (topic, number), commit in self._inputs.committed().items():
            if topic == self._inputs.topics.transactions:
                self._ends[number] = commit.offset if commit else 0
                self._births.add(commit_mark_in(commit).birth)
        self.total = sum(self._ends.values())

    def run(self, step: Callable[[int], None]) -> dict[str, Any]:
        """Rebuild; return the last line's content. `step` is told the records done."""
        done = 0
        arrivals = self._arrivals()
        while batch := list(islice(arrivals, BATCH)):
            self._absorb(batch)
            done += len(batch)
            step(done)
        if birth := max(self._births, default=""):
            self._store.take_over(birth)
        self._store.close()
        return {"records": done}

    def _absorb(self, batch: list[Arrival]) -> None:
        extractor = self._extractor
        extractor.open(batch)
        for arrival in batch:
            if isinstance(arrival.event, Transaction):
                extractor.absorb(arrival.event, arrival.position)
            elif isinstance(arrival.event, KnownLabel):
                extractor.apply(arrival.event, arrival.position)
        extractor.close([])

    def _arrivals(self) -> Iterator[Arrival]:
        for number, end in self._ends.items():
            yield from self._inputs.payments(number, 0, end)
        for number in self._ends:
            yield from self._inputs.applied(number)
