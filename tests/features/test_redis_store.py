"""What the store on Redis promises beyond the contract: after a cut, a restart, a commit; and its round trips."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
import redis

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from features.stores.redis import RedisStore
from features.stores.rowlog.keys import LIBRARY
from features.stores.server import faults_of
from fraud.core.errors import StoreRestartedError, StoreUnavailableError
from fraud.core.records import HOUR, MINUTE, Arrival, Position
from infra.services import RedisServer
from tests.contract.driving import Rows, feed, rows_of, take, without_ratios
from tests.features.cuts import BATCH, Cut, answered, payment, scored, sent
from tests.redis_cluster import fresh_cluster_store

HISTORY = [sent(payment(f"h{n}", n * MINUTE, 100 * n + 50), n) for n in range(6)]


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisStore]:
    made = RedisStore(redis_url)
    yield made
    made.close()


@pytest.fixture
def raw(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


NEW_ROWS = [*BATCH[:2], sent(msgspec.structs.replace(payment("n1", HOUR + 2), device="new"), 8)]
"""A batch that a new device is in, whose end is to be put off."""


def undisturbed(batch: Sequence[Arrival] = BATCH) -> Rows:
    store = MemoryStore()
    feed(store, HISTORY)
    answered(store, list(batch), 0.25)
    return rows_of(store, HISTORY + list(batch))


# --- a write that was cut off ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("commands", [0, 1, 2])
def test_a_write_cut_off_is_there_as_a_whole_or_not_at_all(store: RedisStore, redis_url: str, commands: int) -> None:
    """Answers, logs and marks are one command; what follows puts off the end of rows. A second try scores otherwise."""
    feed(store, HISTORY)
    with pytest.raises(StoreUnavailableError):
        answered(store, NEW_ROWS, 0.25, lambda server: Cut(server, commands))
    second = RedisStore(redis_url)
    winners = answered(second, NEW_ROWS, 0.75)
    assert {winner.decision.score for winner in winners} == {0.25 if commands else 0.75}
    assert rows_of(second, HISTORY + NEW_ROWS) == undisturbed(NEW_ROWS)
    assert second.applied_offsets() == {("transactions", 0): 8}
    second.close()


@pytest.mark.parametrize("commands", range(10))
def test_a_write_on_a_cluster_cut_off_anywhere_is_completed_and_answered_as_begun(commands: int) -> None:
    """Three answers, four logs, the marks; the second attempt would score otherwise."""
    store = fresh_cluster_store()
    feed(store, HISTORY)
    with pytest.raises(StoreUnavailableError):
        answered(store, NEW_ROWS, 0.25, lambda server: Cut(server, commands))
    store.reopen()
    store._server = store._server._server  # type: ignore[attr-defined]
    # What a restart reads from the topic: the first was published. Its changes must not be lost by it.
    store.put_answers([scored(NEW_ROWS[0].event, 6)])  # type: ignore[arg-type]
    winners = answered(store, NEW_ROWS, 0.75)
    begun = max(min(commands, len(NEW_ROWS)), 1)
    assert [winner.decision.score for winner in winners] == [0.25] * begun + [0.75] * (len(NEW_ROWS) - begun)
    assert rows_of(store, HISTORY + NEW_ROWS) == undisturbed(NEW_ROWS)
    assert store.applied_offsets() == {("transactions", 0): 8}
    store.close()


def test_a_worker_that_wakes_up_late_changes_nothing(store: RedisStore, redis_url: str) -> None:
    feed(store, HISTORY)
    second, zombie = RedisStore(redis_url), OnlineExtractor(store)
    work = zombie.open(BATCH)
    for arrival in BATCH:
        take(zombie, arrival)
    answered(second, BATCH, 0.25)
    made = [scored(arrival.event, arrival.position.offset, 0.75) for arrival in BATCH]  # type: ignore[arg-type]
    winners = store.write(work, made)
    assert [winner.decision.score for winner in winners] == [0.25] * 3
    assert rows_of(second, HISTORY + BATCH) == undisturbed()
    second.close()


# --- one id under two keys -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [RedisStore, None], ids=["node", "cluster"])
def test_an_id_that_two_workers_take_up_at_once_changes_the_state_once(redis_url: str, make: Any) -> None:
    """The same id with another card, in another partition: whoever writes second gives the first one's answer."""
    store = make(redis_url) if make else fresh_cluster_store()
    second = RedisStore(store._server._url, namespace=store._keys.prefix.partition(":")[0])
    feed(store, HISTORY)
    here, more = sent(payment("t1", HOUR), 6), sent(payment("t2", HOUR + MINUTE), 7)
    there = Arrival(msgspec.structs.replace(payment("t1", HOUR), card="z"), Position("transactions", 1, 0))
    late = OnlineExtractor(store)
    late.open([here, more])
    for arrival in (here, more):
        take(late, arrival)
    first = OnlineExtractor(second)
    first.open([there])
    take(first, there)
    first.close([msgspec.structs.replace(scored(there.event, 0, 0.75), position=there.position)])  # type: ignore[arg-type]
    winners = late.close([scored(here.event, 6), scored(more.event, 7)])  # type: ignore[arg-type]
    assert [winner.decision.score for winner in winners] == [0.75, 0.25]
    assert [winner.repeat_of for winner in winners] == [there.position, None]
    plain = MemoryStore()
    feed(plain, [*HISTORY, there, more])
    stream = [*HISTORY, here, there, more]
    for one in (store, second):
        assert without_ratios(rows_of(one, stream)) == without_ratios(rows_of(plain, stream))
        one.close()


# --- how long rows live ----------------------------------------------------------------------------------------------


def test_a_row_in_use_never_expires_however_rarely_it_is_used(store: RedisStore, raw: Any) -> None:
    """A card is used once a month: each use puts the end of its row off, read whole or from a copy."""
    month = 30 * 24 * HOUR
    for number in range(40):
        feed(store, [sent(payment(f"m{number}", number * month), number)])
        if number % 2:
            store.copies.forget()
        for name in ("ca", "mm", "dd"):
            key = store._keys.row(name) + "l"
            assert raw.pttl(key) > store._keep_ms - 60_000
            base = store._keys.row(name) + "b"
            assert not raw.exists(base) or raw.pttl(base) >= raw.pttl(key) - 1
            # A month goes by.
            for each in (key, base):
                raw.pexpire(each, store._keep_ms - month // 1_000_000)
    assert raw.exists(store._keys.row("ca") + "b")


def test_the_end_of_a_row_is_not_put_off_at_every_write(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(store, HISTORY)
    trips = counted_trips(store, monkeypatch)
    feed(store, [sent(payment("t1", HOUR), 6)], batch=1)
    assert trips[-1] == 1


# --- first answers over time -----------------------------------------------------------------------------------------


def test_a_first_answer_is_kept_whole_and_without_end_until_it_is_settled(store: RedisStore, raw: Any) -> None:
    answered(store, BATCH[:1], 0.25)
    key = store._keys.answer("t1", 0)
    assert raw.ttl(key) == -1
    found = store.read(BATCH[:1]).first_answer("t1", 0)
    assert found is not None
    assert found.vector is not None
    assert found.vector.values.tolist() == [0, 1, 2, 3, 4]


def test_a_settled_answer_keeps_its_decision_and_ages(store: RedisStore, raw: Any) -> None:
    answered(store, BATCH[:1], 0.25)
    key = store._keys.answer("t1", 0)
    before = raw.strlen(key)
    store.settle([("t1", 0)])
    assert 0 < raw.pttl(key) <= 15 * 60_000
    assert raw.strlen(key) < before
    found = store.read(BATCH[:1]).first_answer("t1", 0)
    assert found is not None
    assert (found.decision, found.position, found.vector) == (
        scored(payment("t1", HOUR), 6).decision,
        sent(payment("t1"), 6).position,
        None,
    )


def test_an_answer_of_another_worker_ages_when_it_is_settled(store: RedisStore, raw: Any, redis_url: str) -> None:
    answered(store, BATCH[:1], 0.25)
    other = RedisStore(redis_url)
    other.settle([("t1", 0), ("never-seen", 0)])
    assert 0 < raw.pttl(store._keys.answer("t1", 0)) <= 15 * 60_000
    assert not raw.exists(store._keys.answer("never-seen", 0))
    other.close()


def test_published_answers_are_first_ones_again(store: RedisStore, raw: Any) -> None:
    """One is lost, of one another was stored, one is there with the changes that belong to it."""
    answered(store, BATCH, 0.25)
    raw.delete(store._keys.answer("t1", 0))
    kept = raw.get(store._keys.answer("h3", 1))
    published = [
        scored(BATCH[0].event, 6),  # type: ignore[arg-type]
        scored(BATCH[1].event, 7, 0.5),  # type: ignore[arg-type]
        scored(BATCH[2].event, 8),  # type: ignore[arg-type]
    ]
    store.put_answers(published)
    work = store.read(BATCH)
    found = [work.first_answer(*key) for key in (("t1", 0), ("t2", 0), ("h3", 1))]
    assert [first and first.decision for first in found] == [each.decision for each in published]
    assert raw.get(store._keys.answer("h3", 1)) == kept


# --- a server that goes and comes ------------------------------------------------------------------------------------


def test_a_restarted_server_is_refused_before_anything_is_written(own_redis: RedisServer) -> None:
    store = RedisStore(own_redis.url)
    extractor = OnlineExtractor(store)
    extractor.open(BATCH)
    for arrival in BATCH:
        take(extractor, arrival)
    own_redis.kill()
    own_redis.start(tied=True)
    with pytest.raises(StoreRestartedError, match="restarted"):
        extractor.close([])
    with pytest.raises(StoreRestartedError):
        store.read(BATCH)
    store.reopen()
    assert store.applied_offsets() == {}
    store.close()


def test_a_server_that_is_gone_is_named_so_and_met_again(own_redis: RedisServer) -> None:
    store = RedisStore(own_redis.url)
    own_redis.kill()
    for call in (
        lambda: store.read(BATCH),
        store.reopen,
        store.applied_offsets,
        store.snapshot,
        lambda: store.forget("a"),
    ):
        with pytest.raises(StoreUnavailableError):
            call()
    own_redis.start(tied=True)
    store.reopen()
    feed(store, BATCH)
    assert store.applied_offsets() == {("transactions", 0): 8}
    store.close()


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 1.0])
def test_a_state_whose_last_writes_were_lost_is_made_whole_by_reading_again(
    own_redis: RedisServer, share: float
) -> None:
    """The end of the append-only file is cut anywhere, as in a power cut."""
    store = RedisStore(own_redis.url)
    feed(store, HISTORY)
    safe = own_redis.aof_bytes()
    answered(store, BATCH, 0.25)
    written = own_redis.aof_bytes() - safe
    own_redis.kill()
    own_redis.cut_aof(int(share * written))
    own_redis.start(tied=True)
    store.reopen()
    store.put_answers([scored(BATCH[0].event, 6)])  # type: ignore[arg-type]
    answered(store, BATCH, 0.25)
    assert rows_of(store, HISTORY + BATCH) == undisturbed()
    store.close()


@pytest.mark.parametrize("trouble", [{"maxmemory": "1mb"}, {"replicaof": "127.0.0.1 1"}], ids=["full", "read-only"])
def test_a_server_that_takes_no_writes_is_as_good_as_gone(own_redis: RedisServer, trouble: dict[str, str]) -> None:
    store = RedisStore(own_redis.url)
    with redis.Redis.from_url(own_redis.url) as client:
        for name, value in trouble.items():
            if name == "replicaof":
                client.replicaof(*value.split())
            else:
                client.config_set(name, value)
    with pytest.raises(StoreUnavailableError):
        feed(store, BATCH)
    store.close()


# --- the functions and the round trips -------------------------------------------------------------------------------


def test_functions_are_loaded_once_and_again_when_theirs_differ(own_redis: RedisServer) -> None:
    with redis.Redis.from_url(own_redis.url) as client:

        def loads() -> int:
            return int(client.info("commandstats").get("cmdstat_function|load", {}).get("calls", 0))

        RedisStore(own_redis.url).close()
        RedisStore(own_redis.url).close()
        assert loads() == 1
        other = f"#!lua name={LIBRARY}\nredis.register_function('{LIBRARY}_write', function() return 0 end)"
        client.function_load(other, replace=True)
        store = RedisStore(own_redis.url)
        assert loads() == 3
        feed(store, HISTORY)
        assert store.applied_offsets() == {("transactions", 0): 5}
        store.close()


def test_a_batch_is_one_round_trip_in_and_one_out(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    trips = counted_trips(store, monkeypatch)
    answered(store, HISTORY + BATCH, 0.25)
    # Base and log, and the life, of 3 entities and a pair, 9 first answers by id and by their own names; then the
    # write, and the ends of 4 new rows.
    assert trips == [2 * 4 + 2 * 9, 1 + 2 * 4]
    trips.clear()
    answered(store, [sent(payment("t4", 2 * HOUR), 9)], 0.25)
    # What others have appended to 4 logs, a first answer; the write.
    assert trips == [4 + 2, 1]


def counted_trips(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the number of commands of each round trip."""
    trips: list[int] = []
    run = store._server.run

    def counted(commands: Sequence[Any]) -> list[Any]:
        if commands:
            trips.append(len(commands))
        return run(commands)

    monkeypatch.setattr(store._server, "run", counted)
    return trips


def test_faults_name_what_breaks_the_promise() -> None:
    sound = {"aof_enabled": 1, "maxmemory": 0, "maxmemory_policy": "allkeys-lru", "role": "master"}
    assert faults_of(sound) == []
    for change, named in (
        ({"aof_enabled": 0}, "appendonly"),
        ({"maxmemory": 10**9}, "allkeys-lru"),
        ({"role": "slave"}, "slave"),
    ):
        (fault,) = faults_of(sound | change)
        assert named in fault


def test_a_sound_server_has_no_faults(store: RedisStore) -> None:
    assert store.faults() == []


@pytest.mark.parametrize("make", [RedisStore, None], ids=["node", "cluster"])
def test_state_put_whole_goes_on_from_the_offsets_that_its_rows_hold(redis_url: str, make: Any) -> None:
    """What a rebuilding ends with: what is read again from before is in no row twice, what comes next is."""
    made, store = MemoryStore(), make(redis_url) if make else fresh_cluster_store()
    feed(made, HISTORY)
    marks = {f"{topic}:{number}": offset for (topic, number), offset in made.applied_offsets().items()}
    tables = [[(key, row, marks) for key, row in table.items()] for table in (made.entities, made.pairs)]
    assert store.put_state(*tables) == sum(map(len, tables))
    store.put_marks(marks)
    answered(store, [*HISTORY[3:], *BATCH], 0.25)
    assert rows_of(store, HISTORY + BATCH) == undisturbed()
    store.close()
