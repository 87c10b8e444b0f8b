"""Rules are made a release, or an earlier release is: by a lead, and by setting only when a second one agrees.

What decides is changed by whoever keeps releases; here it is ordered, and told who did. An order is claimed in the
database first, so that two who confirm at once give it once. What was put in force is in the site's own list of moves,
by whomever: an order whose giver has ended is told from it.
"""

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from fraud.core.errors import FraudError
from fraud.core.records import SECOND
from fraud.review.errors import ConflictError, ForbiddenError, InvalidError, UnknownError
from fraud.review.library import Order, Releases
from fraud.review.model_page import releases_of
from fraud.review.page_views import Activated
from fraud.review.people import Person, Role
from fraud.review.rights import need
from fraud.review.rules_page import keep_text, looked_at, text_of
from fraud.review.tables import release
from fraud.review.tools import Tools
from fraud.review.words import ReleaseState

GIVING = 30 * SECOND
"""How long an order is thought to be given, before whoever gave it is thought to have ended."""


def activate(tools: Tools, who: Person, version: str, note: str, now: int) -> Activated:
    """Make a version of the rules part of the release that decides, or ask a second lead to.

    Raises:
        ForbiddenError: for the role.
        UnknownError: when there is no such version.
        InvalidError: when it has faults, or is live.
        ConflictError: when it waits for a second person already.
    """
    need(who, Role.LEAD, "activate rules")
    settle(tools, now)
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
    settle(tools, now)
    with tools.database.write() as connection:
        chosen = next((each for each in releases_of(tools, connection) if each.id == name), None)
        if chosen is None or chosen.state != ReleaseState.RETIRED.word:
            msg = f"{name!r} is no earlier release: expected one of the list on the model page that is not in force"
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
    settle(tools, now)
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


def settle(tools: Tools, now: int) -> None:
    """Settle orders that a process was giving when it ended: what is in force was ordered, the rest waits again.

    An order that is being given takes seconds at most, so a younger one is left to whoever gives it.
    """
    if tools.releases is None:
        return
    given = (release.c.state == int(ReleaseState.PARTIAL)) & (release.c.at <= now - GIVING)
    with tools.database.read() as connection:
        if connection.execute(select(release.c.id).where(given)).first() is None:
            return
    moves = tools.releases.moves()
    with tools.database.write() as connection:
        for row in connection.execute(select(release).where(given)).all():
            made = next((move for move in moves if (move.at, move.rules) == (row.at, row.rules)), None)
            if made is None:
                _set_state(connection, row.id, ReleaseState.DRAFT)
                continue
            stands = {"id": made.id, "model": made.model, "rules": made.rules, "policy": made.policy}
            live = made.id == moves[-1].id
            _stand(connection, row.id, {**stands, "by": row.by, "at": row.at}, live=live)
            tools.audit.append(connection, now, made.by, "release.activate", f"release/{made.id}", None, row.rules)


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
        # With its time, by which the site's own list of moves tells later what came of it.
        claimed = {"state": int(ReleaseState.PARTIAL), "by": who.id, "at": now}
        connection.execute(update(release).where(release.c.id == pending).values(**claimed))
        order = _ordering(connection, row, who, note, now)
    try:
        name = order(tools.releases)
    except FraudError:
        with tools.database.write() as connection:
            asked = {"state": int(ReleaseState.DRAFT), "by": row.by, "at": row.at}
            connection.execute(update(release).where(release.c.id == pending).values(**asked))
        raise
    used, text = tools.library.in_use(), tools.releases.rules(row.rules)
    with tools.database.write() as connection:
        if text is not None:
            keep_text(connection, row.rules, *text, now)
        stands = {"id": name, "model": used.model, "rules": row.rules, "policy": used.policy, "by": who.id, "at": now}
        _stand(connection, pending, stands, live=True)
        tools.audit.append(connection, now, who.name, "release.activate", f"release/{name}", None, row.rules)
    return Activated(row.rules, ordered=True, release=name)


def _stand(connection: Connection, pending: str, stands: Mapping[str, Any], *, live: bool) -> None:
    """Write a release in the place of the order for it."""
    if live:
        stood = (release.c.state == int(ReleaseState.LIVE)) | (release.c.id == stands["id"])
        connection.execute(update(release).where(stood).values(state=int(ReleaseState.RETIRED)))
    connection.execute(release.delete().where(release.c.id.in_([pending, stands["id"]])))
    state = ReleaseState.LIVE if live else ReleaseState.RETIRED
    connection.execute(insert(release).values(state=int(state), **stands))


def _ordering(connection: Connection, row: Row[Any], who: Person, note: str, now: int) -> Callable[[Releases], str]:
    """Return what is to be done with the keeper of releases."""
    if row.report_id:
        return lambda releases: releases.rollback(row.report_id, who.name, note, now)
    kept = text_of(connection, row.rules)
    order = Order(kept.text, dict(kept.lists), who.name, note, now)
    return lambda releases: releases.activate(order)


def _set_state(connection: Connection, name: str, state: ReleaseState) -> None:
    connection.execute(update(release).where(release.c.id == name).values(state=int(state)))
