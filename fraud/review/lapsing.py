"""A second look of the blind sample that nobody takes: after a while the first verdict holds without it.

Its label leaves then, late but not never, and the verdict is marked as unreviewed. With four eyes nothing lapses: what
one person alone may not order does not come about by waiting. Nor do disagreements: nobody has decided those.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, exists, select, update

from fraud.review.changes import noted
from fraud.review.database import Database
from fraud.review.intake.timeouts import Journal
from fraud.review.leaving import alerts_of
from fraud.review.people import Person, Role
from fraud.review.rows import UNKNOWN, people_of
from fraud.review.steps import Step
from fraud.review.tables import IS_SECOND, case, verdict
from fraud.review.verdicts import FINAL, Said, hold, standing
from fraud.review.views import Given
from fraud.review.words import AlertStatus, CaseState, Changed, Finding, Order, Second

BY = "lapse"
AT_ONCE = 100
"""Cases that lapse in one call; each has its own transaction, so that nobody who decides waits for long."""


def lapse(database: Database, after: int, journal: Journal, now: int) -> int:
    """Let verdicts hold that were given `after` ns ago and that nobody has given once more; return in how many cases.

    `now` is the wall clock, UTC ns.
    """
    overdue = _overdue(now, now - after)
    with database.read() as connection:
        due = connection.execute(select(case.c.id).where(*overdue).order_by(case.c.id).limit(AT_ONCE)).scalars().all()
    lapsed = 0
    for number in due:
        with database.write() as connection:
            held = select(case).where(case.c.id == number, *overdue).with_for_update(skip_locked=True)
            row = connection.execute(held).first()
            # In between somebody may have given the second verdict, or begun to look.
            if row is not None:
                lapsed += _let_hold(connection, row, journal, now)
    return lapsed


def _overdue(now: int, before: int) -> list[ColumnElement[bool]]:
    """Return what holds of cases whose first verdict was given by `before`, those that somebody works on left out."""
    given = exists().where(verdict.c.case_id == case.c.id, verdict.c.superseded_by.is_(None), verdict.c.at <= before)
    free = case.c.lock_until.is_(None) | (case.c.lock_until <= now)
    return [
        IS_SECOND, case.c.kind_second == int(Second.BLIND), case.c.state == int(CaseState.PENDING_SECOND), free, given,
    ]  # fmt: skip


def _let_hold(connection: Connection, row: Row[Any], journal: Journal, now: int) -> bool:
    """Let the first verdict on a case hold; tell whether there was one on alerts that still wait."""
    first = {each.alert_id: each for each in standing(connection, row.id) if each.verdict in FINAL}
    alerts = [each for each in alerts_of(connection, row.id) if each.status == AlertStatus.LOCKED and each.id in first]
    if not alerts:
        return False
    said = _said(alerts, first[alerts[0].id])
    who = people_of(connection, [first[alerts[0].id].by]).get(first[alerts[0].id].by, UNKNOWN)
    numbers = {each.id: first[each.id].id for each in alerts}
    step = Step(connection, Person(first[alerts[0].id].by, who, Role.ANALYST), now, now)
    hold(step, row, said, numbers, ordered=True)
    connection.execute(update(verdict).where(verdict.c.id.in_(numbers.values())).values(unreviewed=True))
    step.end()
    told = {"verdict": said.finding.word, "by": who, "alerts": [each.id for each in alerts]}
    journal(
        connection, now, BY, "verdict.lapse", f"case/{row.id}", Second.BLIND.word, msgspec.json.encode(told).decode()
    )
    noted(connection, [each.id for each in alerts], Changed.CHANGED, now)
    return True


def _said(alerts: Sequence[Row[Any]], first: Row[Any]) -> Said:
    """Return the first verdict as it was given; what was ordered with it has left long ago."""
    finding = Finding(first.verdict)
    return Said(finding, alerts, [Order.NONE] * len(alerts), Given(verdict=finding.word))  # type: ignore[arg-type]
