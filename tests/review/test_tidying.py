"""What is let go after a while, on both databases, and what is not."""

from fraud.core.records import DAY, HOUR, LabelSource
from fraud.review.database import Database
from tests.databases import POSTGRESQL, Reader, rows_of
from tests.review.taken import NOW, STREAM, decision, held, intake, known, label, live, seen, snapshot, take


def parts_of(database: Database) -> list[str]:
    found = rows_of(
        database, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'payment'::regclass ORDER BY 1"
    )
    return [str(name) for (name,) in found]


def test_old_payments_go_by_days_of_the_stream(database: Database, ask: Reader) -> None:
    into = intake(database, keep_payments=2 * DAY)
    days = [seen(day, decision(day, happened_at=STREAM + day * DAY, card=f"40{day}")) for day in range(5)]
    take(into, *days)
    while into.tidy(NOW):
        pass
    assert [row[0] for row in ask("SELECT happened_at FROM payment ORDER BY 1")] == [
        STREAM + day * DAY for day in (2, 3, 4)
    ]
    if database.dialect == POSTGRESQL:
        assert parts_of(database) == [f"payment_d{STREAM // DAY + day}" for day in (2, 3, 4)]
    take(into, seen(9, decision(9, happened_at=STREAM + DAY)), seen(10, decision(10, happened_at=STREAM + 4 * DAY)))
    assert ask("SELECT count(*) FROM payment") == [(4,)]


def test_cards_are_forgotten_with_their_payments_unless_there_was_an_alert(database: Database, ask: Reader) -> None:
    into = intake(database, keep_payments=2 * DAY)
    take(into, seen(1, decision(1, card="4001")), seen(2, held(2, card="4002")), known(0, label(1, card="4001")))
    take(into, seen(3, decision(3, card="4003")), seen(4, decision(4, happened_at=STREAM + 5 * DAY, card="4004")))
    while into.tidy(NOW):
        pass
    assert [row[0] for row in ask("SELECT name FROM entity WHERE kind = 0 ORDER BY 1")] == ["4001", "4002", "4004"]


def test_labels_go_with_their_payments_unless_there_was_an_alert(database: Database, ask: Reader) -> None:
    into = intake(database, keep_payments=DAY)
    take(into, seen(1, held(1)), seen(2), known(0, label(1)), known(1, label(2, source=LabelSource.SILENCE)))
    take(into, seen(3, decision(3, happened_at=STREAM + 5 * DAY)))
    into.tidy(NOW)
    assert ask("SELECT tx_id FROM label_trace") == [("tx1",)]


def test_news_and_stages_are_kept_for_their_time(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, seen(1, held(1), stages=b"read=5"), snapshot(0, "v", NOW), live(1, "v", NOW))
    into.tidy(NOW + HOUR // 2)
    assert ask("SELECT count(*) FROM change") == [(1,)]
    assert ask("SELECT count(*) FROM counter WHERE substr(name, 1, 6) = 'stage/'") == [(1,)]
    into.tidy(NOW + 2 * DAY)
    assert ask("SELECT count(*) FROM change") == [(0,)]
    assert ask("SELECT count(*) FROM counter WHERE substr(name, 1, 6) = 'stage/'") == [(0,)]
    assert ask("SELECT count(*) FROM counter WHERE name = 'waiting/held'") == [(1,)]
    assert ask("SELECT count(*) FROM refresh") == [(1,)]
    into.tidy(NOW + 91 * DAY)
    assert ask("SELECT count(*) FROM refresh") == [(1,)], "what was learned goes by the time of the stream"
    take(into, seen(2, decision(2, happened_at=NOW + 91 * DAY)))
    into.tidy(NOW + 91 * DAY)
    assert ask("SELECT count(*) FROM refresh") == [(0,)]
    assert ask("SELECT count(*) FROM live_refresh") == [(1,)]


def test_parameters_are_kept_of_the_newest_snapshots_and_of_that_which_payments_get(
    database: Database, ask: Reader
) -> None:
    into = intake(database)
    made = [snapshot(place, f"v{place}", STREAM + place, b"parameters") for place in range(7)]
    take(into, *made, live(20, "v0", STREAM), live(21, "v1", STREAM + 1))
    into.tidy(NOW)
    assert ask("SELECT version FROM refresh WHERE body IS NOT NULL ORDER BY 1") == [("v1",), ("v4",), ("v5",), ("v6",)]
