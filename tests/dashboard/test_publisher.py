"""The publisher on both databases: what is due leaves at least once, what was undone never does."""

import io
import threading

import msgspec
import pytest
from sqlalchemy import insert

from fraud.core.actions import AuditHead, CaseAction, Remedy
from fraud.core.errors import DeliveryError
from fraud.core.records import Label, LabelSource, Verdict
from fraud.dashboard.publisher import Publisher, claim
from fraud.review.database import Database
from fraud.review.tables import action_log, label_trace, outbox
from fraud.review.words import Order, Parcel, Sending, Teller
from streaming.messages.actions import case_action_in
from streaming.observe.logs import Log
from tests.dashboard.streams import TOPICS, ListOutlet
from tests.databases import Reader
from tests.review.taken import NOW, STREAM
from tests.site import until

LABEL = Label(
    tx_id="tx1", verdict=Verdict.FRAUD, happened_at=STREAM, seen_at=STREAM, source=LabelSource.ANALYST, version=2
)
ORDER = CaseAction(id="o1", action=Remedy.BLOCK_CARD, card="4000", at=NOW, by="Ann", case="7")


def publisher(database: Database, outlet: ListOutlet) -> Publisher:
    return Publisher(database, lambda: outlet, TOPICS, Log("console", io.StringIO()))


def put(database: Database, kind: Parcel, record: msgspec.Struct, due: int = NOW, **more: object) -> int:
    body = msgspec.json.encode(record)
    with database.write() as connection:
        row = insert(outbox).values(kind=int(kind), body=body, send_after=due, **more).returning(outbox.c.seq)
        return int(connection.execute(row).scalar_one())


def test_label_leaves_when_it_is_due_and_is_stamped(database: Database, ask: Reader) -> None:
    with database.write() as connection:
        trace = {"tx_id": "tx1", "source": int(Teller.ANALYST), "happened_at": STREAM, "version": 2, "verdict": 1}
        connection.execute(insert(label_trace).values(**trace))
    put(database, Parcel.LABEL, LABEL, NOW + 10, alert_id=5)
    outlet = ListOutlet()
    made = publisher(database, outlet)
    assert made.step(NOW + 9) == 0
    assert made.step(NOW + 10) == 1
    assert made.step(NOW + 11) == 0
    (message,) = outlet.sent
    assert (message.topic, message.key) == ("labels", b"tx1")
    assert msgspec.json.decode(message.value)["version"] == 2
    ((sent_at,),) = ask("SELECT sent_at FROM label_trace")
    assert ask("SELECT sent_at FROM outbox") == [(sent_at,)]
    assert sent_at
    assert ask("SELECT alert_id, what FROM change") == [(5, 1)]


def test_order_and_audit_head_leave_on_topic_actions(database: Database, ask: Reader) -> None:
    with database.write() as connection:
        logged = {"case_id": 7, "card_id": 1, "kind": int(Order.BLOCK_CARD), "at": NOW}
        connection.execute(insert(action_log).values(id=3, **logged))
    put(database, Parcel.ORDER, ORDER, action_id=3)
    put(database, Parcel.AUDIT_HEAD, AuditHead(seq=4, mac="ab", at=NOW))
    outlet = ListOutlet()
    assert publisher(database, outlet).step(NOW) == 2
    assert [message.topic for message in outlet.sent] == ["actions", "actions"]
    assert case_action_in(outlet.sent[0].value) == ORDER
    assert ask("SELECT state FROM action_log") == [(Sending.SENT,)]


def test_what_was_undone_never_leaves(database: Database) -> None:
    put(database, Parcel.LABEL, LABEL, undone=True)
    outlet = ListOutlet()
    assert publisher(database, outlet).step(NOW) == 0
    assert outlet.sent == []


def test_what_was_not_acknowledged_is_sent_again_in_its_order(database: Database, ask: Reader) -> None:
    put(database, Parcel.LABEL, LABEL)
    put(database, Parcel.LABEL, msgspec.structs.replace(LABEL, version=3))
    outlet = ListOutlet()
    outlet.fails = [DeliveryError("no broker")]
    made = publisher(database, outlet)
    with pytest.raises(DeliveryError):
        made.step(NOW)
    assert ask("SELECT count(*) FROM outbox WHERE sent_at IS NULL") == [(2,)]
    assert made.step(NOW - 5) == 2
    assert [msgspec.json.decode(message.value)["version"] for message in outlet.sent] == [2, 2, 3]


def test_publisher_goes_on_after_a_failure_and_says_why_once(database: Database, ask: Reader) -> None:
    put(database, Parcel.LABEL, LABEL)
    outlet, said = ListOutlet(), io.StringIO()
    outlet.fails = [DeliveryError("no broker at kafka:9092"), DeliveryError("no broker at kafka:9092")]
    made = Publisher(database, lambda: outlet, TOPICS, Log("console", said))
    stop = threading.Event()
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    try:
        until(lambda: made.figures.messages == 1, "a message that was sent")
        until(lambda: not made.figures.fault, "nothing in the way")
    finally:
        stop.set()
        thread.join()
    assert ask("SELECT count(*) FROM outbox WHERE sent_at IS NULL") == [(0,)]
    assert (made.figures.failures, made.figures.works) == (2, False)
    assert said.getvalue().count("no broker at kafka:9092") == 1


def test_what_was_claimed_cannot_be_undone_any_more(database: Database, ask: Reader) -> None:
    put(database, Parcel.LABEL, LABEL, NOW)
    with database.write() as connection:
        assert len(claim(connection, NOW)) == 1
    assert ask("SELECT count(*) FROM outbox WHERE send_after < 0") == [(1,)]


def test_many_rows_leave_a_few_hundred_at_a_time(database: Database) -> None:
    body = msgspec.json.encode(LABEL)
    with database.write() as connection:
        connection.execute(insert(outbox), [{"kind": 0, "body": body, "send_after": n} for n in range(700)])
    made = publisher(database, ListOutlet())
    assert [made.step(NOW), made.step(NOW), made.step(NOW)] == [500, 200, 0]
