"""A card that is forgotten, on both databases: nothing tells of it any more but the audit log."""

from sqlalchemy import insert, select

from fraud.core.records import SECOND
from fraud.review import counters
from fraud.review.audit import Audit
from fraud.review.database import Database
from fraud.review.forgetting import forget
from fraud.review.ids import entity_id
from fraud.review.tables import metadata, note, outbox, tag, verdict
from fraud.review.words import EntityKind
from tests.databases import Reader
from tests.review.taken import NOW, decision, held, intake, known, label, seen, take

CARD, OTHER = "4000123412341234", "4000999999999999"
KEPT = {"counter", "mark", "change", "peer", "audit", "evidence"}


def worked_on(database: Database) -> None:
    """Take in two cards, each with an alert, and let people work on both."""
    take(
        intake(database),
        seen(1, held(1, card=CARD)), seen(2, decision(2, card=CARD)), seen(3, held(3, card=OTHER, merchant="M2")),
        known(0, label(1, card=CARD)), known(1, label(3, card=OTHER)),
    )  # fmt: skip
    with database.write() as connection:
        cases = connection.exec_driver_sql('SELECT id, card_id FROM "case"').all()
        rows = connection.exec_driver_sql("SELECT case_id, id FROM alert").all()
        alerts = {int(number): int(alert) for number, alert in rows}
        for number, card in cases:
            connection.execute(insert(note).values(case_id=number, card_id=card, by=1, at=NOW, text=f"of {card}"))
            connection.execute(insert(tag).values(case_id=number, name="travel", by=1, at=NOW))
            given = {"alert_id": alerts[number], "case_id": number, "by": 1, "verdict": 0, "at": NOW, "happened_at": 0}
            connection.execute(insert(verdict).values(**given))
            row = {"kind": 0, "body": b"{}", "send_after": NOW, "case_id": number, "alert_id": alerts[number]}
            connection.execute(insert(outbox).values(**row))


def counted(database: Database) -> dict[str, int]:
    with database.read() as connection:
        return {
            table.name: count
            for table in metadata.sorted_tables
            if table.name not in KEPT and (count := len(connection.execute(select(table)).all()))
        }


def test_forgotten_card_is_in_no_table(database: Database, ask: Reader) -> None:
    worked_on(database)
    number, audit = entity_id(EntityKind.CARD, CARD), Audit(b"k" * 32)
    gone = forget(database, audit, CARD, NOW + SECOND)
    assert (gone["payment"], gone["alert"], gone["case"], gone["note"], gone["evidence"]) == (2, 1, 1, 1, 1)
    assert counted(database) == {
        "entity": 3, "payment": 1, "alert": 1, "case": 1, "reason": 2, "label_trace": 1, "note": 1, "tag": 1,
        "verdict": 1, "outbox": 1,
    }  # fmt: skip
    assert ask("SELECT count(*) FROM evidence") == [(1,)]
    for table, column in (("payment", "card"), ("alert", "card"), ('"case"', "card_id"), ("note", "card_id")):
        assert ask(f"SELECT count(*) FROM {table} WHERE {column} = {number}") == [(0,)]
    with database.read() as connection:
        assert counters.read(connection, "waiting/held") == {("waiting/held", 0): 1}
        assert audit.verify(connection).rows == 1
    ((told,),) = ask("SELECT object FROM audit")
    assert CARD not in str(told)


def test_card_that_nobody_knows_leaves_no_trace(database: Database, ask: Reader) -> None:
    worked_on(database)
    before = counted(database)
    assert set(forget(database, Audit(b"k" * 32), "unknown", NOW).values()) == {0}
    assert counted(database) == before
    assert ask("SELECT count(*) FROM audit") == [(0,)]


def test_forgotten_card_that_pays_again_is_a_new_one(database: Database, ask: Reader) -> None:
    worked_on(database)
    forget(database, Audit(b"k" * 32), CARD, NOW)
    take(intake(database), seen(9, held(9, card=CARD)))
    assert ask(f"SELECT seen_before FROM alert WHERE card = {entity_id(EntityKind.CARD, CARD)}") == [(0,)]
