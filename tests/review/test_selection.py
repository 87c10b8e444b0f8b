"""One verdict on many alerts: what is shown before, caps, what is left out, one undo."""

import pytest

from fraud.core.records import SECOND, Action
from fraud.review.database import Database
from fraud.review.errors import ConflictError, InvalidError
from fraud.review.selection import DECIDED, UNKNOWN, WAITS
from tests.review.left import content, labels, leaving, status
from tests.review.seeding import NOW, Site, alerted, case_of, decided, site_of


@pytest.fixture
def site(database: Database) -> Site:
    return site_of(database)


def test_preview_tells_count_sum_and_cards_and_changes_nothing(site: Site) -> None:
    numbers = [alerted(site, number, card=f"4111{number // 2}", at_stake=number) for number in range(1, 6)]
    before = content(site)
    found = site.desk.bulk_preview(site["anna"], numbers, "fraud", "", NOW)
    assert (found.count, found.cards, found.merchants, found.at_stake, found.cap) == (5, 3, 1, 15, 200)
    assert (found.action, found.need_second, found.base_amount) == ("block_card", 0, 50_000)
    assert content(site) == before


def test_bulk_verdict_is_undone_as_one(site: Site) -> None:
    numbers = [alerted(site, number, card=f"4111{number // 2}") for number in range(1, 6)]
    before = content(site)
    found = site.desk.bulk(site["anna"], numbers, "fraud", "", NOW)
    assert sorted(found.alerts) == sorted(numbers)
    assert len(labels(site)) == 5
    site.desk.undo(site["anna"], found.undo, NOW + SECOND)
    assert content(site) == before
    assert leaving(site) == []


def test_what_cannot_take_part_is_left_out_and_said(database: Database) -> None:
    site = site_of(database, four_eyes_from=20_000)
    done, locked, waits, free = (
        alerted(site, number, base_amount=20_000 if number == 3 else 10_000) for number in (1, 2, 3, 4)
    )
    decided(site, done)
    site.desk.let_go(site["anna"], case_of(site, free), NOW)
    site.desk.lock(site["ben"], case_of(site, locked), NOW)
    decided(site, waits, alerts=[waits])
    site.desk.let_go(site["anna"], case_of(site, free), NOW)
    found = site.desk.bulk_preview(site["anna"], [done, locked, waits, free, 999], "genuine", "", NOW)
    assert found.alerts == (free,)
    why = {left.alert: left.why for left in found.left_out}
    assert (why[done], why[waits], why[999]) == (DECIDED, WAITS, UNKNOWN)
    assert why[locked].startswith("B. Lang works on case")
    assert site.desk.bulk(site["anna"], [done, locked, waits, free, 999], "genuine", "", NOW).alerts == (free,)
    with pytest.raises(ConflictError, match="none of the 1 alerts waits"):
        site.desk.bulk(site["anna"], [done], "genuine", "", NOW)


def test_large_amounts_of_a_selection_wait_for_a_second_person(database: Database) -> None:
    site = site_of(database, four_eyes_from=20_000)
    small, large = alerted(site, 1), alerted(site, 2, base_amount=20_000)
    assert site.desk.bulk_preview(site["anna"], [small, large], "fraud", "", NOW).need_second == 1
    found = site.desk.bulk(site["anna"], [small, large], "fraud", "", NOW)
    assert found.needs_second
    assert [each.tx_id for each in labels(site)] == ["tx1"]
    assert status(site, large) == ("locked", None)


def test_caps_are_by_role(database: Database) -> None:
    site = site_of(database, bulk=2, bulk_lead=3)
    numbers = [alerted(site, number) for number in range(3)]
    with pytest.raises(InvalidError, match="3 alerts at once: expected 1 to 2"):
        site.desk.bulk(site["anna"], numbers, "fraud", "", NOW)
    assert len(site.desk.bulk(site["lea"], numbers, "fraud", "", NOW).alerts) == 3
    with pytest.raises(InvalidError, match="0 alerts at once"):
        site.desk.bulk_preview(site["lea"], [], "fraud", "", NOW)


def test_action_that_some_kinds_of_a_selection_lack_is_done_about_the_others(site: Site) -> None:
    held, declined = alerted(site, 1), alerted(site, 2, Action.DECLINE)
    found = site.desk.bulk(site["anna"], [held, declined], "fraud", "decline", NOW)
    assert (found.action, len(found.alerts)) == ("decline", 2)
    assert len(leaving(site)) == 3
    with pytest.raises(InvalidError, match="decline cannot be done about declined payments"):
        site.desk.bulk(site["anna"], [alerted(site, 3, Action.DECLINE)], "fraud", "decline", NOW)


def test_tag_goes_to_the_cases_of_a_selection(site: Site) -> None:
    numbers = [alerted(site, number, card="4111" if number < 3 else "4222") for number in (1, 2, 3)]
    assert site.desk.tag_all(site["anna"], numbers, "Ring 7", NOW) == 2
    assert {row.tags for row in site.desk.row(numbers, site["anna"], NOW)} == {("ring 7",)}
