"""Releases in Redis: what is in force under one key that workers poll, every move in a list, texts by their hash.

They lie beside the state, not in it: another layout of rows leaves them as they are, and so does an empty state. All
keys are in one slot, so that a cluster moves them together.
"""

from typing import Any

from features.stores.rowlog.keys import Keys, release_key
from features.stores.server import Server
from fraud.core.errors import StoreRestartedError
from fraud.core.releases import Release, need_whole, not_kept, overtaken, release_in
from fraud.core.rules.bundle import text_hash

TIMEOUT = 5.0
MOVE = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('RPUSH', KEYS[2], ARGV[2])
return 1
"""
"""Puts a release in force, unless another one is than was thought, and adds the move."""


class RedisReleases:
    """The Releases port on one server or a cluster, over a connection of its own."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT, namespace: str = "fraud") -> None:
        """Connect; `timeout` is in seconds.

        Raises:
            SettingsError: when `url` is no address, or lacks the password.
            StoreUnavailableError: when nothing answers there.
        """
        self._server = Server(url, timeout)
        self._live, self._pointer = release_key(namespace), Keys(namespace).pointer
        self._moves, self._texts = f"{self._live}:moves", f"{self._live}:texts"
        self._server.reopen()
        self._ask("GET", self._live)

    def put(self, text: str) -> str:
        """Keep a text, for good; return its hash."""
        name = text_hash(text)
        self._ask("HSET", self._texts, name, text.encode())
        return name

    def text(self, name: str) -> str:
        """Return the text of a hash; raise ReleaseError when it is not kept, or is damaged."""
        held = self._ask("HGET", self._texts, name)
        if held is None:
            raise not_kept(name)
        return need_whole(bytes(held), name)

    def live(self) -> Release | None:
        """Return what is in force, None when nothing ever was."""
        return release_in(self._in_force())

    def in_use(self) -> tuple[bytes, bytes]:
        """Return the pointer to a model, and the release in force, each empty when there never was one."""
        return bytes(self._ask("GET", self._pointer) or b""), self._in_force()

    def moves(self) -> list[Release]:
        """Return every move, oldest first."""
        found = (release_in(bytes(text)) for text in self._ask("LRANGE", self._moves, 0, -1))
        return [move for move in found if move is not None]

    def move(self, to: Release, before: Release | None) -> None:
        """Put a release in force in place of another; raise ReleaseError when somebody else was quicker."""
        held = self._in_force()
        if release_in(held) != before or not self._moved(held, to):
            raise overtaken(self.live())

    def close(self) -> None:
        """Release the connection; a second call does nothing."""
        self._server.close()

    def _ask(self, *words: object) -> Any:
        """Return the answer to a command, of whatever life the server is in now: nothing here depends on it."""
        try:
            return self._server.ask(*words)
        except StoreRestartedError:
            self._server.reopen()
            return self._server.ask(*words)

    def _in_force(self) -> bytes:
        return bytes(self._ask("GET", self._live) or b"")

    def _moved(self, held: bytes, to: Release) -> bool:
        return bool(self._ask("EVAL", MOVE, 2, self._live, self._moves, held, to.bytes()))
