"""One verdict on many alerts: shown before it is given, given in one transaction, undone as one."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, select

from fraud.review.changes import noted
from fraud.review.errors import ConflictError, ForbiddenError, InvalidError
from fraud.review.people import Person, Role
from fraud.review.picking import cap_of, case_row, need_free, need_within
from fraud.review.remedies import chosen
from fraud.review.rights import need
from fraud.review.rows import UNDECIDED
from fraud.review.steps import Step
from fraud.review.tables import alert, case
from fraud.review.tools import Tools
from fraud.review.verdicts import given_in, second_for
from fraud.review.views import BulkPreview, Decided, Given, LeftOut
from fraud.review.words import AlertKind, CaseState, Finding, Order, Second, of_word
from fraud.review.words import Changed as What

WAITS = "it waits for a second person: open its case"
DECIDED = "it is decided already"
UNKNOWN = "there is no such alert"


class Selected(NamedTuple):
    """Alerts that a verdict can go to, by case, and those that it cannot."""

    cases: dict[int, list[Row[Any]]]
    left_out: list[LeftOut]


def preview(tools: Tools, who: Person, alerts: Sequence[int], given: Given, now: int) -> BulkPreview:
    """Return what a verdict on many alerts would do; nothing is changed.

    Raises:
        ForbiddenError: for the role.
        InvalidError: for more alerts than the cap, or an action that is possible for none.
    """
    need(who, Role.ANALYST, "decide cases")
    need_within(tools, who, len(alerts))
    with tools.database.read() as connection:
        selected = _selected(connection, alerts, who, now)
    rows = [row for group in selected.cases.values() for row in group]
    finding = of_word(Finding, given.verdict)
    seconds = [group for group in selected.cases.values() if second_for(tools, group, finding) is Second.FOUR_EYES]
    return BulkPreview(
        alerts=tuple(row.id for row in rows),
        count=len(rows),
        cards=len({row.card for row in rows}),
        merchants=len({row.merchant for row in rows}),
        base_amount=sum(row.base_amount for row in rows),
        at_stake=sum(row.at_stake for row in rows),
        base=tools.base,
        cap=cap_of(tools, who),
        verdict=given.verdict,
        action=_action(given, finding, rows).word,  # type: ignore[arg-type]
        need_second=sum(map(len, seconds)),
        left_out=tuple(selected.left_out),
    )


def decide_all(tools: Tools, who: Person, alerts: Sequence[int], given: Given, now: int) -> Decided:
    """Give one verdict on many alerts, those left out that `preview` leaves out; one undo takes all of it back.

    Raises:
        ForbiddenError: for the role.
        InvalidError: for more alerts than the cap, or an action that is possible for none.
        ConflictError: when none of them waits any more.
    """
    need(who, Role.ANALYST, "decide cases")
    need_within(tools, who, len(alerts))
    finding, second, sent = of_word(Finding, given.verdict), False, False
    done: list[int] = []
    with tools.database.write() as connection:
        selected = _selected(connection, alerts, who, now)
        if not selected.cases:
            msg = f"none of the {len(alerts)} alerts waits for a verdict of yours: load the queue anew"
            raise ConflictError(msg)
        action = _action(given, finding, [row for group in selected.cases.values() for row in group])
        step = Step(connection, who, now, now + tools.settings.undo)
        for number, group in sorted(selected.cases.items()):
            mine = msgspec.structs.replace(given, alerts=tuple(row.id for row in group), action=_fitting(given, group))
            outcome, _ = given_in(tools, step, case_row(connection, number, hold=True), mine)
            done += outcome.alerts
            second, sent = second or outcome.second is not Second.NONE, sent or outcome.sent
        step.end()
        noted(connection, done, What.CHANGED, now)
    return Decided(
        case=0, state=CaseState.DECIDED.word, alerts=tuple(done), verdict=given.verdict,
        action=action.word, undo=step.token, undo_until=step.until, needs_second=second, sent=sent,  # type: ignore[arg-type]
    )  # fmt: skip


def _selected(connection: Connection, alerts: Sequence[int], who: Person, now: int) -> Selected:
    asked = select(alert).where(alert.c.id.in_(alerts)).order_by(alert.c.id)
    rows = {row.id: row for row in connection.execute(asked)}
    numbers = {row.case_id for row in rows.values()}
    cases = {row.id: row for row in connection.execute(select(case).where(case.c.id.in_(numbers)))}
    selected = Selected({}, [])
    for number in dict.fromkeys(alerts):
        row = rows.get(number)
        why = UNKNOWN if row is None else _why_not(connection, row, cases[row.case_id], who, now)
        if row is None or why:
            selected.left_out.append(LeftOut(number, why))
        else:
            selected.cases.setdefault(row.case_id, []).append(row)
    return selected


def _why_not(connection: Connection, row: Row[Any], of: Row[Any], who: Person, now: int) -> str:
    """Return why an alert cannot take part, empty when it can."""
    if row.status not in UNDECIDED:
        return DECIDED
    if of.state == CaseState.PENDING_SECOND:
        return WAITS
    try:
        need_free(connection, of, who, now)
    except (ConflictError, ForbiddenError) as error:
        return str(error)
    return ""


def _action(given: Given, finding: Finding, rows: Sequence[Row[Any]]) -> Order:
    """Return the action that stands for all of a selection; raise InvalidError where it is possible for none."""
    orders = chosen(given.action, finding, [AlertKind(row.kind) for row in rows]) if rows else []
    return next((order for order in orders if order is not Order.NONE), Order.NONE)


def _fitting(given: Given, group: Sequence[Row[Any]]) -> Any:
    """Return the action asked for, or none for a case that does not have it: others of the selection do."""
    try:
        chosen(given.action, of_word(Finding, given.verdict), [AlertKind(row.kind) for row in group])
    except InvalidError:
        return Order.NONE.word
    return given.action
