"""Drive an extractor by hand: what the engine does, without scoring."""

from collections.abc import Iterable, Sequence

import numpy as np

from features.extractor import OnlineExtractor
from features.state import layout as at
from features.state.tables import entity_keys, pair_key
from features.stores.redis import RedisStore
from features.stores.working_set import TableStore
from fraud.core.records import (
    Action,
    Answer,
    Arrival,
    Decision,
    KnownLabel,
    Level,
    Position,
    Transaction,
    Values,
    Versions,
)

Rows = dict[str, bytes]


def feed(store: TableStore, stream: Sequence[Arrival], batch: int = 4) -> list[Values]:
    """Look at and absorb every payment, apply every label, in batches; return the vectors."""
    extractor, vectors = OnlineExtractor(store), []
    for begin in range(0, len(stream), batch):
        part = stream[begin : begin + batch]
        extractor.open(part)
        vectors += [vector for arrival in part if (vector := take(extractor, arrival)) is not None]
        extractor.close([])
    return vectors


def take(extractor: OnlineExtractor, arrival: Arrival) -> Values | None:
    """Take one event of an open batch; return the vector of a transaction."""
    event = arrival.event
    if isinstance(event, Transaction):
        vector = extractor.look(event)
        extractor.absorb(event, arrival.position)
        return vector
    if isinstance(event, KnownLabel):
        extractor.apply(event, arrival.position)
    return None


def rows_of(store: TableStore, stream: Sequence[Arrival]) -> Rows:
    """Return key and bytes of every row that the stream can touch; copies of them say what is stored, or it fails."""
    rows = read_rows(store, stream)
    if isinstance(store, RedisStore):
        store.copies.forget()
        assert read_rows(store, stream) == rows, "copies differ from base and log"
    return rows


def read_rows(store: TableStore, stream: Sequence[Arrival]) -> Rows:
    """Return the same, read as one working set."""
    work = store.read(stream)
    rows: Rows = {}
    for arrival in stream:
        if isinstance(arrival.event, Transaction | KnownLabel):
            rows |= {key: work.entities.get(key) for key in entity_keys(arrival.event)}
            key = pair_key(arrival.event.card, arrival.event.merchant)
            rows["pair " + key] = work.pairs.get(key)
    return rows


def without_ratios(rows: Rows) -> Rows:
    """Blank the one field of a ring record that tells when it was scored: its amount against the median of then."""
    return {key: blank_ratio(row) if len(row) == at.ENTITY_BYTES else row for key, row in rows.items()}


def blank_ratio(row: bytes) -> bytes:
    """Return an entity row with every ring record's ratio set to zero."""
    cells = np.frombuffer(row, np.uint8).copy()
    for slot in range(at.RING):
        begin = at.RING_AT + slot * at.EVENT_BYTES + at.E_RATIO
        cells[begin : begin + 2] = 0
    return cells.tobytes()


def answer(tx: Transaction, position: Position, score: float = 0.0) -> Answer:
    """Return a made-up answer."""
    decision = Decision(
        tx_id=tx.id,
        version=tx.version,
        action=Action.APPROVE,
        score=score,
        reasons=(),
        level=Level.FULL,
        versions=Versions("m", "s", "p", "r"),
        seen_at=tx.seen_at,
        happened_at=tx.happened_at,
        card=tx.card,
        merchant=tx.merchant,
        base_amount=tx.base_amount,
    )
    return Answer(decision=decision, position=position)


def same_vectors(one: Iterable[Values], other: Iterable[Values]) -> bool:
    """Tell whether two lists of vectors are equal to the last bit, missing values included."""
    return [values.tobytes() for values in one] == [values.tobytes() for values in other]
