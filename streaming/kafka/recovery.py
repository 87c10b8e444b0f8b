"""Where to begin in a partition: at the commit's mark, after reading what the output says has been answered."""

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from fraud.core.errors import StateError
from fraud.core.records import Answer
from streaming.kafka import output_log
from streaming.kafka.client import Consumer, Place, Span
from streaming.kafka.model_pointer import Pointer
from streaming.kafka.offsets import CommitMark, Track, commit_mark_in
from streaming.kafka.topics import Topics, need_same, need_whole
from streaming.observe.odd_records import OddRecords
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

    def applied(self) -> Mapping[tuple[str, int], int] | None:
        """Return the highest offset applied of each (topic, partition), positions' topics; None without a store.

        Raises:
            StateError: when the state was emptied since.
        """

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        """Let first answers age, by what they lie under: their offsets are committed."""

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


class Found(msgspec.Struct):
    """What is not as it should be where partitions begin.

    `older` are those of which the store held less than it had: they are read again from where it stands. `anew` are
    those whose topic was made anew since their commit: they begin at its beginning. `lost` are records that the log let
    go of before they were read.
    """

    older: int = 0
    anew: int = 0
    lost: int = 0


class Recovery:
    """Begins partitions. `pointer` names the histories in use, None where no model was ever pointed to.

    `found` counts what was not as it should be.
    """

    def __init__(
        self, kafka: KafkaSection, ids: Mapping[str, str], consumer: Consumer, store: Recoverable,
        pointer: Pointer | None = None, alive: Callable[[], None] = lambda: None, odd: OddRecords | None = None,
    ) -> None:  # fmt: skip
        """Take the ids of the input topics, the worker's consumer, and the store whose promise is made good.

        `alive` is called between pieces of what is read: a long one is no standstill. `odd` counts what stands in the
        output and cannot be read. `caught` says, once, how far
        partitions have been caught up with since their commit.
        """
        self._kafka, self.ids = kafka, ids
        self._consumer, self._store = consumer, store
        self.pointer, self._alive = pointer, alive
        self.caught: dict[Place, Reached] = {}
        self.found, self._odd = Found(), odd or OddRecords()
        topics = Topics.of(kafka)
        self._decisions, self._labels = topics.decisions, topics.known
        self._outputs = {topics.transactions: topics.decisions, topics.known: topics.applied}

    def begin(self, places: Collection[Place]) -> dict[Place, Track]:
        """Read the end of the output, put lost answers back, and seek to where the store's promise ends.

        Raises:
            StateError: when the store is not the one that the commits speak of, or holds less than can be read again.
            TopicReplacedError: when a topic is not the one that this process began with.
        """
        caught, self.caught = self.caught, {}
        spans = self._consumer.spans(places)
        reached = {place: caught[place] if place in caught else self._reached(place, spans[place]) for place in places}
        # Commits go with their topic: what begins at 0 under the id of before would be taken for answered long ago.
        # Asked behind the commit, so that none can be of a topic that has gone since.
        need_same(self._kafka, {place[0]: self.ids[place[0]] for place, at in reached.items() if not at.offset})
        for place, at in reached.items():
            self._need_same_state(at.mark, place)
        if (standing := self.standing(places)) is not None:
            reached = {place: self._stand_at(place, at, standing[place]) for place, at in reached.items()}
        found = self._read_output(reached)
        return {place: self._begin(place, at, found[self._output(place)]) for place, at in reached.items()}

    def standing(self, places: Collection[Place]) -> dict[Place, int] | None:
        """Return the highest offset that the store has applied of some partitions, -1 for none; None without a store.

        Raises:
            StateError: when the state was emptied since.
        """
        if (applied := self._store.applied()) is None:
            return None
        return {place: applied.get((self._named(place), place[1]), -1) for place in places}

    def _stand_at(self, place: Place, at: Reached, applied: int) -> Reached:
        """Return where to begin, given what the store has applied: further back when that is less than it had."""
        if applied >= at.mark.applied:
            return at
        self.found.older += 1
        begins = output_log.first_offset(self._kafka, place)
        if begins > applied + 1:
            msg = (
                f"the state store holds {place[0]} partition {place[1]} up to offset {applied} and once held it up to "
                f"{at.mark.applied}: it is an older copy, and the log begins at {begins}, so what lies between cannot "
                "be absorbed again; restore a newer copy, or empty the store and fill it with 'fraud state rebuild'"
            )
            raise StateError(msg)
        output = at.mark.output
        if place[0] != self._labels:
            output = output_log.begin_of(self._kafka, self._output(place), (self._named(place), applied), output)
        # What was committed stays published; what the store lacks is absorbed again, with its first answers put back.
        lower = min(at.mark.absorb_from, applied + 1)
        mark = msgspec.structs.replace(at.mark, absorb_from=lower, output=output, applied=applied)
        return Reached(at.offset, mark)

    def committed(self, places: Collection[Place], applied: Mapping[tuple[str, int], int]) -> dict[Place, Reached]:
        """Return where the store's promise ends in partitions of transactions, by commits and what it has applied.

        Raises:
            StateError: when the store is not the one that the commits speak of, or holds less than can be read again.
        """
        mine = [place for place in places if self._outputs[place[0]] == self._decisions]
        spans = self._consumer.spans(mine)
        reached = {place: self._reached(place, spans[place]) for place in mine}
        for place, at in reached.items():
            self._need_same_state(at.mark, place)
        return {
            place: self._stand_at(place, at, applied.get((self._named(place), place[1]), -1))
            for place, at in reached.items()
        }

    def _begin(self, place: Place, at: Reached, state: output_log.Answered) -> Track:
        topic = self.ids[place[0]]
        track = Track(at.mark, max(at.offset, state.resume), self._store.birth, self._encoder, topic)
        track.ends(state.output)
        # Without a store rules go on alone, until it comes back and this is done again.
        down = self._store.mode is Mode.STORE_DOWN
        track.begins = track.resume if down else max(at.mark.absorb_from, at.absorbed)
        self._consumer.seek(place, track.begins)
        return track

    def _read_output(self, reached: Mapping[Place, Reached]) -> dict[Place, output_log.Answered]:
        """Read the output from where the marks say, piece by piece, and put its answers back."""
        starts = {self._output(place): max(at.mark.output, at.output) for place, at in reached.items()}
        # Without a store nobody takes the answers, of which an outage makes many.
        wanted = "" if self._store.mode is Mode.STORE_DOWN else self._decisions
        inputs = {self._output(place): self._named(place) for place in reached}
        tail = output_log.Tail(inputs, answers=wanted, applied=self._outputs[self._labels], odd=self._odd)
        for piece in output_log.pieces(self._kafka, starts):
            self._store.put_answers(tail.take(piece))
            self._alive()
        return tail.reached

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

    def _reached(self, place: Place, span: Span) -> Reached:
        """Return what is committed for a partition whose log spans this.

        Raises:
            StateError: when the log ends before what was committed.
        """
        commit = self._consumer.committed(place)
        mark = commit_mark_in(commit)
        if mark.topic not in ("", self.ids[place[0]]):
            # Deleted and made again: its offsets, the marks in the state and the answers in the output name the topic.
            self.found.anew += 1
            commit, mark = None, CommitMark(0)
        elif commit is not None:
            need_whole(self._named(place), place[1], commit.offset, span)
            self.found.lost += max(span.begin - commit.offset, 0)
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
