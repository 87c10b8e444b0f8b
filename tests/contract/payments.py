"""Payments and verdicts made by hand, and what of a row tells whether they arrived."""

import numpy as np

from features.state import layout as at
from features.stores.working_set import TableStore
from fraud.core.records import Arrival, KnownLabel, LabelSource, Position, Transaction, Verdict
from tests.contract.traffic import START


def payment(name: str, *, card: str = "a", merchant: str = "m", amount: int = 1_000, after: int = 0) -> Transaction:
    when = START + after
    return Transaction(
        id=name, card=card, merchant=merchant, amount=amount, base_amount=amount, happened_at=when, seen_at=when
    )


def sent(event: Transaction | KnownLabel, offset: int, topic: str = "transactions") -> Arrival:
    return Arrival(event, Position(topic, 0, offset))


def verdict_on(tx: Transaction, verdict: Verdict, after: int, replaces: KnownLabel | None = None) -> KnownLabel:
    return KnownLabel(
        tx_id=tx.id,
        verdict=verdict,
        source=LabelSource.CHARGEBACK,
        happened_at=START + after,
        seen_at=START + after,
        card=tx.card,
        merchant=tx.merchant,
        paid_at=tx.happened_at,
        base_amount=tx.base_amount,
        replaces=replaces.verdict if replaces else None,
        replaces_at=replaces.happened_at if replaces else 0,
    )


def header(row: bytes) -> list[int]:
    return [int(field) for field in np.frombuffer(row[: at.BUCKETS_AT], np.int64)]


def count(store: TableStore, tx: Transaction, key: str) -> int:
    return header(store.read([sent(tx, 0)]).entities.get(key))[at.H_COUNT]


def counts_of(row: bytes) -> tuple[list[int], list[int]]:
    """Return the verdict totals and label buckets' counts of an entity or pair row, epochs left out when empty."""
    if len(row) == at.PAIR_BYTES:
        return [int(field) for field in np.frombuffer(row[:64], np.int64)[4:6]], []
    cells = np.frombuffer(row[at.RISK_AT : at.AMOUNTS_AT], np.uint32).reshape(-1, 3)
    return header(row)[at.H_LABELS : at.H_FRAUDS + 1], [int(count) for cell in cells if cell[1] for count in cell]
