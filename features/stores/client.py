"""A Redis client that hides nothing: no silent retries, and a restarted server is noticed before its first command.

redis-py resends a pipeline to a restarted server without an error; one such batch would move the marks past what the
server has lost. So retries are off, and every new connection asks for the server's `run_id` first.
"""

from collections.abc import Callable, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection
from redis.retry import Retry

from fraud.core.errors import SettingsError, StateError, StoreRestartedError, StoreUnavailableError

CLUSTER = "redis+cluster://"
GONE = ("LOADING", "READONLY", "MISCONF", "OOM", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN")


class RunIds:
    """The servers this client has spoken to, each by its address, and the life (`run_id`) it was in."""

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[tuple[str, int], str] = {}

    def check(self, host: str, port: int, run_id: str) -> None:
        """Note a server's life; raise StoreRestartedError when it is another than before."""
        held = self._known.setdefault((host, port), run_id)
        if held != run_id:
            msg = f"Redis at {host}:{port} was restarted (run_id {held[:8]}, now {run_id[:8]}): it is read anew"
            raise StoreRestartedError(msg)

    def forget(self) -> None:
        """Take whatever life is found next."""
        self._known.clear()


def checked(kind: type[Any], ids: RunIds) -> type[Any]:
    """Return a connection class that asks for the server's life before anything else."""

    class Checked(kind):  # type: ignore[misc]
        def on_connect(self) -> None:
            super().on_connect()
            self._ask()

        def on_connect_check_health(self, check_health: bool = True) -> None:
            super().on_connect_check_health(check_health=check_health)
            self._ask()

        def _ask(self) -> None:
            self.send_command("INFO", "server")
            text = self.read_response()
            lines = (text.decode() if isinstance(text, bytes) else str(text)).splitlines()
            run_id = next((line.split(":", 1)[1] for line in lines if line.startswith("run_id:")), "")
            try:
                ids.check(self.host, self.port, run_id)
            except StoreRestartedError:
                self.disconnect()
                raise

    return Checked


def connect(url: str, timeout: float, ids: RunIds) -> Any:
    """Return a client for `redis://`, `rediss://` or `redis+cluster://`; `timeout` in seconds. Nothing is sent yet.

    Raises:
        SettingsError: when the URL is none of these.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
    }
    try:
        if url.startswith(CLUSTER):
            from redis.cluster import RedisCluster

            kind = checked(Connection, ids)
            return RedisCluster.from_url(url.replace(CLUSTER, "redis://", 1), connection_class=kind, **options)
        if not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError(url)
        pool = redis.ConnectionPool.from_url(url, **options)
    except (ValueError, redis.RedisError) as error:
        if isinstance(error, redis.RedisError):
            raise gone(error) from error
        msg = f"store {url!r} is no address: expected redis://HOST:PORT/0, rediss://... or redis+cluster://..."
        raise SettingsError(msg) from error
    kind = SSLConnection if url.startswith("rediss://") else pool.connection_class
    pool.connection_class = checked(kind, ids)
    return redis.Redis(connection_pool=pool)


def gone(error: Exception) -> Exception:
    """Return what an error of the client means here."""
    if isinstance(error, redis.ConnectionError | redis.TimeoutError) or str(error).startswith(GONE):
        return StoreUnavailableError(f"Redis does not answer: {error}")
    return StateError(f"Redis refused: {error}")


def results(call: Callable[[], Sequence[Any]]) -> list[Any]:
    """Return the results of a pipeline; raise StoreUnavailableError or StateError for the first error."""
    try:
        found = list(call())
    except redis.RedisError as error:
        raise gone(error) from error
    for result in found:
        if isinstance(result, redis.RedisError):
            raise gone(result) from result
    return found
