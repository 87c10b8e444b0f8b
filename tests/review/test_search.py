"""Search on both databases: names by their beginning, notes by words."""

from collections.abc import Sequence

import pytest
from sqlalchemy import delete, insert, update

from fraud.review.database import Database
from fraud.review.ids import entity_id
from fraud.review.intake.alerts import raised_of
from fraud.review.search import Hits, number_in, search
from fraud.review.tables import note
from fraud.review.words import EntityKind
from tests.review.taken import decision, held, intake, seen, take


def found(database: Database, query: str, most: int = 20) -> Hits:
    with database.read() as connection:
        return search(connection, query, most)


def noted(database: Database, texts: Sequence[str]) -> list[int]:
    with database.write() as connection:
        rows = [{"by": 1, "at": number, "text": text} for number, text in enumerate(texts)]
        return list(connection.execute(insert(note).returning(note.c.id, sort_by_parameter_order=True), rows).scalars())


def test_names_are_found_whole_and_by_their_beginning(database: Database) -> None:
    take(
        intake(database),
        seen(1, held(1, card="400012", merchant="M7", device="400099")),
        seen(2, decision(2, card="400013", merchant="4000\U0001f600")),
    )
    card = [entity_id(EntityKind.CARD, name) for name in ("400013", "400012")]
    assert found(database, "400012").entities == (card[1],)
    assert set(found(database, " 4000 ").entities) == {
        *card, entity_id(EntityKind.DEVICE, "400099"), entity_id(EntityKind.MERCHANT, "4000\U0001f600"),
    }  # fmt: skip
    assert found(database, "M7").entities == (entity_id(EntityKind.MERCHANT, "M7"),)
    assert found(database, "40").entities == ()
    assert found(database, "M7%").entities == ()


def test_payment_leads_to_its_alert_or_stands_for_itself(database: Database) -> None:
    (alert,) = take(intake(database), seen(1, held(1)), seen(2)).added
    assert found(database, "tx1")[1:3] == ((), (alert,))
    assert found(database, "tx2")[1:3] == (("tx2",), ())
    assert found(database, raised_of(held(1)).id).alerts == (alert,)
    assert found(database, f"#{alert}").alerts == (alert,)
    assert len(found(database, f"{alert}").cases) == 1


@pytest.mark.parametrize(
    ("query", "texts"),
    [("called", [0, 1]), ("CALLED holder", [1]), ("hold", [1]), ("nothing", []), ("'; DROP", []), ('"', []), ("", [])],
)
def test_notes_are_found_by_all_their_words(database: Database, query: str, texts: list[int]) -> None:
    numbers = noted(database, ["He called back", "the Holder has called", "travels in Spain"])
    assert found(database, query).notes == tuple(numbers[place] for place in reversed(texts))


def test_changed_and_removed_notes_are_found_as_they_are(database: Database) -> None:
    first, second = noted(database, ["holiday", "holiday in Rome"])
    with database.write() as connection:
        connection.execute(update(note).where(note.c.id == first).values(text="at work"))
        connection.execute(delete(note).where(note.c.id == second))
    assert found(database, "holiday").notes == ()
    assert found(database, "work").notes == (first,)


def test_more_than_is_shown_is_said(database: Database) -> None:
    noted(database, ["same words"] * 4)
    assert len(found(database, "words", 3).notes) == 3
    assert found(database, "words", 3).more
    assert not found(database, "words", 4).more


def test_number_is_told_from_a_name() -> None:
    assert [number_in(text) for text in ("12", "#12", "12a", "\u0661", "9" * 30, "")] == [
        12,
        12,
        None,
        None,
        None,
        None,
    ]
