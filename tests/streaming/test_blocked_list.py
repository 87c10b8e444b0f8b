"""A worker hears of blocked cards on a thread, keeps them in the store, and changes its set between two batches."""

import io
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import msgspec
import numpy as np
import pytest

from features.stores.blocked import RedisBlocked
from fraud.core.actions import CaseAction, Remedy
from fraud.core.card_numbers import KEYLESS, CardNumbers, CardsSection
from fraud.core.errors import StoreUnavailableError
from fraud.core.fields import Secret
from fraud.core.records import Transaction
from fraud.core.rules.blocked import BlockedCards
from infra.services import RedisServer
from streaming.messages.actions import case_out
from streaming.messages.feed import Place, Record
from streaming.observe.logs import Log
from streaming.wiring import NoRules
from streaming.worker import blocked, listener
from streaming.worker.blocked import BlockList, BlockStore, Sources
from tests.redis_cluster import shared_cluster
from tests.services import shared_redis
from tests.site import until

NAME, TOPIC = "actions", "actions@1"
_numbers = count()


def order(card: str, remedy: Remedy = Remedy.BLOCK_CARD, name: str = "a1") -> CaseAction:
    return CaseAction(id=name, action=remedy, card=card, at=1_764_511_445_000_000_000, by="lea")


class Topic:
    """The topic, in memory: what was written; `deaf` fails whoever listens."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.deaf: Exception | None = None
        self.starts: list[Mapping[Place, int]] = []

    def write(self, action: CaseAction, partition: int = 0) -> None:
        offset = sum(record.partition == partition for record in self.records)
        out = case_out(action, NAME)
        self.records.append(Record(NAME, partition, offset, out.key, out.value, (), 0))

    def open(self) -> "Reader":
        if self.deaf:
            raise self.deaf
        return Reader(self)


class Reader:
    """The Feed port over it: one record at a time, and each takes a moment."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._next: dict[Place, int] = {}

    def named(self) -> Mapping[str, str]:
        return {NAME: NAME}

    def start(self, offsets: Mapping[Place, int]) -> None:
        self._next = dict(offsets)
        self._topic.starts.append(dict(offsets))

    def poll(self, seconds: float) -> Sequence[Record]:
        if self._topic.deaf:
            raise self._topic.deaf
        found = [one for one in self._topic.records if one.offset >= self._next.get((NAME, one.partition), 0)][:1]
        self._next |= {(NAME, one.partition): one.offset + 1 for one in found}
        with suppress(queue.Empty):
            queue.Queue[None]().get(timeout=0.005)
        return found

    def ends(self) -> Mapping[Place, int]:
        return {(NAME, one.partition): one.offset + 1 for one in self._topic.records}

    def close(self) -> None:
        """Do nothing."""


class Gone:
    """Opens a store, unless it is gone."""

    def __init__(self, make: Callable[[], BlockStore]) -> None:
        self._make = make
        self.gone = False

    def open(self) -> BlockStore:
        if self.gone:
            msg = "it does not answer"
            raise StoreUnavailableError(msg)
        return Losable(self._make(), self)


class Losable:
    """A store that stops to answer when it is gone."""

    def __init__(self, store: BlockStore, way: Gone) -> None:
        self._store, self._way = store, way

    def held(self) -> tuple[dict[str, int], list[bytes]]:
        return self._store.held()

    def take(self, partition: str, following: int, changes: Sequence[tuple[int, str, bytes]], most: int) -> int:
        if self._way.gone:
            msg = "it does not answer"
            raise StoreUnavailableError(msg)
        return self._store.take(partition, following, changes, most)

    def rekey(self, changes: Sequence[tuple[str, str, bytes]]) -> None:
        if self._way.gone:
            msg = "it does not answer"
            raise StoreUnavailableError(msg)
        self._store.rekey(changes)

    def close(self) -> None:
        self._store.close()


class Worker:
    """A worker's block list."""

    def __init__(self, topic: Topic, store: Gone, most: int = 10, numbers: CardNumbers = KEYLESS) -> None:
        self.log, self.cards = io.StringIO(), BlockedCards(NoRules(), most)
        sources = Sources(topic.open, store.open, lambda: (NAME, TOPIC))
        self.list = BlockList(self.cards, sources, Log("worker-0", self.log), numbers)

    def start(self, patience: float = 10.0) -> "Worker":
        self.list.begin()
        self.list.take_up(patience)
        return self

    @property
    def blocked(self) -> list[str]:
        """Return what is blocked after a batch."""
        self.list.swap()
        return [card for card in "ABCDE" if self.cards.judge(paid(card), np.zeros(1, np.float32)).blocked]

    def blocks(self, card: str) -> bool:
        """Tell whether a card is blocked after a batch."""
        self.list.swap()
        return self.cards.judge(paid(card), np.zeros(1, np.float32)).blocked

    def figures(self) -> dict[str, float]:
        return {sample.name: sample.value for family in self.list.collect() for sample in family.samples}


def paid(card: str) -> Transaction:
    return Transaction(id="t", card=card, merchant="m", amount=1, base_amount=1, happened_at=1, seen_at=1)


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture(params=["redis", "cluster"])
def store(request: pytest.FixtureRequest) -> Gone:
    url = shared_redis().url if request.param == "redis" else shared_cluster()
    namespace = f"blocked{next(_numbers)}"
    return Gone(lambda: RedisBlocked(url, namespace=namespace))


@pytest.fixture
def workers(topic: Topic, store: Gone, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Worker]]:
    for module in (blocked, listener):
        monkeypatch.setattr(module, "AGAIN_SECONDS", 0.02)
    made: list[Worker] = []

    def make(**options: Any) -> Worker:
        made.append(Worker(topic, options.pop("store", store), **options))
        return made[-1]

    yield make
    for worker in made:
        worker.list.close()


def test_what_is_there_is_taken_up_before_the_first_payment_and_more_as_it_comes(
    topic: Topic, workers: Callable[..., Worker]
) -> None:
    topic.write(order("A"))
    topic.write(order("B"), 1)
    topic.write(order("A", Remedy.UNBLOCK_CARD))
    worker = workers().start()
    assert worker.blocked == ["B"]
    topic.write(order("C"), 1)
    topic.write(order("D", Remedy.RELEASE))
    until(lambda: worker.blocked == ["B", "C"], "the next one", 5)
    topic.write(order("B", Remedy.UNBLOCK_CARD), 1)
    until(lambda: worker.blocked == ["C"], "it is let go", 5)
    assert worker.figures() == {"fraud_blocked_cards": 1, "fraud_blocked_refused_total": 0}


def test_nothing_changes_within_a_batch(topic: Topic, workers: Callable[..., Worker]) -> None:
    worker = workers().start()
    topic.write(order("A"))
    until(lambda: bool(worker.list._heard), "it is heard", 5)
    assert not worker.cards.judge(paid("A"), np.zeros(1, np.float32)).blocked
    assert worker.blocked == ["A"]


def test_a_worker_that_starts_again_goes_on_though_the_topic_has_forgotten(
    topic: Topic, store: Gone, workers: Callable[..., Worker]
) -> None:
    for card in "AB":
        topic.write(order(card))
    first = workers().start()
    until(lambda: store.open().held()[0] == {f"{TOPIC}:0": 2}, "it is kept", 5)
    first.list.close()
    topic.records = [record._replace(value=b"forgotten") for record in topic.records]
    topic.write(order("A", Remedy.UNBLOCK_CARD))
    topic.write(order("C"))
    assert workers().start().blocked == ["B", "C"]
    assert topic.starts[-1] == {(NAME, 0): 2}


def test_two_workers_that_keep_the_same_end_with_the_same(
    topic: Topic, store: Gone, workers: Callable[..., Worker]
) -> None:
    pair = [workers().start(), workers().start()]
    for card in "ABC":
        topic.write(order(card))
    topic.write(order("B", Remedy.UNBLOCK_CARD))
    for worker in pair:
        until(lambda worker=worker: worker.blocked == ["A", "C"], "it is heard", 5)  # type: ignore[misc]
    until(lambda: store.open().held()[0] == {f"{TOPIC}:0": 4}, "it is kept", 5)
    kept = [msgspec.json.decode(block, type=CaseAction).card for block in store.open().held()[1]]
    assert sorted(kept) == ["A", "C"]


def test_a_topic_made_anew_is_read_from_its_beginning_and_what_was_blocked_stays(
    topic: Topic, store: Gone, workers: Callable[..., Worker]
) -> None:
    store.open().take("actions@0:0", 50, [(3, "E", msgspec.json.encode(order("E")))], 10)
    topic.write(order("A"))
    assert workers().start().blocked == ["A", "E"]


def test_without_a_store_the_topic_counts_and_is_kept_once_it_is_back(
    topic: Topic, store: Gone, workers: Callable[..., Worker]
) -> None:
    store.open().take(f"{TOPIC}:0", 0, [(0, "E", msgspec.json.encode(order("E")))], 10)
    store.gone = True
    topic.write(order("A"))
    worker = workers().start()
    assert worker.blocked == ["A"]
    topic.write(order("B"))
    until(lambda: worker.blocked == ["A", "B"], "it is heard", 5)
    store.gone = False
    until(lambda: worker.blocked == ["A", "B", "E"], "what the store had", 5)
    until(lambda: store.open().held()[0] == {f"{TOPIC}:0": 2}, "it is kept", 5)


def test_a_store_that_goes_away_loses_nothing(topic: Topic, store: Gone, workers: Callable[..., Worker]) -> None:
    topic.write(order("A"))
    worker = workers().start()
    until(lambda: store.open().held()[0] == {f"{TOPIC}:0": 1}, "it is kept", 5)
    store.gone = True
    topic.write(order("A", Remedy.UNBLOCK_CARD))
    topic.write(order("B"))
    until(lambda: worker.blocked == ["B"], "it is heard", 5)
    store.gone = False
    until(lambda: store.open().held()[0] == {f"{TOPIC}:0": 3}, "it is kept", 5)
    assert [msgspec.json.decode(block, type=CaseAction).card for block in store.open().held()[1]] == ["B"]
    assert worker.blocked == ["B"]


def test_a_server_that_was_restarted_is_given_again_what_it_has_lost(
    topic: Topic, own_redis: RedisServer, workers: Callable[..., Worker]
) -> None:
    store = Gone(lambda: RedisBlocked(own_redis.url))
    worker = workers(store=store).start()
    topic.write(order("A"))
    until(lambda: held(store.open())[0] == {f"{TOPIC}:0": 1}, "it is kept", 5)
    before = own_redis.aof_bytes()
    topic.write(order("B"))
    until(lambda: held(store.open())[0] == {f"{TOPIC}:0": 2}, "it is kept", 5)
    own_redis.kill()
    own_redis.cut_aof(own_redis.aof_bytes() - before)
    own_redis.start(tied=True)
    assert held(store.open())[0] == {f"{TOPIC}:0": 1}
    topic.write(order("C"))
    until(lambda: worker.blocked == ["A", "B", "C"], "it is heard", 5)
    until(lambda: held(store.open())[0] == {f"{TOPIC}:0": 3}, "it is kept", 5)
    assert sorted(msgspec.json.decode(block, type=CaseAction).card for block in held(store.open())[1]) == [
        "A",
        "B",
        "C",
    ]


def test_a_broker_that_is_gone_is_told_once_and_what_was_blocked_stays(
    topic: Topic, workers: Callable[..., Worker]
) -> None:
    topic.write(order("A"))
    worker = workers().start()
    topic.deaf = RuntimeError("no broker")
    until(lambda: "no broker" in worker.log.getvalue(), "it is told", 5)
    assert worker.blocked == ["A"]
    topic.write(order("B"))
    topic.deaf = None
    until(lambda: worker.blocked == ["A", "B"], "it goes on", 5)
    assert worker.log.getvalue().count("actions not heard") == 1


def test_a_worker_that_hears_nothing_says_so_and_starts(topic: Topic, workers: Callable[..., Worker]) -> None:
    topic.deaf = RuntimeError("no broker")
    worker = workers().start(0.05)
    assert "blocked cards not known yet" in worker.log.getvalue()
    topic.deaf = None
    topic.write(order("A"))
    until(lambda: worker.blocked == ["A"], "it is heard later", 5)


def test_one_block_too_many_is_refused_and_told_without_its_card(
    topic: Topic, store: Gone, workers: Callable[..., Worker]
) -> None:
    worker = workers(most=2).start()
    for number, card in enumerate("ABC"):
        topic.write(order(card, name=f"a{number}"))
    until(lambda: worker.blocked == ["A", "B"] and "block refused" in worker.log.getvalue(), "it is told", 5)
    assert worker.figures()["fraud_blocked_refused_total"] == 1
    (line,) = [line for line in worker.log.getvalue().splitlines() if "block refused" in line]
    assert '"action":"a2"' in line
    assert '"C"' not in line
    until(lambda: store.open().held()[0] == {f"{TOPIC}:0": 3}, "it is kept", 5)
    assert len(store.open().held()[1]) == 2


def held(store: BlockStore) -> tuple[dict[str, int], list[bytes]]:
    marks, blocks = store.held()
    return marks, sorted(blocks)


def test_what_has_been_taken_in_is_not_taken_in_again(store: Gone) -> None:
    one = store.open()
    assert one.take(f"{TOPIC}:0", 3, [(1, "A", b"a"), (2, "B", b"b")], 2) == 0
    assert one.take(f"{TOPIC}:0", 4, [(1, "C", b"c"), (2, "B", b""), (3, "D", b"d")], 2) == 1
    assert held(one) == ({f"{TOPIC}:0": 4}, [b"a", b"b"])
    assert one.take(f"{TOPIC}:0", 2, [(1, "A", b"")], 2) == 0
    assert held(one) == ({f"{TOPIC}:0": 4}, [b"a", b"b"])
    assert one.take(f"{TOPIC}:1", 1, [(0, "A", b"")], 2) == 0
    assert held(one) == ({f"{TOPIC}:0": 4, f"{TOPIC}:1": 1}, [b"b"])
    one.close()
    one.close()


PAN = "4111111111111111"
FIRST = CardNumbers(CardsSection(key=Secret("old" * 12)))
NEXT = CardNumbers(CardsSection(key=Secret("new" * 12), previous=(Secret("old" * 12),)))


def kept_cards(store: Gone) -> list[str]:
    return [msgspec.json.decode(block, type=CaseAction).card for block in store.open().held()[1]]


def test_block_of_a_card_number_is_kept_and_holds_by_its_token(
    topic: Topic, store: Gone, workers: Callable[..., Worker]
) -> None:
    topic.write(order(PAN))
    worker = workers(numbers=FIRST).start()
    assert (worker.blocks(FIRST.card(PAN)), worker.blocks(PAN)) == (True, False)
    until(lambda: kept_cards(store) == [FIRST.card(PAN)], "it is kept", 5)
    assert PAN not in repr(store.open().held())


def test_block_of_a_card_number_is_left_without_a_key(topic: Topic, workers: Callable[..., Worker]) -> None:
    topic.write(order(PAN))
    topic.write(order("A"))
    worker = workers().start()
    until(lambda: worker.blocked == ["A"], "the other one", 5)
    assert worker.figures()["fraud_blocked_cards"] == 1


def test_block_of_an_earlier_key_holds_under_the_new_one_and_can_be_let_go(
    topic: Topic, store: Gone, workers: Callable[..., Worker]
) -> None:
    topic.write(order(PAN))
    before = workers(numbers=FIRST).start()
    until(lambda: kept_cards(store) == [FIRST.card(PAN)], "it is kept", 5)
    before.list.close()
    worker = workers(numbers=NEXT).start()
    assert worker.blocks(NEXT.card(PAN))
    assert kept_cards(store) == [NEXT.card(PAN)]
    topic.write(order(FIRST.card(PAN), Remedy.UNBLOCK_CARD))
    until(lambda: not worker.blocks(NEXT.card(PAN)), "it is let go", 5)
    until(lambda: kept_cards(store) == [], "for good", 5)
    # Somebody who had read the block before it was let go does not bring it back.
    store.open().rekey([(FIRST.card(PAN), NEXT.card(PAN), b"{}")])
    assert kept_cards(store) == []
