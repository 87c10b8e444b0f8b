"""Rows as Redis holds them, read by base and log, past any copy."""

from collections.abc import Callable, Sequence

from features.stores.redis import RedisStore
from features.stores.rowlog.copies import Cache, Copies
from fraud.core.ports import Encoder


def stored_rows(
    url: str, keys: Sequence[str], kind: Callable[[Cache], Copies | None], encoder: Encoder | None = None
) -> dict[str, bytes]:
    """Return the rows of some keys, of one kind; one that is not there is empty."""
    store = RedisStore(url, timeout=10)
    copies = kind(Cache(store._keys, 1 << 34, encoder))
    assert copies is not None
    found = {}
    for key in keys:
        ((_, copy),) = copies.touch([key])[1]
        (base, log), _ = store._server.run(copy.whole())
        copies.read_whole(key, base, log, [])
        found[key] = copies.table.get(key)
        copies.drop(key)
    store.close()
    return found
