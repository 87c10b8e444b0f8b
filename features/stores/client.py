"""A Redis client that hides nothing: no silent retries, and a restarted server is noticed before its first command.

redis-py resends a pipeline to a restarted server without an error; one such batch would move the marks past what the
server has lost. So retries are off, and every new connection asks for the server's `run_id` first. A cluster's pipeline
sends again whatever a lost connection left open; there, a server that was not met when the client was opened (a replica
that took over) is refused too, for it may lack the last writes of the one before it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.connection import Connection, SSLConnection
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    TryAgainError,
)
from redis.retry import Retry

from fraud.core.errors import FraudError, SettingsError, StateError, StoreRestartedError, StoreUnavailableError
from fraud.core.fields import plain, without_password

CLUSTER = "redis+cluster://"
CLUSTER_TLS = "rediss+cluster://"
SINGLE = ("redis://", "rediss://", "unix://")
FAILURES = (redis.RedisError, RedisClusterException)
REFUSED = (AuthenticationError, AuthorizationError, redis.exceptions.NoPermissionError)
# What passes by itself, or when somebody frees memory: the store is as good as gone until then.
GONE = (
    redis.ConnectionError,
    redis.TimeoutError,
    RedisClusterException,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)
GONE_CODES = ("MISCONF", "NOREPLICAS", "UNKILLABLE", "BUSY")


class RunIds:
    """The servers this client has spoken to, each by its address, and the life (`run_id` and role) it was in."""

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[str, str] = {}
        self._sealed = False

    def check(self, address: str, life: str) -> None:
        """Note a server's life; raise StoreRestartedError when it is another than before, or one too many."""
        if self._sealed and address not in self._known:
            msg = f"Redis at {address} has joined or taken over since the store was opened: it is read anew"
            raise StoreRestartedError(msg)
        held = self._known.setdefault(address, life)
        if held != life:
            msg = f"Redis at {address} was restarted (it was {held[:8]}, now {life[:8]}): it is read anew"
            raise StoreRestartedError(msg)

    def lives(self) -> str:
        """Return what names the lives that all of them are in."""
        return " ".join(sorted(self._known.values()))

    def seal(self) -> None:
        """Take no further server: all there are have been met."""
        self._sealed = True

    def forget(self) -> None:
        """Take whatever is found next."""
        self._known.clear()
        self._sealed = False


def checked(kind: type[Any], ids: RunIds) -> type[Any]:
    """Return a connection class that asks for the server's life before anything else."""
    # Clients before 5.3 know only the first; the later ones call the second from the first.
    hook = "on_connect_check_health" if hasattr(kind, "on_connect_check_health") else "on_connect"

    def begin(self: Any, *args: Any, **options: Any) -> None:
        getattr(super(Checked, self), hook)(*args, **options)
        try:
            ids.check(address_of(self), life_of(self))
        except StoreRestartedError:
            self.disconnect()
            raise

    Checked = type("Checked", (kind,), {hook: begin})
    return Checked


def address_of(connection: Any) -> str:
    """Return what a connection leads to, without its password."""
    path = getattr(connection, "path", None)
    return str(path) if path else f"{connection.host}:{connection.port}"


def life_of(connection: Any) -> str:
    """Return a server's `run_id` and role: the first changes with a restart, the second when a replica takes over."""
    connection.send_command("INFO")
    text = connection.read_response()
    lines = (text.decode() if isinstance(text, bytes) else str(text)).splitlines()
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    return f"{found.get('run_id', '')} {found.get('role', '')}"


def connect(url: str, timeout: float, ids: RunIds) -> Any:
    """Return a client for one server or a cluster; `timeout` in seconds. A single server is not asked yet.

    Raises:
        SettingsError: when the URL is no address.
        StoreUnavailableError: when no node of a cluster answers.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
    }
    try:
        if url.startswith((CLUSTER, CLUSTER_TLS)):
            return cluster(url.replace("+cluster", "", 1), ids, options)
        if not url.startswith(SINGLE):
            raise ValueError(without_password(url))
        pool = redis.ConnectionPool.from_url(plain(url), **options)
    except FAILURES as error:
        raise gone(error) from error
    except ValueError as error:
        shapes = ", ".join(f"{start}HOST:PORT" for start in ("redis://", "rediss://", CLUSTER, CLUSTER_TLS))
        msg = f"store {without_password(url)!r} is no address: expected one of {shapes}"
        raise SettingsError(msg) from error
    pool.connection_class = checked(pool.connection_class, ids)
    return redis.Redis(connection_pool=pool)


def cluster(url: str, ids: RunIds, options: dict[str, Any]) -> Any:
    """Return a client of a cluster that has met every primary and takes no other."""
    kind = checked(SSLConnection if url.startswith("rediss://") else Connection, ids)
    client: Any = RedisCluster.from_url(url, connection_class=kind, **options)
    for node in client.get_primaries():
        client.ping(target_nodes=node)
    ids.seal()
    return client


def gone(error: Exception) -> FraudError:
    """Return what an error of the client means here."""
    if isinstance(error, REFUSED):
        msg = (
            f"Redis lets us not in: {error}. Put the password into the store's url, as redis://:PASSWORD@HOST:PORT, in "
            "FRAUD_STORE__URL or in the file that FRAUD_STORE__URL_FILE names"
        )
        return SettingsError(msg)
    if isinstance(error, GONE) or str(error).startswith(GONE_CODES):
        return StoreUnavailableError(f"Redis does not answer: {error}")
    if "unknown command" in str(error).lower():
        return SettingsError(f"Redis is too old ({error}): expected Redis 7.0 or later, or Valkey")
    return StateError(f"Redis refused: {error}")


def results(call: Callable[[], Sequence[Any]]) -> list[Any]:
    """Return the results of a pipeline; raise StoreUnavailableError or StateError for the first error."""
    try:
        found = list(call())
    except FAILURES as error:
        raise gone(error) from error
    for result in found:
        if isinstance(result, FAILURES):
            raise gone(result) from result
    return found
