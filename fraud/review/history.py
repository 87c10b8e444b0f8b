"""What went before: payments of a card, merchant or device by key, and verdicts that were given."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, or_, select

from fraud.review.errors import InvalidError
from fraud.review.naming import named, names_of
from fraud.review.rows import UNKNOWN, people_of
from fraud.review.tables import IS_SECOND, alert, case, payment, verdict
from fraud.review.truths import OF_ALERT, contradicted
from fraud.review.views import EntityKind, PastVerdict, PaymentRow, Timeline
from fraud.review.words import CaseState, Deed, Finding, Known, Order, Second, Teller

PAGE, MOST_VERDICTS = 25, 20
HIDES = Second.FOUR_EYES, Second.BLIND
"""What a case waits for while what was said of it is hidden."""
SIDES: dict[EntityKind, ColumnElement[int]] = {
    "card": payment.c.card, "merchant": payment.c.merchant, "device": payment.c.device,
}  # fmt: skip


def payments_of(
    connection: Connection,
    side: EntityKind,
    number: int,
    *,
    after: str = "",
    this: str = "",
    here: int | None = None,
    limit: int = PAGE,
) -> Timeline:
    """Return payments of a card, merchant or device, newest first; `this` is a payment, `here` a merchant to mark."""
    asked = select(payment).where(SIDES[side] == number)
    if after:
        at, of = _parsed(after)
        behind = or_(payment.c.happened_at < at, payment.c.id < of)
        asked = asked.where(payment.c.happened_at <= at, behind)
    rows = connection.execute(asked.order_by(payment.c.happened_at.desc(), payment.c.id.desc()).limit(limit + 1)).all()
    more, rows = len(rows) > limit, rows[:limit]
    key = f"{rows[-1].happened_at}.{rows[-1].id}" if more else ""
    return Timeline(_shown(connection, rows, this, here), key)


def verdicts_where(
    connection: Connection, condition: ColumnElement[bool], *, most: int = MOST_VERDICTS
) -> tuple[PastVerdict, ...]:
    """Return verdicts, newest first, each with whether a chargeback contradicts it."""
    found = connection.execute(
        select(verdict, alert.c.tx_id, contradicted().label("contradicted"))
        .join(alert, alert.c.id == verdict.c.alert_id)
        .outerjoin(payment, OF_ALERT)
        .where(condition)
        .order_by(verdict.c.id.desc())
        .limit(most)
    ).all()
    people = people_of(connection, [row.by for row in found])
    return tuple(_verdict(row, people) for row in found)


def open_to_all() -> ColumnElement[bool]:
    """Return what holds of verdicts that stand, and that nobody is to look at a second time unseen."""
    unseen = case.c.kind_second.in_([int(kind) for kind in HIDES])
    hidden = select(case.c.id).where(IS_SECOND, case.c.state == int(CaseState.PENDING_SECOND), unseen)
    return verdict.c.superseded_by.is_(None) & verdict.c.case_id.not_in(hidden)


def _verdict(row: Row[Any], people: dict[int, str]) -> PastVerdict:
    return PastVerdict(
        id=row.id,
        case=row.case_id,
        alert=row.alert_id,
        tx_id=row.tx_id,
        verdict=Finding(row.verdict).word,  # type: ignore[arg-type]
        action=Order(row.action).word,  # type: ignore[arg-type]
        by=people.get(row.by, UNKNOWN),
        at=row.at,
        blind=bool(row.blind),
        second_of=row.second_of,
        superseded=row.superseded_by is not None,
        contradicted=bool(row.contradicted),
        note=row.note,
        unreviewed=bool(row.unreviewed),
    )


def _shown(connection: Connection, rows: Sequence[Row[Any]], this: str, here: int | None) -> tuple[PaymentRow, ...]:
    names = names_of(connection, [number for row in rows for number in (row.card, row.merchant, row.device)])
    cases = cases_of(connection, [row.tx_id for row in rows])

    def shown(kind: int, number: int) -> Any:
        return named(kind, number, names.get(number, (kind, UNKNOWN))[1])

    return tuple(
        PaymentRow(
            tx_id=row.tx_id,
            happened_at=row.happened_at,
            amount=row.amount,
            card=shown(0, row.card),
            merchant=shown(1, row.merchant),
            device=None if row.device is None else shown(2, row.device),
            took=Deed(row.action).word,
            score=row.score,
            verdict=_known(row.verdict),
            source=None if row.verdict_source is None else Teller(row.verdict_source).word,
            case=cases.get(row.tx_id),
            this=row.tx_id == this,
            here=row.merchant == here,
        )
        for row in rows
    )


def cases_of(connection: Connection, payments: Iterable[str]) -> dict[str, int]:
    """Return the newest case of each payment that has one."""
    asked = select(alert.c.tx_id, alert.c.case_id).where(alert.c.tx_id.in_(list(payments))).order_by(alert.c.id)
    return {tx_id: case_id for tx_id, case_id in connection.execute(asked)}


def _known(value: int | None) -> str | None:
    return None if value is None or value == Known.WITHDRAWN else Known(value).word


def _parsed(key: str) -> tuple[int, int]:
    at, _, number = key.partition(".")
    try:
        return int(at), int(number)
    except ValueError as error:
        msg = f"{key!r} is no key of a page: expected what an earlier page gave; open the page anew"
        raise InvalidError(msg) from error
