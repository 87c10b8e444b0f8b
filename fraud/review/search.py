"""Finding by what somebody types: names by their whole or their beginning, words in notes by full text.

Names go by the index: entities by kind and name, alerts by payment and number. Words are asked of the database's own
full text, FTS5 in SQLite and `tsvector` in PostgreSQL. Hits come newest first: to rank 82,000 of them takes 123 ms.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, select

from fraud.review.tables import alert, case, entity, payment
from fraud.review.words import EntityKind

T = TypeVar("T")

MOST = 20
LEAST_PREFIX = 3
"""A name is looked for by its beginning from so many characters on."""
LONGEST = 200
LAST = "\U0010ffff"
_WORD = re.compile(r"\w+")


class Hits(NamedTuple):
    """What was found, by kind, each the newest first: numbers of entities, of alerts, of cases and of notes.

    `payments` are ids of payments of which there is no alert. `more`: there was more of one kind than `MOST`.
    """

    entities: tuple[int, ...] = ()
    payments: tuple[str, ...] = ()
    alerts: tuple[int, ...] = ()
    cases: tuple[int, ...] = ()
    notes: tuple[int, ...] = ()
    more: bool = False


def search_all(connection: Connection, queries: Sequence[str], most: int = MOST) -> Hits:
    """Return what any of some texts names or stands in: a card goes by several names once a key was exchanged."""
    found = [search(connection, query, most) for query in queries]
    return Hits(
        entities=_each(hits.entities for hits in found),
        payments=_each(hits.payments for hits in found),
        alerts=_each(hits.alerts for hits in found),
        cases=_each(hits.cases for hits in found),
        notes=_each(hits.notes for hits in found),
        more=any(hits.more for hits in found),
    )


def _each(found: Iterable[tuple[T, ...]]) -> tuple[T, ...]:
    """Return what was found by several texts, each once."""
    return tuple(dict.fromkeys(chain.from_iterable(found)))


def search(connection: Connection, query: str, most: int = MOST) -> Hits:
    """Return what a text names or stands in; nothing for an empty one."""
    text = query.strip()[:LONGEST]
    if not text:
        return Hits()
    found = (
        _entities(connection, text, most + 1),
        _alerts(connection, text, most + 1),
        _cases(connection, text),
        _notes(connection, text, most + 1),
    )
    entities, alerts, cases, notes = (tuple(each[:most]) for each in found)
    payments = () if alerts else tuple(_payments(connection, text))
    return Hits(entities, payments, alerts, cases, notes, any(len(each) > most for each in found))


def _entities(connection: Connection, text: str, most: int) -> list[int]:
    """Return cards, merchants and devices of a name, or of one that begins so."""
    found: list[tuple[int, int]] = []
    for kind in EntityKind:
        named = entity.c.name == text
        if len(text) >= LEAST_PREFIX:
            named = (entity.c.name >= text) & (entity.c.name <= text + LAST)
        asked = select(entity.c.last_at, entity.c.id).where(entity.c.kind == int(kind), named).limit(most)
        found += [(last_at, number) for last_at, number in connection.execute(asked)]
    return [number for _, number in sorted(found, reverse=True)[:most]]


def _alerts(connection: Connection, text: str, most: int) -> list[int]:
    """Return the alerts of a payment, of an alert's own id, or of its number."""
    named = (alert.c.tx_id == text) | (alert.c.uid == text)
    if (number := number_in(text)) is not None:
        named |= alert.c.id == number
    asked = select(alert.c.id).where(named).order_by(alert.c.id.desc()).limit(most)
    return list(connection.execute(asked).scalars())


def _payments(connection: Connection, text: str) -> list[str]:
    return list(connection.execute(select(payment.c.tx_id).where(payment.c.tx_id == text).limit(1)).scalars())


def _cases(connection: Connection, text: str) -> list[int]:
    number = number_in(text)
    if number is None:
        return []
    return list(connection.execute(select(case.c.id).where(case.c.id == number)).scalars())


def _notes(connection: Connection, text: str, most: int) -> list[int]:
    """Return notes that have all the words, the last of them as a beginning."""
    words = _WORD.findall(text)
    if not words:
        return []
    if connection.dialect.name == "postgresql":
        asked = "SELECT id FROM note WHERE words @@ to_tsquery('simple', %s) ORDER BY id DESC LIMIT %s"
        query = " & ".join(words) + ":*"
    else:
        asked = "SELECT rowid FROM note_words WHERE note_words MATCH ? ORDER BY rowid DESC LIMIT ?"
        query = " ".join(f'"{word}"' for word in words) + "*"
    rows: Any = connection.exec_driver_sql(asked, (query, most)).scalars()
    return list(rows)


def number_in(text: str) -> int | None:
    """Return the number that a text is, with or without a sign for it before; None for anything else."""
    digits = text.removeprefix("#")
    return int(digits) if digits.isdecimal() and digits.isascii() and len(digits) < len(str(2**63)) else None
