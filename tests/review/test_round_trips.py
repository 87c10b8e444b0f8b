"""How often a page asks the database: a bounded number of times, and not more often where there is more to show."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, get_args

import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import event, text

from fraud.core.records import Action
from fraud.review.database import Database
from fraud.review.views import QueueFilter, QueueQuery, Shelf, Work
from tests.databases import POSTGRESQL
from tests.review.seeding import (
    NOW,
    Site,
    alerted,
    case_of,
    chargeback,
    decided,
    decision,
    realistic,
    seen,
    site_of,
    take,
)

QUEUE, CASE, NEXT, ROWS, BADGES = 9, 18, 5, 3, 3
"""Statements at most: of a page of a queue, of a case with all that can stand there, of what else is asked often."""
CARD = "4000111122223333"


@pytest.fixture
def site(database: Database) -> Site:
    return site_of(database)


@contextmanager
def noted(database: Database) -> Iterator[list[str]]:
    """Note the statements that are sent while a block runs; that a transaction begins is told to SQLite alone."""
    sent: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if not statement.startswith("BEGIN"):
            sent.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def count(site: Site, ask: Callable[[], object]) -> int:
    """Return how many statements something takes."""
    with noted(site.database) as sent:
        ask()
    assert sent
    return len(sent)


def filled(site: Site, numbers: range) -> int:
    """Put alerts with shops, notes and tags of their own into one card's case; return it."""
    alerts = [alerted(site, number, card=CARD, merchant=f"M{number:06}", device=f"D{number}") for number in numbers]
    case = case_of(site, alerts[0])
    for number in numbers:
        site.desk.note(site["ben"], case, f"note {number}", NOW)
        site.desk.tag(site["ben"], case, f"tag{number}", NOW)
    return case


@pytest.mark.parametrize("name", ["vera", "anna", "lea"])
def test_queue_asks_as_often_for_many_rows_as_for_one(site: Site, name: str) -> None:
    alerted(site, 1)
    few = count(site, lambda: site.desk.queue(QueueQuery(), site[name], NOW))
    for number in range(2, 30):
        site.desk.tag(site["anna"], case_of(site, alerted(site, number)), f"tag{number}", NOW)
    many = count(site, lambda: site.desk.queue(QueueQuery(), site[name], NOW))
    assert many == few <= QUEUE


def test_every_queue_keeps_the_bound(site: Site) -> None:
    realistic(site, 300)
    narrowed = QueueFilter(least=1, channel="ecom", reason="amount", tag="travel", took="review")
    queries = [QueueQuery(kind=kind, filter=narrowed) for kind in get_args(Work)]
    queries += [QueueQuery(shelf=shelf) for shelf in get_args(Shelf)]
    with noted(site.database) as sent:
        for query in queries:
            site.desk.queue(query, site["lea"], NOW)
    assert len(sent) <= QUEUE * len(queries)


def test_case_asks_as_often_for_many_alerts_as_for_two(site: Site) -> None:
    case = filled(site, range(1, 3))
    few = count(site, lambda: site.desk.case(case, site["lea"], NOW))
    assert filled(site, range(3, 12)) == case
    many = count(site, lambda: site.desk.case(case, site["lea"], NOW))
    assert many == few <= CASE


def test_case_with_all_that_can_stand_there_keeps_the_bound(site: Site) -> None:
    peers = [seen(500 + place, decision(500 + place, base_amount=100 * place, mcc=1)) for place in range(40)]
    take(site, *peers)
    case = filled(site, range(600, 604))
    first, *_ = site.desk.case(case, site["anna"], NOW).alerts
    decided(site, first.row.alert, alerts=(first.row.alert,), note="called")
    take(site, chargeback(600, card=CARD))
    assert count(site, lambda: site.desk.case(case, site["ben"], NOW)) <= CASE
    view = site.desk.case(case, site["ben"], NOW)
    assert view.why.compared is not None
    assert view.why.compared.peers == 40
    assert (len(view.alerts), len(view.notes), len(view.verdicts), len(view.trails)) == (4, 4, 1, 1)


def test_next_case_and_live_rows_keep_their_bounds(site: Site) -> None:
    numbers = [alerted(site, number, action) for number in range(8) for action in (Action.REVIEW,)]
    assert count(site, lambda: site.desk.next(site["anna"], "held", NOW)) <= NEXT
    assert count(site, lambda: site.desk.row(numbers, site["anna"], NOW)) <= ROWS
    assert count(site, lambda: site.desk.badges(site["lea"], NOW)) <= BADGES


def test_who_only_reads_opens_no_transaction_in_postgresql(site: Site) -> None:
    if site.database.dialect != POSTGRESQL:
        return
    for opened, expected in (
        (site.database.read, TransactionStatus.IDLE),
        (site.database.write, TransactionStatus.INTRANS),
    ):
        with opened() as connection:
            connection.execute(text("SELECT 1"))
            driver: Any = connection.connection.dbapi_connection
            assert driver.info.transaction_status == expected


def test_connections_that_postgresql_has_ended_are_opened_anew_unasked(site: Site) -> None:
    if site.database.dialect != POSTGRESQL:
        return
    others = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
    with site.database.read() as first, site.database.read() as second:
        for connection in (first, second):
            connection.execute(text("SELECT 1"))
    with site.database.read() as connection:
        ended = connection.execute(text(others + "AND datname = current_database()")).scalar_one()
    assert ended >= 1
    with noted(site.database) as sent, site.database.read() as first, site.database.read() as second:
        assert [each.execute(text("SELECT 2")).scalar_one() for each in (first, second)] == [2, 2]
    assert sent == ["SELECT 2", "SELECT 2"]
