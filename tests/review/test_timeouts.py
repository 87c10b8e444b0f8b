"""Alerts that nobody looked at in time, on both databases: closed once, ordered once, without a label."""

from typing import Any

import msgspec
import pytest

from fraud.core.actions import CaseAction, Remedy
from fraud.core.records import DAY, HOUR, MINUTE, Action
from fraud.review import counters
from fraud.review.database import Database
from fraud.review.intake.timeouts import BY, GRACE
from fraud.review.words import AlertStatus, CaseState, Order, Parcel, Sending
from tests.databases import Reader
from tests.review.taken import NOW, decision, held, intake, seen, take

LATE = NOW + 31 * MINUTE


def order_of(ask: Reader) -> list[CaseAction]:
    rows = ask(f"SELECT body FROM outbox WHERE kind = {int(Parcel.ORDER)} ORDER BY seq")
    return [msgspec.json.decode(bytes(body), type=CaseAction) for (body,) in rows]


def write(database: Database, statement: str) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(statement)


def test_held_payment_is_let_go_once_when_its_time_has_passed(database: Database, ask: Reader) -> None:
    journal: list[tuple[Any, ...]] = []
    into = intake(database, journal)
    (alert,) = take(into, seen(1, held(1))).added
    assert into.expire(NOW + 29 * MINUTE).changed == ()
    assert into.expire(LATE).changed == (alert,)
    assert into.expire(LATE + HOUR).changed == ()
    (order,) = order_of(ask)
    assert (order.action, order.card, order.tx_id, order.by, order.at) == (Remedy.RELEASE, "4000", "tx1", BY, LATE)
    assert ask("SELECT kind, state, alert_id FROM action_log") == [(Order.RELEASE, Sending.WAITING, alert)]
    assert ask("SELECT status, decided_at FROM alert") == [(AlertStatus.TIMED_OUT, LATE)]
    assert ask('SELECT state, at_stake, decided_at FROM "case"') == [(CaseState.DECIDED, 0, LATE)]
    assert ask("SELECT count(*) FROM label_trace") == [(0,)]
    assert [told[1:4] for told in journal] == [(BY, "release", f"alert/{alert}")]
    with database.read() as connection:
        assert counters.read(connection, "waiting/held") == {("waiting/held", 0): 0}
        assert counters.read(connection, "timed-out/") == {("timed-out/held", LATE // HOUR): 1}


@pytest.mark.parametrize("action", [Action.DECLINE, Action.CHALLENGE])
def test_other_kinds_are_closed_without_an_order(database: Database, ask: Reader, action: Action) -> None:
    into = intake(database)
    take(into, seen(1, decision(1, action)))
    assert into.expire(LATE) == ((), ())
    assert len(into.expire(NOW + 2 * DAY).changed) == 1
    assert order_of(ask) == []


def test_case_is_open_while_one_of_its_alerts_is(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, seen(1, held(1)), seen(2, decision(2, Action.DECLINE)))
    into.expire(LATE)
    assert ask('SELECT state, at_stake FROM "case"') == [(CaseState.OPEN, 350)]


def test_alert_in_work_is_left_for_a_while(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, seen(1, held(1)))
    write(database, f'UPDATE "case" SET owner = 1, lock_until = {LATE + HOUR}')
    assert into.expire(LATE).changed == ()
    assert len(into.expire(LATE + GRACE).changed) == 1
    assert ask('SELECT owner, lock_until FROM "case"') == [(None, None)]


def test_held_payment_that_waits_for_somebody_is_let_go_too(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, seen(1, held(1)), seen(2, decision(2, Action.DECLINE, card="4001")))
    write(database, f"UPDATE alert SET status = {int(AlertStatus.LOCKED)}")
    assert len(into.expire(NOW + 2 * DAY).changed) == 1
    assert ask("SELECT status FROM alert ORDER BY id") == [(AlertStatus.TIMED_OUT,), (AlertStatus.LOCKED,)]


def test_case_that_waits_for_a_second_person_stays(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, seen(1, held(1)))
    write(database, f'UPDATE "case" SET state = {int(CaseState.PENDING_SECOND)}, kind_second = 1')
    into.expire(LATE)
    assert ask('SELECT state FROM "case"') == [(CaseState.PENDING_SECOND,)]


def test_payment_that_somebody_has_ordered_gets_no_second_order(database: Database, ask: Reader) -> None:
    into = intake(database)
    (alert,) = take(into, seen(1, held(1))).added
    write(
        database,
        "INSERT INTO action_log (case_id, alert_id, card_id, kind, state, at, token) "
        f"VALUES (1, {alert}, 1, {int(Order.DECLINE)}, {int(Sending.SENT)}, 1, '')",
    )
    assert into.expire(LATE).changed == (alert,)
    assert order_of(ask) == []


def test_order_a_day_late_is_not_given(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, seen(1, held(1)))
    assert len(into.expire(LATE + 2 * DAY).changed) == 1
    assert order_of(ask) == []


def test_site_says_what_becomes_of_held_payments(database: Database, ask: Reader) -> None:
    into = intake(database, timed_out=Remedy.STEP_UP)
    take(into, seen(1, held(1)))
    into.expire(LATE)
    assert [order.action for order in order_of(ask)] == [Remedy.STEP_UP]
    assert ask("SELECT kind FROM action_log") == [(Order.STEP_UP,)]
