"""What every function of the desk works with."""

from typing import NamedTuple

from sqlalchemy import Connection, Select, select

from fraud.core.card_numbers import KEYLESS, CardNumbers
from fraud.review.audit import Audit
from fraud.review.database import Database
from fraud.review.library import Library, Releases
from fraud.review.settings import ReviewSection
from fraud.review.tables import mark


class Tools(NamedTuple):
    """One desk's database, audit log, settings and library; `base` is the base currency.

    `cards` says what becomes of card numbers that people type.
    """

    database: Database
    audit: Audit
    settings: ReviewSection
    library: Library
    releases: Releases | None = None
    base: str = "EUR"
    cards: CardNumbers = KEYLESS


STREAM, HEARD = "stream", "heard"
"""Rows of table `mark` that are no topics: the highest time of a payment, and when the newest decision was taken in."""


def marked(connection: Connection, name: str) -> int:
    """Return one of these times, ns UTC, 0 where nothing has come yet."""
    return connection.execute(marked_at(name)).scalar() or 0


def marked_at(name: str) -> Select[int]:
    """Return the question for one of these times: no row where nothing has come yet."""
    return select(mark.c.next_offset).where(mark.c.topic == name, mark.c.partition == 0)
