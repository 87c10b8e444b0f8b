"""A Redis Cluster for tests: three primaries, started when the first test asks, ended with the run."""

import time
from collections.abc import Callable, Sequence
from functools import cache
from itertools import count
from typing import Any

import redis

from features.stores.redis import RedisStore
from infra.services import RedisServer
from tests.services import tied_redis

SLOTS = 16_384
WAIT_SECONDS = 20.0
CLUSTERED = {"cluster-enabled": "yes", "cluster-node-timeout": "2000"}
_numbers = count()


def until(what: Callable[[], bool]) -> None:
    """Return when something holds; fail when it does not in good time."""
    end = time.monotonic() + WAIT_SECONDS
    while not what():
        assert time.monotonic() < end, "a cluster did not form"
        time.sleep(0.02)


def form_cluster(servers: Sequence[RedisServer]) -> list[Any]:
    """Join three servers to a cluster, a third of the slots each; return plain clients of all."""
    clients: list[Any] = [redis.Redis.from_url(server.url) for server in servers]
    for number, client in enumerate(clients[:3]):
        client.execute_command("CLUSTER ADDSLOTSRANGE", SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1)
        client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
    for server in servers[1:]:
        clients[0].execute_command("CLUSTER MEET", "127.0.0.1", server.port, server.bus)
    for client in clients:
        until(lambda client=client: is_whole(client, len(servers)))  # type: ignore[misc]
    return clients


def is_whole(client: Any, nodes: int) -> bool:
    info = client.execute_command("CLUSTER INFO")
    return bool(info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == nodes)


@cache
def shared_cluster() -> str:
    """Start the run's cluster; it ends with the run. Return its address."""
    servers = [tied_redis(options=CLUSTERED) for _ in range(3)]
    for client in form_cluster(servers):
        client.close()
    return f"redis+cluster://127.0.0.1:{servers[0].port}"


def fresh_cluster_store() -> RedisStore:
    """Return a store in a namespace of its own on the run's cluster."""
    return RedisStore(shared_cluster(), namespace=f"shared{next(_numbers)}")
