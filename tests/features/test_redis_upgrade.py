"""A state that the release before has written is taken over: row by row as they are touched, or all at once."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
import redis

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from features.stores.redis import RedisStore
from features.stores.rowlog.keys import Keys
from fraud.core.records import HOUR, MINUTE, Arrival, Position
from tests.contract.driving import rows_of, take
from tests.features.cuts import payment, sent
from tests.histories import Encoding, feed_histories, histories_of
from tests.redis_cluster import fresh_cluster_store

BORN = "1700000000.000001"
PAST = [
    sent(
        msgspec.structs.replace(
            payment(f"h{n}", n * MINUTE, 100 * n + 50), card=f"card{n % 5}", merchant=f"shop{n % 3}"
        ),
        n,
    )
    for n in range(60)
]
NEXT = [
    sent(msgspec.structs.replace(payment(f"t{n}", HOUR + n * MINUTE), card=f"card{n % 5}"), 60 + n) for n in range(10)
]


def write_old(client: Any, stream: Sequence[Arrival], namespace: str = "fraud") -> None:
    """Write a state as the release before did: hashes of a row, its version and its marks; histories likewise."""
    memory, keys = MemoryStore(), Keys(namespace)
    feed_histories(memory, stream)
    last = max(arrival.position.offset for arrival in stream)
    marks = {"n": 3, "transactions:0": last}
    rows = {keys.old(keys.row(key)): row for key, row in memory.entities.items()}
    rows |= {keys.old(keys.pair(key)): row for key, row in memory.pairs.items()}
    rows |= {keys.old(keys.history(key, "stub")): row.rstrip(b"\0") for key, row in memory.histories_of("stub").items()}
    for name, row in rows.items():
        client.hset(name, mapping={"r": row, **marks})
    client.hset(keys.marks, mapping={"transactions:0": last})
    client.set(keys.old_birth, BORN)


@pytest.fixture
def old(redis_url: str) -> Any:
    with redis.Redis.from_url(redis_url) as client:
        write_old(client, PAST)
        yield client


def expected(stream: Sequence[Arrival]) -> tuple[Any, Any]:
    memory = MemoryStore()
    feed_histories(memory, stream)
    return rows_of(memory, stream), histories_of(memory, stream)


def test_rows_of_the_release_before_are_taken_over_when_touched(old: Any, redis_url: str) -> None:
    store = RedisStore(redis_url)
    assert store.birth == BORN
    assert store.applied_offsets() == {("transactions", 0): 59}
    before = len(list(old.scan_iter("fraud:1:{*")))
    feed_histories(store, NEXT)
    left = len(list(old.scan_iter("fraud:1:{*")))
    assert 0 < left < before
    assert (rows_of(store, PAST + NEXT), histories_of(store, PAST + NEXT)) == expected(PAST + NEXT)
    store.close()


def test_what_was_absorbed_before_is_not_absorbed_again(old: Any, redis_url: str) -> None:
    store = RedisStore(redis_url)
    feed_histories(store, PAST[-20:] + NEXT)
    assert (rows_of(store, PAST + NEXT), histories_of(store, PAST + NEXT)) == expected(PAST + NEXT)
    store.close()


def test_two_workers_that_touch_a_row_at_once_take_it_over_once(old: Any, redis_url: str) -> None:
    one, other = RedisStore(redis_url), RedisStore(redis_url)
    late = OnlineExtractor(one)
    late.open(NEXT[:1], Encoding())
    take(late, NEXT[0])
    elsewhere = [Arrival(arrival.event, Position("transactions", 1, arrival.position.offset)) for arrival in NEXT[1:3]]
    feed_histories(other, elsewhere)
    late.close([])
    rows = rows_of(one, PAST + NEXT)
    assert rows == rows_of(other, PAST + NEXT)
    assert sum(row != other_row for row, other_row in zip(rows.values(), expected(PAST)[0].values(), strict=False))
    one.close()
    other.close()


def test_all_rows_are_taken_over_at_once_and_progress_is_told(old: Any, redis_url: str) -> None:
    store, told = RedisStore(redis_url), list[tuple[int, int]]()
    many = len(list(old.scan_iter("fraud:1:{*")))
    assert store.upgrade(lambda done, total: told.append((done, total))) == many
    assert told[-1] == (many, many)
    assert list(old.scan_iter("fraud:1:{*")) == []
    assert (rows_of(store, PAST), histories_of(store, PAST)) == expected(PAST)
    assert store.upgrade() == 0
    again = RedisStore(redis_url)
    assert (again.birth, again._old) == (BORN, False)
    store.close()
    again.close()


def test_the_release_before_finds_another_state_and_refuses(old: Any, redis_url: str) -> None:
    """It compares this name with the one that it has committed with."""
    RedisStore(redis_url).close()
    assert old.get("fraud:1:birth") == b"format 2, was " + BORN.encode()
    RedisStore(redis_url).close()
    assert old.get("fraud:1:birth") == b"format 2, was " + BORN.encode()


def test_forget_erases_what_was_not_touched_yet(old: Any, redis_url: str) -> None:
    store = RedisStore(redis_url)
    # The row, its history and three pairs.
    assert store.forget("card1") == 5
    assert not any(b"card1" in key for key in old.scan_iter("*"))
    store.close()


def test_a_snapshot_of_the_release_before_is_restored(old: Any, redis_url: str) -> None:
    prefix = len(b"fraud:1:")
    rows = [(key[prefix:], old.hgetall(key)) for key in old.scan_iter("fraud:1:{*")]
    taken = msgspec.msgpack.encode(("1", rows, old.hgetall("fraud:1:marks"), []))
    store = RedisStore(redis_url, namespace="elsewhere")
    store.restore(taken)
    assert (rows_of(store, PAST), histories_of(store, PAST)) == expected(PAST)
    assert store.applied_offsets() == {("transactions", 0): 59}
    store.close()


def test_a_snapshot_holds_what_was_not_touched_yet(old: Any, redis_url: str) -> None:
    store, other = RedisStore(redis_url), RedisStore(redis_url, namespace="copy")
    other.restore(store.snapshot())
    assert (rows_of(other, PAST), histories_of(other, PAST)) == expected(PAST)
    store.close()
    other.close()


# --- a cluster -------------------------------------------------------------------------------------------------------


def test_a_cluster_is_taken_over_as_well() -> None:
    store = fresh_cluster_store()
    namespace = store._keys.prefix.partition(":")[0]
    store.clear()
    write_old(store._server.client, PAST, namespace)
    store.reopen()
    assert store.birth == BORN
    feed_histories(store, NEXT)
    assert (rows_of(store, PAST + NEXT), histories_of(store, PAST + NEXT)) == expected(PAST + NEXT)
    assert store.upgrade() == 0
    store.close()


def lose(store: RedisStore, chosen: Callable[[int], bool]) -> None:
    """Erase some of the parts of a cluster's name."""
    keys = [key for number, key in enumerate(store._births._parts) if chosen(number)]
    store._server.run([("DEL", key) for key in keys])


def test_a_primary_that_comes_back_empty_gives_the_state_another_name() -> None:
    store = fresh_cluster_store()
    name = store.birth
    assert len(store._births._parts) == 64
    lose(store, lambda number: number == 5)
    store.reopen()
    assert store.birth != name
    assert "1 of 64" in store.birth
    store.take_over(name)
    store.reopen()
    assert store.birth == name
    store.close()
