"""The queue: pages of alerts by key, its filters, its badges, and its export.

Pages go by the key of their last row, never by an offset; nothing is counted through. With a kind of work and an order
each page is a walk along one partial index, whatever its depth.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    and_,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    union,
    union_all,
)

from fraud.review.changes import newest_change
from fraud.review.counters import at_stake, read_some, waiting
from fraud.review.errors import InvalidError
from fraud.review.naming import number_of
from fraud.review.people import Person, Role
from fraud.review.rights import need
from fraud.review.rows import UNDECIDED, colleagues, row_query, rows_from, rows_of
from fraud.review.saved import saved_views
from fraud.review.tables import IS_OPEN, IS_SECOND, alert, case, payment, reason, tag, verdict
from fraud.review.tools import HEARD, Tools, marked_at
from fraud.review.truths import OF_ALERT, contradicted
from fraud.review.views import Badge, Order, QueueFilter, QueuePage, QueueQuery, QueueRow, Shelf
from fraud.review.words import AlertKind, CaseState, Deed, Second, of_word

MOST = 200
"""Rows of a page at most."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a cell begins with that a spreadsheet takes for a formula; the last four are the first ones in full width."""
COUNTED = 1_000
"""Up to how many a shelf that no sum is kept of is counted."""
SECONDS = {"second": (Second.FOUR_EYES, Second.BLIND), "disputes": (Second.DISPUTE, Second.ESCALATED)}
WORKING = CaseState.OPEN, CaseState.PENDING_SECOND, CaseState.REOPENED
HEAD = (
    "alert", "kind", "status", "arrived_at", "due_at", "score", "at_stake", "expected_loss", "base_amount", "amount",
    "currency", "card", "merchant", "channel", "took", "verdict", "model", "reasons",
)  # fmt: skip


class Walk(NamedTuple):
    """An order: the column that leads, None where the alert's number alone does, and whether it falls."""

    column: ColumnElement[int] | None
    falls: bool


WALKS: dict[Order, Walk] = {
    "at_stake": Walk(alert.c.at_stake, True),
    "expected_loss": Walk(alert.c.expected_loss, True),
    "due": Walk(alert.c.due_at, False),
    "newest": Walk(None, True),
}


def page_of(tools: Tools, query: QueueQuery, who: Person, now: int) -> QueuePage:
    """Return a page of a queue with its badges."""
    with tools.database.read() as connection:
        # Before the rows: what changes meanwhile is told once more, and not left out.
        asked = select(newest_change().scalar_subquery(), marked_at(HEARD).scalar_subquery())
        newest, heard_at = connection.execute(asked).one()
        rows, more = _walked(connection, query, who, now, min(query.limit, MOST))
        plain = query.shelf == "kind" and not query.filter
        badges = badges_of(connection, who, now)
        mine = next((badge for badge in badges if badge.shelf == "kind" and badge.kind == query.kind), None)
        return QueuePage(
            query=query,
            base=tools.base,
            badges=badges,
            saved=saved_views(connection, who),
            rows=rows_from(connection, rows, who, now),
            total=mine.count if plain and mine else None,
            at_stake=mine.at_stake if plain and mine else None,
            after=_key(query.order, rows[-1]) if rows and (more or query.before) else "",
            before=_key(query.order, rows[0]) if rows and (query.after or (query.before and more)) else "",
            newest=newest or 0,
            asked_at=now,
            colleagues=colleagues(connection),
            last_decision_at=heard_at or 0,
        )


def shown_rows(tools: Tools, ids: Sequence[int], who: Person, now: int) -> tuple[QueueRow, ...]:
    """Return the rows of some alerts, for a page that shows them already."""
    with tools.database.read() as connection:
        return rows_of(connection, ids, who, now)


def waiting_badges(tools: Tools, who: Person, now: int) -> tuple[Badge, ...]:
    """Return the badges alone."""
    with tools.database.read() as connection:
        return badges_of(connection, who, now)


def badges_of(connection: Connection, who: Person, now: int) -> tuple[Badge, ...]:
    """Return what waits: each kind of work by its sums, other shelves counted up to a limit, lead's for leads."""
    sums = read_some(connection, [name(kind) for kind in AlertKind for name in (waiting, at_stake)])
    oldest = connection.execute(select(*(_oldest(kind).scalar_subquery() for kind in AlertKind))).one()
    badges = []
    for kind, arrived_at in zip(AlertKind, oldest, strict=True):
        count, money = sums.get(waiting(kind), 0), sums.get(at_stake(kind), 0)
        query = QueueQuery(kind=kind.word)  # type: ignore[arg-type]
        badges.append(Badge("kind", query.kind, count, money, arrived_at if count else None, query))
    shelves: list[Shelf] = ["mine", "second"] if who.role >= Role.ANALYST else []
    shelves += ["disputes"] if who.role >= Role.LEAD else []
    return (*badges, *_shelf_badges(connection, shelves, who, now))


def conditions(query: QueueQuery, who: Person, now: int) -> list[ColumnElement[bool]]:
    """Return what an alert of a queue fulfils; raise InvalidError for a filter that names nothing there is."""
    return [*_of_shelf(query, who, now), *of_filter(query.filter, now)]


def exported(tools: Tools, query: QueueQuery, who: Person, now: int) -> Iterator[str]:
    """Yield a queue as CSV, line by line, cards masked; that it was asked for is in the audit log.

    Raises:
        ForbiddenError: for anybody below an analyst.
    """
    need(who, Role.ANALYST, "export a view")
    asked = msgspec.json.encode(query).decode()
    with tools.database.write() as connection:
        tools.audit.append(connection, now, who.name, "queue.export", "queue", None, asked)
    return _lines(tools, query, who, now)


def _lines(tools: Tools, query: QueueQuery, who: Person, now: int) -> Iterator[str]:
    yield _line(HEAD)
    left, after = tools.settings.export, ""
    while left > 0:
        with tools.database.read() as connection:
            asked = msgspec.structs.replace(query, after=after, before="")
            found, more = _walked(connection, asked, who, now, min(left, MOST))
            for row in rows_from(connection, found, who, now):
                yield _line(_cells(row))
        if not more:
            return
        left, after = left - len(found), _key(query.order, found[-1])


def _cells(row: QueueRow) -> list[object]:
    return [
        row.uid, row.kind, row.status, row.arrived_at, row.due_at, row.score, row.at_stake, row.expected_loss,
        row.base_amount, row.amount, row.currency, row.card.name, row.merchant.name, row.channel, row.took,
        row.verdict or "", row.model, " | ".join(reason.text for reason in row.why),
    ]  # fmt: skip


def _line(cells: Sequence[object]) -> str:
    """Return one line; a text that a spreadsheet would take for a formula is marked as text."""
    written = io.StringIO()
    plain = [f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell for cell in cells]
    csv.writer(written).writerow(plain)
    return written.getvalue()


def _walked(connection: Connection, query: QueueQuery, who: Person, now: int, limit: int) -> tuple[list[Any], bool]:
    """Return the rows of a page in the order of the query, and whether there are more behind the last one walked."""
    back = bool(query.before)
    walk = WALKS[query.order]
    falls = walk.falls is not back
    page = select(alert.c.id).join(case, case.c.id == alert.c.case_id).where(*conditions(query, who, now))
    if key := query.before or query.after:
        page = page.where(_beyond(walk, _parsed(key), falls=falls))
    page = ordered(page, walk, falls=falls).limit(limit + 1)
    rows = list(connection.execute(ordered(row_query().where(alert.c.id.in_(page)), walk, falls=falls)))
    more, rows = len(rows) > limit, rows[:limit]
    return (rows[::-1] if back else rows), more


def ordered(asked: Select[Any], walk: Walk, *, falls: bool) -> Select[Any]:
    """Return a question for alerts in the order of a walk, or in the one against it."""
    columns = [alert.c.id] if walk.column is None else [walk.column, alert.c.id]
    return asked.order_by(*(column.desc() if falls else column for column in columns))


def _beyond(walk: Walk, key: tuple[int, int], *, falls: bool) -> ColumnElement[bool]:
    """Return what holds of rows behind a key."""
    value, number = key
    by_number = alert.c.id < number if falls else alert.c.id > number
    if walk.column is None:
        return by_number
    # Written as a bound and a choice, not as a pair: SQLite then begins in the index at the bound.
    within = walk.column <= value if falls else walk.column >= value
    ahead = walk.column < value if falls else walk.column > value
    return and_(within, or_(ahead, by_number))


def _key(order: Order, row: Any) -> str:
    column = WALKS[order].column
    value = 0 if column is None else row._mapping[column.name]
    return f"{value}.{row.id}"


def _parsed(key: str) -> tuple[int, int]:
    value, _, number = key.partition(".")
    try:
        return int(value), int(number)
    except ValueError as error:
        msg = f"{key!r} is no key of a page: expected what an earlier page gave; open the queue anew"
        raise InvalidError(msg) from error


def _of_shelf(query: QueueQuery, who: Person, now: int) -> list[ColumnElement[bool]]:
    if query.shelf == "kind":
        kind = _member(AlertKind, query.kind)
        return [IS_OPEN, alert.c.kind == literal_column(str(int(kind)))]
    if query.shelf == "mine":
        return [alert.c.case_id.in_(held_by(who, now)), alert.c.status.in_(UNDECIDED)]
    if query.shelf == "overturned":
        return [alert.c.id.in_(_overturned(who))]
    return [alert.c.case_id.in_(waits_for(query.shelf, who)), alert.c.status.in_(UNDECIDED)]


def held_by(who: Person, now: int) -> CompoundSelect[tuple[int]]:
    """Return the cases that somebody has: locked, called unsure, or assigned; each part goes by its own index."""
    goes_on = case.c.state.in_([int(state) for state in WORKING])
    has = or_(case.c.lock_until > now, case.c.snooze_until.is_not(None))
    locked = select(case.c.id).where(case.c.owner == who.id, goes_on, has)
    return union(locked, select(case.c.id).where(case.c.assignee == who.id, goes_on))


def waits_for(shelf: Shelf, who: Person) -> Select[tuple[int]]:
    """Return the cases in which somebody who has not given a verdict yet is to look."""
    given = exists().where(verdict.c.case_id == case.c.id, verdict.c.by == who.id, verdict.c.superseded_by.is_(None))
    kinds = [int(kind) for kind in SECONDS[shelf]]
    return select(case.c.id).where(
        IS_SECOND, case.c.kind_second.in_(kinds), case.c.state == int(CaseState.PENDING_SECOND), ~given
    )


def _overturned(who: Person) -> Select[tuple[int]]:
    """Return the alerts on which somebody's verdict is contradicted by a chargeback."""
    return (
        select(verdict.c.alert_id)
        .join(alert, alert.c.id == verdict.c.alert_id)
        .join(payment, OF_ALERT)
        .where(verdict.c.by == who.id, verdict.c.superseded_by.is_(None), contradicted())
    )


def of_filter(given: QueueFilter, now: int) -> list[ColumnElement[bool]]:
    """Return what an alert fulfils that a filter leaves in; its case is joined."""
    chosen: list[ColumnElement[bool]] = []
    if given.least is not None:
        chosen.append(alert.c.base_amount >= given.least)
    if given.most is not None:
        chosen.append(alert.c.base_amount <= given.most)
    if given.older_than is not None:
        chosen.append(alert.c.arrived_at <= now - given.older_than)
    if given.assignee is not None:
        chosen.append(or_(case.c.assignee == given.assignee, case.c.owner == given.assignee))
    return [*chosen, *_of_words(given)]


def _of_words(given: QueueFilter) -> list[ColumnElement[bool]]:
    """Return what the words of a filter ask for."""
    chosen: list[ColumnElement[bool]] = []
    if given.channel:
        chosen.append(alert.c.channel == given.channel)
    if given.reason:
        chosen.append(alert.c.id.in_(select(reason.c.alert_id).where(reason.c.code == given.reason)))
    if given.tag:
        chosen.append(alert.c.case_id.in_(select(tag.c.case_id).where(tag.c.name == given.tag)))
    if given.card:
        chosen.append(alert.c.card == number_of("card", given.card))
    if given.merchant:
        chosen.append(alert.c.merchant == number_of("merchant", given.merchant))
    if given.took:
        chosen.append(alert.c.action == int(_member(Deed, given.took)))
    return chosen


def _member(kind: type[Any], word: str) -> Any:
    try:
        return of_word(kind, word)
    except ValueError as error:
        raise InvalidError(str(error)) from error


def _oldest(kind: AlertKind) -> Select[int]:
    """Return the question when the alert arrived that is due first: of alerts without a deadline, the oldest."""
    first = select(alert.c.arrived_at).where(IS_OPEN, alert.c.kind == literal_column(str(int(kind))))
    return first.order_by(alert.c.due_at, alert.c.id).limit(1)


def _shelf_badges(connection: Connection, shelves: Sequence[Shelf], who: Person, now: int) -> list[Badge]:
    """Return the badges of shelves that no sum is kept of, in one question."""
    if not shelves:
        return []
    counts = []
    for shelf in shelves:
        inside = _of_shelf(QueueQuery(shelf=shelf), who, now)
        stakes = select(alert.c.at_stake).join(case, case.c.id == alert.c.case_id).where(*inside)
        some = stakes.limit(COUNTED).subquery()
        counts.append(select(literal(shelf), func.count(), func.sum(some.c.at_stake)).select_from(some))
    found = {shelf: (int(count), int(money or 0)) for shelf, count, money in connection.execute(union_all(*counts))}
    return [Badge(shelf, None, *found[shelf], None, QueueQuery(shelf=shelf)) for shelf in shelves]
