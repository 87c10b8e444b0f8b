"""Approved payments to compare an alert with: a random choice, `PEERS` of the newest million.

Whether the n-th approved payment takes a place, and whose, follows from a hash of its id: the first `PEERS` are all
taken, later ones each with the chance PEERS / n, n counted to `HORIZON` at most, so that the choice stays young.
"""

import hashlib
from collections.abc import Sequence

from sqlalchemy import Connection

from fraud.core.records import Action, Decision, Kind
from fraud.review.bulk import put
from fraud.review.intake.payments import is_again
from fraud.review.intake.seen import DecisionSeen
from fraud.review.tables import peer

PEERS, HORIZON = 20_000, 1_000_000
COLUMNS = "slot", "channel", "mcc", "amount", "happened_at", "vector"
CONFLICT = "(slot) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])


def take(connection: Connection, decisions: Sequence[DecisionSeen], before: int) -> int:
    """Write the peers among decisions; `before` were approved before them. Return how many of these are approved."""
    approved = [seen for seen in decisions if _counts(seen.decision)]
    rows: dict[int, tuple[object, ...]] = {}
    for number, seen in enumerate(approved, before):
        place = place_of(seen.decision.tx_id, number)
        if place is not None:
            decision = seen.decision
            row = (decision.channel, decision.mcc, decision.base_amount, decision.happened_at, seen.vector)
            rows[place] = (place, *row)
    put(connection, peer, COLUMNS, [rows[place] for place in sorted(rows)], CONFLICT)
    return len(approved)


def place_of(tx_id: str, number: int) -> int | None:
    """Return the place that the approved payment of a number (from 0) takes, None for none."""
    if number < PEERS:
        return number
    digest = hashlib.blake2b(tx_id.encode(), digest_size=8, person=b"peer").digest()
    place = int.from_bytes(digest, "big") % min(number + 1, HORIZON)
    return place if place < PEERS else None


def _counts(decision: Decision) -> bool:
    return decision.action is Action.APPROVE and decision.kind is Kind.PAYMENT and not is_again(decision)
