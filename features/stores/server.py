"""What the store asks of Redis, on one node or a cluster: commands in one round trip, and looking through all keys.

On one node commands are packed and answers are read without the client's own pipeline, which costs as much as all else
that a decision does there; connecting, TLS and a cluster stay the client's.
"""

import re
import select
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import hiredis
import redis

from features.stores.client import CLUSTER, CLUSTER_TLS, RunIds, connect, results
from fraud.core.errors import StateError

Command = tuple[bytes | str | int, ...]
AT_ONCE = 256
READ_BYTES = 1 << 18


class Server:
    """A Redis, or a cluster of them. `cluster` tells which."""

    def __init__(self, url: str, timeout: float) -> None:
        """Take the address; nothing is asked before `reopen`."""
        self._url, self._timeout = url, timeout
        self.cluster = url.startswith((CLUSTER, CLUSTER_TLS))
        self._ids = RunIds()
        self._line: Line | None = None
        self.client: Any = None

    def reopen(self) -> None:
        """Connect again, to whatever life the server is in now.

        Raises:
            SettingsError: when the address is none, or lacks the password.
            StoreUnavailableError: when no node of a cluster answers.
        """
        self._ids.forget()
        self._connect()

    def wait_for(self, seconds: float) -> None:
        """Give the servers so long for each answer, from now on; a restart meanwhile is noticed as ever."""
        self._timeout = seconds
        self._connect()

    def _connect(self) -> None:
        self.close()
        self.client = connect(self._url, self._timeout, self._ids)
        self._line = None if self.cluster else Line(self.client.connection_pool)

    @property
    def life(self) -> str:
        """Return what names the life that the servers are in."""
        return self._ids.lives()

    def close(self) -> None:
        """Release the connections; a second call does nothing."""
        if self._line is not None:
            self._line.close()
        if self.client is not None:
            self.client.close()

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers to commands, in one round trip.

        Raises:
            StoreRestartedError: when the server is in another life than when it was opened; nothing was sent.
            StoreUnavailableError: when it does not answer.
            StateError: when it refuses one of them.
        """
        if not commands:
            return []
        if self._line is not None:
            return results(partial(self._line.run, commands))
        pipe = self.client.pipeline(transaction=False)
        for command in commands:
            # The client makes "OK or not" of the answer to a SET, unless it is told.
            pipe.execute_command(*command, **({"get": True} if command[-1] == "GET" else {}))
        return results(lambda: pipe.execute(raise_on_error=False))

    def ask(self, *words: Any, **where: Any) -> Any:
        """Return the answer to one command; `where` names a node of a cluster."""
        return results(lambda: [self.client.execute_command(*words, **where)])[0]

    def everywhere(self) -> list[dict[str, Any]]:
        """Return what sends a command to each server that holds data: one, or a cluster's primaries."""
        return [{"target_nodes": node} for node in self.client.get_primaries()] if self.cluster else [{}]

    def load_functions(self, file: Path, library: str) -> None:
        """Load a library of functions wherever it is not there already, to the letter."""
        code = file.read_text()
        for where in self.everywhere():
            held = self.ask("FUNCTION LIST", "LIBRARYNAME", library, "WITHCODE", **where)
            if not holds(held, code.encode()):
                self.ask("FUNCTION LOAD", "REPLACE", code, **where)

    def info(self, where: dict[str, Any]) -> dict[str, Any]:
        """Return what a server says of itself."""
        found = self.ask("INFO", **where)
        return next(iter(found.values())) if "redis_version" not in found else dict(found)

    def configured(self, name: str, where: dict[str, Any]) -> str:
        """Return a setting of a server, empty where it does not tell."""
        try:
            found = self.ask("CONFIG GET", name, **where)
        except StateError:
            return ""
        values = found if name in found else next(iter(found.values()), {})
        return str(values.get(name, ""))

    def scan(self, start: str) -> list[bytes]:
        """Return every key that begins so, each once."""
        pattern = plain(start) + "*"
        return list(dict.fromkeys(results(lambda: list(self.client.scan_iter(match=pattern, count=1_000)))))

    def any(self, start: str, end: str) -> bool:
        """Tell whether a key begins and ends so."""
        pattern = f"{plain(start)}*{plain(end)}"
        return bool(results(lambda: [any(True for _ in self.client.scan_iter(match=pattern, count=1_000))])[0])

    def each(self, items: Sequence[Any], command: Callable[[Any], Command]) -> list[Any]:
        """Return a command's answer for every item, some hundred to a round trip."""
        found: list[Any] = []
        for begin in range(0, len(items), AT_ONCE):
            found += self.run([command(item) for item in items[begin : begin + AT_ONCE]])
        return found

    def delete(self, keys: Sequence[bytes]) -> int:
        """Erase keys; return how many there were."""
        return sum(self.each(keys, lambda key: ("DEL", key)))


class Line:
    """One connection of a pool, held for good: commands out in one piece, answers in."""

    def __init__(self, pool: redis.ConnectionPool) -> None:
        """Take the pool; it connects, and checks the server's life, with the first commands."""
        self._pool = pool
        self._connection: Any = None
        self._ready = select.poll()
        self._reader = hiredis.Reader()

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers, errors among them; what goes wrong on the way is raised, and the connection left."""
        try:
            socket = self._socket()
            socket.sendall(b"".join([hiredis.pack_command(command) for command in commands]))  # type: ignore[arg-type]
            return self._answers(socket, len(commands))
        except (OSError, hiredis.HiredisError) as error:
            self.close()
            if isinstance(error, TimeoutError):
                raise redis.TimeoutError(str(error)) from error
            raise redis.ConnectionError(str(error) or type(error).__name__) from error
        except BaseException:
            # Answers that are still to come would be taken for those to the next commands.
            self.close()
            raise

    def close(self) -> None:
        """Give the connection up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
            self._pool.release(connection)

    def _socket(self) -> Any:
        """Return the socket; one that the server has closed meanwhile is opened anew, which checks its life."""
        if self._connection is not None and self._ready.poll(0):
            self.close()
        if self._connection is None:
            self._connection = self._pool.get_connection()
            self._reader = hiredis.Reader(replyError=self._connection._parser.parse_error)
            self._ready = select.poll()
            self._ready.register(self._connection._sock, select.POLLIN)
        return self._connection._sock

    def _answers(self, socket: Any, count: int) -> list[Any]:
        reader, found = self._reader, list[Any]()
        while len(found) < count:
            answer = reader.gets()
            if answer is not False:
                found.append(answer)
                continue
            data = socket.recv(READ_BYTES)
            if not data:
                msg = "it closed the connection"
                raise ConnectionError(msg)
            reader.feed(data)
        return found


def plain(text: str) -> str:
    """Return a text as a pattern that means it to the letter."""
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", text)


def holds(found: Any, code: bytes) -> bool:
    """Tell whether code stands anywhere in a server's answer: lists or maps, by protocol, of each node."""
    if isinstance(found, dict):
        return any(holds(value, code) for value in found.values())
    if isinstance(found, list | tuple):
        return any(holds(value, code) for value in found)
    return bool(found == code)


def faults_of(info: Any, synced: str = "") -> list[str]:
    """Return why a server cannot keep the store's promise, from what it says of itself and how often it syncs."""
    faults = []
    if synced == "no":
        faults.append(
            "appendfsync is no, so a power cut takes half a minute along, and store.durable_after promises a few "
            "seconds: set appendfsync everysec"
        )
    if not info.get("aof_enabled"):
        faults.append("appendonly is off, so a restart loses the state: set appendonly yes, appendfsync everysec")
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory") and policy != "noeviction":
        faults.append(f"maxmemory-policy is {policy}, so state is dropped silently: set noeviction")
    if info.get("role") != "master":
        faults.append(f"its role is {info.get('role')}, which takes no writes: name the primary in the store's url")
    return faults
