"""Slots of a cluster move while a store is written to: nothing is lost, nothing is applied twice."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from features.stores.redis import RedisStore
from fraud.core.errors import StoreRestartedError, StoreUnavailableError
from fraud.core.records import HOUR, MINUTE, Arrival, Position, Transaction
from infra.services import RedisServer
from tests.contract.driving import rows_of, take, without_ratios
from tests.histories import Encoding, feed_histories, histories_of
from tests.redis_cluster import CLUSTERED, SLOTS, form_cluster

MOVED_SLOTS = 500
BATCH = 8


def stream(count: int) -> list[Arrival]:
    """Return payments of many cards at few shops, of one partition."""
    found = []
    for number in range(count):
        when = 20_000 * 24 * HOUR + number * MINUTE
        tx = Transaction(
            id=f"t{number}", card=f"card{number % 97}", merchant=f"shop{number % 11}", device=f"phone{number % 53}",
            amount=100 + number, base_amount=100 + number, happened_at=when, seen_at=when,
        )  # fmt: skip
        found.append(Arrival(tx, Position("transactions", 0, number)))
    return found


def move_slots(clients: Sequence[Any], ports: Sequence[int], slots: range) -> None:
    """Move slots from the first server to the second, keys and all, one after the other."""
    source, target = clients[:2]
    ids = [client.execute_command("CLUSTER MYID") for client in clients]
    for slot in slots:
        target.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
        source.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[1])
        # One key at a time, so that a row's log and base are apart for a while.
        while keys := source.execute_command("CLUSTER GETKEYSINSLOT", slot, 1):
            source.execute_command("MIGRATE", "127.0.0.1", ports[1], "", 0, 5_000, "KEYS", *keys)
        for client in (target, source, clients[2]):
            client.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[1])


def feed_through(store: RedisStore, arrivals: Sequence[Arrival], done: Callable[[], bool]) -> int:
    """Feed batches until `done`, each again when the store was away for a moment; return how many payments were fed."""
    at = 0
    while at < len(arrivals) and (at < BATCH or not done()):
        batch = arrivals[at : at + BATCH]
        try:
            extractor = OnlineExtractor(store)
            extractor.open(batch, Encoding())
            for arrival in batch:
                take(extractor, arrival)
            extractor.close([])
        except (StoreUnavailableError, StoreRestartedError):
            store.reopen()
            continue
        at += BATCH
    return at


def test_rows_are_whole_when_slots_move_under_load(fresh_redis: Callable[..., RedisServer]) -> None:
    servers = [fresh_redis(options=CLUSTERED) for _ in range(3)]
    clients = form_cluster(servers)
    store = RedisStore(f"redis+cluster://127.0.0.1:{servers[0].port}", timeout=5)
    arrivals = stream(16_000)
    slots = range(0, SLOTS // 3 - 1, (SLOTS // 3) // MOVED_SLOTS)
    mover = threading.Thread(target=move_slots, args=(clients, [server.port for server in servers], slots))
    mover.start()
    fed = arrivals[: feed_through(store, arrivals, lambda: not mover.is_alive())]
    mover.join()
    assert len(fed) < len(arrivals), "the slots moved too slowly for this test to say anything"
    plain = MemoryStore()
    feed_histories(plain, fed, BATCH)
    some = fed[-400:]
    assert without_ratios(rows_of(store, some)) == without_ratios(rows_of(plain, some))
    assert histories_of(store, some) == histories_of(plain, some)
    assert store.applied_offsets() == {("transactions", 0): len(fed) - 1}
    store.close()
    for client in clients:
        client.close()
