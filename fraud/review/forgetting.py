"""Erase a card: all that the console keeps of it, but for the fact that it was erased."""

from collections import Counter

from sqlalchemy import ColumnElement, Connection, Table, delete, func, or_, select

from fraud.review import counters
from fraud.review.audit import Audit
from fraud.review.bulk import one_of
from fraud.review.changes import noted
from fraud.review.database import Database
from fraud.review.ids import entity_id
from fraud.review.naming import masked
from fraud.review.tables import (
    action_log,
    alert,
    attachment_ref,
    case,
    entity,
    label_trace,
    note,
    outbox,
    payment,
    reason,
    tag,
    verdict,
)
from fraud.review.words import AlertKind, AlertStatus, Changed, EntityKind

BY = "command line"
UNDECIDED = [int(AlertStatus.OPEN), int(AlertStatus.LOCKED)]


def forget(database: Database, audit: Audit, card: str, now: int, actor: str = BY) -> dict[str, int]:
    """Erase a card and all that tells of it, in one transaction; return how many rows of each table have gone.

    What waits in the outbox goes too: a label or an order that has not left would name it. Merchants and devices keep
    their counts, and graphs of other cards show this one masked, as they always have.
    """
    number = entity_id(EntityKind.CARD, card)
    with database.write() as connection:
        held = select(case.c.id).where(case.c.card_id == number).order_by(case.c.id).with_for_update()
        connection.execute(held).all()
        alerts = list(connection.execute(select(alert.c.id).where(alert.c.card == number)).scalars())
        _leave_badges(connection, number)
        gone = _erase(connection, number)
        if any(gone.values()):
            audit.append(connection, now, actor, "card.forget", f"card/{masked(card)}", None, str(gone))
        noted(connection, alerts, Changed.GONE, now)
    return gone


def _leave_badges(connection: Connection, number: int) -> None:
    """Take the card's undecided alerts off the badges."""
    asked = select(alert.c.kind, func.count(), func.sum(alert.c.at_stake)).where(
        alert.c.card == number, alert.c.status.in_(UNDECIDED)
    )
    sums: Counter[tuple[str, int]] = Counter()
    for kind, count, stake in connection.execute(asked.group_by(alert.c.kind)):
        sums[counters.waiting(AlertKind(kind)), counters.ALL] -= count
        sums[counters.at_stake(AlertKind(kind)), counters.ALL] -= int(stake)
    counters.add_all(connection, sums, counters.DESK)


def _erase(connection: Connection, number: int) -> dict[str, int]:
    """Delete rows, those first that are found by others; verdicts of a case are found by its alerts."""
    alerts = select(alert.c.id).where(alert.c.card == number)
    cases = select(case.c.id).where(case.c.card_id == number)
    paid = select(payment.c.tx_id).where(payment.c.card == number)
    alarmed = select(alert.c.tx_id).where(alert.c.card == number)
    rests = list(connection.execute(select(alert.c.evidence_id).where(alert.c.card == number)).scalars())
    steps: list[tuple[Table, ColumnElement[bool]]] = [
        (label_trace, or_(label_trace.c.tx_id.in_(paid), label_trace.c.tx_id.in_(alarmed))),
        (reason, reason.c.alert_id.in_(alerts)),
        (verdict, verdict.c.alert_id.in_(alerts)),
        (outbox, or_(outbox.c.alert_id.in_(alerts), outbox.c.case_id.in_(cases))),
        (note, or_(note.c.card_id == number, note.c.case_id.in_(cases))),
        (tag, tag.c.case_id.in_(cases)),
        (attachment_ref, attachment_ref.c.case_id.in_(cases)),
        (action_log, action_log.c.card_id == number),
        (alert, alert.c.card == number),
        (case, case.c.card_id == number),
        (payment, payment.c.card == number),
        (entity, entity.c.id == number),
    ]
    gone = {table.name: connection.execute(delete(table).where(where)).rowcount for table, where in steps}
    condition, value = one_of("id", connection, rests, "bigint")
    gone["evidence"] = connection.exec_driver_sql(f"DELETE FROM evidence WHERE {condition}", (value,)).rowcount  # noqa: S608
    return gone
