"""What live rows are made from: changes and rows of the database, as the queue's page shows them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select

from fraud.dashboard.live import Noted
from fraud.dashboard.pages import Pages, Scene
from fraud.review.changes import newest
from fraud.review.database import Database
from fraud.review.desk import Desk
from fraud.review.people import Person, Role
from fraud.review.tables import change, mark
from fraud.review.words import Changed

if TYPE_CHECKING:
    from fraud.review.views import Badge, QueueRow

EVERYBODY = Person(0, "", Role.VIEWER)
"""Rows that go to all pages are as somebody sees them who has no case."""


class DeskWire:
    """Reads changes from the database, rows from the desk."""

    def __init__(self, database: Database, desk: Desk, pages: Pages, currency: str, now: Callable[[], int]) -> None:
        """Take where things lie, how rows are rendered, and the wall clock."""
        self._database, self._desk, self._pages = database, desk, pages
        self._currency, self._now = currency, now

    def now(self) -> int:
        """Return the wall clock, UTC ns."""
        return self._now()

    def last(self) -> int:
        """Return the number of the newest change."""
        with self._database.read() as connection:
            return newest(connection)

    def since(self, seq: int, most: int) -> Sequence[Noted] | None:
        """Return the oldest changes after a number, at most so many; None when some of them are gone."""
        newer = select(change.c.seq, change.c.alert_id, change.c.what).where(change.c.seq > seq)
        with self._database.read() as connection:
            found = connection.execute(newer.order_by(change.c.seq).limit(most)).all()
        if found and found[0].seq != seq + 1:
            return None
        return [Noted(number, alert, Changed(what)) for number, alert, what in found]

    def rows(self, alerts: Sequence[int]) -> "Sequence[QueueRow]":
        """Return the rows of alerts as they are now."""
        return self._desk.row(alerts, EVERYBODY, self._now())

    def badges(self) -> "Sequence[Badge]":
        """Return how much waits in each queue."""
        return self._desk.badges(EVERYBODY, self._now())

    def row_text(self, row: "QueueRow") -> str:
        """Return a row as the queue's page shows it."""
        return self._pages.render("row", row, Scene(None, self._now(), "/queue", self._currency))

    def heard_age(self) -> float | None:
        """Return how many seconds ago the newest decision was taken in, None before the first."""
        at = self.heard_at()
        return None if at is None else round(max(self._now() - at, 0) / 1e9, 1)

    def heard_at(self) -> int | None:
        """Return when that was, wall clock."""
        with self._database.read() as connection:
            return connection.execute(select(mark.c.next_offset).where(mark.c.topic == "heard")).scalar()
