"""Payments, for histories and graphs: kept for a while, each once, with what is known of them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from fraud.core.identity import name_of
from fraud.core.records import DAY, HOUR, Action, Decision, Kind, Mark
from fraud.review import counters, partitions
from fraud.review.bulk import one_of, put
from fraud.review.counters import Sums
from fraud.review.intake.entities import Entities, Parties
from fraud.review.intake.seen import DecisionSeen
from fraud.review.intake.standing import Standing
from fraud.review.tables import payment
from fraud.review.words import Deed, Known

COLUMNS = (
    "tx_id", "version", "card", "merchant", "device", "happened_at", "amount", "score", "bin", "action", "verdict",
    "verdict_source",
)  # fmt: skip
DEEDS = {action: Deed(action.rank) for action in Action}
MILLION = 1_000_000


class Told(NamedTuple):
    """A payment of a batch with its parties."""

    seen: DecisionSeen
    parties: Parties


def is_again(decision: Decision) -> bool:
    """Tell whether an earlier decision on the same payment may have been counted already."""
    return decision.version > 0 or Mark.REPEATED in decision.marks


def see(decisions: Sequence[DecisionSeen], entities: Entities) -> list[Told]:
    """Return decisions with their parties, which are noted."""
    return [Told(seen, entities.see(seen.decision, counts=not is_again(seen.decision))) for seen in decisions]


def write(
    connection: Connection, told: Sequence[Told], since: int, standing: Mapping[str, Standing], parts: set[int]
) -> None:
    """Keep payments from `since` on; of a payment that came before, this is its row now.

    `parts` are the days that PostgreSQL is known to have a part for; those of this batch are added.
    """
    kept = [each for each in told if _is_kept(each.seen.decision, since)]
    again = [name_of(each.seen.decision) for each in kept if is_again(each.seen.decision)]
    if again:
        condition, value = one_of("tx_id", connection, again, "text")
        connection.exec_driver_sql(f"DELETE FROM payment WHERE {condition}", (value,))  # noqa: S608
    partitions.make(connection, {each.seen.decision.happened_at // DAY for each in kept}, parts)
    put(connection, payment, COLUMNS, [_row(each, standing) for each in kept])


def count(told: Sequence[Told], standing: Mapping[str, Standing], entities: Entities) -> Sums:
    """Return the sums that payments add to; frauds known already are counted with their entities."""
    sums: Sums = defaultdict(int)
    for each in told:
        decision = each.seen.decision
        if is_again(decision):
            continue
        sums[counters.payments(decision.action.value), decision.happened_at // HOUR] += 1
        _calibrate(sums, decision, standing.get(name_of(decision)))
        if (known := standing.get(name_of(decision))) is not None and known.verdict == Known.FRAUD:
            entities.add_fraud(each.parties)
    return sums


def bin_of(decision: Decision) -> int | None:
    """Return the bin of the model's own probability, None where no model has scored."""
    return None if decision.model_score is None else counters.bin_of(decision.model_score)


def _calibrate(sums: Sums, decision: Decision, known: Standing | None) -> None:
    bin_, day = bin_of(decision), decision.happened_at // DAY
    if bin_ is None or decision.model_score is None:
        return
    sums[counters.said(bin_), day] += 1
    sums[counters.said_sum(bin_), day] += round(decision.model_score * MILLION)
    if known is not None:
        sums[counters.known(bin_, Known(known.verdict).word), day] += 1


def _is_kept(decision: Decision, since: int) -> bool:
    return decision.happened_at >= since and Mark.SUPERSEDED not in decision.marks


def _row(told: Told, standing: Mapping[str, Standing]) -> tuple[object, ...]:
    """Return the row of a payment; money that flows back is below zero."""
    decision = told.seen.decision
    amount = decision.base_amount if decision.kind is Kind.PAYMENT else -decision.base_amount
    known = standing.get(name_of(decision))
    return (
        name_of(decision),
        decision.version,
        *told.parties,
        decision.happened_at,
        amount,
        decision.score,
        bin_of(decision),
        int(DEEDS[decision.action]),
        None if known is None else known.verdict,
        None if known is None else known.source,
    )
