"""Source and sink on Kafka: drains what is there, publishes in order, commits behind.

The delivery protocol stands in docs/delivery.md. In short: the state store gives each position one answer; the sink
waits for every acknowledgement, alerts before decisions; offsets are committed behind, with the position from which
the store's promise must be made good again; at an assignment the end of the output tells what has been published.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

import msgspec

from fraud.core.errors import DeliveryError
from fraud.core.records import Answer, Arrival, Intake, KnownLabel, Reject
from streaming import clock
from streaming.kafka.client import Consumer, Place
from streaming.kafka.model_pointer import Pointer
from streaming.kafka.offsets import Done, Offsets, Refusals
from streaming.kafka.publisher import Messages, Publisher
from streaming.kafka.recovery import Mode, Recoverable, Recovery
from streaming.kafka.source import RecordReader, sent_of
from streaming.observe.stages import Watch

SETTLED = 16


class Phase(StrEnum):
    """Where a link is in its life: `stopping` says that it was asked to end."""

    RUNNING = "running"
    STOPPING = "stopping"
    CLOSED = "closed"


class InHand(msgspec.Struct):
    """What was read and is not committed: the offset after the last record of each partition, and the labels.

    `sent` is when transactions were sent (ns since the epoch), by partition and offset.
    """

    read: dict[Place, int] = {}
    labels: list[Arrival] = []
    sent: dict[tuple[int, int], int] = {}


class Counts(msgspec.Struct):
    """What a link has done so far."""

    read: int = 0
    published: int = 0
    rejected: int = 0
    recoveries: int = 0
    commits: int = 0
    older: int = 0
    """Partitions of which the store held less than what was committed: it is an older copy."""
    anew: int = 0
    """Partitions whose topic was deleted and made again since their commit."""
    lost: int = 0
    """Records that the log let go of before anybody read them."""


class KafkaLink:
    """The Source and Sink ports on one consumer and one producer.

    One batch may be under way to the broker while the next is worked on: the store has its answers already, and nothing
    is noted as done, so nothing committed, before it has been acknowledged.
    """

    def __init__(
        self,
        consumer: Consumer,
        reader: RecordReader,
        publisher: Publisher,
        offsets: Offsets,
        recovery: Recovery,
        store: Recoverable,
        watch: Watch,
        leave: Callable[[], None] = lambda: None,
        *,
        transactional: bool,
    ) -> None:
        """Take the parts, which `streaming.service_wiring` puts together; partitions come with the first reads.

        `leave` lets others have this member's partitions at once; it is called at an end that was asked for.
        """
        self._consumer, self._reader, self._publisher = consumer, reader, publisher
        self._offsets, self.recovery = offsets, recovery
        self._store, self._watch = store, watch
        self._transactional = transactional
        self._in_hand = InHand()
        self._leave, self._phase = leave, Phase.RUNNING
        self.counts = Counts()

    # ---- Source

    def read(self) -> Intake | None:
        """Return what is there, at most a batch; None after `stop`."""
        if self._phase is not Phase.RUNNING:
            return None
        if self._store.mode is Mode.BEGIN_AGAIN or self._offsets.behind:
            self._recover(self._offsets.held)
            self._store.begun_again()
        polled, behind = clock.monotonic_ns(), self._reader.backlog
        records = self._reader.poll()
        if fresh := self._offsets.fresh:
            records = {place: found for place, found in records.items() if place not in fresh}
            self._recover(fresh)
        # Polling is waiting for payments, unless they waited: then it is part of what a batch costs.
        self._watch.reset(polled if behind and not fresh else None)
        began = clock.monotonic_ns()
        intake = self._reader.intake(records, self._offsets.held)
        self._in_hand.read.update({place: found[-1].offset + 1 for place, found in records.items()})
        self._in_hand.sent.update(sent_of(records, self._reader.transactions))
        self._in_hand.labels += [arrival for arrival in intake.arrivals if isinstance(arrival.event, KnownLabel)]
        self.counts.read += len(intake.arrivals) + len(intake.rejects)
        self._watch.add("decode", began)
        return intake

    def commit(self, answers: Sequence[Answer]) -> None:
        """Note what has been stored and written, once it is acknowledged; commit when it is time."""
        in_hand, self._in_hand = self._in_hand, InHand()
        if self._store.mode is not Mode.NORMAL:
            return
        now = clock.monotonic_ns()
        self._publisher.carry(in_hand.read, answers)
        if not self._looked(now):
            return
        if not self._transactional and self._offsets.due(now):
            self._commit(now)
        # All at once they would hold up whatever came meanwhile.
        if self._offsets.covered() >= SETTLED or not answers:
            self._settle(max(SETTLED, 2 * len(answers)))

    def close(self) -> None:
        """Commit, and release both clients; leave the group when asked to end. A second call does nothing.

        Raises:
            DeliveryError: when something was not acknowledged, or the commit was not taken.
        """
        if self._phase is Phase.CLOSED:
            return
        asked, self._phase = self._phase is Phase.STOPPING, Phase.CLOSED
        try:
            if not self._publisher.failed:
                self.flush()
                self._commit_behind(wait=True)
        finally:
            self._consumer.close()
            self._publisher.close()
        if self._publisher.failed:
            return
        self._need_committed()
        if asked:
            self._leave()
        if self._store.mode is Mode.NORMAL:
            self._settle(self._offsets.covered())

    # ---- Sink

    def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
        """Send: alerts first, waiting for them, then dead letters, applied labels and decisions.

        It returns when the batch before has been acknowledged and this one is under way; see `flush`. A batch that
        will be read again is left.

        Raises:
            DeliveryError: when something was not acknowledged; the process must end and begin again from its commit.
        """
        if self._store.mode is Mode.BEGIN_AGAIN:
            return
        began = clock.monotonic_ns()
        messages = self._messages(answers, rejects)
        if self._transactional:
            self._publish_at_once(messages)
        else:
            self._publisher.publish(messages)
        self._watch.add("publish", began)
        self.counts.published += len(messages.decisions)
        self.counts.rejected += len(rejects)

    def flush(self) -> None:
        """Return when all that was written is acknowledged, and noted as done.

        Raises:
            DeliveryError: when it was not.
        """
        self._publisher.flush()

    # ---- control

    def join(self, topics: Sequence[str]) -> None:
        """Join the group.

        Raises:
            SettingsError: when a topic is not heard of in time.
        """
        self._consumer.subscribe(topics, self)

    def stop(self) -> None:
        """Let the next read end the stream."""
        self._phase = Phase.STOPPING if self._phase is Phase.RUNNING else self._phase

    def swap_model(self, pointer: Pointer) -> None:
        """Use the histories of another encoder from here on: read again, between two batches, what they lack.

        Without a store that waits until it is back.
        """
        self.recovery.pointer = pointer
        if self._store.mode is Mode.NORMAL:
            self._recover(self._offsets.held)

    @property
    def assigned(self) -> int:
        """Return how many partitions this worker holds."""
        return len(self._offsets)

    @property
    def held(self) -> set[Place]:
        """Return the partitions that this worker has begun."""
        return self._offsets.held

    @property
    def refusals(self) -> Refusals:
        """Return what became of commits that the brokers refused."""
        return self._offsets.refusals

    @property
    def ack_ns(self) -> int:
        """Return how long publishing the newest batch took, in nanoseconds; 0 when it was not timed."""
        return self._publisher.ack_ns

    @property
    def late(self) -> int:
        """Return how many decisions were marked `overdue` when they were published, being in time until then."""
        return self._publisher.late

    def lag(self) -> dict[Place, int]:
        """Return, for each partition, how many messages wait beyond what has been noted."""
        found = self._offsets.next().items()
        return {place: max((self._consumer.end(place) or 0) - reached, 0) for place, reached in found}

    # ---- assignment

    def take_partitions(self, places: Sequence[Place]) -> None:
        """Note partitions that were assigned; the next read recovers them before anything of theirs is used."""
        self._offsets.take(places)

    def give_partitions(self, places: Sequence[Place]) -> None:
        """Forget partitions that go to somebody else, once all that was done is acknowledged and its commit is sent.

        Whoever takes them begins at the commit that arrived, and finds at the output's end what it does not cover.
        """
        if not self._publisher.failed:
            self.flush()
        if self._phase is not Phase.CLOSED:
            self._commit_behind(wait=False)
        self._offsets.give(places)
        for place in places:
            self._in_hand.read.pop(place, None)

    def _recover(self, places: Iterable[Place]) -> None:
        """Begin partitions where the store's promise ends, once what is under way is acknowledged."""
        self.flush()
        tracks = self.recovery.begin(set(places))
        self._reader.begin({place: track.begins for place, track in tracks.items()})
        self._offsets.begin(tracks)
        self.counts.recoveries += 1
        found = self.recovery.found
        self.counts.older, self.counts.anew, self.counts.lost = found.older, found.anew, found.lost

    # ---- what is sent, and what is noted

    def _messages(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> Messages:
        """Return what a batch still has to publish."""
        publishes = self._offsets.publishes
        labels = self._in_hand.labels if self._store.mode is Mode.NORMAL else []
        return self._publisher.messages(
            [answer for answer in answers if publishes(answer.position)],
            [reject for reject in rejects if publishes(reject.position)],
            [label for label in labels if publishes(label.position)],
            self._watch.text().encode(),
            self._in_hand.sent,
        )

    def _publish_at_once(self, messages: Messages) -> None:
        """Publish and commit in one Kafka transaction."""
        if not self._in_hand.read:
            return
        commits = None
        if self._store.mode is Mode.NORMAL:
            self._offsets.note(Done(self._in_hand.read))
            now = clock.monotonic_ns()
            if self._looked(now):
                commits = self._offsets.commits(now)
        hears = self._offsets.hears()
        self._publisher.publish_at_once(messages, commits, self._consumer.group())
        if commits is not None:
            hears("")

    def _commit_behind(self, *, wait: bool) -> None:
        """Commit what is noted, where that is done beside the publishing, and a store holds it."""
        if self._transactional or self._store.mode is not Mode.NORMAL:
            return
        now = clock.monotonic_ns()
        self._look(now)
        if self._store.mode is Mode.NORMAL:
            self._commit(now, wait=wait)

    def _looked(self, now: int) -> bool:
        """Look at the store when it is time to; tell whether it is there."""
        if self._offsets.look_due(now):
            self._look(now)
        return self._store.mode is Mode.NORMAL

    def _look(self, now: int) -> None:
        """Ask the store what it has applied; where it is gone that is noticed here."""
        if (applied := self.recovery.standing(self._offsets.held)) is not None:
            self._offsets.seen(now, applied)

    def _commit(self, now: int, *, wait: bool = False) -> None:
        if commits := self._offsets.commits(now):
            self.counts.commits += 1
            self._consumer.commit(commits, self._offsets.hears(), wait=wait)

    def _need_committed(self) -> None:
        """Raise DeliveryError when the last commit was refused: what it covers is read again, and not published."""
        if self._offsets.refusals.since:
            msg = (
                f"offsets were not committed ({self._offsets.refusals.why}): what was answered since the last commit "
                "that was taken is read again at the next start, and published once all the same"
            )
            raise DeliveryError(msg)

    def _settle(self, most: int) -> None:
        """Let some first answers age whose offsets a commit has covered."""
        if done := self._offsets.take_covered(most):
            self._store.settle(done)
