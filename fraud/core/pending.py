"""Pending items: what is kept of a scored transaction for the verdicts on it, and the port that keeps it.

The label book (`labels.py`) decides what is done with them; here they lie, by transaction id, and come due by time.
"""

import heapq
from collections.abc import Iterator
from typing import Protocol

import msgspec

from fraud.core.records import Action, Label, LabelSource, Level, Parts, Verdict, Versions

THROWN_AWAY = -1
"""The version of a claim that stands for a word which was dropped; whatever its source says again is newer."""


class Claim(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The newest that one source has said of a payment, and when; a source may withdraw what it said."""

    source: LabelSource
    verdict: Verdict
    version: int
    happened_at: int

    @property
    def thrown_away(self) -> bool:
        """Tell whether this stands for a word that was dropped: something was said, and nothing is known by it."""
        return self.version == THROWN_AWAY


class Pending(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What is kept of a scored transaction: what a join needs, what a learner needs, and what is known of it.

    `vector` is the float32 vector as bytes, empty where vectors are not kept (any more). `claims` has one claim a
    source, in order of their names. `silent_at` is when silence spoke, `released_at` when a payment that was held went
    through after all, 0 for never. `due_at` is when something falls due, 0 stands for the first: the age of learning
    (`mature_at`, 0 when there is nothing left to learn) or the deadline.

    `reused` says that its id is another payment's: `tx_id` is then a name of its own (`identity.own_name`).

    `said` is what each expert of the learning loop said of it when the decision was read: the probabilities of the
    frozen model, the slow and the fast pace, the mixture and the last good parameters (-1 without any), then the
    period; empty where nobody learns from it. `partition` is that of its transaction, -1 where it is not known.
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
    # What an earlier release kept has none: silence meant genuine then, whatever was done with the payment.
    action: Action = Action.APPROVE
    level: Level = Level.FULL
    parts: Parts = ()
    versions: Versions | None = None
    claims: tuple[Claim, ...] = ()
    silent_at: int = 0
    released_at: int = 0
    due_at: int = 0
    channel: str = ""
    said: tuple[float, ...] = ()
    mature_at: int = 0
    partition: int = -1
    reused: bool = False

    @property
    def due(self) -> int:
        """Return when something falls due."""
        return self.due_at or min(self.mature_at or self.deadline, self.deadline)

    @property
    def went_through(self) -> bool:
        """Tell whether the money moved, so that a holder could complain: silence of others means nothing."""
        return self.action is Action.APPROVE or self.released_at > 0

    @property
    def place(self) -> tuple[object, ...]:
        """Return what decides which rows of the state a verdict goes to, and where in them."""
        return self.card, self.merchant, self.device, self.paid_at, self.unusual


class PendingStore(Protocol):
    """Where pending items lie, by transaction id, and come due; beside them labels that came too early."""

    early_dropped: int
    """Transactions whose early labels were let go, for there were too many."""

    def put(self, item: Pending) -> None:
        """Keep an item, in place of any earlier one under its id."""

    def get(self, tx_id: str) -> Pending | None:
        """Return the item, or None."""

    def due(self, now: int) -> Iterator[Pending]:
        """Remove and yield, in order of `due` and id, every item that is due at or before `now`."""

    def next_due(self) -> int | None:
        """Return when the first item is due, or None when nothing is kept."""

    def put_early(self, tx_id: str, labels: tuple[Label, ...]) -> None:
        """Keep labels whose transaction is not here yet, in place of any earlier ones."""

    def early(self, tx_id: str) -> tuple[Label, ...]:
        """Return the labels that came before their transaction; they stay."""

    def take_early(self, tx_id: str) -> tuple[Label, ...]:
        """Remove and return the labels that came before their transaction."""

    def early_held(self) -> int:
        """Return of how many transactions there are early labels."""

    def __len__(self) -> int:
        """Return how many items are kept."""

    def snapshot(self) -> bytes:
        """Return the whole content."""

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole content."""


class PendingState(msgspec.Struct, frozen=True):
    """A pending store's content, as written to a snapshot."""

    items: list[Pending]
    early: list[tuple[Label, ...]]
    dropped: int = 0


class MemoryPending:
    """The PendingStore port in this process; the oldest vectors and early labels beyond their bounds go."""

    def __init__(self, most_early: int = 100_000, most_vectors: int = 100_000) -> None:
        """Start empty. An item that loses its vector stays."""
        self._items: dict[str, Pending] = {}
        self._due: list[tuple[int, str]] = []
        self._early: dict[str, tuple[Label, ...]] = {}
        self._vectors: dict[str, None] = {}
        self._most_early, self._most_vectors = most_early, most_vectors
        self.early_dropped = 0

    def put(self, item: Pending) -> None:
        """Keep an item; what stood under its id is forgotten, and when that was due."""
        held = self._items.get(item.tx_id)
        if held is None or held.due != item.due:
            heapq.heappush(self._due, (item.due, item.tx_id))
        self._items[item.tx_id] = item
        if item.vector:
            self._vectors[item.tx_id] = None
            if len(self._vectors) > self._most_vectors:
                self._strip(next(iter(self._vectors)))
        else:
            self._vectors.pop(item.tx_id, None)

    def get(self, tx_id: str) -> Pending | None:
        """Return the item, or None."""
        return self._items.get(tx_id)

    def due(self, now: int) -> Iterator[Pending]:
        """Remove and yield what is due."""
        while self._due and self._due[0][0] <= now:
            due, tx_id = heapq.heappop(self._due)
            item = self._items.get(tx_id)
            if item is not None and item.due == due:
                del self._items[tx_id]
                self._vectors.pop(tx_id, None)
                yield item

    def next_due(self) -> int | None:
        """Return when the first item is due, or None."""
        return self._due[0][0] if self._due else None

    def put_early(self, tx_id: str, labels: tuple[Label, ...]) -> None:
        """Keep labels that came before their transaction; their age is that of the first."""
        self._early[tx_id] = labels
        if len(self._early) > self._most_early:
            self._early.pop(next(iter(self._early)))
            self.early_dropped += 1

    def early(self, tx_id: str) -> tuple[Label, ...]:
        """Return early labels."""
        return self._early.get(tx_id, ())

    def take_early(self, tx_id: str) -> tuple[Label, ...]:
        """Remove and return early labels."""
        return self._early.pop(tx_id, ())

    def early_held(self) -> int:
        """Return of how many transactions there are early labels."""
        return len(self._early)

    def __len__(self) -> int:
        """Return how many items are kept."""
        return len(self._items)

    def snapshot(self) -> bytes:
        """Return the whole content."""
        state = PendingState(list(self._items.values()), list(self._early.values()), self.early_dropped)
        return msgspec.msgpack.encode(state)

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole content."""
        state = msgspec.msgpack.decode(snapshot, type=PendingState)
        self._items = {item.tx_id: item for item in state.items}
        self._vectors = {item.tx_id: None for item in state.items if item.vector}
        self._due = [(item.due, item.tx_id) for item in state.items]
        heapq.heapify(self._due)
        self._early = {labels[0].tx_id: labels for labels in state.early}
        self.early_dropped = state.dropped

    def _strip(self, tx_id: str) -> None:
        """Let an item's vector go."""
        del self._vectors[tx_id]
        self._items[tx_id] = msgspec.structs.replace(self._items[tx_id], vector=b"")
