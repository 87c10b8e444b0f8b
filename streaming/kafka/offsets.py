"""Where a worker stands in its input partitions: what is published, what is durable, where to begin again.

Three offsets, in order: `absorb_from`, below which the store's promise holds; the committed one; and `resume`, below
which everything has been published. A worker begins at `absorb_from`, absorbs again what the store may have lost, and
publishes nothing below `resume`. Once a second the store is asked what it has applied: that goes into the commit with
`absorb_from`, and a store that says less later is an older copy.
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial

import msgspec

from fraud.core import identity
from fraud.core.records import SECOND, Answer, Position
from streaming import clock
from streaming.kafka.client import Commit, Heard, Place

LOOK_EVERY = SECOND
MOST_UNSETTLED = 250_000
"""Answers that wait for a commit while commits are refused: eight minutes at 500 a second, some 80 MB."""
AnswerId = tuple[str, int]
"""What an answer lies under in the store: mostly the id of its transaction; and the version."""


class CommitMark(msgspec.Struct, frozen=True):
    """What travels in a commit's metadata: where to begin, and where the answers since then begin in the output.

    `birth` names the state that holds what came before: on another one it would be missing. `encoder` names the
    histories that hold it; in those of another encoder it may be missing. `applied` is the highest offset that the
    state had applied when it held all below `absorb_from`, -1 when none is known. `topic` is the id of the topic that
    was read, empty where an earlier release wrote none: offsets of another one mean nothing.
    """

    absorb_from: int
    output: int = 0
    birth: str = ""
    encoder: str = ""
    applied: int = -1
    topic: str = ""

    def text(self) -> str:
        """Return it as the metadata of a commit."""
        return msgspec.json.encode(self).decode()


def commit_mark_in(commit: Commit | None) -> CommitMark:
    """Return the mark of a commit; of one that somebody else wrote, that nothing before its offset is missing."""
    if commit is None:
        return CommitMark(0)
    try:
        return msgspec.json.decode(commit.metadata, type=CommitMark)
    except (msgspec.MsgspecError, ValueError):
        return CommitMark(commit.offset)


class Track:
    """One input partition. `begins` is the offset that is read first."""

    def __init__(self, mark: CommitMark, resume: int, birth: str = "", encoder: str = "", topic: str = "") -> None:
        """Begin at a mark; `resume` is the offset after the last published; the rest names what is in use."""
        self.resume = self.next = max(resume, mark.absorb_from)
        self.begins = self.resume
        self.output = mark.output
        self._after = mark.absorb_from
        self._durable = msgspec.structs.replace(mark, birth=birth, encoder=encoder, topic=topic)
        self._steps: deque[tuple[int, CommitMark]] = deque()

    @property
    def applied(self) -> int:
        """Return the highest offset that the state must have applied, -1 when none is known."""
        return self._durable.applied

    def publishes(self, offset: int) -> bool:
        """Tell whether the answer to an offset is still to be published."""
        return offset >= self.resume

    def ends(self, output: int) -> None:
        """Note where the output ended when this began: where nothing is absorbed again nothing of it is read again."""
        self.output = max(self.output, output)
        if self._durable.absorb_from >= self.resume:
            self._durable = msgspec.structs.replace(self._durable, output=self.output)

    def published(self, output: int) -> None:
        """Note the offset of a published answer."""
        self.output = max(self.output, output + 1)

    def done(self, after: int) -> None:
        """Note that everything below `after` is stored and published."""
        self.next, self._after = max(self.next, after), after

    def seen(self, now: int, applied: int) -> None:
        """Note that the state holds all that is done, and says to have applied everything up to an offset."""
        output = self.output if self._after >= self.resume else self._durable.output
        step = msgspec.structs.replace(self._durable, absorb_from=self._after, output=output, applied=applied)
        if step != (self._steps[-1][1] if self._steps else self._durable):
            self._steps.append((now, step))

    def commit(self, now: int, durable_after: int) -> tuple[int, CommitMark]:
        """Return the offset to commit, and the mark for its metadata; times in nanoseconds."""
        while self._steps and self._steps[0][0] <= now - durable_after:
            self._durable = self._steps.popleft()[1]
        return self.next, self._durable


class Done(msgspec.Struct, frozen=True):
    """What is stored and acknowledged: the offset after the last record read of each partition, and the answers.

    `outputs` are the offsets of the last decisions and applied labels in the output, by the partition that they answer.
    """

    read: Mapping[Place, int] = {}
    answers: Sequence[Answer] = ()
    outputs: Mapping[Place, int] = {}


class Refusals(msgspec.Struct):
    """Commits that the brokers refused: how many, why the last one, and since when (monotonic ns) none was taken.

    `since` is 0 while commits are taken.
    """

    count: int = 0
    why: str = ""
    since: int = 0


class Unsettled:
    """First answers that may age once a commit has covered their positions.

    A commit covers all that was noted before it was sent, for each one names every partition. What is beyond
    `MOST_UNSETTLED` is let go: it is noted again when the worker begins again at the last commit that was taken.
    """

    def __init__(self) -> None:
        """Hold nothing."""
        self._waiting: deque[tuple[int, Place, AnswerId]] = deque(maxlen=MOST_UNSETTLED)
        self._covered: deque[AnswerId] = deque()
        self._noted = 0

    def __len__(self) -> int:
        """Return how many may age."""
        return len(self._covered)

    def note(self, place: Place, answer: AnswerId) -> None:
        """Note an answer."""
        self._noted += 1
        self._waiting.append((self._noted, place, answer))

    def forget(self, places: Collection[Place]) -> None:
        """Forget the answers of partitions that are begun again."""
        self._waiting = deque((each for each in self._waiting if each[1] not in places), MOST_UNSETTLED)

    def sent(self) -> int:
        """Return what a commit covers that is sent now."""
        return self._noted

    def cover(self, noted: int) -> None:
        """Note that a commit was taken, by what `sent` said of it."""
        while self._waiting and self._waiting[0][0] <= noted:
            self._covered.append(self._waiting.popleft()[2])

    def take(self, most: int) -> list[AnswerId]:
        """Remove and return answers that may age, oldest first."""
        return [self._covered.popleft() for _ in range(min(most, len(self._covered)))]


class Offsets:
    """The partitions that a worker holds: assigned, noted, committed; and the answers that a commit has covered.

    `behind` says that the state was seen to have applied less than it had. Times are monotonic, in nanoseconds.
    """

    def __init__(self, durable_after: int, commit_every: int) -> None:
        """Hold nothing. What was stored `durable_after` ago survives a power cut."""
        self._durable_after, self._commit_every = durable_after, commit_every
        self._tracks: dict[Place, Track] = {}
        self._fresh: set[Place] = set()
        self._unsettled = Unsettled()
        self._committed_at = self._seen_at = 0
        self.behind = False
        self.refusals = Refusals()

    def __len__(self) -> int:
        """Return how many partitions are held, less those that were assigned a moment ago."""
        return len(self._tracks)

    @property
    def held(self) -> set[Place]:
        """Return the partitions held."""
        return set(self._tracks)

    @property
    def fresh(self) -> set[Place]:
        """Return the partitions that were assigned and not begun yet."""
        return set(self._fresh)

    def take(self, places: Iterable[Place]) -> None:
        """Note partitions that were assigned."""
        self._fresh.update(places)

    def give(self, places: Iterable[Place]) -> None:
        """Forget partitions."""
        for place in places:
            self._tracks.pop(place, None)
            self._fresh.discard(place)

    def begin(self, tracks: Mapping[Place, Track]) -> None:
        """Stand in partitions as their recovery found them."""
        self._tracks.update(tracks)
        self._fresh -= tracks.keys()
        self.behind = False
        self._unsettled.forget(tracks.keys())

    def next(self) -> dict[Place, int]:
        """Return the offset after the last one noted, by partition."""
        return {place: track.next for place, track in self._tracks.items()}

    def publishes(self, position: Position) -> bool:
        """Tell whether what answers a position is still to be published, by this worker."""
        track = self._tracks.get(place_of(position))
        return track is not None and track.publishes(position.offset)

    def note(self, done: Done) -> None:
        """Note what is done, of the partitions that are still held."""
        for place, offset in done.outputs.items():
            if (track := self._tracks.get(place)) is not None:
                track.published(offset)
        for place, after in done.read.items():
            if (track := self._tracks.get(place)) is not None:
                track.done(after)
        for answer in done.answers:
            if answer.repeat_of is None:
                self._unsettled.note(place_of(answer.position), answer_id(answer))

    def look_due(self, now: int) -> bool:
        """Tell whether it is time to ask the state what it has applied."""
        return now - self._seen_at >= min(LOOK_EVERY, self._durable_after)

    def seen(self, now: int, applied: Mapping[Place, int]) -> None:
        """Note what the state says to have applied of each partition, now that it holds all that is done."""
        self._seen_at = now
        for place, offset in applied.items():
            if (track := self._tracks.get(place)) is not None:
                if offset < track.applied:
                    self.behind = True
                else:
                    track.seen(now, offset)

    def due(self, now: int) -> bool:
        """Tell whether it is time for a commit."""
        return now - self._committed_at >= self._commit_every

    def commits(self, now: int) -> dict[Place, Commit]:
        """Return what is to be committed: all that was noted."""
        self._committed_at = now
        found = {}
        for place, track in self._tracks.items():
            offset, mark = track.commit(now, self._durable_after)
            found[place] = Commit(offset, mark.text())
        return found

    def hears(self) -> Heard:
        """Return what hears how a commit of all that was noted has ended: once it is taken, first answers may age."""
        return partial(self._ended, self._unsettled.sent())

    def covered(self) -> int:
        """Return how many first answers may age."""
        return len(self._unsettled)

    def take_covered(self, most: int) -> list[AnswerId]:
        """Remove and return answers that may age, oldest first."""
        return self._unsettled.take(most)

    def _ended(self, noted: int, why: str) -> None:
        """Take in how a commit ended."""
        refusals = self.refusals
        if why:
            refusals.count += 1
            refusals.why, refusals.since = why, refusals.since or clock.monotonic_ns()
        else:
            refusals.since = 0
            self._unsettled.cover(noted)


def answer_id(answer: Answer) -> AnswerId:
    """Return what an answer lies under in the store."""
    return identity.answer_name(answer.decision), answer.decision.version


def place_of(position: Position) -> Place:
    """Return the partition of a position; positions name their topic with its id."""
    return position.topic.partition("@")[0], position.partition
