"""What a search shows of what it found: cards masked, notes in part, each with where it leads."""

from collections.abc import Sequence
from urllib.parse import quote

from sqlalchemy import Connection, select

from fraud.core.errors import CardNumberError
from fraud.review.history import HIDES
from fraud.review.naming import named, names_of
from fraud.review.people import Person
from fraud.review.rows import rows_of
from fraud.review.search import Hits, search_all
from fraud.review.tables import IS_SECOND, case, entity, note, payment
from fraud.review.tools import Tools
from fraud.review.views import Hit, SearchView
from fraud.review.words import CaseState, EntityKind

SHOWN = 120
"""Characters that are shown of a note."""


def find(tools: Tools, who: Person, text: str, now: int) -> SearchView:
    """Return what a text names or stands in; every role may search. A card's number finds what its tokens name."""
    names = _names(tools, text.strip())
    with tools.database.read() as connection:
        # Last as it was typed: what a release before tokens has taken in lies under the number.
        hits = search_all(connection, tuple(dict.fromkeys((*names, text.strip()))))
        found = [
            *_entities(connection, hits),
            *_payments(connection, hits),
            *_alerts(connection, hits, who, now),
            *_cases(connection, hits),
            *_notes(connection, hits.notes),
        ]
    return SearchView(names[0], tools.base, tuple(found), hits.more)


def _names(tools: Tools, text: str) -> tuple[str, ...]:
    """Return what a text goes by here, and is shown as: a number that is refused as stars."""
    try:
        return tools.cards.names(text)
    except CardNumberError:
        return (tools.cards.masked(text),)


def address_of(kind: str, key: str) -> str:
    """Return where the page of an entity is."""
    return f"/entities/{kind}/{quote(key, safe='~')}"


def _entities(connection: Connection, hits: Hits) -> list[Hit]:
    rows = {row.id: row for row in connection.execute(select(entity).where(entity.c.id.in_(hits.entities)))}
    found = []
    for row in (rows[number] for number in hits.entities if number in rows):
        shown = named(row.kind, row.id, row.name)
        found.append(Hit(shown.kind, shown.name, address_of(shown.kind, shown.key), row.last_at))
    return found


def _payments(connection: Connection, hits: Hits) -> list[Hit]:
    """Return payments without an alert; each leads to its card."""
    rows = connection.execute(select(payment).where(payment.c.tx_id.in_(hits.payments))).all()
    names = names_of(connection, [row.card for row in rows])
    found = []
    for row in rows:
        card = named(EntityKind.CARD, row.card, names.get(row.card, (0, ""))[1])
        found.append(Hit("payment", row.tx_id, address_of("card", card.key), row.happened_at, "", row.amount))
    return found


def _alerts(connection: Connection, hits: Hits, who: Person, now: int) -> list[Hit]:
    return [
        Hit(
            kind="alert",
            text=f"{row.card.name} at {row.merchant.name}",
            address=f"/cases/{row.case}?alert={row.alert}",
            at=row.arrived_at,
            state=row.status,
            base_amount=row.base_amount,
        )
        for row in rows_of(connection, hits.alerts, who, now)
    ]


def _cases(connection: Connection, hits: Hits) -> list[Hit]:
    rows = connection.execute(select(case).where(case.c.id.in_(hits.cases))).all()
    names = names_of(connection, [row.card_id for row in rows])
    return [
        Hit(
            kind="case",
            text=named(EntityKind.CARD, row.card_id, names.get(row.card_id, (0, ""))[1]).name,
            address=f"/cases/{row.id}",
            at=row.opened_at,
            state=CaseState(row.state).word,
        )
        for row in rows
    ]


def _notes(connection: Connection, numbers: Sequence[int]) -> list[Hit]:
    """Return notes, but for those of cases that somebody is to look at without knowing what was said."""
    unseen = case.c.kind_second.in_([int(kind) for kind in HIDES])
    hidden = select(case.c.id).where(IS_SECOND, case.c.state == int(CaseState.PENDING_SECOND), unseen)
    asked = select(note).where(note.c.id.in_(numbers), note.c.case_id.not_in(hidden)).order_by(note.c.id.desc())
    return [Hit("note", row.text[:SHOWN], f"/cases/{row.case_id}", row.at) for row in connection.execute(asked)]
