"""Rules are made a release, or an earlier release is: by a lead, and by setting only when a second one agrees.

What decides is changed by whoever keeps releases; here it is ordered, and told who did. An order is claimed in the
database first, so that two who confirm at once give it once.
"""

import secrets
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from fraud.core.errors import FraudError
from fraud.review.errors import ConflictError, ForbiddenError, InvalidError, UnknownError
from fraud.review.library import Order, Releases
from fraud.review.page_views import Activated
from fraud.review.people import Person, Role
from fraud.review.rights import need
from fraud.review.rules_page import looked_at, text_of
from fraud.review.tables import release
from fraud.review.tools import Tools
from fraud.review.words import ReleaseState


def activate(tools: Tools, who: Person, version: str, note: str, now: int) -> Activated:
    """Make a version of the rules part of the release that decides, or ask a second lead to.

    Raises:
        ForbiddenError: for the role.
        UnknownError: when there is no such version.
        InvalidError: when it has faults, or is live.
        ConflictError: when it waits for a second person already.
    """
    need(who, Role.LEAD, "activate rules")
    with tools.database.write() as connection:
        _need_sound(tools, connection, version)
        pending = _ask(connection, who, version, "", now)
        tools.audit.append(connection, now, who.name, "rules.ask", f"rules/{version}", None, note.strip())
    if tools.settings.rules_second:
        return Activated(version, ordered=False, pending=pending)
    return _carry_out(tools, who, pending, note, now)


def rollback(tools: Tools, who: Person, name: str, note: str, now: int) -> Activated:
    """Make an earlier release the one that decides again, or ask a second lead to; errors as of `activate`."""
    need(who, Role.LEAD, "roll a release back")
    with tools.database.write() as connection:
        chosen = connection.execute(select(release).where(release.c.id == name)).first()
        if chosen is None or chosen.state != ReleaseState.RETIRED:
            msg = f"{name!r} is no earlier release of this console"
            raise UnknownError(msg)
        pending = _ask(connection, who, chosen.rules, name, now)
        tools.audit.append(connection, now, who.name, "release.ask", f"release/{name}", None, note.strip())
    if tools.settings.rules_second:
        return Activated(chosen.rules, ordered=False, pending=pending)
    return _carry_out(tools, who, pending, note, now)


def confirm(tools: Tools, who: Person, pending: str, now: int) -> Activated:
    """Agree to what another lead has asked for.

    Raises:
        ForbiddenError: for the role, or who has asked.
        UnknownError: when nothing of this name waits.
    """
    need(who, Role.LEAD, "activate rules")
    with tools.database.read() as connection:
        if _waiting(connection, pending).by == who.id:
            msg = "another lead has to agree: you have asked for it"
            raise ForbiddenError(msg)
    return _carry_out(tools, who, pending, "", now)


def withdraw(tools: Tools, who: Person, pending: str, now: int) -> None:
    """Take back what waits for a second person; any lead may."""
    need(who, Role.LEAD, "withdraw an activation")
    with tools.database.write() as connection:
        row = _waiting(connection, pending)
        connection.execute(release.delete().where(release.c.id == pending))
        tools.audit.append(connection, now, who.name, "rules.withdraw", f"rules/{row.rules}")


def _need_sound(tools: Tools, connection: Connection, version: str) -> None:
    row = text_of(connection, version)
    checked, _ = looked_at(tools, row.text, dict(row.lists))
    if checked.faults:
        first = checked.faults[0]
        msg = f"version {version} has {len(checked.faults)} faults, the first at {first.line}:{first.column}: mend it"
        raise InvalidError(msg)
    if version == tools.library.in_use().rules:
        msg = f"version {version} is live already"
        raise InvalidError(msg)


def _ask(connection: Connection, who: Person, rules: str, earlier: str, now: int) -> str:
    waits = (release.c.state == int(ReleaseState.DRAFT)) & (release.c.rules == rules)
    if connection.execute(select(release.c.id).where(waits)).first() is not None:
        msg = f"version {rules} waits for a second person already"
        raise ConflictError(msg)
    name = f"asked-{secrets.token_hex(6)}"
    values = {"state": int(ReleaseState.DRAFT), "by": who.id, "at": now, "report_id": earlier}
    connection.execute(insert(release).values(id=name, rules=rules, **values))
    return name


def _waiting(connection: Connection, pending: str) -> Row[Any]:
    waits = (release.c.id == pending) & (release.c.state == int(ReleaseState.DRAFT))
    row = connection.execute(select(release).where(waits)).first()
    if row is None:
        msg = "nothing of this name waits for a second person (any more)"
        raise UnknownError(msg)
    return row


def _carry_out(tools: Tools, who: Person, pending: str, note: str, now: int) -> Activated:
    """Order what was asked for, once; where that fails it waits on as before."""
    if tools.releases is None:
        msg = "this console can activate nothing: it was started without the store of releases"
        raise InvalidError(msg)
    with tools.database.write() as connection:
        row = _waiting(connection, pending)
        _set_state(connection, pending, ReleaseState.PARTIAL)
        order = _ordering(connection, row, who, note, now)
    try:
        name = order(tools.releases)
    except FraudError:
        with tools.database.write() as connection:
            _set_state(connection, pending, ReleaseState.DRAFT)
        raise
    used = tools.library.in_use()
    with tools.database.write() as connection:
        live = (release.c.state == int(ReleaseState.LIVE)) | (release.c.id == name)
        connection.execute(update(release).where(live).values(state=int(ReleaseState.RETIRED)))
        connection.execute(release.delete().where(release.c.id.in_([pending, name])))
        parts = {"model": used.model, "rules": row.rules, "policy": used.policy}
        stands = {"state": int(ReleaseState.LIVE), "by": who.id, "at": now}
        connection.execute(insert(release).values(id=name, **parts, **stands))
        tools.audit.append(connection, now, who.name, "release.activate", f"release/{name}", None, row.rules)
    return Activated(row.rules, ordered=True, release=name)


def _ordering(connection: Connection, row: Row[Any], who: Person, note: str, now: int) -> Callable[[Releases], str]:
    """Return what is to be done with the keeper of releases."""
    if row.report_id:
        return lambda releases: releases.rollback(row.report_id, who.name, note, now)
    kept = text_of(connection, row.rules)
    order = Order(kept.text, dict(kept.lists), who.name, note, now)
    return lambda releases: releases.activate(order)


def _set_state(connection: Connection, name: str, state: ReleaseState) -> None:
    connection.execute(update(release).where(release.c.id == name).values(state=int(state)))
