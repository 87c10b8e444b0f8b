"""Queues that somebody has named: one's own, and the team's; each with its columns, one of them to begin with."""

from collections.abc import Sequence
from typing import Any, get_args

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, update

from fraud.review.errors import ForbiddenError, InvalidError, UnknownError
from fraud.review.people import Person, Role
from fraud.review.rights import need
from fraud.review.tables import saved_view
from fraud.review.tools import Tools
from fraud.review.views import Column, QueueQuery, SavedView

LONGEST, MOST = 40, 50
COLUMNS: tuple[str, ...] = get_args(Column)
FIXED = ("stake", "card", "why")
"""Columns without which nobody knows what a row is."""


def saved_views(connection: Connection, who: Person) -> tuple[SavedView, ...]:
    """Return the views that a person sees, the team's first, by name."""
    chosen = select(saved_view).where(or_(saved_view.c.owner == who.id, saved_view.c.team))
    rows = sorted(connection.execute(chosen), key=lambda row: (not row.team, row.name.casefold(), row.id))
    return tuple(_view(row, who) for row in rows)


def save(
    tools: Tools, who: Person, name: str, query: QueueQuery, team: bool, now: int, columns: Sequence[str] = ()
) -> SavedView:
    """Keep a view, in place of one's own of the same name; a lead's may be the team's.

    Raises:
        ForbiddenError: for the role.
        InvalidError: for a name that is empty or too long, a column that there is not, or too many views.
    """
    need(who, Role.LEAD if team else Role.VIEWER, "save a view for the team" if team else "save a view")
    name = " ".join(name.split())
    if not 0 < len(name) <= LONGEST:
        msg = f"the name of the view has {len(name)} characters: expected 1 to {LONGEST}"
        raise InvalidError(msg)
    kept = msgspec.structs.replace(query, after="", before="", view=None)
    shown = columns_of(columns)
    values = {"filter": msgspec.to_builtins(kept), "order": kept.order, "columns": list(shown)}
    with tools.database.write() as connection:
        mine = saved_view.c.owner == who.id
        same = update(saved_view).where(mine, saved_view.c.name == name, saved_view.c.team == team).values(values)
        row = connection.execute(same.returning(saved_view)).first()
        if row is None:
            _need_room(connection, mine)
            made = insert(saved_view).values(owner=who.id, team=team, name=name, **values)
            row = connection.execute(made.returning(saved_view)).one()
        if team:
            tools.audit.append(connection, now, who.name, "view.save", f"view/{row.id}", None, name)
    return _view(row, who)


def change(
    tools: Tools, who: Person, number: int, now: int, *, columns: Sequence[str] = (), default: bool | None = None
) -> SavedView:
    """Change a view's columns, where some are named; or make it the one that the queue begins with, or not.

    A view of the team that it begins with is for all who have none of their own.

    Raises:
        UnknownError: where there is none that one sees.
        ForbiddenError: for somebody else's.
        InvalidError: for a column that there is not.
    """
    values: dict[str, Any] = {"columns": list(columns_of(columns))} if columns else {}
    with tools.database.write() as connection:
        row = _own(connection, who, number, "change")
        if default is not None:
            others = saved_view.c.team if row.team else (saved_view.c.owner == who.id) & ~saved_view.c.team
            connection.execute(update(saved_view).where(others).values(is_default=False))
            values["is_default"] = default
        if values:
            connection.execute(update(saved_view).where(saved_view.c.id == number).values(values))
        if row.team:
            tools.audit.append(connection, now, who.name, "view.change", f"view/{number}", row.name, str(values))
        return _view(connection.execute(select(saved_view).where(saved_view.c.id == number)).one(), who)


def first_view(tools: Tools, who: Person) -> SavedView | None:
    """Return the view that the queue begins with for somebody: one's own, else the team's; None for neither."""
    with tools.database.read() as connection:
        found = [view for view in saved_views(connection, who) if view.default]
    return next((view for view in found if not view.team), next(iter(found), None))


def columns_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return columns in their order, those that are always there with them; none for none, which means all.

    Raises:
        InvalidError: for one that there is not.
    """
    for name in names:
        if name not in COLUMNS:
            msg = f"{name!r} is no column: expected some of {', '.join(COLUMNS)}"
            raise InvalidError(msg)
    return tuple(name for name in COLUMNS if name in names or name in FIXED) if names else ()


def remove(tools: Tools, who: Person, number: int, now: int) -> None:
    """Remove a view: one's own, or as a lead the team's.

    Raises:
        UnknownError: where there is none that one sees.
        ForbiddenError: for somebody else's.
    """
    with tools.database.write() as connection:
        row = _own(connection, who, number, "remove")
        connection.execute(delete(saved_view).where(saved_view.c.id == number))
        if row.team:
            tools.audit.append(connection, now, who.name, "view.remove", f"view/{number}", row.name)


def _own(connection: Connection, who: Person, number: int, what: str) -> Row[Any]:
    """Return a view that somebody may change: their own, or as a lead the team's."""
    row = connection.execute(select(saved_view).where(saved_view.c.id == number)).first()
    if row is None or (row.owner != who.id and not row.team):
        msg = f"there is no view {number}"
        raise UnknownError(msg)
    if row.team and who.role < Role.LEAD:
        msg = f"the view {row.name!r} is the team's: a lead can {what} it"
        raise ForbiddenError(msg)
    return row


def _need_room(connection: Connection, mine: ColumnElement[bool]) -> None:
    if connection.execute(select(func.count()).select_from(saved_view).where(mine)).scalar_one() >= MOST:
        msg = f"you have {MOST} views: remove one first"
        raise InvalidError(msg)


def _view(row: Any, who: Person) -> SavedView:
    query = msgspec.convert(row.filter, QueueQuery)
    return SavedView(row.id, row.name, msgspec.structs.replace(query, view=row.id), tuple(row.columns), row.team,
                     mine=row.owner == who.id, default=row.is_default)  # fmt: skip
