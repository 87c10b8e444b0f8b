"""The projector: what workers, label book and learner have published becomes rows, each record exactly once.

Offsets lie in the database with what was made of the records. So whatever dies, the database, the feed or this process,
it begins again where the last whole transaction ended.
"""

from collections.abc import Callable, Sequence
from threading import Event

from fraud.core.records import HOUR, MINUTE, SECOND
from fraud.dashboard.reading import Reader
from fraud.dashboard.sole import PROJECTOR, Trouble, sole
from fraud.review.database import Database
from fraud.review.intake.seen import DecisionSeen
from fraud.review.intake.take import Intake
from fraud.review.waking import wake
from streaming import clock
from streaming.kafka.topics import Topics
from streaming.messages.feed import Feed, Place, Record
from streaming.observe.logs import Log

WAIT_SECONDS = 0.2
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds until it is tried again after a failure, doubled each time up to the longest."""


class Figures(Trouble):
    """What the projector has done since it began: for metrics and for `readyz`.

    `behind` is how many records wait in the feed, as of a few seconds ago; `heard_at` when the newest decision taken in
    was published, UTC ns; `follows` whether it is the one that works on the database.
    """

    records: int = 0
    decisions: int = 0
    batches: int = 0
    unreadable: int = 0
    behind: int = 0
    heard_at: int = 0
    follows: bool = False


class Routine:
    """Something that is done every so often."""

    def __init__(self, every: int, work: Callable[[], object]) -> None:
        """Take the span (ns) and the work, which is done for the first time at once."""
        self._every, self._work = every, work
        self._due = 0

    def run(self) -> None:
        """Do it when it is due."""
        if (now := clock.monotonic_ns()) >= self._due:
            self._due = now + self._every
            self._work()


class Projector:
    """Follows a feed into a database; `run` goes on until it is stopped."""

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
        pause = FIRST_PAUSE
        while not stop.is_set():
            begun = self.figures.batches
            try:
                with sole(self._database, PROJECTOR, stop) as ours:
                    if ours:
                        self.follow(stop)
            except Exception as fault:
                # Whatever it was, nothing was half done: a projector that gives up would help nobody.
                if self.figures.met(fault):
                    self._log.say("projector waits", why=self.figures.fault)
                pause = FIRST_PAUSE if self.figures.batches > begun else min(2 * pause, LONGEST_PAUSE)
                stop.wait(pause)
            finally:
                self.figures.follows = False

    def follow(self, stop: Event) -> None:
        """Follow from the marks until `stop` is set; raise what the database or the feed raises."""
        self._next = dict(self._intake.offsets(self._reader.topics))
        self._feed.start(self._next)
        self.figures.follows = True
        try:
            while not stop.is_set():
                self.step(WAIT_SECONDS)
        finally:
            self._feed.close()

    def step(self, seconds: float) -> int:
        """Take in what has come within some seconds, and do what time asks for; return how many records came."""
        records = self._feed.poll(seconds)
        if records:
            self._take(records)
        for routine in self._routines:
            routine.run()
        self.figures.fault = ""
        return len(records)

    def _take(self, records: Sequence[Record]) -> None:
        batch = self._reader.read(records)
        for record in records:
            self._next[record.topic, record.partition] = record.offset + 1
        self._intake.take(batch, self._next, clock.now_ns())
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

    def _tidy(self) -> None:
        while self._intake.tidy(clock.now_ns()):
            pass

    def _measure(self) -> None:
        ends = self._feed.ends()
        self.figures.behind = sum(max(end - self._next.get(place, 0), 0) for place, end in ends.items())
