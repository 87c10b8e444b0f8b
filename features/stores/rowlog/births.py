"""The name that a state was given when it was empty: another one means that all was lost.

A cluster has a part of it in every 64th of its slots, so that one primary that comes back empty is noticed: the parts
move with their slots when slots move. A primary with less than 1.6 % of the slots may have none.
"""

from collections.abc import Iterator, Sequence

from redis.crc import key_slot

from features.stores.rowlog.keys import Keys
from features.stores.rowlog.upgrade import MOVED
from features.stores.server import Server
from fraud.core.errors import StateError

PARTS, SLOTS = 64, 16_384


class Births:
    """Reads and writes the name."""

    def __init__(self, server: Server, keys: Keys, site: str = "") -> None:
        """Take the server, or cluster, the names in it, and whose state it is to be; empty for who does not care."""
        self._server, self._keys, self._site = server, keys, site
        self._parts = list(parts(keys.birth)) if server.cluster else [keys.birth]

    def read(self) -> str:
        """Return the name, given now when the state has none; one that tells of its loss when parts are missing.

        Raises:
            StateError: when it is the state of another site.
        """
        if self._site:
            self._need_site()
        held = self._held()
        if not any(held):
            old = self._server.ask("GET", self._keys.old_birth)
            name = old.decode() if old and not old.startswith(MOVED) else self._now()
            self._server.run([("SET", part, name, "NX") for part in self._parts])
            if old and not old.startswith(MOVED):
                # A worker of the release before finds another state than it has committed with, and refuses.
                self._server.ask("SET", self._keys.old_birth, MOVED + old)
            held = self._held()
        return told(held)

    def now(self) -> str:
        """Return the name as it stands, without giving one; empty when there is none."""
        held = self._held()
        return told(held) if any(held) else ""

    def site(self) -> str:
        """Return whose state it is; empty when nobody has said so."""
        return bytes(self._server.ask("GET", self._keys.site) or b"").decode()

    def _need_site(self) -> None:
        """Say whose state it is, unless it is another one's."""
        self._server.ask("SET", self._keys.site, self._site, "NX")
        if (held := self.site()) != self._site:
            namespace = self._keys.prefix.partition(":")[0]
            msg = (
                f"the state in namespace '{namespace}' is of the site with {held}, this is the one with {self._site}: "
                "give it store.namespace or a store.url of its own; where the site was renamed, empty the store and "
                "fill it with 'fraud state rebuild'"
            )
            raise StateError(msg)

    def write(self, name: str) -> None:
        """Give the state another name."""
        self._server.run([("SET", part, name) for part in self._parts])

    def _held(self) -> list[bytes | None]:
        return self._server.run([("GET", part) for part in self._parts])

    def _now(self) -> str:
        """Return the server's time as a name."""
        seconds, microseconds = self._server.ask("TIME", **self._server.everywhere()[0])
        return f"{int(seconds)}.{int(microseconds):06d}"


def told(held: Sequence[bytes | None]) -> str:
    """Return the name that the parts make, or what is wrong with them."""
    names = {value.decode() for value in held if value}
    missing = sum(not value for value in held)
    if missing:
        return f"{max(names)}, but {missing} of {len(held)} parts are lost"
    return max(names) if len(names) == 1 else f"{max(names)}, but in parts {', '.join(sorted(names))}"


def parts(name: str) -> Iterator[str]:
    """Yield a key for every 64th of a cluster's slots."""
    missing = set(range(PARTS))
    number = 0
    while missing:
        key = f"{name}:{{{number}}}"
        part = key_slot(key.encode()) * PARTS // SLOTS
        if part in missing:
            missing.remove(part)
            yield key
        number += 1
