"""The velocity table: what the model knew of card, merchant and device before a payment, read from its vector."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, select

from fraud.core.fields import Duration
from fraud.core.rules.vocabulary import WINDOWED
from fraud.review.case_views import ShopView, VelocityRow, VelocityView
from fraud.review.naming import named
from fraud.review.rows import UNKNOWN
from fraud.review.stored import Vector
from fraud.review.tables import payment
from fraud.review.words import Deed, EntityKind

MEASURES = {"count": "count", "sum": "sum", "mean": "mean", "max": "max", "merchants": "distinct", "cards": "distinct",
            "frauds": "frauds"}  # fmt: skip
ENTITIES = "card", "merchant", "device"
USUAL_DAYS = 30
MOST_DECLINED = 2_000


class Sight(NamedTuple):
    """What this console has seen of a card: its payments, since when, and since when it has seen any card's."""

    payments: int
    first_at: int
    since: int


def velocity_of(connection: Connection, row: Row[Any], vector: Vector, card: Sight) -> VelocityView:
    """Return the table of an alert; `row` is the alert's.

    What the vector does not hold is not made up from it: declines are counted in what this console keeps.
    """
    table = _table(vector)
    windows = tuple(dict.fromkeys(window for _, _, window in table))
    rows = [
        VelocityRow(side, measure, tuple(table.get((side, measure, window)) for window in windows))  # type: ignore[arg-type]
        for side in ENTITIES
        for measure in dict.fromkeys(MEASURES.values())
        if any((side, measure, window) in table for window in windows)
    ]
    if windows:
        rows.append(_declined(connection, row, windows))
    return VelocityView(
        windows=windows,
        rows=tuple(rows),
        known=bool(table),
        payments=card.payments,
        first_at=card.first_at,
        since=card.since,
    )


def first_seen() -> Select[int]:
    """Return the question for the time of the first payment that this console has taken in and keeps."""
    return select(payment.c.happened_at).order_by(payment.c.id).limit(1)


def shop_of(row: Row[Any], vector: Vector) -> ShopView:
    """Return the merchant of an alert, of `row_query`, as of its payment."""
    month = vector.value("merchant_count_30d")
    return ShopView(
        merchant=named(EntityKind.MERCHANT, row.merchant, row.merchant_name or UNKNOWN),
        first_at=row.merchant_first_at or 0,
        mcc=row.mcc,
        text=row.text,
        payments_today=vector.value("merchant_count_1d"),
        payments_usual=None if month is None else month / USUAL_DAYS,
        cards_today=vector.value("merchant_cards_1d"),
        frauds_7d=vector.value("merchant_frauds_7d"),
    )


def _table(vector: Vector) -> dict[tuple[str, str, str], float | None]:
    """Return the windowed features of a vector by entity, measure and window, in vector order."""
    found: dict[tuple[str, str, str], float | None] = {}
    for name in vector.by_name:
        match = WINDOWED.fullmatch(name)
        if match is not None and match["entity"] in ENTITIES and match["what"] in MEASURES:
            place = match["entity"], MEASURES[match["what"]], name.rsplit("_", 1)[1]
            found[place] = vector.value(name)
    return found


def _declined(connection: Connection, row: Row[Any], windows: Sequence[str]) -> VelocityRow:
    """Return how many payments of the card were declined before, among those that are kept here."""
    spans = [Duration.parse(window) for window in windows]
    before = payment.c.happened_at.between(row.happened_at - max(spans), row.happened_at - 1)
    mine = (payment.c.card == row.card) & (payment.c.action == int(Deed.DECLINE))
    asked = select(payment.c.happened_at).where(mine, before).limit(MOST_DECLINED)
    times = [at for (at,) in connection.execute(asked)]
    counts = tuple(float(sum(at >= row.happened_at - span for at in times)) for span in spans)
    return VelocityRow("card", "declined", counts, ours=True)
