"""What becomes of alerts that nobody has looked at in time: closed without a label; a held payment gets its order.

Silence is no verdict: that a payment was let go after half an hour says nothing of whether it was a fraud. Where one
person has said what it was and another is to say so too, the payment is let go, and the question stays.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection

from fraud.core.actions import CaseAction
from fraud.core.records import HOUR, MINUTE
from fraud.review import counters
from fraud.review.bulk import one_of, put, put_new
from fraud.review.changes import noted
from fraud.review.counters import Sums
from fraud.review.intake.alerts import TOO_LATE
from fraud.review.intake.seen import Changes
from fraud.review.intake.terms import Terms
from fraud.review.rows import NEVER
from fraud.review.tables import action_log, outbox
from fraud.review.words import (
    AlertKind,
    AlertStatus,
    CaseState,
    Changed,
    Finding,
    Order,
    Parcel,
    Second,
    Sending,
    of_word,
)

Journal = Callable[[Connection, int, str, str, str, str | None, str | None], object]
"""Notes in the audit log: when (UTC ns), who, what, of what, as it was before, as it is now."""
MOST = 500
"""Alerts that are closed in one transaction."""
GRACE = 10 * MINUTE
"""So much longer somebody who works on a case keeps its alerts from being closed."""
BY = "time-out"
SAID = f"verdict.verdict <> {int(Finding.UNSURE)}"
UNDECIDED = f"({int(AlertStatus.OPEN)}, {int(AlertStatus.LOCKED)})"
LOG = "case_id", "alert_id", "card_id", "kind", "state", "at"
OUT = "kind", "body", "send_after", "case_id", "alert_id", "action_id"


class Late(NamedTuple):
    """An alert that was closed."""

    id: int
    case_id: int
    kind: int
    card: int
    tx_id: str
    version: int
    at_stake: int
    due_at: int


def expire(connection: Connection, terms: Terms, now: int, journal: Journal) -> Changes:
    """Close alerts that are due at `now`, `MOST` at most, with what follows; return which, and which wait on."""
    due = _due(connection, now)
    asked = _asked(connection, due)
    late = _closed(connection, sorted(set(due) - {each.id for each in asked}), now)
    if not late and not asked:
        return Changes()
    ordered = _order(connection, [each for each in (*late, *asked) if _is_waited_for(each, now)], terms, now)
    _close_cases(connection, late, now)
    counters.add_all(connection, _sums(late, now), counters.PROJECTOR)
    numbers = tuple(each.id for each in late)
    for each in ordered:
        journal(connection, now, BY, terms.timed_out.value, f"alert/{each.id}", None, f"case/{each.case_id}")
    noted(connection, numbers, Changed.GONE, now)
    stay = tuple(each.id for each in asked)
    noted(connection, stay, Changed.CHANGED, now)
    return Changes(changed=numbers + stay)


def _due(connection: Connection, now: int) -> list[int]:
    """Return the alerts that are due, the longest first; those whose case somebody changes at this moment come later.

    Open ones of any kind; of those that wait for somebody (locked) the held ones, for their payments wait too.
    """
    postgresql = connection.dialect.name == "postgresql"
    mark, ending = ("%s", ' FOR UPDATE OF "case" SKIP LOCKED') if postgresql else ("?", "")
    found: list[int] = []
    for status, kinds in ((AlertStatus.OPEN, list(AlertKind)), (AlertStatus.LOCKED, [AlertKind.HELD])):
        for kind in kinds:
            rows = connection.exec_driver_sql(
                'SELECT alert.id FROM alert JOIN "case" ON "case".id = alert.case_id '  # noqa: S608, numbers of ours
                f"WHERE alert.status = {int(status)} AND alert.kind = {int(kind)} AND alert.due_at <= {mark} "
                f'AND (coalesce("case".lock_until, 0) <= {mark} OR alert.due_at <= {mark}) '
                f"ORDER BY alert.due_at, alert.id LIMIT {MOST - len(found)}{ending}",
                (now, now, now - GRACE),
            )
            found += rows.scalars()
    return found


def _asked(connection: Connection, numbers: Sequence[int]) -> list[Late]:
    """Return those that a second person, or a lead, is asked about: they stay, with no time that could run out."""
    if not numbers:
        return []
    condition, value = one_of("id", connection, numbers, "bigint")
    rows: Any = connection.exec_driver_sql(
        f"SELECT {', '.join(Late._fields)} FROM alert "  # noqa: S608, names and numbers of ours
        f"WHERE {condition} AND status = {int(AlertStatus.LOCKED)} AND EXISTS "
        f'(SELECT 1 FROM "case" WHERE id = alert.case_id AND state = {int(CaseState.PENDING_SECOND)}) AND EXISTS '
        f"(SELECT 1 FROM verdict WHERE alert_id = alert.id AND superseded_by IS NULL AND {SAID})",
        (value,),
    )
    found = sorted(Late(*row) for row in rows)
    condition, value = one_of("id", connection, [each.id for each in found], "bigint")
    connection.exec_driver_sql(f"UPDATE alert SET due_at = {NEVER} WHERE {condition}", (value,))  # noqa: S608
    return found


def _closed(connection: Connection, numbers: Sequence[int], now: int) -> list[Late]:
    """Close alerts that are still undecided; return them."""
    if not numbers:
        return []
    condition, value = one_of("id", connection, numbers, "bigint")
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    rows: Any = connection.exec_driver_sql(
        f"UPDATE alert SET status = {int(AlertStatus.TIMED_OUT)}, decided_at = {mark} "  # noqa: S608, numbers of ours
        f"WHERE status IN {UNDECIDED} AND {condition} RETURNING {', '.join(Late._fields)}",
        (now, value),
    )
    return sorted(Late(*row) for row in rows)


def _is_waited_for(late: Late, now: int) -> bool:
    return late.kind == AlertKind.HELD and late.due_at + TOO_LATE > now


def _order(connection: Connection, late: Sequence[Late], terms: Terms, now: int) -> list[Late]:
    """Order what becomes of held payments, but for those that somebody has given an order for; return which."""
    ordered = _ordered(connection, [each.id for each in late])
    left = [each for each in late if each.id not in ordered]
    names = _names(connection, [each.card for each in left])
    kind = of_word(Order, terms.timed_out.value)
    rows = [(each.case_id, each.id, each.card, int(kind), int(Sending.WAITING), now) for each in left]
    numbers = {alert_id: number for number, alert_id in put_new(connection, action_log, LOG, rows, "id, alert_id")}
    bodies = [_body(each, names.get(each.card, ""), terms, now) for each in left]
    parcels = [
        (int(Parcel.ORDER), body, now, each.case_id, each.id, numbers[each.id])
        for each, body in zip(left, bodies, strict=True)
    ]
    put(connection, outbox, OUT, parcels)
    return left


def _body(late: Late, card: str, terms: Terms, now: int) -> bytes:
    digest = hashlib.blake2b(f"{BY}\0{late.case_id}\0{late.id}\0{terms.timed_out}".encode(), digest_size=12)
    return msgspec.json.encode(
        CaseAction(
            id=digest.hexdigest(),
            action=terms.timed_out,
            card=card,
            at=now,
            by=BY,
            tx_id=late.tx_id,
            version=late.version,
            case=str(late.case_id),
            reason="nobody has looked at it in time",
        )
    )


def _ordered(connection: Connection, alerts: Sequence[int]) -> set[int]:
    """Return the alerts whose payment somebody has given an order for, sent or about to be."""
    orders = f"({int(Order.RELEASE)}, {int(Order.DECLINE)}, {int(Order.STEP_UP)})"
    condition, value = one_of("alert_id", connection, alerts, "bigint")
    rows = connection.exec_driver_sql(
        f"SELECT alert_id FROM action_log WHERE state <> {int(Sending.UNDONE)} AND kind IN {orders} AND {condition}",  # noqa: S608
        (value,),
    )
    return set(rows.scalars())


def _names(connection: Connection, numbers: Sequence[int]) -> dict[int, str]:
    condition, value = one_of("id", connection, numbers, "bigint")
    rows = connection.exec_driver_sql(f"SELECT id, name FROM entity WHERE {condition}", (value,))  # noqa: S608
    return {number: name for number, name in rows}


def _close_cases(connection: Connection, late: Sequence[Late], now: int) -> None:
    """Take closed alerts off their cases; an open one that has none left is closed, unless a second person is asked."""
    stakes: dict[int, int] = defaultdict(int)
    for each in late:
        stakes[each.case_id] += each.at_stake
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    for number, stake in sorted(stakes.items()):
        connection.exec_driver_sql(
            f'UPDATE "case" SET at_stake = at_stake - {mark} WHERE id = {mark}',  # noqa: S608
            (stake, number),
        )
    condition, value = one_of("id", connection, stakes, "bigint")
    connection.exec_driver_sql(
        f'UPDATE "case" SET state = {int(CaseState.DECIDED)}, decided_at = {mark}, owner = NULL, lock_until = NULL '  # noqa: S608
        f"WHERE state = {int(CaseState.OPEN)} AND kind_second = {int(Second.NONE)} AND {condition} AND NOT EXISTS "
        f'(SELECT 1 FROM alert WHERE alert.case_id = "case".id AND alert.status IN {UNDECIDED})',
        (now, value),
    )


def _sums(late: Sequence[Late], now: int) -> Sums:
    sums: Sums = defaultdict(int)
    for each in late:
        kind = AlertKind(each.kind)
        sums[counters.waiting(kind), counters.ALL] -= 1
        sums[counters.at_stake(kind), counters.ALL] -= each.at_stake
        sums[counters.timed_out(kind), now // HOUR] += 1
    return sums
