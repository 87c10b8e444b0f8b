"""The projector on both databases: what it does when the feed or the database fails, and who may be one."""

import io
import threading
from collections.abc import Callable

import pytest

from fraud.core.errors import SettingsError
from fraud.core.records import Action
from fraud.dashboard.projector import Projector
from fraud.dashboard.sole import PROJECTOR, PUBLISHER, sole
from fraud.review.database import Database
from streaming.observe.logs import Log
from tests.dashboard.streams import TOPICS, ListFeed, decided, records_of, told
from tests.databases import Reader
from tests.review.taken import intake

MESSAGES = [*[decided(number, action=list(Action)[number % 4]) for number in range(20)], told(3), told(4)]


def projector(database: Database, feed: ListFeed, said: io.StringIO | None = None) -> Projector:
    return Projector(database, intake(database), feed, TOPICS, Log("console", said or io.StringIO()))


def run_until(made: Projector, done: Callable[[], bool]) -> None:
    """Run until something holds, which is looked at with each pause."""
    stop = threading.Event()
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    try:
        while not done() and thread.is_alive():
            stop.wait(0.01)
    finally:
        stop.set()
        thread.join()


def test_projector_takes_in_a_feed_and_tells_how_far_it_is(database: Database, ask: Reader) -> None:
    feed = ListFeed(records_of(MESSAGES))
    made = projector(database, feed)
    run_until(made, lambda: made.figures.records == len(MESSAGES))
    assert ask("SELECT count(*) FROM payment") == [(20,)]
    assert ask("SELECT count(*) FROM alert") == [(15,)]
    assert (made.figures.decisions, made.figures.unreadable, made.figures.follows) == (20, 0, False)
    again = projector(database, feed)
    feed.records += records_of([decided(20)], begin=20)
    run_until(again, lambda: again.figures.records == 1)
    assert ask("SELECT count(*) FROM payment") == [(21,)]


def test_projector_goes_on_after_a_failure_and_says_why_once(database: Database, ask: Reader) -> None:
    said, feed = io.StringIO(), ListFeed(records_of(MESSAGES))
    feed.fails = [SettingsError("no broker at kafka:9092"), SettingsError("no broker at kafka:9092")]
    made = projector(database, feed, said)
    run_until(made, lambda: made.figures.records == len(MESSAGES))
    assert ask("SELECT count(*) FROM payment") == [(20,)]
    assert (feed.started, made.figures.failures, made.figures.fault) == (3, 2, "")
    assert said.getvalue().count("no broker at kafka:9092") == 1


def test_projector_measures_how_much_waits(database: Database) -> None:
    feed = ListFeed(records_of(MESSAGES))
    made = projector(database, feed)
    feed.start({})
    made.step(0)
    assert made.figures.behind == len(MESSAGES) - 3


@pytest.mark.parametrize("what", [PROJECTOR, PUBLISHER])
def test_one_at_a_time_works_on_a_database(database: Database, what: str) -> None:
    stop, entered, tried = threading.Event(), threading.Event(), []

    def second() -> None:
        with sole(database, what, stop) as ours:
            tried.append(ours)
            entered.set()

    other = threading.Thread(target=second)
    with sole(database, what, threading.Event()) as ours:
        assert ours
        other.start()
        assert not entered.wait(0.05)
    assert entered.wait(30)
    other.join()
    assert tried == [True]


def test_who_waits_can_be_stopped(database: Database) -> None:
    stop, tried = threading.Event(), []

    def second() -> None:
        with sole(database, PROJECTOR, stop) as ours:
            tried.append(ours)

    with sole(database, PROJECTOR, threading.Event()), sole(database, PUBLISHER, threading.Event()) as other:
        assert other
        waiting = threading.Thread(target=second)
        waiting.start()
        stop.set()
        waiting.join()
    assert tried == [False]
