"""Card numbers that people type into the console: they find the card by its tokens, and are kept nowhere."""

import msgspec
import pytest
from sqlalchemy import select

from fraud.core.card_numbers import KEYLESS, CardNumbers, CardsSection
from fraud.core.fields import Secret
from fraud.review.database import Database
from fraud.review.desk import Desk
from fraud.review.errors import InvalidError
from fraud.review.tables import rule_version
from tests.review.seeding import NOW, Site, alerted, site_of

PAN, GROUPED = "4111111111111111", "4111 1111 1111 1111"
FIRST = CardNumbers(CardsSection(key=Secret("old" * 12)))
SECOND = CardNumbers(CardsSection(key=Secret("new" * 12), previous=(Secret("old" * 12),)))
RULES = f'list stolen block card {{ "{GROUPED}" }}\nlist more block card from "more.txt"\n'


@pytest.fixture
def site(database: Database) -> Site:
    return site_of(database)


def desk(site: Site, cards: CardNumbers) -> Desk:
    """Return the site's desk with keys of its own."""
    return Desk(site.desk.tools._replace(cards=cards))


def hits(site: Site, cards: CardNumbers, text: str) -> list[str]:
    """Return what is found by a text; nothing of the answer shows the number."""
    found = desk(site, cards).search(site["anna"], text, NOW)
    assert PAN not in repr(msgspec.to_builtins(found)).replace(" ", "")
    return [hit.kind for hit in found.hits]


def test_number_finds_its_card_under_every_token(site: Site) -> None:
    alerted(site, 1, card=FIRST.card(PAN))
    alerted(site, 2, card=SECOND.card(PAN))
    assert hits(site, FIRST, GROUPED) == ["card"]
    assert hits(site, SECOND, PAN) == ["card", "card"]
    assert hits(site, SECOND, FIRST.card(PAN)) == ["card", "card"]
    assert hits(site, KEYLESS, PAN) == []


def test_number_finds_what_was_taken_in_under_it_before(site: Site) -> None:
    alerted(site, 1, card=PAN)
    found = desk(site, FIRST).search(site["anna"], PAN, NOW)
    assert [hit.kind for hit in found.hits] == ["card"]


def test_rules_that_people_write_are_kept_with_tokens(site: Site) -> None:
    lists = {"more.txt": "5555555555554444\n"}
    saved = desk(site, FIRST).save_rules(site["anna"], RULES, lists, "", NOW)
    with site.database.read() as connection:
        row = connection.execute(select(rule_version).where(rule_version.c.version == saved.version)).one()
    assert f'"{FIRST.card(PAN)}"' in row.text
    assert dict(row.lists) == {"more.txt": FIRST.card("5555555555554444") + "\n"}
    assert desk(site, FIRST).check(site["anna"], RULES, lists).faults == ()


def test_rules_with_numbers_are_refused_without_a_key(site: Site) -> None:
    keyless = desk(site, KEYLESS)
    with pytest.raises(InvalidError, match="holds what looks like a card number"):
        keyless.check(site["anna"], RULES, {})
    with pytest.raises(InvalidError, match="holds what looks like a card number"):
        keyless.save_rules(site["anna"], RULES, {}, "", NOW)
