"""What a console has to say, put between the events of an engine in this process: verdicts, and orders."""

from collections import deque
from collections.abc import Callable, Sequence

from fraud.core.actions import CaseAction
from fraud.core.ports import Source
from fraud.core.records import Answer, Arrival, Intake, Position, Reject
from streaming.kafka.topics import Topics
from streaming.messages.actions import case_action_in
from streaming.messages.codec import Codec
from streaming.messages.feed import Feed, Record

Obey = Callable[[CaseAction], object]
"""Carries out an analyst's order, as far as it is its own to carry out."""
BATCH = 32
CONSOLE = "console"
"""What tells positions of the console's topics from those of the source's own, which may have the same names."""


class Hearing:
    """The Source port over another source and a feed: what the feed brings comes next, as of the stream's time now.

    That time is when the newest event that was read was seen, so the order holds. Before the first event nothing is
    heard. Orders are obeyed between two batches, by all who are given them: each knows which are its own.
    """

    def __init__(self, source: Source, feed: Feed, codec: Codec, topics: Topics, obey: Sequence[Obey]) -> None:
        """Take a feed of `labels` and `actions`; it is read from its oldest record."""
        self._source, self._feed, self._codec = source, feed, codec
        self._topics, self._obey = topics, obey
        self._heard: deque[Arrival | Reject] = deque()
        self._seen_at = 0
        feed.start({})

    def read(self) -> Intake | None:
        """Return what the console has said, a batch at most; when it has said nothing, what the source brings."""
        if self._seen_at and not self._heard:
            for record in self._feed.poll(0.0):
                self._take(record)
        if self._heard:
            return self._next()
        intake = self._source.read()
        if intake is not None and intake.arrivals:
            self._seen_at = intake.arrivals[-1].event.seen_at
        return intake

    def commit(self, answers: Sequence[Answer]) -> None:
        """Let the source note what was answered; the feed is read anew by the next process."""
        self._source.commit(answers)

    def close(self) -> None:
        """Release both."""
        self._feed.close()
        self._source.close()

    def _next(self) -> Intake:
        found = [self._heard.popleft() for _ in range(min(BATCH, len(self._heard)))]
        arrivals = tuple(each for each in found if isinstance(each, Arrival))
        return Intake(arrivals, tuple(each for each in found if isinstance(each, Reject)))

    def _take(self, record: Record) -> None:
        if record.topic == self._topics.labels:
            position = Position(f"{record.topic}@{CONSOLE}", record.partition, record.offset)
            self._heard.append(self._codec.label(record.value, position, self._seen_at, record.headers))
        elif (order := case_action_in(record.value, self._codec.cards)) is not None:
            for obey in self._obey:
                obey(order)
