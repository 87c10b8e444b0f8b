"""Many rows at once: as they were given, numbered in their order, all of them or none."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from fraud.review.bulk import put, put_numbered
from fraud.review.database import Database
from fraud.review.tables import evidence, reason
from tests.databases import POSTGRESQL, Reader

REASON = "alert_id", "place", "code", "text", "effect", "without"
EVIDENCE = "decision", "vector", "effects", "graph"
TEXTS = ["plain", "tab\there", "line\nbreak", "back\\slash", r"\N", "'quoted' \"twice\"", "{braces}, comma", "λ€𝄞", ""]


def reasons(*texts: Any) -> list[tuple[Any, ...]]:
    return [(7, place, "code", said, place / 2, None) for place, said in enumerate(texts)]


def test_texts_come_back_as_they_were_put(database: Database, ask: Reader) -> None:
    with database.write() as connection:
        put(connection, reason, REASON, reasons(*TEXTS))
    assert [said for (said,) in ask("SELECT text FROM reason ORDER BY place")] == TEXTS
    assert ask("SELECT effect, without FROM reason WHERE place = 3") == [(1.5, None)]


def test_numbers_are_those_of_the_rows_in_their_order(database: Database, ask: Reader) -> None:
    rows = [(bytes([number, 0, 92]), b"", b"v", f'{{"n": {number}}}') for number in range(20)]
    with database.write() as connection:
        numbers = [*put_numbered(connection, evidence, EVIDENCE, rows[:12])]
        numbers += put_numbered(connection, evidence, EVIDENCE, rows[12:])
        assert put_numbered(connection, evidence, EVIDENCE, []) == []
    found = {number: bytes(decision) for number, decision in ask("SELECT id, decision FROM evidence")}
    assert [found[number] for number in numbers] == [row[0] for row in rows]


def test_row_that_cannot_be_leaves_none_and_is_an_error_of_the_database(database: Database, ask: Reader) -> None:
    with pytest.raises(DBAPIError), database.write() as connection:
        put(connection, reason, REASON, [*reasons("a", "b"), (7, 1, "again", "the same place", 0.0, None)])
    assert ask("SELECT count(*) FROM reason") == [(0,)]


def put_on_an_ended_connection(database: Database) -> None:
    with database.write() as connection:
        mine = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with database.read() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": mine})
        put(connection, reason, REASON, reasons("lost"))


def test_connection_that_ends_while_rows_are_put_is_replaced_by_another(database: Database, ask: Reader) -> None:
    if database.dialect != POSTGRESQL:
        return
    with pytest.raises(OperationalError) as caught:
        put_on_an_ended_connection(database)
    assert caught.value.connection_invalidated
    with database.write() as connection:
        put(connection, reason, REASON, reasons("kept"))
    assert ask("SELECT text FROM reason") == [("kept",)]
