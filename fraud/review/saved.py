"""Queues that somebody has named: one's own, and the team's."""

from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, or_, select

from fraud.review.errors import ForbiddenError, InvalidError, UnknownError
from fraud.review.people import Person, Role
from fraud.review.rights import need
from fraud.review.tables import saved_view
from fraud.review.tools import Tools
from fraud.review.views import QueueQuery, SavedView

LONGEST, MOST = 40, 50


def saved_views(connection: Connection, who: Person) -> tuple[SavedView, ...]:
    """Return the views that a person sees, the team's first, by name."""
    chosen = select(saved_view).where(or_(saved_view.c.owner == who.id, saved_view.c.team))
    rows = sorted(connection.execute(chosen), key=lambda row: (not row.team, row.name.casefold(), row.id))
    return tuple(_view(row, who) for row in rows)


def save(tools: Tools, who: Person, name: str, query: QueueQuery, team: bool, now: int) -> SavedView:
    """Keep a view, in place of one's own of the same name; a lead's may be the team's.

    Raises:
        ForbiddenError: for the role.
        InvalidError: for a name that is empty or too long, or too many views.
    """
    need(who, Role.LEAD if team else Role.ANALYST, "save a view for the team" if team else "save a view")
    name = " ".join(name.split())
    if not 0 < len(name) <= LONGEST:
        msg = f"the name of the view has {len(name)} characters: expected 1 to {LONGEST}"
        raise InvalidError(msg)
    kept = msgspec.structs.replace(query, after="", before="", view=None)
    with tools.database.write() as connection:
        mine = saved_view.c.owner == who.id
        connection.execute(delete(saved_view).where(mine, saved_view.c.name == name, saved_view.c.team == team))
        if len(connection.execute(select(saved_view.c.id).where(mine)).all()) >= MOST:
            msg = f"you have {MOST} views: remove one first"
            raise InvalidError(msg)
        values = {"owner": who.id, "team": team, "name": name, "filter": msgspec.to_builtins(kept), "order": kept.order}
        number = connection.execute(insert(saved_view).values(**values).returning(saved_view.c.id)).scalar_one()
        if team:
            tools.audit.append(connection, now, who.name, "view.save", f"view/{number}", None, name)
    return SavedView(int(number), name, kept, (), team, mine=True, default=False)


def remove(tools: Tools, who: Person, number: int, now: int) -> None:
    """Remove a view: one's own, or as a lead the team's.

    Raises:
        UnknownError: where there is none that one sees.
        ForbiddenError: for somebody else's.
    """
    with tools.database.write() as connection:
        row = connection.execute(select(saved_view).where(saved_view.c.id == number)).first()
        if row is None or (row.owner != who.id and not row.team):
            msg = f"there is no view {number}"
            raise UnknownError(msg)
        if row.owner != who.id and who.role < Role.LEAD:
            msg = f"the view {row.name!r} is the team's: a lead can remove it"
            raise ForbiddenError(msg)
        connection.execute(delete(saved_view).where(saved_view.c.id == number))
        if row.team:
            tools.audit.append(connection, now, who.name, "view.remove", f"view/{number}", row.name)


def _view(row: Any, who: Person) -> SavedView:
    query = msgspec.convert(row.filter, QueueQuery)
    return SavedView(row.id, row.name, msgspec.structs.replace(query, view=row.id), tuple(row.columns), row.team,
                     mine=row.owner == who.id, default=row.is_default)  # fmt: skip
