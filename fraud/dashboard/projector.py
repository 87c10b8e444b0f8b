"""The projector: what workers, label book and learner have published becomes rows, each record exactly once.

Offsets lie in the database with what was made of the records. So whatever dies, the database, the feed or this process,
it begins again where the last whole transaction ended.
"""

from collections.abc import Sequence
from threading import Event

from sqlalchemy.exc import DataError as UnfitError

from fraud.core.errors import SettingsError
from fraud.core.records import HOUR, MINUTE, SECOND
from fraud.dashboard.reading import Reader
from fraud.dashboard.sole import PROJECTOR
from fraud.dashboard.working import Routine, Trouble, work
from fraud.review.database import Database
from fraud.review.intake.seen import DecisionSeen, Seen
from fraud.review.intake.take import Intake
from fraud.review.waking import wake
from streaming import clock
from streaming.kafka.topics import Topics
from streaming.messages.feed import Feed, Place, Record
from streaming.observe.logs import Log

WAIT_SECONDS = 0.2
UNFIT = (UnfitError, OverflowError, UnicodeError)
"""What a database says of values that it cannot keep, whenever they are written."""


class Figures(Trouble):
    """What the projector has done since it began: for metrics and for `readyz`.

    `behind` is how many records wait in the feed, as of a few seconds ago; `heard_at` when the newest decision taken in
    was published, UTC ns.
    """

    records: int = 0
    decisions: int = 0
    batches: int = 0
    unreadable: int = 0
    behind: int = 0
    heard_at: int = 0


class Projector:
    """Follows a feed into a database; `run` goes on until it is stopped."""

    name = PROJECTOR

    def __init__(
        self,
        database: Database,
        intake: Intake,
        feed: Feed,
        topics: Topics,
        log: Log,
    ) -> None:
        """Take what is written to and what is read: a feed of the topics that `reading.topics_of` names."""
        self._database, self._intake, self._feed, self._log = database, intake, feed, log
        self._reader = Reader(topics)
        self._next: dict[Place, int] = {}
        self.figures = Figures()
        self._routines = (
            Routine(SECOND, lambda: intake.expire(clock.now_ns())),
            Routine(MINUTE, self._wake),
            Routine(HOUR, self._tidy),
            Routine(5 * SECOND, self._measure),
        )

    def run(self, stop: Event) -> None:
        """Follow until `stop` is set; after a failure of the database or the feed, go on from the marks."""
        work(self, self._database, self._log, stop)

    def begin(self) -> None:
        """Begin the feed at the marks.

        Raises:
            SettingsError: a topic ends before its mark. All that comes would be taken for what was taken in before.
        """
        named = self._feed.named()
        self._next = dict(self._intake.offsets(self._reader.topics, named))
        self._feed.start(self._next)
        for (topic, partition), end in self._feed.ends().items():
            if end < (mark := self._next.get((topic, partition), 0)):
                msg = f"{topic}/{partition} ends at {end}, and this database has read it up to {mark}: it was "
                raise SettingsError(
                    msg + "made anew, or has lost its end; a console on a new database reads it from its begin"
                )

    def turn(self, stop: Event) -> None:
        """Take in what has come."""
        self.step(WAIT_SECONDS)

    def end(self) -> None:
        """Leave the feed."""
        self._feed.close()

    def step(self, seconds: float) -> int:
        """Take in what has come within some seconds, and do what time asks for; return how many records came."""
        records = self._feed.poll(seconds)
        if records:
            self._take(records)
        for routine in self._routines:
            routine.run()
        return len(records)

    def _take(self, records: Sequence[Record]) -> None:
        """Take records in; those of a batch that the database refuses one by one, but for what it refuses then."""
        counted = self._reader.unreadable
        try:
            self._write(self._reader.read(records), records)
        except UNFIT as fault:
            self._reader.unreadable = counted
            if len(records) > 1:
                for record in records:
                    self._take([record])
                return
            self._leave_out(records[0], fault)

    def _leave_out(self, record: Record, fault: Exception) -> None:
        """Go on behind a record that will never be taken, rather than stand before it for good."""
        self._write([], [record])
        self._reader.unreadable += 1
        self.figures.unreadable = self._reader.unreadable
        place = f"{record.topic}/{record.partition}/{record.offset}"
        self._log.say("record left out", place=place, error=type(fault).__name__)

    def _write(self, batch: Sequence[Seen], records: Sequence[Record]) -> None:
        reached = self._next | {(record.topic, record.partition): record.offset + 1 for record in records}
        self._intake.take(batch, reached, clock.now_ns())
        self._next = reached
        decisions = [seen.arrived_at for seen in batch if isinstance(seen, DecisionSeen)]
        figures = self.figures
        figures.records += len(records)
        figures.decisions += len(decisions)
        figures.batches += 1
        figures.unreadable = self._reader.unreadable
        figures.heard_at = max(decisions, default=figures.heard_at)

    def _wake(self) -> None:
        with self._database.write() as connection:
            wake(connection, clock.now_ns())
        self._intake.lapse(clock.now_ns())

    def _tidy(self) -> None:
        while self._intake.tidy(clock.now_ns()):
            pass

    def _measure(self) -> None:
        ends = self._feed.ends()
        self.figures.behind = sum(max(end - self._next.get(place, 0), 0) for place, end in ends.items())
