"""The block list: heard on a thread from topic `actions`, kept in the store, changed between two batches.

The topic is read without a group: every worker hears all of it. What holds is kept in the store with the offsets up to
where it was heard, for the topic forgets; a worker begins there. While the store is gone what the topic says still
counts, and is kept once the store is back. Cards are known by the names that payments have: of a number, and of a token
of an earlier key, that is the token in use.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any, NamedTuple, Protocol

import msgspec

from fraud.core.actions import CaseAction, Remedy
from fraud.core.card_numbers import KEYLESS, CardNumbers
from fraud.core.errors import CardNumberError, StoreRestartedError, StoreUnavailableError
from fraud.core.rules.blocked import BlockedCards
from streaming import clock
from streaming.messages.actions import case_action_in, named
from streaming.messages.feed import Feed, Place, Record
from streaming.observe.logs import Log
from streaming.worker.listener import Listener

POLL_SECONDS, AGAIN_SECONDS = 0.2, 2.0
SILENT = 10
"""Polls without a record after which all is read, though the offsets say that there is more: some hold no record."""
GONE = StoreUnavailableError, StoreRestartedError


class BlockStore(Protocol):
    """Where the block list is kept; see `RedisBlocked`."""

    def held(self) -> tuple[dict[str, int], list[bytes]]:
        """Return the offset of the next action by partition (TOPIC@ID:NUMBER), and the blocks that hold."""

    def take(self, partition: str, following: int, changes: Sequence[tuple[int, str, bytes]], most: int) -> int:
        """Take in actions up to before `following`: offset, card, and block, which is empty to unblock.

        Return for how many blocks there was no room.
        """

    def rekey(self, changes: Sequence[tuple[str, str, bytes]]) -> None:
        """Keep blocks under other names, where they are still there: name before, name from now on, block."""

    def close(self) -> None:
        """Release the connection."""


class Heard(NamedTuple):
    """What was heard at once: the blocks that hold, where the store has said so, and what was ordered since."""

    blocks: tuple[CaseAction, ...] | None
    actions: tuple[CaseAction, ...]


class Sources(NamedTuple):
    """Where a block list comes from: `feed` follows the topic, `store` opens what keeps it, `topic` is its name and id.

    Each raises FraudError where it cannot.
    """

    feed: Callable[[], Feed]
    store: Callable[[], BlockStore]
    topic: Callable[[], tuple[str, str]]


class BlockList(Listener):
    """Keeps a worker's set of blocked cards as the topic says; rules alone go by it too."""

    by_rules = True

    def __init__(self, cards: BlockedCards, sources: Sources, log: Log, numbers: CardNumbers = KEYLESS) -> None:
        """Begin with the set as it is; nothing is read before `begin`. `numbers` says by what cards are known."""
        super().__init__("blocked cards", log)
        self._cards, self._sources, self._numbers = cards, sources, numbers
        self._heard: deque[Heard] = deque()
        self._refused = 0

    def swap(self) -> None:
        """Between two batches, take up what was heard."""
        while self._heard:
            heard = self._heard.popleft()
            if heard.blocks is not None:
                self._cards.restore(msgspec.msgpack.encode(heard.blocks))
            for action in heard.actions:
                if not self._cards.take(action):
                    self._refused += 1
                    self._log.say("block refused", action=action.id, by=action.by, blocked=len(self._cards))

    def collect(self) -> Iterator[Any]:
        """Yield the metrics, as Prometheus's client asks for them."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        yield GaugeMetricFamily("fraud_blocked_cards", "Cards whose payments are declined", len(self._cards))
        yield CounterMetricFamily("fraud_blocked_refused", "Blocks for which there was no room", self._refused)

    # ---- on the thread

    def _listen(self) -> None:
        name, topic = self._sources.topic()
        with (
            closing(self._sources.feed()) as feed,
            closing(Keeper(self._sources.store, topic, self._numbers)) as keeper,
        ):
            self._follow(feed, keeper, name)

    def _follow(self, feed: Feed, keeper: "Keeper", name: str) -> None:
        """Follow the topic, from where the store stands; return to begin there again, when it is back."""
        marks, blocks = keeper.open()
        reading = Reading(feed, {(name, number): offset for number, offset in marks.items()})
        waiting: list[CaseAction] = []
        while not self._stopped.is_set() and not keeper.is_back():
            records = reading.poll()
            actions = [(each, order) for each in records if (order := order_in(each, self._numbers)) is not None]
            waiting += [action for _, action in actions]
            keeper.take(records, actions, self._cards.most)
            # What was there is taken up at once: a card that was blocked and let go again is not blocked in between.
            if reading.complete and (waiting or not self._looked.is_set() or blocks is not None):
                self._heard.append(Heard(blocks, tuple(waiting)))
                blocks, waiting = None, []
                self._looked.set()

    def _trouble(self, fault: str) -> None:
        self._log.say_once("actions not heard", fault)


class Reading:
    """A feed from some offsets on, which knows when it has read what was there when it began."""

    def __init__(self, feed: Feed, starts: Mapping[Place, int]) -> None:
        """Begin."""
        self._feed = feed
        feed.start(starts)
        self._missing = {place: end for place, end in feed.ends().items() if end > starts.get(place, 0)}
        self._silent = 0

    def poll(self) -> Sequence[Record]:
        """Return what is new."""
        records = self._feed.poll(POLL_SECONDS)
        self._silent = 0 if records else self._silent + 1
        for record in records:
            if record.offset + 1 >= self._missing.get((record.topic, record.partition), 2**63):
                del self._missing[record.topic, record.partition]
        return records

    @property
    def complete(self) -> bool:
        """Tell whether all that was there when it began has been read."""
        return not self._missing or self._silent >= SILENT


class Keeper:
    """Keeps in the store what was heard. One that is gone is asked again every `AGAIN_SECONDS`."""

    def __init__(self, open_store: Callable[[], BlockStore], topic: str, numbers: CardNumbers = KEYLESS) -> None:
        """Take the topic's name with its id: another topic of that name is read from its beginning."""
        self._open, self._topic, self._numbers = open_store, topic, numbers
        self._store: BlockStore | None = None
        self._asked = clock.monotonic_ns()

    def open(self) -> tuple[dict[int, int], tuple[CaseAction, ...] | None]:
        """Return the offsets from which to read, by partition, and the blocks that hold; neither without a store."""
        if (held := self._opened()) is None:
            return {}, None
        marks, blocks = held
        places = (field.rpartition(":") for field in marks)
        found = {int(number): marks[f"{topic}:{number}"] for topic, _, number in places if topic == self._topic}
        return found, tuple(msgspec.json.decode(block, type=CaseAction) for block in self._renamed(blocks))

    def take(self, records: Sequence[Record], actions: Sequence[tuple[Record, CaseAction]], most: int) -> None:
        """Keep what some records say, and that they are in."""
        if self._store is None:
            return
        ends = {record.partition: record.offset + 1 for record in records}
        try:
            for number, following in ends.items():
                changes = [change_of(*pair) for pair in actions if pair[0].partition == number]
                self._store.take(f"{self._topic}:{number}", following, changes, most)
        except GONE:
            self.close()

    def is_back(self) -> bool:
        """Tell whether a store that was gone answers again; what it lacks is then to be read again."""
        now = clock.monotonic_ns()
        if self._store is not None or now - self._asked < AGAIN_SECONDS * 1e9:
            return False
        return self._opened() is not None

    def close(self) -> None:
        """Let the store go."""
        store, self._store = self._store, None
        self._asked = clock.monotonic_ns()
        if store is not None:
            store.close()

    def _renamed(self, blocks: Sequence[bytes]) -> list[bytes]:
        """Return blocks under the names that payments have now; the store keeps them so too."""
        found, changes = list[bytes](), list[tuple[str, str, bytes]]()
        for block in blocks:
            before = msgspec.json.decode(block, type=CaseAction)
            with suppress(CardNumberError):  # what an earlier release has kept stays as it is
                after = named(before, self._numbers)
                if after.card != before.card:
                    block = msgspec.json.encode(after)
                    changes.append((before.card, after.card, block))
            found.append(block)
        if changes and self._store is not None:
            try:
                self._store.rekey(changes)
            except GONE:
                self.close()
        return found

    def _opened(self) -> tuple[dict[str, int], list[bytes]] | None:
        self._asked = clock.monotonic_ns()
        try:
            self._store = self._open()
            return self._store.held()
        except GONE:
            self.close()
            return None


def order_in(record: Record, numbers: CardNumbers = KEYLESS) -> CaseAction | None:
    """Return what a record orders about a card, None where it orders something else."""
    action = case_action_in(record.value, numbers)
    return action if action is not None and action.action.is_of_card else None


def change_of(record: Record, action: CaseAction) -> tuple[int, str, bytes]:
    """Return an action as the store takes it."""
    block = msgspec.json.encode(action) if action.action is Remedy.BLOCK_CARD else b""
    return record.offset, action.card, block
