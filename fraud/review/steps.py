"""One confirmation as one step: what it changes, and how that is taken back while nothing of it has left.

A step notes rows as they were before it changes them. Undone within its time, its outbox rows are marked and rows get
their old values; that works after a restart, for the note lies in the database with the rest.
"""

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select, update

from fraud.core.records import HOUR, Label
from fraud.review.changes import noted
from fraud.review.counters import DESK, add_all, at_stake, decided, waiting
from fraud.review.errors import ConflictError, ForbiddenError, GoneError, UnknownError
from fraud.review.people import Person
from fraud.review.rows import UNDECIDED
from fraud.review.tables import IS_OPEN_CASE, action_log, alert, case, label_trace, outbox, step, verdict
from fraud.review.tools import Tools
from fraud.review.views import Undone
from fraud.review.words import AlertKind, AlertStatus, CaseState, Changed, Parcel, Sending, Teller

AT_STAKE = "at-stake/"
OF_ALERT = ("status", "verdict", "decided_at", "due_at")
OF_CASE = ("state", "owner", "assignee", "kind_second", "lock_until", "snooze_until", "decided_at")


class Body(msgspec.Struct):
    """What a step has changed: rows as they were, verdicts that it gave, and those that it put aside."""

    alerts: dict[int, dict[str, int | None]] = {}
    cases: dict[int, dict[str, int | None]] = {}
    verdicts: list[int] = []
    aside: list[int] = []


class Step:
    """One step while it is taken."""

    def __init__(self, connection: Connection, who: Person, now: int, until: int) -> None:
        """Begin with nothing changed; `until` is how long it can be undone."""
        self.connection, self.who, self.now, self.until = connection, who, now, until
        self.token = secrets.token_urlsafe(18)
        self.body = Body({}, {}, [], [])
        self._sums: Counter[tuple[str, int]] = Counter()

    def change_alert(self, row: Row[Any], **values: int | None) -> None:
        """Change an alert, and the sums that it is in."""
        self.body.alerts.setdefault(row.id, {name: getattr(row, name) for name in OF_ALERT})
        self.connection.execute(update(alert).where(alert.c.id == row.id).values(**values))
        if "status" in values:
            moved = moving(row, int(values["status"] or 0), self.now)
            self._sums.update(moved)
            weigh(self.connection, row.case_id, moved)

    def change_case(self, row: Row[Any], **values: int | None) -> None:
        """Change a case."""
        self.body.cases.setdefault(row.id, {name: getattr(row, name) for name in OF_CASE})
        self.connection.execute(update(case).where(case.c.id == row.id).values(**values))

    def give(self, values: dict[str, Any]) -> int:
        """Write a verdict, and return its number."""
        row = {**values, "by": self.who.id, "at": self.now, "token": self.token}
        number = int(self.connection.execute(insert(verdict).values(**row).returning(verdict.c.id)).scalar_one())
        self.body.verdicts.append(number)
        return number

    def put_aside(self, alert_id: int, by: int) -> None:
        """Mark the verdicts that held of an alert as replaced by another one."""
        stands = (verdict.c.alert_id == alert_id) & verdict.c.superseded_by.is_(None) & (verdict.c.id != by)
        gone = self.connection.execute(update(verdict).where(stands).values(superseded_by=by).returning(verdict.c.id))
        self.body.aside += [number for (number,) in gone]

    def end(self) -> None:
        """Write the note, and tell screens; the last thing of a transaction but for the audit log."""
        body = msgspec.to_builtins(self.body, str_keys=True)
        row = {"token": self.token, "by": self.who.id, "at": self.now, "until": self.until, "body": body}
        self.connection.execute(insert(step).values(**row))
        add_all(self.connection, self._sums, DESK)


def moving(row: Row[Any], status: int, now: int) -> dict[tuple[str, int], int]:
    """Return what a change of an alert's status does to the sums."""
    kind = AlertKind(row.kind)
    waits = (status in UNDECIDED) - (row.status in UNDECIDED)
    ends = (status == AlertStatus.DECIDED) - (row.status == AlertStatus.DECIDED)
    hour = (row.decided_at if ends < 0 and row.decided_at else now) // HOUR
    return {(waiting(kind), 0): waits, (at_stake(kind), 0): waits * row.at_stake, (decided(kind), hour): ends}


def weigh(connection: Connection, number: int, moved: Mapping[tuple[str, int], int]) -> None:
    """Add to a case what a change of one of its alerts did to what is at stake."""
    weight = sum(value for (name, _), value in moved.items() if name.startswith(AT_STAKE))
    if weight:
        connection.execute(update(case).where(case.c.id == number).values(at_stake=case.c.at_stake + weight))


def undo(tools: Tools, who: Person, token: str, now: int) -> Undone:
    """Take a step back.

    Raises:
        UnknownError: for no such step.
        ForbiddenError: for somebody else's.
        GoneError: after its time, or a second time.
        ConflictError: when somebody has gone on from it.
    """
    with tools.database.write() as connection:
        row = _taken(connection, who, token, now)
        body = msgspec.convert(row.body, Body, strict=False)
        held = connection.execute(
            select(case).where(case.c.id.in_(body.cases)).order_by(case.c.id).with_for_update()
        ).all()
        _need_last(connection, body)
        _call_back(connection, token, now)
        _restore(connection, body, held, now)
        connection.execute(update(step).where(step.c.token == token).values(undone_at=now))
        for number in sorted(body.cases):
            tools.audit.append(connection, now, who.name, "verdict.undo", f"case/{number}", None, _listed(body))
        noted(connection, sorted(body.alerts), Changed.CHANGED, now)
    return Undone(tuple(sorted(body.cases)), tuple(sorted(body.alerts)))


def _taken(connection: Connection, who: Person, token: str, now: int) -> Row[Any]:
    row = connection.execute(select(step).where(step.c.token == token).with_for_update()).first()
    if row is None:
        msg = "there is no such step: it was never taken, or is older than the database keeps them"
        raise UnknownError(msg)
    if row.by != who.id:
        msg = "only who has decided can undo it: reopen the case instead"
        raise ForbiddenError(msg)
    if row.undone_at is not None:
        msg = "it has been undone already"
        raise GoneError(msg)
    if now >= row.until:
        msg = "the time to undo it has passed, and what it said has left: reopen the case to correct it"
        raise GoneError(msg)
    return row


def _need_last(connection: Connection, body: Body) -> None:
    """Raise ConflictError where somebody has given a verdict on one of the alerts since."""
    later = select(verdict.c.id).where(
        verdict.c.alert_id.in_(body.alerts), verdict.c.id > max(body.verdicts, default=0)
    )
    if connection.execute(later.limit(1)).first() is not None:
        msg = "somebody has given another verdict since: reopen the case to correct it"
        raise ConflictError(msg)


def _call_back(connection: Connection, token: str, now: int) -> None:
    """Mark what was to leave; raise GoneError when some of it has."""
    rows = connection.execute(select(outbox).where(outbox.c.token == token).with_for_update()).all()
    if any(row.sent_at is not None or row.send_after <= now for row in rows):
        msg = "what it said has left already: reopen the case to correct it"
        raise GoneError(msg)
    connection.execute(update(outbox).where(outbox.c.token == token).values(undone=True))
    connection.execute(update(action_log).where(action_log.c.token == token).values(state=int(Sending.UNDONE)))
    for row in rows:
        if row.kind == Parcel.LABEL:
            label = msgspec.json.decode(row.body, type=Label)
            mine = (label_trace.c.tx_id == label.tx_id) & (label_trace.c.source == int(Teller.ANALYST))
            connection.execute(delete(label_trace).where(mine, label_trace.c.happened_at == label.happened_at))


def _restore(connection: Connection, body: Body, held: Sequence[Row[Any]], now: int) -> None:
    """Give rows their old values; verdicts of the step go, those that it put aside hold again."""
    sums: Counter[tuple[str, int]] = Counter()
    for row in connection.execute(select(alert).where(alert.c.id.in_(body.alerts)).order_by(alert.c.id)).all():
        before = body.alerts[row.id]
        moved = moving(row, int(before["status"] or 0), now)
        sums.update(moved)
        connection.execute(update(alert).where(alert.c.id == row.id).values(**before))
        weigh(connection, row.case_id, moved)
    for row in held:
        before = dict(body.cases[row.id])
        if before["state"] in (CaseState.OPEN, CaseState.PENDING_SECOND) and _other_open(connection, row):
            # Another alert of the card has come in between and opened a case: this one stands beside it.
            before["state"] = int(CaseState.REOPENED)
        connection.execute(update(case).where(case.c.id == row.id).values(**before))
    connection.execute(delete(verdict).where(verdict.c.id.in_(body.verdicts)))
    connection.execute(update(verdict).where(verdict.c.id.in_(body.aside)).values(superseded_by=None))
    add_all(connection, sums, DESK)


def _other_open(connection: Connection, row: Row[Any]) -> bool:
    other = select(case.c.id).where(IS_OPEN_CASE, case.c.card_id == row.card_id, case.c.id != row.id)
    return connection.execute(other).first() is not None


def _listed(body: Body) -> str:
    return msgspec.json.encode({"alerts": sorted(body.alerts), "verdicts": sorted(body.verdicts)}).decode()
