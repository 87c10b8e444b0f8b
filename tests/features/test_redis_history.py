"""Histories on Redis: written as made, refused when somebody else wrote, made again; completed after a crash."""

from collections.abc import Iterator, Sequence
from itertools import count

import msgspec
import numpy as np
import pytest

from features.extractor import OnlineExtractor
from features.state.tables import hash64, merchant_key
from features.stores.memory import MemoryStore
from features.stores.redis import RedisStore
from fraud.core.errors import StoreUnavailableError
from fraud.core.records import HOUR, MINUTE, Arrival, KnownLabel, LabelSource, Position, Transaction, Verdict
from tests.contract.driving import Rows, take
from tests.features.cuts import Cut, answered, payment, sent
from tests.features.history_faults import faults_in, sequences
from tests.histories import Encoding, feed_histories, histories_of
from tests.redis_cluster import fresh_cluster_store

HISTORY = [sent(payment(f"h{n}", n * MINUTE, 100 * n + 50), n) for n in range(14)]
TAIL = [
    sent(payment("t1", HOUR), 14),
    sent(payment("t2", HOUR + 1, 9_000), 15),  # closes the first block
    sent(payment("h3", 3 * MINUTE, 7_777, version=1), 16),  # a correction, in place
]


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisStore]:
    made = RedisStore(redis_url)
    yield made
    made.close()


def undisturbed(*parts: Sequence[Arrival]) -> Rows:
    store, everything = MemoryStore(), [arrival for part in parts for arrival in part]
    feed_histories(store, everything)
    return histories_of(store, everything)


# --- a write that was cut off ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("commands", range(11))
def test_a_write_on_a_cluster_cut_off_anywhere_is_completed_as_begun(commands: int) -> None:
    """Three answers; then four logs of rows, three of histories, the marks."""
    store = fresh_cluster_store()
    feed_histories(store, HISTORY)
    with pytest.raises(StoreUnavailableError):
        answered(store, TAIL, 0.25, lambda server: Cut(server, commands), Encoding())
    store.reopen()
    store._server = store._server._server  # type: ignore[attr-defined]
    answered(store, TAIL, 0.75, None, Encoding())
    assert histories_of(store, HISTORY + TAIL) == undisturbed(HISTORY, TAIL)
    store.close()


def test_a_worker_that_wakes_up_late_changes_no_history(store: RedisStore, redis_url: str) -> None:
    feed_histories(store, HISTORY)
    second, zombie = RedisStore(redis_url), OnlineExtractor(store)
    zombie.open(TAIL, Encoding())
    for arrival in TAIL:
        take(zombie, arrival)
    answered(second, TAIL, 0.25, None, Encoding())
    zombie.close([])
    assert histories_of(second, HISTORY + TAIL) == undisturbed(HISTORY, TAIL)
    second.close()


def test_an_event_absorbed_before_its_encoder_was_taken_up_is_remembered_when_read_again(store: RedisStore) -> None:
    answered(store, HISTORY, 0.25)
    answered(store, HISTORY, 0.25, None, Encoding())
    rows = histories_of(store, HISTORY)
    assert {sequences(row) for row in rows.values()} == {tuple(hash64(f"h{n}") for n in range(14))}
    answered(store, HISTORY, 0.25, None, Encoding())
    assert histories_of(store, HISTORY) == rows


# --- two workers -----------------------------------------------------------------------------------------------------


def at_one_shop(card: str, many: int, first: int) -> list[Arrival]:
    """Return payments of one card at the shop of all, from the offset `first` on."""
    made = [payment(f"{card}{n}", HOUR + n * MINUTE, 500 + n, device=None) for n in range(many)]
    made = [msgspec.structs.replace(tx, card=card) for tx in made]
    return [sent(tx, first + n) for n, tx in enumerate(made)]


def test_changes_refused_because_another_worker_wrote_are_made_on_what_it_wrote(
    store: RedisStore, redis_url: str
) -> None:
    """Both close a block of the shop as they read it; only one of them does in the end."""
    feed_histories(store, HISTORY)
    one, other = at_one_shop("one", 4, 14), at_one_shop("other", 17, 18)
    second = RedisStore(redis_url)
    first, late = OnlineExtractor(store), OnlineExtractor(second)
    for extractor, batch in ((first, one), (late, other)):
        extractor.open(batch, Encoding())
        for arrival in batch:
            take(extractor, arrival)
    first.close([])
    late.close([])
    assert histories_of(second, HISTORY + one + other) == undisturbed(HISTORY, one, other)
    second.close()


def test_a_copy_that_missed_what_another_worker_wrote_first_is_read_again(store: RedisStore, redis_url: str) -> None:
    """Order matters in a history: the copy holds its own event before the other's, the log after it."""
    feed_histories(store, HISTORY)
    one, other = at_one_shop("one", 1, 0), at_one_shop("other", 1, 15)
    one = [Arrival(arrival.event, Position("transactions", 1, 0)) for arrival in one]
    second, late = RedisStore(redis_url), OnlineExtractor(store)
    late.open(one, Encoding())
    take(late, one[0])
    feed_histories(second, other)
    late.close([])
    rows = histories_of(store, HISTORY + one + other)
    assert sequences(rows[merchant_key("m")])[-2:] == (hash64("other0"), hash64("one0"))
    assert rows == histories_of(second, HISTORY + one + other)
    second.close()


class Worker:
    """A worker with a partition of its own that may die before or after each of its writes."""

    def __init__(self, url: str, namespace: str, stream: list[Arrival], rng: np.random.Generator) -> None:
        self._store = RedisStore(url, namespace=namespace)
        self._stream, self._rng, self._at = stream, rng, 0
        self._batch: list[Arrival] = []
        self._extractor = OnlineExtractor(self._store)

    @property
    def done(self) -> bool:
        return self._at >= len(self._stream) and not self._batch

    def step(self) -> None:
        """Read and work on the next batch, or write the one at hand; sometimes die instead, or just after."""
        if self._batch:
            if self._rng.random() < 0.8:
                self._extractor.close([])
                if self._rng.random() < 0.8:
                    self._at += len(self._batch)
            self._batch = []
            return
        size = int(self._rng.integers(1, 20))
        self._batch = self._stream[self._at : self._at + size]
        self._extractor = OnlineExtractor(self._store)
        self._extractor.open(self._batch, Encoding())
        for arrival in self._batch:
            take(self._extractor, arrival)

    def close(self) -> None:
        self._store.close()


def shared_stream(partition: int, many: int, rng: np.random.Generator) -> list[Arrival]:
    """Return payments of one worker's cards at two shops, with verdicts and corrected verdicts on them."""
    found: list[Arrival] = []
    offsets = {topic: count() for topic in ("transactions", "labels.known")}

    def send(event: Transaction | KnownLabel, topic: str) -> None:
        found.append(Arrival(event, Position(topic, partition, next(offsets[topic]))))

    paid: list[Transaction] = []
    said: dict[str, Verdict] = {}
    for number in range(many):
        tx = payment(f"p{partition}-{number}", number * MINUTE, 100 + number, device=None)
        shop = f"shop{int(rng.integers(2))}"
        tx = msgspec.structs.replace(tx, card=f"card{partition}-{int(rng.integers(2))}", merchant=shop)
        paid.append(tx)
        send(tx, "transactions")
        target = paid[int(rng.integers(len(paid)))]
        verdict = Verdict.FRAUD if rng.random() < 0.5 else Verdict.GENUINE
        if rng.random() < 0.4 and said.get(target.id) is not verdict:
            before, said[target.id] = said.get(target.id), verdict
            send(known(target, verdict, number, before), "labels.known")
    return found


def known(tx: Transaction, verdict: Verdict, number: int, before: Verdict | None) -> KnownLabel:
    when = tx.happened_at + (number + 1) * MINUTE
    return KnownLabel(
        tx_id=tx.id, verdict=verdict, source=LabelSource.CHARGEBACK, happened_at=when, seen_at=when, card=tx.card,
        merchant=tx.merchant, paid_at=tx.happened_at, base_amount=tx.base_amount, replaces=before, replaces_at=when - 1,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_workers_that_share_shops_and_die_at_any_step_lose_and_double_nothing(redis_url: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    streams = [shared_stream(partition, 60, rng) for partition in range(3)]
    workers = [Worker(redis_url, f"race{seed}", stream, rng) for stream in streams]
    while left := [worker for worker in workers if not worker.done]:
        left[int(rng.integers(len(left)))].step()
    everything = [arrival for stream in streams for arrival in stream]
    store = RedisStore(redis_url, namespace=f"race{seed}")
    rows = histories_of(store, everything)
    assert faults_in(rows, everything) == []
    for worker in workers:
        worker.close()
    store.close()
