"""What went before: payments of a card, merchant or device by key, and verdicts that were given."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, or_, select

from fraud.review.errors import InvalidError
from fraud.review.naming import named
from fraud.review.rows import UNKNOWN, beside, sides
from fraud.review.tables import IS_SECOND, account, alert, case, payment, verdict
from fraud.review.truths import OF_ALERT, contradicted
from fraud.review.views import EntityKind as Kind
from fraud.review.views import PastVerdict, PaymentRow, Timeline
from fraud.review.words import CaseState, Deed, EntityKind, Finding, Known, Order, Second, Teller

PAGE, MOST_VERDICTS = 25, 20
HIDES = Second.FOUR_EYES, Second.BLIND
"""What a case waits for while what was said of it is hidden."""
SIDES: dict[Kind, ColumnElement[int]] = {
    "card": payment.c.card, "merchant": payment.c.merchant, "device": payment.c.device,
}  # fmt: skip


def payments_of(
    connection: Connection,
    side: Kind,
    number: int,
    *,
    after: str = "",
    this: str = "",
    here: int | None = None,
    limit: int = PAGE,
) -> Timeline:
    """Return payments of a card, merchant or device, newest first; `this` is a payment, `here` a merchant to mark."""
    page = select(payment).where(SIDES[side] == number)
    if after:
        at, of = _parsed(after)
        behind = or_(payment.c.happened_at < at, payment.c.id < of)
        page = page.where(payment.c.happened_at <= at, behind)
    page = page.order_by(payment.c.happened_at.desc(), payment.c.id.desc()).limit(limit + 1)
    rows = connection.execute(_beside(page)).all()
    more, rows = len(rows) > limit, rows[:limit]
    key = f"{rows[-1].happened_at}.{rows[-1].id}" if more else ""
    return Timeline(tuple(_shown(row, this, here) for row in rows), key)


def verdict_rows(
    connection: Connection, condition: ColumnElement[bool], *, most: int | None = None
) -> Sequence[Row[Any]]:
    """Return the rows of verdicts, newest first, with what `past` needs beside them."""
    asked = (
        select(verdict, alert.c.tx_id, beside(account, verdict.c.by, "by_name"), contradicted().label("contradicted"))
        .join(alert, alert.c.id == verdict.c.alert_id)
        .outerjoin(payment, OF_ALERT)
        .where(condition)
        .order_by(verdict.c.id.desc())
    )
    return connection.execute(asked if most is None else asked.limit(most)).all()


def verdicts_where(
    connection: Connection, condition: ColumnElement[bool], *, most: int = MOST_VERDICTS
) -> tuple[PastVerdict, ...]:
    """Return verdicts, newest first, each with whether a chargeback contradicts it."""
    return tuple(past(row) for row in verdict_rows(connection, condition, most=most))


def open_to_all() -> ColumnElement[bool]:
    """Return what holds of verdicts that stand, and that nobody is to look at a second time unseen."""
    unseen = case.c.kind_second.in_([int(kind) for kind in HIDES])
    hidden = select(case.c.id).where(IS_SECOND, case.c.state == int(CaseState.PENDING_SECOND), unseen)
    return verdict.c.superseded_by.is_(None) & verdict.c.case_id.not_in(hidden)


def past(row: Row[Any]) -> PastVerdict:
    """Return a verdict, of `verdict_rows`, as pages show it."""
    return PastVerdict(
        id=row.id,
        case=row.case_id,
        alert=row.alert_id,
        tx_id=row.tx_id,
        verdict=Finding(row.verdict).word,  # type: ignore[arg-type]
        action=Order(row.action).word,  # type: ignore[arg-type]
        by=row.by_name or UNKNOWN,
        at=row.at,
        blind=bool(row.blind),
        second_of=row.second_of,
        superseded=row.superseded_by is not None,
        contradicted=bool(row.contradicted),
        note=row.note,
        unreviewed=bool(row.unreviewed),
    )


def _beside(page: Select[Any]) -> Select[Any]:
    """Return payments of a page with the names of who takes part, and the newest case of each that has one."""
    paid = page.subquery("paid")
    newest = select(alert.c.case_id).where(alert.c.tx_id == paid.c.tx_id).order_by(alert.c.id.desc()).limit(1)
    found = select(paid, *sides(paid.c), newest.scalar_subquery().label("case_id"))
    return found.order_by(paid.c.happened_at.desc(), paid.c.id.desc())


def _shown(row: Row[Any], this: str, here: int | None) -> PaymentRow:
    device = None if row.device is None else named(EntityKind.DEVICE, row.device, row.device_name or UNKNOWN)
    return PaymentRow(
        tx_id=row.tx_id,
        happened_at=row.happened_at,
        amount=row.amount,
        card=named(EntityKind.CARD, row.card, row.card_name or UNKNOWN),
        merchant=named(EntityKind.MERCHANT, row.merchant, row.merchant_name or UNKNOWN),
        device=device,
        took=Deed(row.action).word,
        score=row.score,
        verdict=_known(row.verdict),
        source=None if row.verdict_source is None else Teller(row.verdict_source).word,
        case=row.case_id,
        this=row.tx_id == this,
        here=row.merchant == here,
    )


def _known(value: int | None) -> str | None:
    return None if value is None or value == Known.WITHDRAWN else Known(value).word


def _parsed(key: str) -> tuple[int, int]:
    at, _, number = key.partition(".")
    try:
        return int(at), int(number)
    except ValueError as error:
        msg = f"{key!r} is no key of a page: expected what an earlier page gave; open the page anew"
        raise InvalidError(msg) from error
