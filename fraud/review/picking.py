"""Who works on what: the next case, locks that end by themselves, cases that are assigned or put back.

A lock lies on the case alone. While somebody picks, others skip the row (`FOR UPDATE SKIP LOCKED`); SQLite has one
writer at a time, so there two cannot pick the same either.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, literal_column, or_, select, update

from fraud.review.changes import noted
from fraud.review.errors import ConflictError, ForbiddenError, InvalidError, UnknownError
from fraud.review.people import Person, Role
from fraud.review.queue import SECONDS, WALKS, WORKING, held_by, of_filter, ordered, waits_for
from fraud.review.rights import need
from fraud.review.rows import UNDECIDED, UNKNOWN, people_of
from fraud.review.tables import IS_OPEN, account, alert, case
from fraud.review.tools import Tools
from fraud.review.views import Owner, QueueQuery
from fraud.review.words import AlertKind, CaseState, Changed, of_word

LONGEST_REASON = 500


def take_next(tools: Tools, who: Person, work: str | QueueQuery, now: int) -> int | None:
    """Lock the case that comes first in a queue; None when none waits there.

    `work` is a kind of work, or the shelf `second` or `disputes`, the dearest first; or a queue in its own order,
    narrowed by its filter.

    Raises:
        ForbiddenError: for the role.
        InvalidError: when there is no such kind.
    """
    queue = queue_for(work)
    need(who, Role.LEAD if queue.shelf == "disputes" else Role.ANALYST, "take a case")
    with tools.database.write() as connection:
        number = picked(connection, who, queue, now)
        if number is not None:
            lock_for(connection, who, number, now + tools.settings.lock)
            noted(connection, _undecided(connection, number), Changed.CHANGED, now)
    return number


def lock(tools: Tools, who: Person, number: int, now: int) -> Owner:
    """Lock a case, or renew one's lock.

    Raises:
        ConflictError: while somebody else has it, and once it is decided.
        UnknownError: when there is no such case.
    """
    need(who, Role.ANALYST, "lock a case")
    with tools.database.write() as connection:
        row = case_row(connection, number, hold=True)
        if row.state not in WORKING:  # a page that was left open would keep others from reopening it
            msg = f"case {number} is decided: reopen it to work on it"
            raise ConflictError(msg)
        need_free(connection, row, who, now)
        until = now + tools.settings.lock
        lock_for(connection, who, number, until)
        if row.owner != who.id or (row.lock_until or 0) <= now:
            noted(connection, _undecided(connection, number), Changed.CHANGED, now)
    return Owner(who.id, who.name, until, mine=True)


def let_go(tools: Tools, who: Person, number: int, now: int) -> None:
    """End one's lock on a case; somebody else's is left alone."""
    need(who, Role.ANALYST, "let go of a case")
    with tools.database.write() as connection:
        mine = (case.c.id == number) & (case.c.owner == who.id) & (case.c.lock_until > now)
        ended = connection.execute(update(case).where(mine).values(lock_until=None, owner=None))
        if ended.rowcount:
            noted(connection, _undecided(connection, number), Changed.CHANGED, now)


def skip(tools: Tools, who: Person, number: int, reason: str, now: int, queue: QueueQuery | None = None) -> int | None:
    """Put a case back for others, with a reason, and lock the next one, of a queue or of the same kind of work.

    Returns None where nothing else waits; then one gets the same again by `take_next`.

    Raises:
        InvalidError: without a reason.
    """
    need(who, Role.ANALYST, "skip a case")
    why = reason_of(reason)
    with tools.database.write() as connection:
        row = case_row(connection, number, hold=True)
        need_free(connection, row, who, now)
        # It stays marked with who has skipped it, without a lock: their `next` passes it by.
        connection.execute(update(case).where(case.c.id == number).values(owner=who.id, lock_until=None))
        tools.audit.append(connection, now, who.name, "case.skip", f"case/{number}", None, why)
        following = picked(connection, who, queue or work_of(row, _kind(connection, number)), now, but=number)
        if following is not None:
            lock_for(connection, who, following, now + tools.settings.lock)
        noted(connection, _undecided(connection, number), Changed.CHANGED, now)
    return following


def assign(tools: Tools, who: Person, alerts: Sequence[int], colleague: int | None, now: int) -> int:
    """Give the cases of some alerts to somebody (None: to nobody); return how many cases.

    Raises:
        ForbiddenError: for somebody else, or of somebody else's, unless a lead asks.
        InvalidError: for somebody who cannot decide, or more alerts than the cap.
    """
    need(who, Role.LEAD if colleague not in (None, who.id) else Role.ANALYST, "assign cases to somebody else")
    need_within(tools, who, len(alerts))
    with tools.database.write() as connection:
        if colleague is not None:
            _need_colleague(connection, colleague)
        chosen = select(alert.c.case_id).where(alert.c.id.in_(alerts), alert.c.status.in_(UNDECIDED)).distinct()
        cases = sorted(number for (number,) in connection.execute(chosen))
        if who.role < Role.LEAD:
            _need_nobodys(connection, who, cases)
        for number in cases:
            connection.execute(update(case).where(case.c.id == number).values(assignee=colleague))
            tools.audit.append(connection, now, who.name, "case.assign", f"case/{number}", None, str(colleague or ""))
        noted(connection, sorted(alerts), Changed.CHANGED, now)
    return len(cases)


def picked(connection: Connection, who: Person, queue: QueueQuery, now: int, but: int = 0) -> int | None:
    """Return the case that comes next for somebody, its row held until the transaction ends."""
    for mine_too in (False, True):
        row = connection.execute(
            _candidates(who, queue, now, mine_too).where(case.c.id != but).with_for_update(of=case, skip_locked=True)
        ).first()
        if row is not None:
            return int(row.case_id)
    return None


def ahead(connection: Connection, who: Person, queue: QueueQuery, now: int, but: int) -> int | None:
    """Return which case would come next if `but` were done; nothing is locked."""
    row = connection.execute(_candidates(who, queue, now, mine_too=False).where(case.c.id != but)).first()
    return None if row is None else int(row.case_id)


def queue_for(work: str | QueueQuery) -> QueueQuery:
    """Return the queue of a kind of work, or of a shelf that cases are taken from; a queue as it is.

    Raises:
        InvalidError: when there is no such kind.
    """
    if isinstance(work, QueueQuery):
        return work
    known = [kind.word for kind in AlertKind]
    if work not in (*known, *SECONDS):
        msg = f"{work!r} is no kind of work: expected one of {', '.join([*known, *SECONDS])}"
        raise InvalidError(msg)
    return msgspec.convert({"kind": work} if work in known else {"shelf": work}, QueueQuery)


def work_of(row: Row[Any], kind: int) -> QueueQuery:
    """Return the queue that a case was work of; `kind` is that of its alerts."""
    if row.state != CaseState.PENDING_SECOND:
        return queue_for(AlertKind(kind).word)
    return queue_for("disputes" if row.kind_second in SECONDS["disputes"] else "second")


def case_row(connection: Connection, number: int, *, hold: bool = False) -> Row[Any]:
    """Return a case; with `hold` nobody else changes it before the transaction ends.

    Raises:
        UnknownError: when there is none of this number.
    """
    asked = select(case).where(case.c.id == number)
    row = connection.execute(asked.with_for_update() if hold else asked).first()
    if row is None:
        raise no_case(number)
    return row


def no_case(number: int) -> UnknownError:
    """Return what to say of a case that there is not."""
    return UnknownError(f"there is no case {number}")


def need_free(connection: Connection, row: Row[Any], who: Person, now: int) -> None:
    """Raise ConflictError while somebody else has locked a case."""
    if row.owner not in (None, who.id) and (row.lock_until or 0) > now:
        name = people_of(connection, [row.owner]).get(row.owner, UNKNOWN)
        left = (row.lock_until - now) // 1_000_000_000
        msg = f"{name} works on case {row.id}: it is locked for {left} s more, or until they let it go"
        raise ConflictError(msg)


def need_within(tools: Tools, who: Person, count: int) -> None:
    """Raise InvalidError for more alerts at once than somebody may touch."""
    cap = cap_of(tools, who)
    if not 0 < count <= cap:
        msg = f"{count} alerts at once: expected 1 to {cap}; narrow the view, or go in steps"
        raise InvalidError(msg)


def cap_of(tools: Tools, who: Person) -> int:
    """Return how many alerts somebody may touch at once."""
    return tools.settings.bulk_lead if who.role >= Role.LEAD else tools.settings.bulk


def reason_of(text: str) -> str:
    """Return a reason that somebody has given, trimmed; raise InvalidError for none."""
    found = text.strip()
    if not 0 < len(found) <= LONGEST_REASON:
        msg = f"the reason has {len(found)} characters: expected 1 to {LONGEST_REASON}, so that others understand it"
        raise InvalidError(msg)
    return found


def _candidates(who: Person, queue: QueueQuery, now: int, mine_too: bool) -> Select[Any]:
    """Return what asks for the first alert that somebody can take; without `mine_too` of a case that others had."""
    free: ColumnElement[bool] = or_(case.c.owner.is_(None), case.c.lock_until.is_(None), case.c.lock_until <= now)
    if mine_too:
        free = or_(free, case.c.owner == who.id)
    else:
        free = and_(free, or_(case.c.owner.is_(None), case.c.owner != who.id))
    asked = select(alert.c.case_id, alert.c.id).join(case, case.c.id == alert.c.case_id)
    asked = asked.where(*_work(queue, who, now), *of_filter(queue.filter, now))
    asked = asked.where(free, or_(case.c.assignee.is_(None), case.c.assignee == who.id))
    walk = WALKS[queue.order]
    return ordered(asked, walk, falls=walk.falls).limit(1)


def _work(queue: QueueQuery, who: Person, now: int) -> list[ColumnElement[bool]]:
    if queue.shelf == "mine":
        return [alert.c.case_id.in_(held_by(who, now)), alert.c.status.in_(UNDECIDED)]
    if queue.shelf in SECONDS:
        return [alert.c.case_id.in_(waits_for(queue.shelf, who)), alert.c.status.in_(UNDECIDED)]
    goes_on = case.c.state != int(CaseState.PENDING_SECOND)
    return [IS_OPEN, alert.c.kind == literal_column(str(int(of_word(AlertKind, queue.kind)))), goes_on]


def lock_for(connection: Connection, who: Person, number: int, until: int) -> None:
    """Lock a case for somebody, without looking whether it is free."""
    connection.execute(update(case).where(case.c.id == number).values(owner=who.id, lock_until=until))


def _kind(connection: Connection, number: int) -> int:
    """Return what kind of work a case is, by its dearest alert that waits, or any."""
    waits = alert.c.status.in_(UNDECIDED)
    dearest = select(alert.c.kind).where(alert.c.case_id == number).order_by(waits.desc(), alert.c.at_stake.desc())
    return int(connection.execute(dearest.limit(1)).scalar() or 0)


def _undecided(connection: Connection, number: int) -> list[int]:
    chosen = select(alert.c.id).where(alert.c.case_id == number, alert.c.status.in_(UNDECIDED))
    return [each for (each,) in connection.execute(chosen.order_by(alert.c.id))]


def _need_nobodys(connection: Connection, who: Person, cases: Sequence[int]) -> None:
    """Raise ForbiddenError where one of some cases was given to somebody else."""
    others = case.c.id.in_(cases) & case.c.assignee.is_not(None) & (case.c.assignee != who.id)
    given = connection.execute(select(case.c.id).where(others).order_by(case.c.id).limit(1)).scalar()
    if given is not None:
        msg = f"case {given} is given to somebody else: a lead gives it to another person, or to nobody"
        raise ForbiddenError(msg)


def _need_colleague(connection: Connection, number: int) -> None:
    able = (account.c.id == number) & (account.c.state == 1) & (account.c.role >= int(Role.ANALYST))
    if connection.execute(select(func.count()).select_from(account).where(able)).scalar_one() == 0:
        msg = f"account {number} cannot decide cases: expected an active one, analyst or more"
        raise InvalidError(msg)
