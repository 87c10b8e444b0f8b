"""Alerts as rows of a queue: what one page needs, in three questions whatever its length."""

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, func, select

from fraud.review.bulk import among
from fraud.review.naming import named, veiled
from fraud.review.people import Person, Role
from fraud.review.tables import account, alert, case, entity, reason, tag
from fraud.review.views import Colleague, Owner, QueueRow, Reasoned
from fraud.review.words import AlertKind, AlertStatus, Deed, EntityKind, Finding

UNDECIDED = (int(AlertStatus.OPEN), int(AlertStatus.LOCKED))
"""An alert that is open, or waits: unsure, or for a second person."""
LIFTED = 1e-6
"""By how much a score must lie above the model's own to have been lifted by a rule: it is kept in 32 bits."""
NEVER = 2**62
"""The deadline of what can time out no more: in the year 2116."""
UNKNOWN = "?"
"""The name of an entity or account that is kept no more."""


def beside(table: Table, key: ColumnElement[Any], label: str, column: str = "name") -> ColumnElement[Any]:
    """Return a column of the row that a key names in another table, under a label.

    A question in the question, and no join: each is one look-up for each row that is shown, and PostgreSQL need not
    weigh the orders in which half a dozen tables could be joined, which takes it longer than to answer.
    """
    other = table.alias()
    return select(other.c[column]).where(other.c.id == key).scalar_subquery().label(label)


PEOPLE = beside(account, case.c.owner, "owner_name"), beside(account, case.c.assignee, "assignee_name")


def sides(row: Any) -> tuple[ColumnElement[str], ...]:
    """Return the names of who takes part, beside the columns of an alert or a payment: card, merchant, device."""
    return tuple(beside(entity, row[side], f"{side}_name") for side in ("card", "merchant", "device"))


@cache
def row_query() -> Select[Any]:
    """Return the question for alerts with what one row of the other tables has of each; conditions are yet to come.

    Where it is a page of many, let a condition choose their numbers first (`alert.c.id.in_(...)`): what stands here is
    looked up for every alert that is left, before any limit.
    """
    other = alert.alias("other")
    waits = (other.c.card == alert.c.card) & other.c.status.in_(UNDECIDED)
    on_card = select(func.count()).select_from(other).where(waits).scalar_subquery().label("on_card")
    first_at = beside(entity, alert.c.merchant, "merchant_first_at", "first_at")
    of_case = case.c.owner, case.c.assignee, case.c.lock_until, *PEOPLE
    found = select(alert, *of_case, *sides(alert.c), first_at, on_card)
    return found.join(case, case.c.id == alert.c.case_id)


def rows_of(connection: Connection, ids: Sequence[int], who: Person, now: int) -> tuple[QueueRow, ...]:
    """Return the rows of alerts in the order given; those that are not there are left out."""
    if not ids:
        return ()
    found = connection.execute(row_query().where(among(connection, alert.c.id, ids)))
    return rows_from(connection, sorted(found, key=lambda row: ids.index(row.id)), who, now)


def rows_from(connection: Connection, alerts: Sequence[Any], who: Person, now: int) -> tuple[QueueRow, ...]:
    """Return rows of alerts that were read by `row_query`."""
    if not alerts:
        return ()
    reasons = reasons_of(connection, [row.id for row in alerts])
    tags = tags_of(connection, {row.case_id for row in alerts})
    return tuple(row_of(each, reasons.get(each.id, ()), tags.get(each.case_id, ()), who, now) for each in alerts)


def people_of(connection: Connection, ids: Iterable[int | None]) -> dict[int, str]:
    """Return the names of accounts by their number."""
    wanted = {each for each in ids if each is not None}
    if not wanted:
        return {}
    chosen = select(account.c.id, account.c.name).where(among(connection, account.c.id, wanted))
    return {number: name for number, name in connection.execute(chosen)}


def colleagues(connection: Connection) -> tuple[Colleague, ...]:
    """Return who can be given cases: active accounts from analyst on, by name."""
    chosen = (account.c.state == 1) & (account.c.role >= int(Role.ANALYST))
    found = connection.execute(select(account.c.id, account.c.name, account.c.role).where(chosen))
    return tuple(Colleague(row.id, row.name, Role(row.role).word) for row in sorted(found, key=lambda row: row.name))


def owner_of(row: Any, who: Person, now: int) -> Owner | None:
    """Return who has the case of a row read with `PEOPLE`: whoever has locked it, else whom it was assigned to."""
    if row.owner is not None and (row.lock_until or 0) > now:
        return Owner(row.owner, row.owner_name or UNKNOWN, row.lock_until, row.owner == who.id)
    if row.assignee is not None:
        return Owner(row.assignee, row.assignee_name or UNKNOWN, 0, row.assignee == who.id)
    return None


def reasons_of(connection: Connection, ids: Collection[int]) -> dict[int, list[Any]]:
    """Return the stored reasons of alerts, in order."""
    found: dict[int, list[Any]] = {}
    chosen = select(reason).where(among(connection, reason.c.alert_id, ids))
    chosen = chosen.order_by(reason.c.alert_id, reason.c.place)
    for row in connection.execute(chosen).all():
        found.setdefault(row.alert_id, []).append(row)
    return found


def reasoned(row: Any, card: str) -> Reasoned:
    """Return a stored reason as it is shown; sentences of block lists name the card."""
    rule = row.code.startswith(("rule:", "list:"))
    return Reasoned(row.code, veiled(row.text, card), row.effect, row.without, rule)


def tags_of(connection: Connection, cases: Collection[int]) -> dict[int, list[str]]:
    """Return the tags of cases, in order of their names."""
    found: dict[int, list[str]] = {}
    chosen = select(tag.c.case_id, tag.c.name).where(among(connection, tag.c.case_id, cases))
    chosen = chosen.order_by(tag.c.case_id, tag.c.name)
    for number, name in connection.execute(chosen).all():
        found.setdefault(number, []).append(name)
    return found


def row_of(row: Any, reasons: Sequence[Any], tags: Sequence[str], who: Person, now: int) -> QueueRow:
    """Return an alert as a row of a queue: one that was read by `row_query`, with its reasons and tags."""
    card = row.card_name or UNKNOWN
    return QueueRow(
        alert=row.id,
        case=row.case_id,
        uid=row.uid,
        kind=AlertKind(row.kind).word,  # type: ignore[arg-type]
        status=AlertStatus(row.status).word,
        took=Deed(row.action).word,
        score=row.score,
        model_score=row.model_score,
        rule_floor=row.model_score is not None and row.score > row.model_score + LIFTED,
        at_stake=row.at_stake,
        expected_loss=row.expected_loss,
        amount=row.amount,
        currency=row.currency,
        base_amount=row.base_amount,
        card=named(EntityKind.CARD, row.card, card),
        merchant=named(EntityKind.MERCHANT, row.merchant, row.merchant_name or UNKNOWN),
        device=None if row.device is None else named(EntityKind.DEVICE, row.device, row.device_name or UNKNOWN),
        channel=row.channel,
        why=tuple(reasoned(each, card) for each in reasons),
        alerts_on_card=row.on_card,
        seen_before=row.seen_before,
        arrived_at=row.arrived_at,
        happened_at=row.happened_at,
        due_at=0 if row.due_at >= NEVER else row.due_at,
        model=row.model,
        owner=owner_of(row, who, now),
        verdict=None if row.verdict is None else Finding(row.verdict).word,  # type: ignore[arg-type]
        tags=tuple(tags),
    )
