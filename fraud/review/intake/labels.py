"""Labels: since when each is known, in the state and live, and what it makes of its payment.

They come in another topic than decisions, so either may be first: what is written is the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from fraud.core.records import DAY, KnownLabel, LabelSource, Verdict
from fraud.review import counters
from fraud.review.bulk import change, one_of, put
from fraud.review.counters import Sums
from fraud.review.intake.entities import add_to
from fraud.review.intake.seen import AppliedSeen, KnownSeen
from fraud.review.intake.standing import standing
from fraud.review.tables import label_trace, payment
from fraud.review.words import Known, Teller

VERDICTS = {Verdict.GENUINE: Known.GENUINE, Verdict.FRAUD: Known.FRAUD, Verdict.WITHDRAWN: Known.WITHDRAWN}
TELLERS = {
    LabelSource.CHARGEBACK: Teller.CHARGEBACK,
    LabelSource.ANALYST: Teller.ANALYST,
    LabelSource.SILENCE: Teller.SILENCE,
}
KEY = "tx_id", "source", "happened_at"
KNOWN = *KEY, "verdict", "seen_at", "known_at", "known_offset"
APPLIED = *KEY, "verdict", "seen_at", "applied_at"
_LATER = "excluded.known_offset >= coalesce(label_trace.known_offset, -1)"
KNOWN_AGAIN = (
    "(tx_id, source, happened_at) DO UPDATE SET "
    f"verdict = CASE WHEN {_LATER} THEN excluded.verdict ELSE label_trace.verdict END, seen_at = excluded.seen_at, "
    "known_at = coalesce(label_trace.known_at, excluded.known_at), "
    f"known_offset = CASE WHEN {_LATER} THEN excluded.known_offset ELSE label_trace.known_offset END"
)
APPLIED_AGAIN = (
    "(tx_id, source, happened_at) DO UPDATE SET "
    "applied_at = coalesce(label_trace.applied_at, excluded.applied_at), "
    "seen_at = coalesce(label_trace.seen_at, excluded.seen_at)"
)


class Paid(NamedTuple):
    """A payment with what was known of it before."""

    tx_id: str
    happened_at: int
    card: int
    merchant: int
    device: int | None
    bin: int | None
    verdict: int | None
    verdict_source: int | None


def take(connection: Connection, known: Sequence[KnownSeen], applied: Sequence[AppliedSeen]) -> Sums:
    """Write labels, and what holds of their payments now; return the sums that this changes."""
    newest = {_key(seen.label): seen for seen in known}
    put(connection, label_trace, KNOWN, [_known(key, seen) for key, seen in sorted(newest.items())], KNOWN_AGAIN)
    first = {_key(seen.label): seen for seen in reversed(applied)}
    put(connection, label_trace, APPLIED, [_applied(key, seen) for key, seen in sorted(first.items())], APPLIED_AGAIN)
    return _hold(connection, {seen.label.tx_id: seen.label.paid_at for seen in known})


def alerts_of(connection: Connection, tx_ids: Iterable[str]) -> list[int]:
    """Return the alerts on payments, by number."""
    wanted = set(tx_ids)
    if not wanted:
        return []
    condition, value = one_of("tx_id", connection, wanted, "text")
    found = connection.exec_driver_sql(f"SELECT id FROM alert WHERE {condition} ORDER BY id", (value,))  # noqa: S608
    return list(found.scalars())


def _hold(connection: Connection, paid_at: dict[str, int]) -> Sums:
    """Bring payments to what holds of them by all their labels."""
    if not paid_at:
        return {}
    holds = standing(connection, paid_at)
    sums: Sums = defaultdict(int)
    frauds: dict[int, int] = defaultdict(int)
    rows = []
    for paid in _payments(connection, paid_at):
        now = holds.get(paid.tx_id)
        verdict = None if now is None else now.verdict
        if now is not None or paid.verdict is not None:
            rows.append((paid.tx_id, paid.happened_at, verdict, None if now is None else now.source))
        _count(sums, paid, paid.verdict, -1)
        _count(sums, paid, verdict, 1)
        more = int(verdict == Known.FRAUD) - int(paid.verdict == Known.FRAUD)
        for number in (paid.card, paid.merchant, *(() if paid.device is None else (paid.device,))):
            frauds[number] += more
    change(connection, payment, ("tx_id", "happened_at"), ("verdict", "verdict_source"), rows)
    add_to(connection, "frauds", frauds)
    return sums


def _payments(connection: Connection, paid_at: dict[str, int]) -> list[Paid]:
    """Return the payments that are kept; their times name the parts of PostgreSQL that are looked at."""
    columns = ", ".join(f"payment.{name}" for name in Paid._fields)
    if connection.dialect.name == "sqlite":
        condition, value = one_of("tx_id", connection, paid_at, "text")
        rows: Any = connection.exec_driver_sql(f"SELECT {columns} FROM payment WHERE {condition}", (value,))  # noqa: S608
    else:
        rows = connection.exec_driver_sql(
            f"SELECT {columns} FROM unnest(%s::text[], %s::bigint[]) AS given(tx_id, paid_at) "  # noqa: S608
            "JOIN payment ON payment.tx_id = given.tx_id AND payment.happened_at = given.paid_at",
            (list(paid_at), list(paid_at.values())),
        )
    return [Paid(*row) for row in rows]


def _count(sums: Sums, paid: Paid, verdict: int | None, delta: int) -> None:
    if paid.bin is not None and verdict is not None:
        sums[counters.known(paid.bin, Known(verdict).word), paid.happened_at // DAY] += delta


def _key(label: KnownLabel) -> tuple[str, int, int]:
    return label.tx_id, int(TELLERS[label.source]), label.happened_at


def _known(key: tuple[str, int, int], seen: KnownSeen) -> tuple[object, ...]:
    verdict = int(VERDICTS[seen.label.verdict])
    return (*key, verdict, seen.label.seen_at, seen.known_at, seen.at.offset)


def _applied(key: tuple[str, int, int], seen: AppliedSeen) -> tuple[object, ...]:
    return (*key, int(VERDICTS[seen.label.verdict]), seen.label.seen_at, seen.applied_at)
