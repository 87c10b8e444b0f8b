"""The label book on messages: decisions and labels in, known labels out, all of it in one file's transaction."""

from collections.abc import Iterable

from fraud.core.identity import name_of
from fraud.core.labels import LabelBook, Match
from fraud.core.records import Answer, Label, Reject
from streaming.kafka.topics import Topics
from streaming.labels.learning import Learning
from streaming.labels.pending import SqlitePending
from streaming.messages import envelope
from streaming.observe.odd_records import OddRecords

WATERMARK = "watermark"
NOTHING: tuple[float, ...] = ()
COUNTED = "decisions", "repeated", "foreign", "labels", "rejected", "silent", "known", "released", "early_releases"


class LabelJoiner:
    """The label book over a file: what comes in changes the file and fills its outbox.

    With `learning`, what labels change waits there until their period ends.
    """

    def __init__(
        self, book: LabelBook, pending: SqlitePending, topics: Topics, learning: Learning | None = None,
        odd: OddRecords | None = None,
    ) -> None:  # fmt: skip
        """Take a book over the file; its content goes on where it was. `odd` counts what is not taken as it came."""
        self._odd = odd or OddRecords()
        self._book, self._pending, self._topics = book, pending, topics
        self._learning = learning
        self.watermark = pending.number(WATERMARK, 0)
        self._counts = dict.fromkeys(COUNTED, 0)

    def counts(self) -> dict[str, int]:
        """Return what came in, what became of it, and what went out, since the start."""
        known = self._counts["known"] + (self._learning.outlet.known if self._learning else 0)
        return self._counts | {"known": known} | self._book.counts()

    @property
    def reused(self) -> int:
        """Return how many payments came under an id that another one had before."""
        return self._book.reused

    def decision(self, answer: Answer) -> None:
        """Hold a decision's vector for its verdict; one that was seen already, or repeats another, is left out.

        Time moves with it, but silence speaks only when `expire` is called.
        """
        source = f"seen {answer.position.topic} {answer.position.partition}"
        seen = answer.position.offset <= self._pending.number(source)
        if not seen:
            self._pending.set_number(source, answer.position.offset)
        if seen or answer.repeat_of is not None:
            self._counts["repeated"] += 1
            return
        self._counts["decisions"] += 1
        if answer.decision.happened_at > self.watermark:
            self.watermark = answer.decision.happened_at
            self._pending.set_number(WATERMARK, self.watermark)
        self._hold(answer)

    def foreign(self) -> int:
        """Count a message among the decisions that is none; return how many there were."""
        self._counts["foreign"] += 1
        return self._odd.skip(self._topics.decisions)

    def label(self, label: Label) -> None:
        """Join a verdict with its payment; what changes what holds goes out."""
        self._counts["labels"] += 1
        if (match := self._book.match(label)) is not None:
            self._take([match])

    def release(self, tx_id: str, at: int) -> None:
        """Note that a payment that was held went through; of one that is not here yet this is kept."""
        if self._pending.get(tx_id) is None:
            self._counts["early_releases"] += 1
            self._pending.put_release(tx_id, at)
            return
        self._counts["released"] += 1
        if (match := self._book.release(tx_id, at)) is not None:
            self._take([match])

    def reject(self, reject: Reject) -> None:
        """Send what could not be read to the dead letters."""
        self._counts["rejected"] += 1
        self._odd.refuse(reject)
        self._pending.send(envelope.reject_out(reject, self._topics.dead))

    def is_due(self) -> bool:
        """Tell whether something falls due by the stream's time."""
        due = self._book.next_due()
        return due is not None and due <= self.watermark

    def expire(self, until: int) -> None:
        """Let fall due what does up to a time: silence speaks; every label of before has been taken in."""
        due = self._book.expire(until)
        self._counts["silent"] += len(due.silent)
        self._take(due.silent)
        if self._learning is not None:
            self._learning.fall_due(due)

    def _hold(self, answer: Answer) -> None:
        decision, said = answer.decision, NOTHING
        if self._learning is not None:
            self._learning.stream_reached(self.watermark)
            said = self._learning.hear(decision, answer.vector)
        self._take(self._book.hold(decision, answer.vector, said, answer.position.partition))
        if (released := self._pending.take_release(name_of(decision))) is not None:
            self.release(name_of(decision), released)

    def _take(self, matches: Iterable[Match]) -> None:
        """Pass on what labels change: to the learning loop, or out at once."""
        if self._learning is not None:
            self._learning.take(matches)
            return
        for match in matches:
            for known in match.known:
                self._counts["known"] += 1
                self._pending.send(envelope.known_out(known, self._topics.known))
