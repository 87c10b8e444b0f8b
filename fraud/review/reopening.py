"""A decided case is opened again, to correct what was said of it."""

from typing import Any

from sqlalchemy import Connection, Row, select, update

from fraud.review.changes import noted
from fraud.review.counters import DESK, add_all
from fraud.review.errors import ConflictError
from fraud.review.people import Person, Role
from fraud.review.picking import case_row, reason_of
from fraud.review.rights import need
from fraud.review.rows import NEVER
from fraud.review.steps import moving, weigh
from fraud.review.tables import alert, case
from fraud.review.tools import Tools
from fraud.review.words import AlertStatus, CaseState, Changed

ENDED = int(AlertStatus.DECIDED), int(AlertStatus.TIMED_OUT)


def reopen(tools: Tools, who: Person, number: int, reason: str, now: int) -> None:
    """Open a decided case again, for who asks: the next verdict corrects what was said.

    What was sent holds until then. Held payments of it can time out no more, for their time is over.

    Raises:
        ConflictError: when it is open.
        InvalidError: without a reason.
    """
    need(who, Role.ANALYST, "reopen a case")
    why = reason_of(reason)
    with tools.database.write() as connection:
        row = case_row(connection, number, hold=True)
        if row.state != CaseState.DECIDED:
            msg = f"case {number} is {CaseState(row.state).word.replace('_', ' ')}: only a decided one can be reopened"
            raise ConflictError(msg)
        ended = select(alert).where(alert.c.case_id == number, alert.c.status.in_(ENDED)).order_by(alert.c.id)
        ids = [_open_again(connection, each, now) for each in connection.execute(ended).all()]
        state = {"state": int(CaseState.REOPENED), "decided_at": None, "owner": who.id, "assignee": who.id}
        until = now + tools.settings.lock
        connection.execute(update(case).where(case.c.id == number).values(**state, lock_until=until))
        tools.audit.append(connection, now, who.name, "case.reopen", f"case/{number}", None, why)
        noted(connection, ids, Changed.ADDED, now)


def _open_again(connection: Connection, row: Row[Any], now: int) -> int:
    """Open an alert again, and return its number."""
    values = {"status": int(AlertStatus.OPEN), "verdict": None, "decided_at": None, "due_at": NEVER}
    connection.execute(update(alert).where(alert.c.id == row.id).values(**values))
    moved = moving(row, AlertStatus.OPEN, now)
    weigh(connection, row.case_id, moved)
    add_all(connection, moved, DESK)
    return int(row.id)
