"""The label book: a decision's vector is kept for its late label; silence past a deadline means genuine.

The book decides joins and deadlines. Where the pending items lie is behind a port (`PendingStore`): memory here, disk
in `streaming`.
"""

import heapq
from collections.abc import Iterator
from typing import Protocol

import msgspec

from fraud.core.records import DAY, Decision, FeatureVector, KnownLabel, Label, LabelSource, Mark, Transaction, Verdict


class Pending(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What is kept of a scored transaction until its deadline, its verdict known or not.

    `verdict` and `verdict_at` are set once it is settled; `vector` is the float32 vector as bytes, empty where vectors
    are not kept.
    """

    tx_id: str
    version: int
    card: str
    merchant: str
    device: str | None
    paid_at: int
    base_amount: int
    unusual: bool
    deadline: int
    score: float = 0.0
    vector: bytes = b""
    verdict: Verdict | None = None
    verdict_at: int = 0


class PendingStore(Protocol):
    """Where pending items lie, by transaction id, and come due by deadline."""

    def put(self, item: Pending) -> None:
        """Keep an item, in place of any earlier one under its id."""

    def get(self, tx_id: str) -> Pending | None:
        """Return the item, or None."""

    def due(self, now: int) -> Iterator[Pending]:
        """Remove and yield, in order of deadline, every item whose deadline is at or before `now`."""

    def next_due(self) -> int | None:
        """Return the earliest deadline, or None when nothing is kept."""

    def put_early(self, label: Label) -> None:
        """Keep a label whose transaction is not here yet."""

    def early(self, tx_id: str) -> Label | None:
        """Return the label that came before its transaction, if any; it stays."""

    def take_early(self, tx_id: str) -> Label | None:
        """Remove and return the label that came before its transaction, if any."""

    def __len__(self) -> int:
        """Return how many items are kept."""

    def snapshot(self) -> bytes:
        """Return the whole content."""

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole content."""


class PendingState(msgspec.Struct, frozen=True):
    """A pending store's content, as written to a snapshot."""

    items: list[Pending]
    early: list[Label]


class MemoryPending:
    """The PendingStore port in this process, bounded by deadlines; the oldest early labels beyond `most_early` go."""

    def __init__(self, most_early: int = 100_000) -> None:
        """Start empty."""
        self._items: dict[str, Pending] = {}
        self._deadlines: list[tuple[int, str]] = []
        self._early: dict[str, Label] = {}
        self._most_early = most_early
        self.early_dropped = 0

    def put(self, item: Pending) -> None:
        """Keep an item; a settled one replaces its former self under the same deadline."""
        held = self._items.get(item.tx_id)
        if held is None or held.deadline != item.deadline:
            heapq.heappush(self._deadlines, (item.deadline, item.tx_id))
        self._items[item.tx_id] = item

    def get(self, tx_id: str) -> Pending | None:
        """Return the item, or None."""
        return self._items.get(tx_id)

    def due(self, now: int) -> Iterator[Pending]:
        """Remove and yield what is due."""
        while self._deadlines and self._deadlines[0][0] <= now:
            deadline, tx_id = heapq.heappop(self._deadlines)
            item = self._items.get(tx_id)
            if item is not None and item.deadline == deadline:
                del self._items[tx_id]
                yield item

    def next_due(self) -> int | None:
        """Return the earliest deadline, or None."""
        return self._deadlines[0][0] if self._deadlines else None

    def put_early(self, label: Label) -> None:
        """Keep a label that came before its transaction."""
        self._early[label.tx_id] = label
        if len(self._early) > self._most_early:
            self._early.pop(next(iter(self._early)))
            self.early_dropped += 1

    def early(self, tx_id: str) -> Label | None:
        """Return an early label."""
        return self._early.get(tx_id)

    def take_early(self, tx_id: str) -> Label | None:
        """Remove and return an early label."""
        return self._early.pop(tx_id, None)

    def __len__(self) -> int:
        """Return how many items are kept."""
        return len(self._items)

    def snapshot(self) -> bytes:
        """Return the whole content."""
        return msgspec.msgpack.encode(PendingState(list(self._items.values()), list(self._early.values())))

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole content."""
        state = msgspec.msgpack.decode(snapshot, type=PendingState)
        self._items = {item.tx_id: item for item in state.items}
        self._deadlines = [(item.deadline, item.tx_id) for item in state.items]
        heapq.heapify(self._deadlines)
        self._early = {label.tx_id: label for label in state.early}


class Deadlines(msgspec.Struct, frozen=True):
    """How long silence must last to mean genuine, in nanoseconds, and for which channels it differs."""

    default: int = 45 * DAY
    by_channel: dict[str, int] = {}

    def of(self, payment: Transaction | Decision) -> int:
        """Return the time at which silence about a payment becomes a verdict."""
        return payment.happened_at + self.by_channel.get(payment.channel, self.default)


class Match(msgspec.Struct, frozen=True, gc=False):
    """A label that has found its payment: what entity state takes in, and the pending item as it stood before.

    The item holds the vector (where vectors are kept) and the score, to learn from, and the verdict known before.
    """

    known: KnownLabel
    item: Pending


class LabelBook:
    """Join labels with the payments they speak of, each verdict once, corrections as such.

    A settled item stays until its deadline, with its vector, so that a correction finds what it replaces; after that a
    label for it is unmatched. Counters are for metrics only.
    """

    def __init__(self, pending: PendingStore, deadlines: Deadlines | None = None, *, keep_vectors: bool = True) -> None:
        """Keep items in `pending`; without `keep_vectors` only what a join needs is kept."""
        self._pending = pending
        self._deadlines = deadlines or Deadlines()
        self._keep_vectors = keep_vectors
        self.matched = 0
        self.unmatched = 0

    def hold(self, decision: Decision, vector: FeatureVector | None = None) -> Match | None:
        """Keep a scored transaction, unless a newer version of it is in; return its match if its label came first."""
        if Mark.SUPERSEDED in decision.marks:
            return None
        item = Pending(
            tx_id=decision.tx_id,
            version=decision.version,
            card=decision.card,
            merchant=decision.merchant,
            device=decision.device,
            paid_at=decision.happened_at,
            base_amount=decision.base_amount,
            unusual=decision.unusual,
            deadline=self._deadlines.of(decision),
            score=decision.score,
            vector=vector.values.tobytes() if self._keep_vectors and vector is not None else b"",
        )
        self._pending.put(item)
        early = self._pending.take_early(decision.tx_id)
        return self.match(early) if early is not None else None

    def label_due_at(self, tx: Transaction) -> int:
        """Return when `tx`, once held, has a label: at its deadline, or at once (0) when one is here already."""
        return self._deadlines.of(tx) if self._pending.early(tx.id) is None else 0

    def match(self, label: Label) -> Match | None:
        """Join a label with its payment; None when the payment is not here (yet) or the verdict is not new."""
        item = self._pending.get(label.tx_id)
        if item is None:
            self.unmatched += 1
            self._pending.put_early(label)
            return None
        if item.verdict is label.verdict:
            return None
        self.matched += 1
        self._pending.put(msgspec.structs.replace(item, verdict=label.verdict, verdict_at=label.happened_at))
        return Match(known(item, label), item)

    def expire(self, now: int) -> list[Match]:
        """Return, as genuine, what stayed silent past its deadline; `now` is the stream's watermark."""
        if (due := self._pending.next_due()) is None or due > now:
            return []
        return [Match(known(item, silence(item)), item) for item in self._pending.due(now) if item.verdict is None]

    def next_due(self) -> int | None:
        """Return the earliest deadline, or None when nothing is pending."""
        return self._pending.next_due()

    def snapshot(self) -> bytes:
        """Return what is pending."""
        return self._pending.snapshot()

    def restore(self, snapshot: bytes) -> None:
        """Replace what is pending."""
        self._pending.restore(snapshot)


def silence(item: Pending) -> Label:
    """Return the verdict that silence gives, at the deadline itself, whenever it was noticed."""
    return Label(
        tx_id=item.tx_id,
        verdict=Verdict.GENUINE,
        happened_at=item.deadline,
        seen_at=item.deadline,
        source=LabelSource.SILENCE,
    )


def known(item: Pending, label: Label) -> KnownLabel:
    """Return a label with all that entity state needs to take it in."""
    return KnownLabel(
        tx_id=item.tx_id,
        verdict=label.verdict,
        source=label.source,
        happened_at=label.happened_at,
        seen_at=label.seen_at,
        card=item.card,
        merchant=item.merchant,
        paid_at=item.paid_at,
        base_amount=item.base_amount,
        device=item.device,
        unusual=item.unusual,
        replaces=item.verdict,
        replaces_at=item.verdict_at,
    )
