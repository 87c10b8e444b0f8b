"""The intake on both databases: each decision once, whatever is read again, and what an alert carries with it."""

import itertools
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete
from sqlalchemy.exc import DBAPIError, StatementError

from fraud.core.records import DAY, HOUR, SECOND, Action, Kind, Mark, Position, Raised, Reason, Verdict
from fraud.review import counters
from fraud.review.database import Database
from fraud.review.ids import entity_id
from fraud.review.intake import alerts, peers
from fraud.review.intake.marks import stream_time
from fraud.review.intake.seen import Seen
from fraud.review.tables import metadata
from fraud.review.words import AlertKind, AlertStatus, CaseState, EntityKind, Known, Teller
from tests.databases import Reader
from tests.review.taken import DECISIONS, NOW, STREAM, decision, held, intake, known, label, seen, take

EVERYTHING = (
    "SELECT id, kind, name, first_at, last_at, payments, declined, alerts, frauds FROM entity ORDER BY id",
    "SELECT tx_id, version, card, merchant, device, happened_at, amount, bin, verdict FROM payment ORDER BY tx_id",
    "SELECT uid, tx_id, kind, status, seen_before, arrived_at, due_at FROM alert ORDER BY uid",
    'SELECT card_id, state, alerts, at_stake, due_at FROM "case" ORDER BY card_id, state',
    "SELECT name, bucket, sum(value) FROM counter WHERE value <> 0 AND name <> 'changes' GROUP BY name, bucket "
    "ORDER BY name, bucket",
    "SELECT tx_id, source, happened_at, verdict, seen_at, known_at, known_offset FROM label_trace ORDER BY tx_id",
    "SELECT alert_id, place, code, text, effect FROM reason ORDER BY alert_id, place",
    "SELECT slot, channel, amount FROM peer ORDER BY slot",
)


def everything(ask: Reader) -> list[list[tuple[Any, ...]]]:
    """Return all that was taken in, but for what differs by where batches end."""
    return [ask(each) for each in EVERYTHING]


def a_stream() -> list[Seen]:
    """Return decisions and labels of three cards, alerts among them, one payment decided twice."""
    actions = [Action.APPROVE, Action.REVIEW, Action.DECLINE, Action.APPROVE, Action.CHALLENGE]
    decisions = [
        seen(number, decision(number, actions[number % 5], card=f"40{number % 3}", device=f"D{number % 2}"))
        for number in range(20)
    ]
    labels = [known(number, label(number, paid_at=STREAM + number * SECOND)) for number in range(0, 20, 3)]
    return [*decisions, *labels]


def test_alert_is_written_with_case_reasons_and_what_it_rests_on(database: Database, ask: Reader) -> None:
    changes = take(intake(database), seen(1, held(1)))
    assert changes.changed == ()
    (row,) = ask(
        "SELECT id, tx_id, kind, status, action, amount, currency, base_amount, expected_loss, at_stake, arrived_at, "
        "due_at, happened_at, model, rules, policy, seen_before, channel, mcc, text FROM alert"
    )
    assert changes.added == (row[0],)
    assert row[1:] == (
        "tx1", AlertKind.HELD, AlertStatus.OPEN, 2, 1_100, "USD", 1_000, 400, 350, NOW + 1_000_000,
        NOW + 1_000_000 + 30 * 60 * SECOND, STREAM + SECOND, "blend@1", "rules", "policy", 0, "ecom", 5732, "ACME",
    )  # fmt: skip
    assert ask("SELECT place, code, text, effect FROM reason ORDER BY place") == [
        (0, "amount", "is large", 1.5),
        (1, "rule:night", "at night", 0.0),
    ]
    ((message, vector),) = ask("SELECT decision, vector FROM evidence")
    assert (bytes(message), bytes(vector)) == (b"message", b"vector")
    assert ask('SELECT state, alerts, at_stake FROM "case"') == [(CaseState.OPEN, 1, 350)]
    assert ask("SELECT alert_id, what FROM change") == [(row[0], 0)]


def test_graph_of_an_alert_is_that_of_its_time(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, seen(0, decision(0, merchant="M9")), seen(1, held(1)))
    take(into, seen(2, decision(2, merchant="M7")))
    ((graph,),) = ask("SELECT graph FROM evidence")
    found = msgspec.json.decode(graph) if isinstance(graph, str) else graph
    assert isinstance(found, dict)
    names = {node["name"] for node in found["nodes"] if node["kind"] == "merchant"}
    assert names == {"M9", "M1"}


def test_second_alert_on_a_card_joins_its_open_case(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, seen(1, held(1)))
    take(into, seen(2, held(2)), seen(3, held(3, card="4001")))
    card = entity_id(EntityKind.CARD, "4000")
    assert ask(f'SELECT alerts, at_stake FROM "case" WHERE card_id = {card}') == [(2, 700)]
    assert ask("SELECT seen_before FROM alert ORDER BY id") == [(0,), (1,), (0,)]
    with database.write() as connection:
        connection.exec_driver_sql('UPDATE "case" SET state = 2')
    take(into, seen(4, held(4)))
    assert ask(f'SELECT state, alerts FROM "case" WHERE card_id = {card} ORDER BY id') == [(2, 2), (0, 1)]


def test_second_payment_under_an_id_has_alert_and_verdict_of_its_own(database: Database, ask: Reader) -> None:
    """It is known by its own name: a verdict on one says nothing of the other."""
    into, own = intake(database), "tx1~00ff"
    other = held(2, tx_id="tx1", card="4001", known_as=own, alert=Raised("of the other", 900, 800))
    take(into, seen(1, held(1)), seen(2, other))
    assert ask("SELECT tx_id, at_stake FROM alert ORDER BY id") == [("tx1", 350), (own, 800)]
    take(into, known(0, label(2, tx_id=own, card="4001")))
    assert ask("SELECT tx_id, verdict FROM payment ORDER BY happened_at") == [("tx1", None), (own, Known.FRAUD)]


def test_batch_read_again_changes_nothing(database: Database, ask: Reader) -> None:
    into, batch = intake(database), a_stream()
    take(into, *batch)
    before = everything(ask)
    take(intake(database), *batch)
    assert everything(ask) == before
    assert into.offsets([DECISIONS, "other"]) == {(DECISIONS, 0): 20}


def test_decision_published_twice_is_dropped_by_its_payments_position(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, seen(1, held(1)))
    take(into, seen(1, held(1), at=Position(DECISIONS, 0, 9)))
    assert ask("SELECT count(*) FROM payment") == [(1,)]
    assert ask("SELECT value FROM counter WHERE name = 'waiting/held'") == [(1,)]


def test_payment_sent_twice_by_its_producer_is_one_payment(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, seen(1, held(1)), seen(2, held(1), repeat=True))
    again = held(1, marks=(Mark.REPEATED,))
    take(into, seen(3, again))
    assert ask("SELECT count(*) FROM payment") == [(1,)]
    assert ask("SELECT count(*) FROM alert") == [(1,)]
    assert ask("SELECT payments, alerts FROM entity") == [(1, 1), (1, 1)]


@pytest.mark.parametrize("cut", [1, 3, 7, 26])
def test_order_of_topics_and_length_of_batches_do_not_matter(database: Database, ask: Reader, cut: int) -> None:
    labels_first = sorted(a_stream(), key=lambda each: type(each).__name__, reverse=True)
    into = intake(database)
    for batch in itertools.zip_longest(*[iter(labels_first)] * cut):
        take(into, *[each for each in batch if each is not None])
    found = everything(ask)
    with database.write() as connection:
        for table in metadata.sorted_tables:
            connection.execute(delete(table))
    take(intake(database), *a_stream())
    once = everything(ask)
    # Numbers of alerts go on; all else is the same.
    assert [found[place] for place in (0, 1, 2, 3, 4, 5, 7)] == [once[place] for place in (0, 1, 2, 3, 4, 5, 7)]


def test_correction_takes_the_place_of_the_payment(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, seen(1, decision(1, base_amount=5)))
    take(into, seen(2, decision(2, tx_id="tx1", version=1, base_amount=7, marks=(Mark.CORRECTION,))))
    take(into, seen(3, decision(3, tx_id="tx1", base_amount=9, marks=(Mark.SUPERSEDED,))))
    assert ask("SELECT version, amount FROM payment") == [(1, 7)]


def test_money_that_flows_back_is_below_zero(database: Database, ask: Reader) -> None:
    take(intake(database), seen(1, decision(1, kind=Kind.REFUND)))
    assert ask("SELECT amount FROM payment") == [(-1_000,)]


def test_sample_of_approvals_is_chosen_by_the_payments_id(database: Database, ask: Reader) -> None:
    take(intake(database, sample_share=0.3), *[seen(number) for number in range(200)])
    chosen = [f"tx{number}" for number in range(200) if alerts.is_sampled(f"tx{number}", 0.3)]
    assert 30 < len(chosen) < 90
    assert [row[0] for row in ask("SELECT tx_id FROM alert ORDER BY id")] == chosen
    assert ask("SELECT DISTINCT kind, expected_loss, at_stake FROM alert") == [(AlertKind.SAMPLE, 400, 400)]
    assert not alerts.is_sampled("tx1", 0.0)
    assert alerts.is_sampled("tx1", 1.0)


def test_alerts_of_the_past_are_closed_as_they_come(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, seen(1, held(1), past=True), seen(2, held(2, card="4001")), now=NOW)
    take(into, seen(3, held(3, card="4002")), now=NOW + 2 * DAY)
    assert ask("SELECT status FROM alert ORDER BY id") == [(AlertStatus.TIMED_OUT,), (0,), (AlertStatus.TIMED_OUT,)]
    assert ask("SELECT value FROM counter WHERE name = 'waiting/held'") == [(1,)]
    assert sorted(ask('SELECT state, at_stake FROM "case"')) == [(0, 350), (2, 0), (2, 0)]


def test_sums_follow_what_came(database: Database) -> None:
    take(intake(database), seen(1, held(1)), seen(2, held(2)), seen(3), known(0, label(3, Verdict.GENUINE)))
    with database.read() as connection:
        assert counters.read(connection, "waiting/") == {("waiting/held", 0): 2}
        assert counters.read(connection, "at-stake/") == {("at-stake/held", 0): 700}
        assert counters.read(connection, "came/") == {("came/held", NOW // HOUR): 2}
        assert counters.read(connection, "payments/") == {
            ("payments/review", STREAM // HOUR): 2,
            ("payments/approve", STREAM // HOUR): 1,
        }
        bin_ = counters.bin_of(0.4)
        assert counters.read(connection, "calibration/") == {
            (counters.said(bin_), STREAM // DAY): 3,
            (counters.said_sum(bin_), STREAM // DAY): 1_200_000,
            (counters.known(bin_, "genuine"), STREAM // DAY): 1,
        }


def test_stages_become_a_histogram_a_minute(database: Database) -> None:
    take(intake(database), *[seen(number, stages=b"read=100 model=2000 ?=x broken") for number in range(3)])
    with database.read() as connection:
        assert counters.read(connection, "stage/") == {
            (counters.stage("read", counters.stage_bin(100)), NOW // (60 * SECOND)): 3,
            (counters.stage("model", counters.stage_bin(2000)), NOW // (60 * SECOND)): 3,
        }


def test_stream_time_is_that_of_the_latest_payment(database: Database) -> None:
    take(intake(database), seen(5), seen(6, decision(2)))
    with database.read() as connection:
        assert stream_time(connection) == STREAM + 5 * SECOND


def test_failed_batch_leaves_nothing(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, seen(1))
    before = everything(ask)
    bad = seen(3, held(3, reasons=(Reason("amount", object()),)))  # type: ignore[arg-type]
    with pytest.raises((DBAPIError, StatementError)):
        take(into, seen(2), bad)
    assert everything(ask) == before
    take(into, seen(2), seen(3))
    assert ask("SELECT count(*) FROM payment") == [(3,)]


def test_peers_are_the_first_ones_and_then_a_random_choice() -> None:
    assert [peers.place_of(f"t{number}", number) for number in (0, 5, peers.PEERS - 1)] == [0, 5, peers.PEERS - 1]
    late = [peers.place_of(f"t{number}", 10 * peers.PEERS) for number in range(5_000)]
    assert 400 < sum(place is not None for place in late) < 600


def test_peers_are_approved_payments(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, seen(1), seen(2, held(2)), seen(3, decision(3, base_amount=77)))
    take(into, seen(4, decision(4, channel="pos")))
    assert ask("SELECT slot, channel, amount FROM peer ORDER BY slot") == [
        (0, "ecom", 1_000),
        (1, "ecom", 77),
        (2, "pos", 1_000),
    ]


def test_entities_count_what_they_took_part_in(database: Database, ask: Reader) -> None:
    take(
        intake(database),
        seen(1, decision(1, Action.DECLINE, device="D1")),
        seen(2, decision(2, device="D1")),
        known(0, label(1)),
    )
    found = ask("SELECT name, payments, declined, alerts, frauds, first_at, last_at FROM entity ORDER BY name")
    assert found == [(name, 2, 1, 1, 1, STREAM + SECOND, STREAM + 2 * SECOND) for name in ("4000", "D1", "M1")]


def test_label_before_its_payment_holds_when_that_comes(database: Database, ask: Reader) -> None:
    into = intake(database)
    take(into, known(0, label(1, Verdict.GENUINE)), known(1, label(1, Verdict.FRAUD, happened_at=STREAM + 2 * HOUR)))
    take(into, seen(1))
    assert ask("SELECT verdict, verdict_source FROM payment") == [(Known.FRAUD, Teller.ANALYST)]
    assert ask("SELECT frauds FROM entity") == [(1,), (1,)]
