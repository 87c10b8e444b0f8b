"""What the console says of itself: whether it can work, and its figures."""

from collections.abc import Callable, Iterator, Sequence

from sqlalchemy.exc import SQLAlchemyError

from fraud.dashboard.live import Live
from fraud.dashboard.projector import Figures
from fraud.dashboard.publisher import Sent
from fraud.review.database import Database, DatabaseError


class ProcessHealth:
    """What `/readyz` and `/metrics` say, and how fresh pages are."""

    def __init__(
        self, database: Database, projector: Figures, publisher: Sent, live: Live, heard: Callable[[], int | None]
    ) -> None:
        """Take what is looked at."""
        self._database, self._projector, self._publisher = database, projector, publisher
        self._live, self._heard = live, heard

    def waits_for(self) -> Sequence[str]:
        """Return what is missing before the console is ready; nothing when it is.

        A publisher that cannot send is no reason to turn people away: what they decide is kept, and leaves later.
        """
        try:
            self._database.need_head()
        except DatabaseError:
            return ("the database",)
        return (f"the feed ({self._projector.fault})",) if self._projector.fault else ()

    def heard_at(self) -> int | None:
        """Return when the newest decision was taken in, wall clock; None before the first, or without a database."""
        try:
            return self._heard()
        except SQLAlchemyError:
            return None

    def metrics(self) -> bytes:
        """Return figures in Prometheus's text format."""
        return "".join(
            f"# HELP fraud_console_{name} {said}\n# TYPE fraud_console_{name} {kind}\nfraud_console_{name} {value}\n"
            for name, kind, said, value in self._figures()
        ).encode()

    def _figures(self) -> Iterator[tuple[str, str, str, int]]:
        read, sent = self._projector, self._publisher
        yield "records_total", "counter", "Records of the feed taken in", read.records
        yield "decisions_total", "counter", "Decisions taken in", read.decisions
        yield "unreadable_total", "counter", "Records that could not be read", read.unreadable
        yield "projector_failures_total", "counter", "Times that the projector had to begin again", read.failures
        yield "projector_lag", "gauge", "Records that wait in the feed", read.behind
        yield "projector_follows", "gauge", "1 where this process follows the feed", int(read.works)
        yield "sent_total", "counter", "Labels and orders that were sent", sent.messages
        yield "send_failures_total", "counter", "Times that sending failed", sent.failures
        yield "viewers", "gauge", "Pages that are told of changes", self._live.viewers
