"""Labels on both databases: what holds of a payment, and when each label came where."""

from fraud.core.records import DAY, HOUR, SECOND, LabelSource, Verdict
from fraud.review import counters
from fraud.review.database import Database
from fraud.review.words import Known, Teller
from tests.databases import Reader
from tests.review.taken import NOW, STREAM, applied, held, intake, known, label, live, seen, snapshot, take

TRACE = "SELECT known_at, applied_at, live_in_model, live_at FROM label_trace"


def test_label_that_is_taken_back_leaves_the_payment_unknown(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, seen(1), known(0, label(1)))
    assert ask("SELECT verdict, verdict_source FROM payment") == [(Known.FRAUD, Teller.ANALYST)]
    take(into, known(1, label(1, Verdict.WITHDRAWN, happened_at=STREAM + 3 * HOUR)))
    assert ask("SELECT verdict, verdict_source FROM payment") == [(None, None)]
    assert ask("SELECT DISTINCT frauds FROM entity") == [(0,)]
    with database.read() as connection:
        assert set(counters.read(connection, "calibration/09/fraud").values()) <= {0}


def test_last_label_of_the_book_holds_whatever_its_time(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(
        into,
        seen(1),
        known(4, label(1, Verdict.GENUINE, happened_at=STREAM + 2 * HOUR)),
        known(5, label(1, source=LabelSource.CHARGEBACK)),
    )
    assert ask("SELECT verdict, verdict_source FROM payment") == [(Known.FRAUD, Teller.CHARGEBACK)]


def test_label_read_again_keeps_its_first_times(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, known(0, label(1), NOW), applied(0, label(1), NOW + 1))
    take(into, known(1, label(1), NOW + 50), applied(1, label(1), NOW + 51))
    assert ask(TRACE) == [(NOW, NOW + 1, None, None)]


def test_label_applied_before_it_is_known_has_both_times(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, applied(0, label(1), NOW + 7))
    take(into, known(0, label(1), NOW + 3))
    assert ask(TRACE) == [(NOW + 3, NOW + 7, None, None)]
    take(into, seen(1))
    assert ask("SELECT verdict FROM payment") == [(Known.FRAUD,)]


def test_label_that_is_only_applied_holds_nothing(database: Database, ask: Reader) -> None:
    take(intake(database), applied(0, label(1)), seen(1))
    assert ask("SELECT verdict FROM payment") == [(None,)]


def test_desk_row_of_a_label_is_completed(database: Database, ask: Reader) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO label_trace (tx_id, source, happened_at, version, verdict, sent_at) "
            f"VALUES ('tx1', 1, {STREAM + SECOND + HOUR}, 0, 1, 5)"
        )
    take(intake(database), known(0, label(1), NOW))
    assert ask("SELECT version, sent_at, known_at, seen_at FROM label_trace") == [(0, 5, NOW, NOW)]


def test_verdict_is_live_with_the_first_snapshot_that_learned_it(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, known(0, label(1, seen_at=NOW + 10)))
    take(into, snapshot(0, "old", NOW + 5), live(1, "old", NOW + 6))
    assert ask(TRACE) == [(NOW, None, None, None)]
    take(into, snapshot(2, "new", NOW + 20))
    assert ask(TRACE) == [(NOW, None, None, None)]
    take(into, live(3, "new", NOW + 21), live(4, "old", NOW + 30))
    assert ask(TRACE) == [(NOW, None, "new", NOW + 21)]


def test_verdict_known_after_it_went_live_is_marked_too(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, snapshot(0, "new", NOW + 20), live(1, "new", NOW + 21))
    take(into, known(0, label(1, seen_at=NOW + 10)))
    assert ask(TRACE) == [(NOW, None, "new", NOW + 21)]


def test_what_others_say_is_not_called_live(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, known(0, label(1, source=LabelSource.CHARGEBACK)), snapshot(0, "v", NOW + DAY), live(1, "v", NOW + DAY))
    assert ask(TRACE) == [(NOW, None, None, None)]


def test_news_of_a_label_is_told_of_its_alert(database: Database) -> None:
    into = intake(database)
    (alert,) = take(into, seen(1, held(1))).added
    assert take(into, known(0, label(1))).changed == (alert,)
    assert take(into, applied(0, label(1))).changed == (alert,)
    assert take(into, known(1, label(7))).changed == ()
    assert take(into, snapshot(0, "v", NOW + DAY), live(1, "v", NOW + DAY)).changed == (alert,)
