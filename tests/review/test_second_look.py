"""A second person: nothing leaves before with four eyes, no label of the blind sample; the first verdict is unseen."""

import msgspec
import pytest

from fraud.core.actions import Remedy
from fraud.core.records import HOUR, SECOND, Verdict
from fraud.review.database import Database
from fraud.review.errors import ForbiddenError, InvalidError
from fraud.review.verdicts import share_of
from tests.review.left import content, labels, leaving, orders, status
from tests.review.seeding import NOW, alerted, case_of, decided, site_of

NOTE = "the shop confirms it"


def test_verdict_over_the_amount_waits_for_another_person_and_nothing_leaves(database: Database) -> None:
    site = site_of(database, four_eyes_from=10_000)
    number = alerted(site, 1)
    found = decided(site, number)
    assert (found.state, found.needs_second, found.sent) == ("pending_second", True, False)
    assert leaving(site) == []
    with pytest.raises(ForbiddenError, match="another person has to"):
        decided(site, number)
    assert decided(site, number, by="ben").state == "decided"
    assert [each.verdict for each in labels(site)] == [Verdict.FRAUD]
    assert orders(site) == [Remedy.DECLINE, Remedy.BLOCK_CARD]


def test_amounts_of_one_card_add_up_to_what_four_eyes_are_asked_from(database: Database) -> None:
    site = site_of(database, four_eyes_from=10_000)
    alone = alerted(site, 1, base_amount=9_999)
    assert decided(site, alone).needs_second is False
    pair = [alerted(site, number, card="4111", base_amount=5_000) for number in (2, 3)]
    assert decided(site, pair[0]).needs_second is True


@pytest.mark.parametrize(("verdict", "action"), [("genuine", ""), ("fraud", "decline")])
def test_two_who_differ_send_nothing_until_a_third_decides(database: Database, verdict: str, action: str) -> None:
    site = site_of(database, four_eyes_from=10_000)
    number = alerted(site, 1)
    decided(site, number, by="lea")
    assert decided(site, number, verdict, by="ben", action=action).state == "pending_second"
    assert leaving(site) == []
    with pytest.raises(ForbiddenError, match="another person has to"):
        decided(site, number, by="lea")
    with pytest.raises(ForbiddenError, match="expected at least lead"):
        decided(site, number, by="cleo")
    with pytest.raises(InvalidError, match="a lead decides"):
        decided(site, number, "escalated", by="max")
    assert decided(site, number, "genuine", by="max").state == "decided"
    assert [each.verdict for each in labels(site)] == [Verdict.GENUINE]
    assert orders(site) == [Remedy.RELEASE]


def test_blind_sample_lets_the_order_leave_and_no_label(database: Database) -> None:
    site = site_of(database, blind_share=1.0)
    number = alerted(site, 1)
    decided(site, number, "genuine")
    assert labels(site) == []
    assert orders(site) == [Remedy.RELEASE]
    decided(site, number, "genuine", by="ben", now=NOW + HOUR)
    assert [each.verdict for each in labels(site)] == [Verdict.GENUINE]
    assert orders(site) == [Remedy.RELEASE]


def test_blind_disagreement_goes_to_a_lead_and_no_label_leaves_before(database: Database) -> None:
    site = site_of(database, blind_share=1.0)
    number = alerted(site, 1)
    decided(site, number, "genuine")
    decided(site, number, "fraud", by="ben")
    assert labels(site) == []
    assert site.desk.next(site["lea"], "disputes", NOW) == case_of(site, number)
    decided(site, number, "fraud", by="lea")
    assert [each.verdict for each in labels(site)] == [Verdict.FRAUD]
    assert orders(site) == [Remedy.RELEASE, Remedy.DECLINE, Remedy.BLOCK_CARD]


def test_lead_who_agrees_with_the_first_orders_nothing_again(database: Database) -> None:
    site = site_of(database, blind_share=1.0)
    number = alerted(site, 1)
    for by, verdict in (("anna", "genuine"), ("ben", "fraud"), ("lea", "genuine")):
        decided(site, number, verdict, by=by)
    assert orders(site) == [Remedy.RELEASE]


@pytest.mark.parametrize("settings", [{"four_eyes_from": 10_000}, {"blind_share": 1.0}])
def test_second_person_sees_neither_verdict_nor_name_nor_note_of_the_first(
    database: Database, settings: dict[str, float]
) -> None:
    site = site_of(database, **settings)
    number = alerted(site, 1)
    case = case_of(site, number)
    site.desk.note(site["anna"], case, NOTE, NOW)
    decided(site, number, "genuine", note=NOTE, worth=1)
    for who in ("ben", "vera", "lea", "ada"):
        view = site.desk.case(case, site[who], NOW)
        view = msgspec.structs.replace(view, colleagues=())
        told = msgspec.json.encode(view).decode()
        assert "A. Novak" not in told
        assert NOTE not in told
        assert view.verdicts == ()
        assert view.second is not None
        assert (view.second.blind, view.second.first, view.alert.row.verdict) == (True, (), None)
        assert site.desk.entity(site[who], "card", view.card.key, NOW).verdicts == ()
        assert site.desk.search(site[who], "shop confirms", NOW).hits == ()
    steps = site.desk.dossier(case, site["ben"], NOW).history
    assert [each.action for each in steps] == ["note.add"]
    own = site.desk.case(case, site["anna"], NOW)
    assert [each.verdict for each in own.verdicts] == ["genuine"]


def test_second_person_sees_the_first_verdict_after_the_own_one(database: Database) -> None:
    site = site_of(database, blind_share=1.0)
    number = alerted(site, 1)
    decided(site, number, "genuine")
    decided(site, number, "fraud", by="ben")
    view = site.desk.case(case_of(site, number), site["ben"], NOW)
    assert [(each.verdict, each.by) for each in view.verdicts] == [("fraud", "B. Lang"), ("genuine", "A. Novak")]
    assert view.verdicts[0].second_of == view.verdicts[1].id


def test_case_waits_on_the_shelf_of_others_alone(database: Database) -> None:
    site = site_of(database, four_eyes_from=1)
    number = alerted(site, 1)
    decided(site, number)
    counts = {who: {badge.shelf: badge.count for badge in site.desk.badges(site[who], NOW)} for who in ("anna", "ben")}
    assert (counts["anna"]["second"], counts["ben"]["second"]) == (0, 1)
    assert site.desk.next(site["anna"], "second", NOW) is None
    assert site.desk.next(site["ben"], "second", NOW) == case_of(site, number)
    assert site.desk.next(site["ben"], "held", NOW) is None


def test_undo_of_a_second_verdict_lets_the_case_wait_again(database: Database) -> None:
    site = site_of(database, four_eyes_from=1)
    number = alerted(site, 1)
    decided(site, number)
    before = content(site)
    found = decided(site, number, by="ben", now=NOW + SECOND)
    site.desk.undo(site["ben"], found.undo, NOW + 2 * SECOND)
    assert content(site) == before
    assert leaving(site) == []


def test_first_verdict_cannot_be_undone_once_a_second_was_given(database: Database) -> None:
    site = site_of(database, four_eyes_from=1)
    number = alerted(site, 1)
    first = decided(site, number)
    decided(site, number, by="ben", now=NOW + SECOND)
    with pytest.raises(Exception, match="somebody has given another verdict since"):
        site.desk.undo(site["anna"], first.undo, NOW + 2 * SECOND)
    assert status(site, number) == ("decided", "fraud")


def test_alert_that_comes_while_a_second_person_is_due_waits_for_that(database: Database) -> None:
    site = site_of(database, four_eyes_from=10_000)
    first = alerted(site, 1, card="4111")
    decided(site, first)
    later = alerted(site, 2, card="4111", base_amount=1)
    assert case_of(site, later) == case_of(site, first)
    assert site.desk.next(site["ben"], "held", NOW) is None
    assert decided(site, first, by="ben").state == "open"
    assert [status(site, number)[0] for number in (first, later)] == ["decided", "open"]


def test_sample_is_chosen_by_a_hash_in_the_share_asked_for() -> None:
    chosen = sum(share_of(f"alert{number}") < 0.05 for number in range(20_000))
    assert 900 < chosen < 1_100
    assert share_of("one") == share_of("one")
