"""The history of a card, merchant or device."""

from typing import Any

from sqlalchemy import Connection, Row, func, select

from fraud.core.records import DAY
from fraud.review.errors import UnknownError
from fraud.review.history import open_to_all, payments_of, verdicts_where
from fraud.review.leaving import is_blocked
from fraud.review.naming import named, number_of
from fraud.review.people import Person
from fraud.review.queue import WORKING
from fraud.review.rows import UNDECIDED, row_query, rows_from
from fraud.review.tables import alert, case, entity, payment, verdict
from fraud.review.tools import Tools
from fraud.review.views import EntityView
from fraud.review.words import EntityKind

MOST_OPEN = 50
SIDES = {EntityKind.CARD: alert.c.card, EntityKind.MERCHANT: alert.c.merchant, EntityKind.DEVICE: alert.c.device}


def entity_of(tools: Tools, who: Person, kind: str, key: str, now: int, after: str = "") -> EntityView:
    """Return what is known of an entity; `key` is its name, or what a page gave for it.

    Raises:
        UnknownError: when nothing was ever heard of it.
    """
    with tools.database.read() as connection:
        row = connection.execute(select(entity).where(entity.c.id == number_of(kind, key))).first()
        if row is None or EntityKind(row.kind).word != kind:
            msg = f"there is no {kind} {key!r} here: it has not paid since this console reads along"
            raise UnknownError(msg)
        shown = named(row.kind, row.id, row.name)
        payments = payments_of(connection, shown.kind, row.id, after=after)
        is_card = row.kind == EntityKind.CARD
        return EntityView(
            entity=shown,
            base=tools.base,
            first_at=row.first_at,
            last_at=row.last_at,
            alerts=row.alerts,
            frauds=row.frauds,
            cards=None if is_card else _cards(connection, row),
            open_alerts=rows_from(connection, _open(connection, row), who, now),
            payments=payments.payments,
            verdicts=verdicts_where(connection, _given(row)),
            after=payments.after,
            blocked=is_card and is_blocked(connection, row.id),
        )


def _open(connection: Connection, row: Row[Any]) -> list[Row[Any]]:
    side = SIDES[EntityKind(row.kind)]
    page = select(alert.c.id).join(case, case.c.id == alert.c.case_id)
    page = page.where(side == row.id, alert.c.status.in_(UNDECIDED), case.c.state.in_(WORKING))
    page = page.order_by(alert.c.id.desc()).limit(MOST_OPEN)
    return list(connection.execute(row_query().where(alert.c.id.in_(page)).order_by(alert.c.id.desc())))


def _given(row: Row[Any]) -> Any:
    """Return what holds of the verdicts on an entity that everybody may see."""
    mine = select(alert.c.id).where(SIDES[EntityKind(row.kind)] == row.id)
    return verdict.c.alert_id.in_(mine) & open_to_all()


def _cards(connection: Connection, row: Row[Any]) -> int:
    """Return how many cards paid there within a day of the newest payment."""
    side = payment.c.merchant if row.kind == EntityKind.MERCHANT else payment.c.device
    day = payment.c.happened_at.between(row.last_at - DAY, row.last_at)
    return int(
        connection.execute(select(func.count(payment.c.card.distinct())).where(side == row.id, day)).scalar_one()
    )
