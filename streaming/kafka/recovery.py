"""Where to begin in a partition: at the commit's mark, after reading what the output says has been answered."""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from fraud.core.errors import StateError
from fraud.core.records import Answer
from streaming.kafka import output_log
from streaming.kafka.client import Consumer, Place
from streaming.kafka.model_pointer import Pointer
from streaming.kafka.offsets import CommitMark, Track, commit_mark_in
from streaming.kafka.topics import Topics
from streaming.settings import KafkaSection


class Mode(StrEnum):
    """How a worker stands with its state store. The fallback sets it; the link only reads it."""

    NORMAL = "normal"
    STORE_DOWN = "store-down"
    """Rules alone decide, and nothing is committed."""
    BEGIN_AGAIN = "begin-again"
    """The store is back and may have lost what was last: the batch in hand is left, and read again from the marks."""


class Recoverable(Protocol):
    """What the link asks of whoever answers for the state store; what fails there changes the mode, and nothing else.

    `birth` names the state, another one when it was lost.
    """

    @property
    def mode(self) -> Mode:
        """Return how the worker stands with the store."""

    @property
    def birth(self) -> str:
        """Return the name of the state."""

    def put_answers(self, answers: Sequence[Answer]) -> None:
        """Make published answers the first ones again where they are lost."""

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        """Let the first answers to (transaction id, version) age: their offsets are committed."""

    def begun_again(self) -> None:
        """Note that all that the store may have lost will be read again."""


class Reached(NamedTuple):
    """What is committed for a partition: the offset, and the mark, moved back to what the histories in use lack.

    Below `absorbed` the store has taken everything in since, and the answers below `output` are its first ones; that is
    not durable yet, so the mark stays.
    """

    offset: int
    mark: CommitMark
    absorbed: int = 0
    output: int = 0


class Recovery:
    """Begins partitions. `pointer` names the histories in use, None where no model was ever pointed to."""

    def __init__(
        self, kafka: KafkaSection, ids: Mapping[str, str], consumer: Consumer, store: Recoverable,
        pointer: Pointer | None = None,
    ) -> None:  # fmt: skip
        """Take the ids of the input topics, the worker's consumer, and the store whose promise is made good.

        `caught` says, once, how far partitions have been caught up with since their commit.
        """
        self._kafka, self.ids = kafka, ids
        self._consumer, self._store = consumer, store
        self.pointer = pointer
        self.caught: dict[Place, Reached] = {}
        topics = Topics.of(kafka)
        self._decisions = topics.decisions
        self._outputs = {topics.transactions: topics.decisions, topics.known: topics.applied}

    def begin(self, places: Collection[Place]) -> dict[Place, Track]:
        """Read the end of the output, put lost answers back, and seek to where the store's promise ends.

        Raises:
            StateError: when the store is not the one that the commits speak of.
        """
        caught, self.caught = self.caught, {}
        reached = {place: caught[place] if place in caught else self._reached(place) for place in places}
        found = self._answered(reached)
        return {place: self._begin(place, at, found[self._output(place)]) for place, at in reached.items()}

    def committed(self, places: Collection[Place]) -> dict[Place, Reached]:
        """Return where the store's promise ends in partitions of transactions, by their commits.

        Raises:
            StateError: when the store is not the one that the commits speak of.
        """
        reached = {place: self._reached(place) for place in places if self._outputs[place[0]] == self._decisions}
        for place, at in reached.items():
            self._need_same_state(at.mark, place)
        return reached

    def _begin(self, place: Place, at: Reached, state: output_log.Answered) -> Track:
        self._need_same_state(at.mark, place)
        track = Track(at.mark, max(at.offset, state.resume), self._store.birth, self._encoder)
        track.published(state.output - 1)
        self._store.put_answers(state.answers)
        # Without a store rules go on alone, until it comes back and this is done again.
        down = self._store.mode is Mode.STORE_DOWN
        self._consumer.seek(place, track.resume if down else max(at.mark.absorb_from, at.absorbed))
        return track

    def _answered(self, reached: Mapping[Place, Reached]) -> dict[Place, output_log.Answered]:
        starts = {self._output(place): max(at.mark.output, at.output) for place, at in reached.items()}
        inputs = {self._output(place): self._named(place) for place in reached}
        # Without a store nobody takes the answers, of which an outage makes many.
        wanted = "" if self._store.mode is Mode.STORE_DOWN else self._decisions
        return output_log.answered(output_log.records(self._kafka, starts), inputs, decisions=wanted)

    def _need_same_state(self, mark: CommitMark, place: Place) -> None:
        """Raise StateError when the store is not the one that the commit speaks of: it was emptied, or is another.

        One that has not answered yet has no name; it is asked again before anything is done on it.
        """
        birth = self._store.birth
        if mark.birth and birth and mark.birth != birth:
            msg = (
                f"the state store (born {birth}) is not the one that {place[0]} partition {place[1]} was committed "
                f"with (born {mark.birth}): it was emptied or is another; fill it with 'fraud state rebuild'"
            )
            raise StateError(msg)

    def _reached(self, place: Place) -> Reached:
        commit = self._consumer.committed(place)
        mark = commit_mark_in(commit)
        if self.pointer is not None:
            mark = self.pointer.reach_back(mark, self._named(place), place[1])
        return Reached(commit.offset if commit else 0, mark)

    @property
    def _encoder(self) -> str:
        return self.pointer.encoder if self.pointer else ""

    def _output(self, place: Place) -> Place:
        return self._outputs[place[0]], place[1]

    def _named(self, place: Place) -> str:
        return f"{place[0]}@{self.ids[place[0]]}"
