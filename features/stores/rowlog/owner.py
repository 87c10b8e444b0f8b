"""Whose turn it is with the copies: one batch at a time computes on them, and leaves them as the logs say."""

import weakref

from features.stores.rowlog.copies import Cache
from features.stores.rowlog.keys import Keys
from features.stores.rowlog.working import Appended, LogSet
from fraud.core.ports import Encoder

MIB = 1 << 20


class CacheOwner:
    """Hands the copies of a store to one working set after another. `hits` and `misses` count rows that were read."""

    def __init__(self, keys: Keys, size: int, *, keeps_changes: bool) -> None:
        """Keep `size` bytes of copies; `keeps_changes` as in `LogSet`."""
        self._keys, self._size, self._keeps_changes = keys, size, keeps_changes
        self._cache: Cache | None = None
        self._lent: weakref.ref[LogSet] | None = None
        self._appended: dict[str, Appended] = {}
        self.hits = self.misses = 0

    @property
    def bytes(self) -> int:
        """Return about how many bytes the copies take."""
        return self._cache.bytes if self._cache is not None else 0

    def lend(self, encoder: Encoder | None) -> LogSet:
        """Return a working set over the copies; over none while another one has them."""
        if self._lent is not None:
            if self._lent() is not None:
                return self._made(Cache(self._keys, 0, encoder))
            # It was never written, so what it has done to its rows is not so.
            for appended in self._appended.values():
                appended.drop()
        if self._cache is None or not self._cache.serves(encoder):
            self._cache = Cache(self._keys, self._size, encoder)
        self._cache.encoder = encoder
        work = self._made(self._cache)
        self._lent, self._appended = weakref.ref(work), work.appended
        return work

    def take_back(self, work: LogSet) -> None:
        """Take the copies of a working set that was written."""
        if self._lent is not None and self._lent() is work:
            self._lent = None

    def forget(self) -> None:
        """Forget all copies: it is not known what was written."""
        self._cache, self._lent = None, None

    def _made(self, cache: Cache) -> LogSet:
        return LogSet(cache, keeps_changes=self._keeps_changes)
