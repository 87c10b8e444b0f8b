"""Addresses, passwords, TLS and clusters; and which server the store trusts."""

from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from features.stores.client import RunIds, connect, gone
from features.stores.memory import MemoryStore
from features.stores.redis import RedisStore
from fraud.core.errors import SettingsError, StateError, StoreRestartedError, StoreUnavailableError
from fraud.core.records import HOUR, MINUTE, Arrival, Position, Transaction
from infra.services import RedisServer
from tests.contract.driving import answer, feed, rows_of
from tests.histories import feed_histories, histories_of
from tests.redis_cluster import CLUSTERED, form_cluster, until

Maker = Callable[..., RedisServer]


def stream(count: int = 40) -> list[Arrival]:
    """Return payments of several cards at few merchants, some devices among them."""
    arrivals = []
    for number in range(count):
        when = 20_000 * 24 * HOUR + number * MINUTE
        tx = Transaction(
            id=f"t{number}",
            card=f"card{number % 7}",
            merchant=f"shop{number % 3}",
            device=f"phone{number % 2}" if number % 4 else None,
            amount=100 + number,
            base_amount=100 + number,
            happened_at=when,
            seen_at=when,
        )
        arrivals.append(Arrival(tx, Position("transactions", number % 2, number)))
    return arrivals


def check_works(url: str) -> None:
    """Feed a store at an address; its rows are those of the memory store, its answers are found again."""
    store, plain, arrivals = RedisStore(url), MemoryStore(), stream()
    feed(store, arrivals)
    feed(plain, arrivals)
    assert rows_of(store, arrivals) == rows_of(plain, arrivals)
    tx = arrivals[0].event
    assert isinstance(tx, Transaction)
    work, made = store.read(arrivals), answer(tx, arrivals[0].position, 0.25)
    assert store.write(work, [made]) == [made]
    store.settle([(tx.id, 0)])
    assert store.read(arrivals).first_answer(tx.id, 0) == made
    assert store.forget("card0") == 4
    store.restore(store.snapshot())
    assert store.applied_offsets() == {("transactions", 0): 38, ("transactions", 1): 39}
    store.close()
    check_histories(url, arrivals)


def check_histories(url: str, arrivals: list[Arrival]) -> None:
    """Feed a store at an address with histories; they are those of the memory store."""
    store, plain = RedisStore(url, namespace="past"), MemoryStore()
    assert feed_histories(store, arrivals) == feed_histories(plain, arrivals)
    assert histories_of(store, arrivals) == histories_of(plain, arrivals)
    assert store.forget("card0") == 5
    store.close()


# --- one server ------------------------------------------------------------------------------------------------------


def test_a_store_over_tls_with_a_password_works(fresh_redis: Maker) -> None:
    check_works(fresh_redis(tls=True, password="secret").url)


def test_tls_without_the_authority_is_refused(fresh_redis: Maker) -> None:
    url = fresh_redis(tls=True).url.partition("?")[0]
    with pytest.raises(StoreUnavailableError, match=r"(?i)certificate"):
        RedisStore(url)


def test_a_store_at_a_unix_socket_works(fresh_redis: Maker, tmp_path: Path) -> None:
    path = tmp_path / "s"
    fresh_redis(options={"unixsocket": str(path)})
    check_works(f"unix://{path}")


@pytest.mark.parametrize("login", ["", ":wrong@"])
def test_a_wrong_password_names_the_setting_and_not_the_password(fresh_redis: Maker, login: str) -> None:
    url = fresh_redis(password="secret").url.replace(":secret@", login)
    with pytest.raises(SettingsError, match="url") as caught:
        RedisStore(url)
    assert "wrong@" not in str(caught.value)


def test_a_wrong_address_is_named_with_the_right_shapes() -> None:
    with pytest.raises(SettingsError, match=r"http.*redis://HOST:PORT.*redis\+cluster://") as caught:
        connect("http://me:secret@host", 1.0, RunIds())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("kind", ["redis", "redis+cluster"])
def test_nobody_at_an_address_is_a_store_that_is_gone(kind: str, fresh_redis: Maker) -> None:
    server = fresh_redis()
    server.kill()
    with pytest.raises(StoreUnavailableError):
        RedisStore(f"{kind}://127.0.0.1:{server.port}")


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("unknown command 'FUNCTION', with args beginning with: 'LIST'", SettingsError),
        (
            "MISCONF Redis is configured to save RDB snapshots, but it is unable to persist to disk",
            StoreUnavailableError,
        ),
        ("NOREPLICAS Not enough good replicas to write.", StoreUnavailableError),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", StateError),
    ],
)
def test_what_a_server_refuses_is_named_by_what_can_be_done(said: str, means: type[Exception]) -> None:
    assert type(gone(redis.ResponseError(said))) is means


# --- which server is trusted -----------------------------------------------------------------------------------------


def test_a_life_is_noted_once_and_another_one_refused() -> None:
    ids = RunIds()
    ids.check("a:1", "x master")
    ids.check("a:1", "x master")
    for life in ("y master", "x slave"):
        with pytest.raises(StoreRestartedError, match="a:1"):
            ids.check("a:1", life)
    ids.forget()
    ids.check("a:1", "y master")


def test_a_server_that_was_not_met_is_refused_once_all_have_been() -> None:
    ids = RunIds()
    ids.check("a:1", "x master")
    ids.seal()
    ids.check("a:1", "x master")
    with pytest.raises(StoreRestartedError, match="b:1"):
        ids.check("b:1", "z master")


# --- a cluster -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(fresh_redis: Maker) -> list[RedisServer]:
    """Three servers and a fourth for one to follow, not joined yet."""
    return [fresh_redis(options=CLUSTERED) for _ in range(4)]


def test_a_store_on_a_cluster_works_and_refuses_a_replica_that_took_over(cluster: list[RedisServer]) -> None:
    clients = form_cluster(cluster)
    url = f"redis+cluster://127.0.0.1:{cluster[0].port}"
    check_works(url)
    replica = clients[3]
    replica.execute_command("CLUSTER REPLICATE", clients[0].execute_command("CLUSTER MYID"))
    until(lambda: replica.info("replication").get("master_link_status") == "up")
    store, plain, arrivals = RedisStore(url, namespace="second"), MemoryStore(), stream()
    feed(store, arrivals[:20])
    replica.execute_command("CLUSTER FAILOVER")
    until(lambda: bool(replica.info("replication")["role"] == "master"))
    until(lambda: bool(clients[0].info("replication")["role"] == "slave"))
    with pytest.raises((StoreRestartedError, StoreUnavailableError)):
        feed(store, arrivals[20:])
    store.reopen()
    feed(store, arrivals[20:])
    feed(plain, arrivals)
    assert rows_of(store, arrivals) == rows_of(plain, arrivals)
    store.close()
    for client in clients:
        client.close()
