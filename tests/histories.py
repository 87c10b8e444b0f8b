"""A scorer that reads histories, for tests: whatever it reads, to the last bit, decides the score."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from features.extractor import OnlineExtractor
from features.state.tables import entity_keys
from features.stores.redis import RedisStore
from features.stores.working_set import TableStore
from fraud.core import tokens as tk
from fraud.core.engine import Engine, Strategy
from fraud.core.labels import LabelBook
from fraud.core.pending import MemoryPending
from fraud.core.ports import Codes, Histories, Matrix, Tokens
from fraud.core.records import Arrival, KnownLabel, Score, Transaction
from fraud.core.settings import Settings
from models.rules_only import RulesOnly
from streaming.wiring import strategy
from tests.contract.driving import Rows, take

WEIGHTS = np.random.default_rng(7).normal(size=(tk.STATIC, tk.CODE)).astype(np.float32)
SIDES = tk.SIDES


class Encoding:
    """An encoder that mixes all that it is given; `version` sets it apart from others."""

    def __init__(self, version: str = "stub") -> None:
        self._version = version
        self.calls: list[int] = []

    @property
    def encoder(self) -> str:
        return self._version

    def encode(self, blocks: Matrix) -> Codes:
        self.calls.append(len(blocks))
        return np.stack([self.code(block) for block in blocks])

    def code(self, block: Matrix) -> NDArray[np.float32]:
        """Return the code of one block: it depends on the order of its events."""
        turned = np.tanh(block @ WEIGHTS) * np.arange(1, tk.BLOCK + 1, dtype=np.float32)[:, None]
        code: NDArray[np.float32] = (turned.sum(axis=0) + len(self._version)).astype(np.float32)
        return code


class Reader(Encoding, RulesOnly):
    """A scorer whose score is a hash of the tokens; it keeps them by id."""

    def __init__(self, version: str = "stub") -> None:
        Encoding.__init__(self, version)
        self.seen: dict[str, bytes] = {}

    def score(self, ids: Sequence[str], matrix: Matrix, histories: Histories | None = None) -> list[Score]:
        assert histories is not None
        found = as_bytes(histories.tokens(range(len(ids)), SIDES))
        self.seen.update(zip(ids, found, strict=True))
        return [Score(tx_id, share(read), self.version) for tx_id, read in zip(ids, found, strict=True)]


def as_bytes(tokens: Tokens) -> list[bytes]:
    """Return the tokens of each row as bytes."""
    arrays = tokens.raw, tokens.sums, tokens.codes, tokens.text
    return [b"".join(array[row].tobytes() for array in arrays) for row in range(len(tokens.raw))]


def share(read: bytes) -> float:
    """Return a hash as a number from 0 to 1."""
    return int.from_bytes(hashlib.blake2b(read, digest_size=4).digest()) / 2**32


def engine_of(scorer: Reader, store: TableStore, kind: type[Engine] = Engine) -> Engine:
    """Return an engine with a label book that scores by histories."""
    extractor = OnlineExtractor(store)
    usual = strategy(Settings(), extractor.version)
    parts = Strategy(scorer, usual.rules, usual.policy)
    return kind(extractor, store, parts, LabelBook(MemoryPending(), keep_vectors=False))


def feed_histories(
    store: TableStore, stream: Sequence[Arrival], batch: int = 4, encoder: Encoding | None = None
) -> list[bytes]:
    """Look at and absorb every payment, apply every label, in batches; return the tokens of each payment."""
    extractor, found = OnlineExtractor(store), list[bytes]()
    for begin in range(0, len(stream), batch):
        part = stream[begin : begin + batch]
        extractor.open(part, encoder or Encoding())
        for arrival in part:
            take(extractor, arrival)
            if isinstance(arrival.event, Transaction):
                histories = extractor.histories([arrival.event.id])
                assert histories is not None
                found += as_bytes(histories.tokens([0], SIDES))
        extractor.close([])
    return found


def histories_of(store: TableStore, stream: Iterable[Arrival], encoder: Encoding | None = None) -> Rows:
    """Return key and bytes of every history that the stream can touch; copies say what is stored, or it fails."""
    events = list(stream)
    rows = read_histories(store, events, encoder or Encoding())
    if isinstance(store, RedisStore):
        store.copies.forget()
        assert read_histories(store, events, encoder or Encoding()) == rows, "copies differ from base and log"
    return rows


def read_histories(store: TableStore, events: Sequence[Arrival], encoder: Encoding) -> Rows:
    """Return the same, read as one working set."""
    table = store.read(events, encoder).histories
    assert table is not None
    keys = [
        key for item in events if isinstance(item.event, Transaction | KnownLabel) for key in entity_keys(item.event)
    ]
    return {key: table.get(key) for key in keys}
