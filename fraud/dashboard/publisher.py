"""The publisher: labels and orders of the outbox leave when they are due, at least once on the wire.

A row is claimed before it is sent: `send_after` goes below zero, so that nobody can undo it any more. What was claimed
when a process died is sent again. Once in effect: label book and workers ignore what they have had.
"""

from collections.abc import Callable, Sequence
from threading import Event
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, select, update

from fraud.core.actions import AuditHead, CaseAction
from fraud.core.records import Label
from fraud.dashboard.sole import PUBLISHER
from fraud.dashboard.working import Trouble, work
from fraud.review.bulk import change
from fraud.review.changes import noted
from fraud.review.database import Database
from fraud.review.tables import IS_TO_SEND, action_log, label_trace, outbox
from fraud.review.words import Changed, Parcel, Sending, Teller
from streaming import clock
from streaming.kafka.topics import Topics
from streaming.messages.actions import audit_out, case_out
from streaming.messages.envelope import Outgoing, label_out
from streaming.messages.feed import Outlet
from streaming.observe.logs import Log

MOST = 500
LOOK_SECONDS = 0.25


class Row(NamedTuple):
    """A row of the outbox that was claimed."""

    seq: int
    kind: int
    body: bytes
    alert_id: int | None
    action_id: int | None


class Sent(Trouble):
    """What the publisher has done since it began."""

    messages: int = 0


class Publisher:
    """Sends what is due; `run` goes on until it is stopped."""

    name = PUBLISHER

    def __init__(self, database: Database, connect: Callable[[], Outlet], topics: Topics, log: Log) -> None:
        """Take the database and what makes an outlet, which may fail while Kafka is down."""
        self._database, self._connect, self._topics, self._log = database, connect, topics, log
        self._outlet: Outlet | None = None
        self.figures = Sent()

    def run(self, stop: Event) -> None:
        """Send until `stop` is set; what cannot be sent now waits, and is tried again."""
        work(self, self._database, self._log, stop)

    def begin(self) -> None:
        """Begin with nothing: the way out is made for the first message."""

    def turn(self, stop: Event) -> None:
        """Send what is due now, and wait a moment where that was all."""
        if self.step(clock.now_ns()) < MOST:
            stop.wait(LOOK_SECONDS)

    def step(self, now: int) -> int:
        """Send what is due at `now` (wall clock, UTC ns); return how many messages that were.

        Raises:
            DeliveryError: when one was not acknowledged; all of them are then sent again.
        """
        with self._database.write() as connection:
            rows = claim(connection, now)
        if rows:
            if self._outlet is None:
                self._outlet = self._connect()
            self._outlet.send([message_of(row, self._topics) for row in rows])
            with self._database.write() as connection:
                stamp(connection, rows, clock.now_ns())
            self.figures.messages += len(rows)
        return len(rows)

    def end(self) -> None:
        """Release the outlet."""
        outlet, self._outlet = self._outlet, None
        if outlet is not None:
            outlet.close()


def claim(connection: Connection, now: int) -> list[Row]:
    """Return rows that are due, the oldest first, no longer to be undone; those first that were claimed before."""
    due = select(outbox.c.seq).where(IS_TO_SEND, outbox.c.send_after <= now)
    first = connection.execute(due.order_by(outbox.c.seq).limit(MOST)).scalars().all()
    if not first:
        return []
    # Looked at again under the row's lock: whoever undoes it at this moment is either before or after.
    stands = IS_TO_SEND & outbox.c.seq.in_(first)
    found = connection.execute(
        update(outbox).where(stands).values(send_after=-1).returning(*(outbox.c[name] for name in Row._fields))
    )
    return sorted(Row(*row) for row in found)


def message_of(row: Row, topics: Topics) -> Outgoing:
    """Return the message of a row."""
    if row.kind == Parcel.LABEL:
        return label_out(msgspec.json.decode(row.body, type=Label), topics.labels)
    if row.kind == Parcel.ORDER:
        return case_out(msgspec.json.decode(row.body, type=CaseAction), topics.actions)
    return audit_out(msgspec.json.decode(row.body, type=AuditHead), topics.actions)


def stamp(connection: Connection, rows: Sequence[Row], now: int) -> None:
    """Note that rows have been sent, with the labels and orders that they are."""
    sent = (outbox.c.seq.in_([row.seq for row in rows]), outbox.c.sent_at.is_(None))
    connection.execute(update(outbox).where(*sent).values(sent_at=now))
    labels = [msgspec.json.decode(row.body, type=Label) for row in rows if row.kind == Parcel.LABEL]
    keys = [(label.tx_id, int(Teller.ANALYST), label.happened_at, now) for label in labels]
    change(connection, label_trace, ("tx_id", "source", "happened_at"), ("sent_at",), keys)
    orders = [row.action_id for row in rows if row.action_id is not None]
    if orders:
        done = update(action_log).where(action_log.c.id.in_(orders)).values(state=int(Sending.SENT))
        connection.execute(done)
    noted(connection, sorted({row.alert_id for row in rows if row.alert_id is not None}), Changed.CHANGED, now)
