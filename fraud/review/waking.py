"""What the desk does by time alone: cases called unsure come back, and the audit log's head is published once a day."""

import msgspec
from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from fraud.core.actions import AuditHead
from fraud.core.records import DAY
from fraud.review.changes import noted
from fraud.review.tables import IS_SNOOZED, alert, audit, case, mark, outbox
from fraud.review.words import AlertStatus, CaseState, Changed, Parcel

AT_ONCE = 500
HEADS = "audit-head"
"""The row of table `mark` that says for which day the audit log's head was sent."""


def wake(connection: Connection, now: int) -> int:
    """Do what is due by time alone: cases called unsure come back, and the day's audit head is sent once a day.

    Returns how many cases came back.
    """
    due = select(case.c.id).where(IS_SNOOZED, case.c.snooze_until <= now).order_by(case.c.id).limit(AT_ONCE)
    cases = [number for (number,) in connection.execute(due.with_for_update(skip_locked=True))]
    woken = _woken(connection, cases, now) if cases else []
    send_head(connection, now)
    noted(connection, woken, Changed.ADDED, now)
    return len(cases)


def _woken(connection: Connection, cases: list[int], now: int) -> list[int]:
    """Open the alerts of cases that were called unsure; return them."""
    going_on = select(case.c.id).where(case.c.id.in_(cases), case.c.state != int(CaseState.PENDING_SECOND))
    waits = (alert.c.status == int(AlertStatus.LOCKED)) & alert.c.case_id.in_(going_on)
    opened = update(alert).where(waits).values(status=int(AlertStatus.OPEN)).returning(alert.c.id)
    ids = sorted(number for (number,) in connection.execute(opened))
    # `owner` goes only where it is no lock: who has called it unsure need not be who works on it now.
    free = case.c.id.in_(cases) & (func.coalesce(case.c.lock_until, 0) <= now)
    connection.execute(update(case).where(free).values(owner=None, lock_until=None))
    connection.execute(update(case).where(case.c.id.in_(cases)).values(snooze_until=None))
    return ids


def send_head(connection: Connection, now: int) -> bool:
    """Publish the newest row of the audit log, once a day of the wall clock; tell whether that was now."""
    day = now // DAY
    if connection.execute(select(mark.c.next_offset).where(mark.c.topic == HEADS)).scalar() == day:
        return False
    newest = connection.execute(select(audit.c.seq, audit.c.mac).order_by(audit.c.seq.desc()).limit(1)).first()
    if newest is None:
        return False
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    row = make(mark).values(topic=HEADS, partition=0, next_offset=day)
    later = row.on_conflict_do_update(
        index_elements=["topic", "partition"], set_={"next_offset": day}, where=mark.c.next_offset < day
    )
    if not connection.execute(later).rowcount:
        return False
    head = AuditHead(seq=newest.seq, mac=bytes(newest.mac).hex(), at=now)
    body = msgspec.json.encode(head)
    connection.execute(insert(outbox).values(kind=int(Parcel.AUDIT_HEAD), body=body, send_after=now))
    return True
