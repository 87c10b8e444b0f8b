"""Verdicts: what a person says of a case, and what follows from it.

A verdict goes to the undecided alerts of the case. What it says leaves as labels and orders after the time to undo it,
unless a second person has to look: from an amount on (four eyes) nothing leaves before, of a sample chosen by a hash
(blind) no label does. The second person does not see what the first one said. Where they agree it holds; where not, a
lead decides, and until then no label leaves.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, select

from fraud.core.records import SECOND
from fraud.review.changes import noted
from fraud.review.errors import ConflictError, ForbiddenError, InvalidError
from fraud.review.leaving import Letter, alerts_of, send_labels, send_orders, unblock
from fraud.review.people import Person, Role
from fraud.review.picking import case_row, lock_for, need_free, picked, work_of
from fraud.review.remedies import SETTLES, chosen
from fraud.review.rights import need
from fraud.review.rows import NEVER, UNDECIDED, people_of
from fraud.review.steps import Step
from fraud.review.tables import verdict
from fraud.review.tools import Tools
from fraud.review.views import Decided, Given, QueueQuery
from fraud.review.words import AlertKind, AlertStatus, CaseState, Changed, Finding, Order, Second, of_word

FINAL = Finding.FRAUD, Finding.GENUINE
LONGEST_NOTE = 2_000


class Outcome(NamedTuple):
    """What a verdict came to in one case; `sent`: its labels leave."""

    alerts: tuple[int, ...]
    state: CaseState
    action: Order
    second: Second
    sent: bool


class Said(NamedTuple):
    """A verdict with the alerts that it goes to, and what is done about each."""

    finding: Finding
    alerts: Sequence[Row[Any]]
    orders: Sequence[Order]
    given: Given


def decide(tools: Tools, who: Person, number: int, given: Given, now: int, queue: QueueQuery | None = None) -> Decided:
    """Give a verdict on a case, and lock the next one, of a queue or of the same kind of work.

    Raises:
        ForbiddenError: for the role, or where another person has to look.
        ConflictError: when somebody else has decided, or works on it.
        InvalidError: for an action that is not possible.
        UnknownError: when there is no such case.
    """
    need(who, Role.ANALYST, "decide cases")
    with tools.database.write() as connection:
        step = Step(connection, who, now, now + tools.settings.undo)
        row = case_row(connection, number, hold=True)
        outcome, work = given_in(tools, step, row, given)
        step.end()
        following = picked(connection, who, queue or work, now, but=number)
        if following is not None:
            lock_for(connection, who, following, now + tools.settings.lock)
        noted(connection, outcome.alerts, Changed.CHANGED, now)
    return Decided(
        case=number,
        state=outcome.state.word,
        alerts=outcome.alerts,
        verdict=given.verdict,
        action=outcome.action.word,  # type: ignore[arg-type]
        undo=step.token,
        undo_until=step.until,
        next_case=following,
        needs_second=outcome.second is not Second.NONE,
        sent=outcome.sent,
    )


def given_in(tools: Tools, step: Step, row: Row[Any], given: Given) -> tuple[Outcome, QueueQuery]:
    """Give a verdict on a case whose row is held, and tell what came of it, and the queue that it was work of."""
    need_free(step.connection, row, step.who, step.now)
    rows = alerts_of(step.connection, row.id)
    waiting = _waiting(step.connection, row, rows)
    if not waiting:
        raise _conflict(step, row)
    said = _said(given, waiting)
    if row.state != CaseState.PENDING_SECOND:
        outcome = _first(tools, step, row, said)
    elif row.kind_second in (Second.DISPUTE, Second.ESCALATED):
        outcome = _by_lead(tools, step, row, said)
    else:
        outcome = _second(step, row, said)
    told = {"alerts": outcome.alerts, "verdict": given.verdict, "action": outcome.action.word,
            "state": outcome.state.word, "waits_for": outcome.second.word}  # fmt: skip
    before = msgspec.json.encode({"state": CaseState(row.state).word, "waits_for": Second(row.kind_second).word})
    after = msgspec.json.encode(told)
    tools.audit.append(
        step.connection, step.now, step.who.name, f"verdict.{given.verdict}", f"case/{row.id}", before.decode(),
        after.decode(),
    )  # fmt: skip
    return outcome, work_of(row, said.alerts[0].kind)


def _waiting(connection: Connection, row: Row[Any], rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Return the alerts that a verdict can go to now.

    While a case waits for a second person, what has come to the card since, or was left out, waits for that too.
    """
    waiting = [each for each in rows if each.status in UNDECIDED]
    if row.state != CaseState.PENDING_SECOND:
        return waiting
    locked = [each for each in waiting if each.status == AlertStatus.LOCKED]
    if row.kind_second in (Second.DISPUTE, Second.ESCALATED):
        return locked
    final = {each.alert_id for each in standing(connection, row.id) if each.verdict in FINAL}
    return [each for each in locked if each.id in final]


def second_for(tools: Tools, alerts: Sequence[Any], finding: Finding) -> Second:
    """Return what a first verdict on alerts of one case has to wait for."""
    if finding not in FINAL:
        return Second.NONE
    least = tools.settings.four_eyes_from
    if least and sum(each.base_amount for each in alerts) >= least:
        return Second.FOUR_EYES
    return Second.BLIND if share_of(min(each.uid for each in alerts)) < tools.settings.blind_share else Second.NONE


def share_of(uid: str) -> float:
    """Return where an alert lies in [0, 1) by a hash of its own, so that nobody chooses what is looked at twice."""
    digest = hashlib.blake2b(uid.encode(), digest_size=8, person=b"second look").digest()
    return int.from_bytes(digest, "big") / 2**64


def _said(given: Given, waiting: Sequence[Row[Any]]) -> Said:
    """Return a verdict with its alerts; raise where it names some that do not wait, or cannot be."""
    finding = _finding(given)
    picked_ids = set(given.alerts) or {each.id for each in waiting}
    alerts = [each for each in waiting if each.id in picked_ids]
    if len(alerts) < len(picked_ids):
        msg = "an alert of the selection is decided already, or is of another case: load the case anew"
        raise ConflictError(msg)
    return Said(finding, alerts, chosen(given.action, finding, [AlertKind(each.kind) for each in alerts]), given)


def _finding(given: Given) -> Finding:
    if len(given.note) > LONGEST_NOTE or given.worth not in (None, -1, 1):
        msg = f"the note has {len(given.note)} characters (at most {LONGEST_NOTE}), worth is {given.worth} (-1 or 1)"
        raise InvalidError(msg)
    return of_word(Finding, given.verdict)


def _first(tools: Tools, step: Step, row: Row[Any], said: Said) -> Outcome:
    """Take the first verdict on a case."""
    second = second_for(tools, said.alerts, said.finding)
    if said.finding is Finding.ESCALATED:
        second = Second.ESCALATED
    if second is Second.NONE and said.finding in FINAL:
        return _settle(step, row, said)
    numbers = _give(step, said)
    if second is not Second.FOUR_EYES:
        _order(step, said)
    settles = second is not Second.FOUR_EYES
    for each, order in zip(said.alerts, said.orders, strict=True):
        due = {"due_at": NEVER} if settles and order in SETTLES else {}
        step.change_alert(each, status=int(AlertStatus.LOCKED), **due)
    sent = False
    if said.finding not in FINAL:
        _, sent = _label(step, said, numbers)
    if second is Second.NONE:
        again = step.now + tools.settings.unsure_again
        step.change_case(row, owner=step.who.id, lock_until=None, snooze_until=again)
        return Outcome(_ids(said), CaseState(row.state), _main(said), second, sent)
    step.change_case(
        row, state=int(CaseState.PENDING_SECOND), kind_second=int(second), owner=None, assignee=None, lock_until=None
    )
    return Outcome(_ids(said), CaseState.PENDING_SECOND, _main(said), second, sent)


def _second(step: Step, row: Row[Any], said: Said) -> Outcome:
    """Take the second verdict: where it agrees it holds, else a lead decides."""
    first = {each.alert_id: each for each in standing(step.connection, row.id)}
    need_another(step.who, first.values())
    kind = Second(row.kind_second)
    numbers = _give(step, said, first)
    if _agree(kind, said, first):
        return hold(step, row, said, numbers, ordered=kind is Second.BLIND)
    step.change_case(row, kind_second=int(Second.DISPUTE), owner=None, assignee=None, lock_until=None)
    return Outcome(_ids(said), CaseState.PENDING_SECOND, _main(said), Second.DISPUTE, sent=False)


def _by_lead(tools: Tools, step: Step, row: Row[Any], said: Said) -> Outcome:
    """Take a lead's verdict on a case that two disagree about, or that somebody has passed on."""
    need(step.who, Role.LEAD, "decide what analysts disagree about or have passed on")
    if said.finding is Finding.ESCALATED:
        msg = "a lead decides: expected fraud, genuine or unsure"
        raise InvalidError(msg)
    if row.kind_second == Second.DISPUTE:
        need_another(step.who, standing(step.connection, row.id))
    if said.finding in FINAL:
        return _settle(step, row, said)
    numbers = _give(step, said)
    _order(step, said)
    for each in said.alerts:
        step.change_alert(each, status=int(AlertStatus.LOCKED))
    _, sent = _label(step, said, numbers)
    again = step.now + tools.settings.unsure_again
    step.change_case(
        row, state=int(CaseState.OPEN), kind_second=0, owner=step.who.id, lock_until=None, snooze_until=again
    )
    return Outcome(_ids(said), CaseState.OPEN, _main(said), Second.NONE, sent)


def _settle(step: Step, row: Row[Any], said: Said) -> Outcome:
    """Give a verdict that holds at once."""
    return hold(step, row, said, _give(step, said), ordered=False)


def hold(step: Step, row: Row[Any], said: Said, numbers: dict[int, int], *, ordered: bool) -> Outcome:
    """End what a verdict that holds is about: labels leave, orders too unless they have; alerts are decided."""
    letter, sent = _label(step, said, numbers)
    if not ordered:
        _order(step, said)
    if said.finding is Finding.GENUINE:
        unblock(step.connection, said.alerts, letter, said.finding.word)
    for each in said.alerts:
        step.change_alert(each, status=int(AlertStatus.DECIDED), verdict=int(said.finding), decided_at=step.now)
    state = _rest(step, row, said)
    return Outcome(_ids(said), state, _main(said), Second.NONE, sent)


def _rest(step: Step, row: Row[Any], said: Said) -> CaseState:
    """Close the case, unless some of its alerts still wait."""
    done = set(_ids(said))
    left = [each for each in alerts_of(step.connection, row.id) if each.status in UNDECIDED and each.id not in done]
    free: dict[str, int | None] = {"owner": None, "lock_until": None, "snooze_until": None, "kind_second": 0}
    for each in left:
        if each.status == AlertStatus.LOCKED:
            step.change_alert(each, status=int(AlertStatus.OPEN))
    if not left:
        step.change_case(row, state=int(CaseState.DECIDED), decided_at=step.now, assignee=None, **free)
        return CaseState.DECIDED
    state = CaseState.REOPENED if row.state == CaseState.REOPENED else CaseState.OPEN
    step.change_case(row, state=int(state), **free)
    return state


def _give(step: Step, said: Said, first: dict[int, Row[Any]] | None = None) -> dict[int, int]:
    """Write the verdict on each alert; return their numbers. What held before is put aside, a first look excepted."""
    numbers = {}
    for each, order in zip(said.alerts, said.orders, strict=True):
        before = None if first is None else first[each.id]
        number = step.give(
            {
                "alert_id": each.id, "case_id": each.case_id, "verdict": int(said.finding), "action": int(order),
                "second_of": None if before is None else before.id, "blind": before is not None,
                "worth_review": said.given.worth, "happened_at": each.happened_at, "note": said.given.note.strip(),
                "seconds_spent": said.given.seconds / len(said.alerts), "keys": said.given.keys,
            }
        )  # fmt: skip
        if before is None:
            step.put_aside(each.id, number)
        numbers[each.id] = number
    return numbers


def _label(step: Step, said: Said, numbers: dict[int, int]) -> tuple[Letter, bool]:
    """Send the labels of a verdict; tell whether any leaves, and note version and time with the verdict."""
    letter = _letter(step)
    told = send_labels(step.connection, said.alerts, said.finding, letter)
    for each in said.alerts:
        if each.tx_id in told:
            version, happened_at = told[each.tx_id]
            mine = verdict.c.id == numbers[each.id]
            step.connection.execute(verdict.update().where(mine).values(version=version, happened_at=happened_at))
    return letter, bool(told)


def _order(step: Step, said: Said) -> None:
    send_orders(step.connection, said.alerts, said.orders, _letter(step), said.finding.word)


def _letter(step: Step) -> Letter:
    return Letter(step.who, step.now, step.token, step.until)


def need_another(who: Person, before: Any) -> None:
    """Raise ForbiddenError for somebody who has given one of these verdicts."""
    if any(each.by == who.id for each in before):
        msg = "you have looked at this case already: another person has to"
        raise ForbiddenError(msg)


def standing(connection: Connection, number: int) -> list[Row[Any]]:
    """Return the verdicts of a case that hold or wait, in order."""
    stands = (verdict.c.case_id == number) & verdict.c.superseded_by.is_(None)
    return list(connection.execute(select(verdict).where(stands).order_by(verdict.c.id.desc())))


def _agree(kind: Second, said: Said, first: dict[int, Row[Any]]) -> bool:
    """Tell whether a second verdict says what the first one did; with four eyes what is done must be the same too."""
    pairs = [(first[each.id], order) for each, order in zip(said.alerts, said.orders, strict=True)]
    if any(before.verdict != said.finding for before, _ in pairs):
        return False
    return kind is Second.BLIND or all(before.action == order for before, order in pairs)


def _conflict(step: Step, row: Row[Any]) -> ConflictError:
    """Return what to say where nothing waits any more: who has decided, when and how."""
    newest = next(iter(standing(step.connection, row.id)), None)
    if newest is None:
        return ConflictError(f"case {row.id} waits for nobody any more: its alerts have timed out; reopen it")
    name = people_of(step.connection, [newest.by]).get(newest.by, "somebody")
    ago = max(0, step.now - newest.at) // SECOND
    what = f"{Finding(newest.verdict).word}, {Order(newest.action).word.replace('_', ' ')}"
    return ConflictError(f"{name} decided this {ago} s ago: {what}; reopen the case to change it")


def _ids(said: Said) -> tuple[int, ...]:
    return tuple(each.id for each in said.alerts)


def _main(said: Said) -> Order:
    """Return the action that stands for all: the first that is one."""
    return next((order for order in said.orders if order is not Order.NONE), Order.NONE)
