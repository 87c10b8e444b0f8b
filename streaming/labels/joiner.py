"""The label book on messages: decisions and labels in, known labels out, all of it in one file's transaction."""

from collections.abc import Sequence

from fraud.core.labels import PRECEDENCE, Deadlines, LabelBook, Match
from fraud.core.records import Answer, Label, LabelSource, Reject
from streaming.kafka.topics import Topics
from streaming.labels.pending import SqlitePending
from streaming.messages import envelope

WATERMARK = "watermark"


class LabelJoiner:
    """The label book over a file: what comes in changes the file and fills its outbox."""

    def __init__(
        self,
        pending: SqlitePending,
        topics: Topics,
        deadlines: Deadlines | None = None,
        precedence: Sequence[LabelSource] = PRECEDENCE,
    ) -> None:
        """Take the file; its content goes on where it was."""
        self._pending, self._topics = pending, topics
        self._book = LabelBook(pending, deadlines, precedence)
        self.watermark = pending.number(WATERMARK, 0)
        self._counts = dict.fromkeys(("decisions", "repeated", "foreign", "labels", "rejected", "silent", "known"), 0)

    def counts(self) -> dict[str, int]:
        """Return what came in, what became of it, and what went out, since the start."""
        return self._counts | self._book.counts()

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
        for match in self._book.hold(answer.decision, answer.vector):
            self._send(match)

    def foreign(self) -> int:
        """Count a message among the decisions that is none; return how many there were."""
        self._counts["foreign"] += 1
        return self._counts["foreign"]

    def label(self, label: Label) -> None:
        """Join a verdict with its payment; what changes what holds goes out."""
        self._counts["labels"] += 1
        if (match := self._book.match(label)) is not None:
            self._send(match)

    def release(self, tx_id: str, at: int) -> None:
        """Note that a payment that was held went through."""
        if (match := self._book.release(tx_id, at)) is not None:
            self._send(match)

    def reject(self, reject: Reject) -> None:
        """Send what could not be read to the dead letters."""
        self._counts["rejected"] += 1
        self._pending.send(envelope.reject_out(reject, self._topics.dead))

    def is_due(self) -> bool:
        """Tell whether something falls due by the stream's time."""
        due = self._book.next_due()
        return due is not None and due <= self.watermark

    def expire(self, until: int) -> None:
        """Let silence speak up to a time; every label of before has been taken in."""
        for match in self._book.expire(until).silent:
            self._counts["silent"] += 1
            self._send(match)

    def _send(self, match: Match) -> None:
        for known in match.known:
            self._counts["known"] += 1
            self._pending.send(envelope.known_out(known, self._topics.known))
