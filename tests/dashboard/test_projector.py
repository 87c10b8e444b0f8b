"""The projector on both databases: what it does when the feed or the database fails, and who may be one."""

import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fraud.core.errors import SettingsError
from fraud.core.records import Action
from fraud.dashboard.projector import Projector
from fraud.dashboard.sole import KEYS, PROJECTOR, PUBLISHER, sole
from fraud.review.database import Database
from fraud.review.intake.seen import Changes, DecisionSeen, Seen
from fraud.review.intake.take import Intake
from streaming.messages.feed import Place
from streaming.observe.logs import Log
from tests.dashboard.streams import TOPICS, ListFeed, decided, records_of, told
from tests.databases import POSTGRESQL, Reader, new_database, rows_of
from tests.review.taken import intake
from tests.site import until

MESSAGES = [*[decided(number, action=list(Action)[number % 4]) for number in range(20)], told(3), told(4)]


def projector(database: Database, feed: ListFeed, said: io.StringIO | None = None) -> Projector:
    return Projector(database, intake(database), feed, TOPICS, Log("console", said or io.StringIO()))


@contextmanager
def running(made: Projector) -> Iterator[None]:
    """Run until left."""
    stop = threading.Event()
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def run_until(made: Projector, done: Callable[[], bool]) -> None:
    """Run until something holds."""
    with running(made):
        until(done, "what the projector is run for")


def test_projector_takes_in_a_feed_and_tells_how_far_it_is(database: Database, ask: Reader) -> None:
    feed = ListFeed(records_of(MESSAGES))
    made = projector(database, feed)
    run_until(made, lambda: made.figures.records == len(MESSAGES))
    assert ask("SELECT count(*) FROM payment") == [(20,)]
    assert ask("SELECT count(*) FROM alert") == [(15,)]
    assert (made.figures.decisions, made.figures.unreadable, made.figures.works) == (20, 0, False)
    again = projector(database, feed)
    feed.records += records_of([decided(20)], begin=20)
    run_until(again, lambda: again.figures.records == 1)
    assert ask("SELECT count(*) FROM payment") == [(21,)]


def test_projector_begins_a_topic_that_was_made_anew_at_its_beginning(database: Database, ask: Reader) -> None:
    """Its marks are of another topic; the payments in it are new ones."""
    feed = ListFeed(records_of(MESSAGES))
    feed.topic_id = "first"
    made = projector(database, feed)
    run_until(made, lambda: made.figures.records == len(MESSAGES))
    feed.records, feed.topic_id = records_of([decided(number) for number in range(30, 35)]), "second"
    again = projector(database, feed)
    run_until(again, lambda: again.figures.records == 5)
    assert ask("SELECT count(*) FROM payment") == [(25,)]
    assert ask("SELECT next_offset FROM mark WHERE topic = 'decisions@second'") == [(5,)]


def test_marks_of_an_earlier_release_hold_until_they_have_the_topic_s_id(database: Database, ask: Reader) -> None:
    feed = ListFeed(records_of(MESSAGES))
    made = projector(database, feed)
    run_until(made, lambda: made.figures.records == len(MESSAGES))
    feed.records, feed.topic_id = feed.records + records_of([decided(20)], begin=20), "first"
    again = projector(database, feed)
    run_until(again, lambda: again.figures.records == 1)
    assert (ask("SELECT count(*) FROM payment"), again.figures.records) == ([(21,)], 1)
    assert ask("SELECT count(*) FROM mark WHERE topic IN ('decisions', 'labels.known')") == [(0,)]


def test_projector_goes_on_after_a_failure_and_says_why_once(database: Database, ask: Reader) -> None:
    said, feed = io.StringIO(), ListFeed(records_of(MESSAGES))
    feed.fails = [SettingsError("no broker at kafka:9092"), SettingsError("no broker at kafka:9092")]
    made = projector(database, feed, said)
    run_until(made, lambda: made.figures.records == len(MESSAGES))
    assert ask("SELECT count(*) FROM payment") == [(20,)]
    assert (feed.started, made.figures.failures, made.figures.fault) == (3, 2, "")
    assert said.getvalue().count("no broker at kafka:9092") == 1


class Refusing:
    """An intake whose database keeps one payment's row in no case."""

    def __init__(self, intake: Intake, tx_id: str) -> None:
        self._intake, self._tx_id = intake, tx_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._intake, name)

    def take(self, batch: Sequence[Seen], read: Mapping[Place, int], now: int) -> Changes:
        if any(isinstance(seen, DecisionSeen) and seen.decision.tx_id == self._tx_id for seen in batch):
            msg = f"{self._tx_id} does not fit"
            raise OverflowError(msg)
        return self._intake.take(batch, read, now)


@pytest.mark.parametrize("begin", [0, 2])
def test_record_that_no_database_keeps_is_left_out_and_told(database: Database, ask: Reader, begin: int) -> None:
    said = io.StringIO()
    feed = ListFeed(records_of([decided(number) for number in range(begin, 6)], begin))
    made = Projector(database, Refusing(intake(database), "tx2"), feed, TOPICS, Log("console", said))  # type: ignore[arg-type]
    run_until(made, lambda: made.figures.records == 6 - begin)
    assert ask("SELECT tx_id FROM payment ORDER BY tx_id") == [(f"tx{n}",) for n in range(begin, 6) if n != 2]
    assert ask("SELECT next_offset FROM mark WHERE topic = 'decisions'") == [(6,)]
    assert (made.figures.unreadable, made.figures.failures) == (1, 0)
    assert '"place":"decisions/0/2"' in said.getvalue().replace(" ", "")
    assert "tx2" not in said.getvalue()


def test_decision_with_a_character_that_postgresql_does_not_keep_is_shown(database: Database, ask: Reader) -> None:
    feed = ListFeed(records_of([decided(0, action=Action.REVIEW, text="SHOP\0 24", channel="e\0com")]))
    made = projector(database, feed)
    run_until(made, lambda: made.figures.records == 1)
    assert ask("SELECT text, channel FROM alert") == [("SHOP\ufffd 24", "e\ufffdcom")]


def test_second_projector_waits_and_says_nothing_of_what_was_wrong_before(database: Database) -> None:
    first, second = projector(database, ListFeed([])), projector(database, ListFeed([]))
    with running(first):
        until(lambda: first.figures.works, "the first one at work")
        second.figures.met(SettingsError("no broker"))
        with running(second):
            until(lambda: not second.figures.fault, "nothing in the way of the second one")
            assert (first.figures.works, second.figures.works) == (True, False)
            assert second.figures.failures == 1


def test_projector_whose_lock_is_lost_with_its_session_takes_it_again(tmp_path: Path) -> None:
    database = new_database(POSTGRESQL, tmp_path)
    made = projector(database, ListFeed([]))
    with running(made):
        until(lambda: made.figures.works, "a projector at work")
        assert rows_of(database, END_OF_LOCK) == [(True,)]
        until(lambda: made.figures.failures == 1, "that the loss is seen")
        until(lambda: made.figures.works, "that it works again")
    database.close()


END_OF_LOCK = f"""
SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = {KEYS[PROJECTOR] & 0xFFFFFFFF}
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def test_topic_that_was_made_anew_is_told_rather_than_taken_for_read(database: Database, ask: Reader) -> None:
    made = projector(database, ListFeed(records_of(MESSAGES)))
    run_until(made, lambda: made.figures.records == len(MESSAGES))
    again = projector(database, ListFeed(records_of([decided(30, card="5000")])))
    run_until(again, lambda: again.figures.failures > 0)
    assert "decisions/0 ends at 1, and this database has read it up to 20" in again.figures.fault
    assert ask("SELECT count(*) FROM payment") == [(20,)]


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
        with sole(database, what, stop, lambda: None) as held:
            tried.append(held is not None)
            entered.set()

    other = threading.Thread(target=second)
    with sole(database, what, threading.Event(), lambda: None) as held:
        assert held is not None
        held.check()
        other.start()
        assert not entered.wait(0.05)
    assert entered.wait(30)
    other.join()
    assert tried == [True]


def test_who_waits_can_be_stopped(database: Database) -> None:
    stop, tried = threading.Event(), []

    def second() -> None:
        with sole(database, PROJECTOR, stop, lambda: None) as held:
            tried.append(held is not None)

    never = threading.Event()
    with sole(database, PROJECTOR, never, lambda: None), sole(database, PUBLISHER, never, lambda: None) as other:
        assert other is not None
        waiting = threading.Thread(target=second)
        waiting.start()
        stop.set()
        waiting.join()
    assert tried == [False]
