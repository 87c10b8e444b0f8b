"""The queue: pages by key in every order, filters, badges, its export and views that are saved."""

import csv
from typing import Any

import pytest

from fraud.core.records import HOUR, MINUTE, Action
from fraud.review.database import Database
from fraud.review.errors import ForbiddenError, InvalidError, UnknownError
from fraud.review.queue import WALKS
from fraud.review.views import Order, QueueFilter, QueuePage, QueueQuery
from tests.review.seeding import NOW, Site, alerted, case_of, chargeback, decided, site_of, take


@pytest.fixture
def site(database: Database) -> Site:
    return site_of(database)


def ids(page: QueuePage) -> list[int]:
    return [row.alert for row in page.rows]


def asked(site: Site, who: str = "anna", now: int = NOW, **query: Any) -> QueuePage:
    return site.desk.queue(QueueQuery(**query), site[who], now)


@pytest.mark.parametrize("order", list(WALKS))
@pytest.mark.parametrize("limit", [1, 3, 7])
def test_pages_of_every_order_hold_each_alert_once_there_and_back(site: Site, order: Order, limit: int) -> None:
    for number in range(14):
        alerted(site, number, now=NOW + (number % 4) * MINUTE, at_stake=number % 3, expected_loss=number % 5)
    whole = ids(asked(site, order=order))
    assert len(whole) == len(set(whole)) == 14
    walked, page = [], asked(site, order=order, limit=limit)
    while True:
        walked += ids(page)
        last = page
        if not page.after:
            break
        page = asked(site, order=order, limit=limit, after=page.after)
    assert walked == whole
    back = ids(last)
    while last.before:
        last = asked(site, order=order, limit=limit, before=last.before)
        back = ids(last) + back
    assert back == whole


def test_orders_are_by_stake_loss_deadline_and_time(site: Site) -> None:
    one = alerted(site, 1, at_stake=3, expected_loss=1, now=NOW + 2)
    two = alerted(site, 2, at_stake=1, expected_loss=2, now=NOW + 1)
    three = alerted(site, 3, at_stake=2, expected_loss=3, now=NOW)
    found = {order: ids(asked(site, order=order)) for order in WALKS}
    assert found == {
        "at_stake": [one, three, two],
        "expected_loss": [three, two, one],
        "due": [three, two, one],
        "newest": [three, two, one],
    }


def test_kinds_of_work_are_apart_and_decided_alerts_are_gone(site: Site) -> None:
    held, declined = alerted(site, 1), alerted(site, 2, Action.DECLINE)
    assert (ids(asked(site)), ids(asked(site, kind="declined"))) == ([held], [declined])
    decided(site, held)
    assert ids(asked(site)) == []


FILTERS: list[tuple[dict[str, Any], set[int]]] = [
    ({"least": 500}, {2, 3}),
    ({"most": 500}, {1, 2}),
    ({"channel": "pos"}, {3}),
    ({"merchant": "M7"}, {2}),
    ({"card": "4000123400000001"}, {1}),
    ({"reason": "rule:night"}, {3}),
    ({"took": "review"}, {1, 2, 3}),
    ({"took": "decline"}, set()),
    ({"older_than": 30 * MINUTE}, {1}),
    ({"tag": "travel"}, {2}),
    ({"least": 500, "channel": "ecom"}, {2}),
]


@pytest.mark.parametrize(("given", "wanted"), FILTERS)
def test_filter_narrows_the_queue(site: Site, given: dict[str, Any], wanted: set[int]) -> None:
    from fraud.core.records import Reason

    numbers = {
        1: alerted(site, 1, base_amount=100, now=NOW - HOUR),
        2: alerted(site, 2, base_amount=500, merchant="M7"),
        3: alerted(site, 3, base_amount=900, channel="pos", reasons=(Reason("rule:night", "at night"),)),
    }
    site.desk.tag(site["anna"], case_of(site, numbers[2]), " Travel ", NOW)
    page = asked(site, filter=QueueFilter(**given))
    assert {number for number, alert in numbers.items() if alert in ids(page)} == wanted
    assert page.total is None


def test_filter_by_person_finds_what_they_have(site: Site) -> None:
    first, second = alerted(site, 1), alerted(site, 2)
    site.desk.lock(site["ben"], case_of(site, first), NOW)
    site.desk.assign(site["lea"], [second], site["cleo"].id, NOW)
    assert ids(asked(site, filter=QueueFilter(assignee=site["ben"].id))) == [first]
    assert ids(asked(site, filter=QueueFilter(assignee=site["cleo"].id))) == [second]


def test_row_masks_the_card_in_its_name_its_reasons_and_its_address(site: Site) -> None:
    from fraud.core.records import Reason

    card = "4999000011112222"
    alerted(site, 1, card=card, reasons=(Reason("list:stolen", f"card {card} is on the block list 'stolen'"),))
    (row,) = asked(site).rows
    assert (row.card.name, row.why[0].text) == ("4···222", "card 4···222 is on the block list 'stolen'")
    assert row.card.key.startswith("~")
    assert row.why[0].rule


def test_row_says_whether_a_rule_lifted_the_score(site: Site) -> None:
    alerted(site, 1, score=0.3, model_score=0.031)
    alerted(site, 2, score=0.3, model_score=0.3)
    assert [row.rule_floor for row in asked(site, order="newest").rows] == [False, True]


def test_badges_tell_what_waits_without_counting(site: Site) -> None:
    alerted(site, 1, at_stake=100)
    alerted(site, 2, at_stake=50, now=NOW - MINUTE)
    found = {(badge.shelf, badge.kind): badge for badge in site.desk.badges(site["vera"], NOW)}
    held = found["kind", "held"]
    assert (held.count, held.at_stake, held.oldest_at) == (2, 150, NOW - MINUTE)
    assert found["kind", "sample"].count == 0
    assert ("mine", None) not in found
    assert asked(site).total == 2


def test_overturned_shelf_holds_ones_own_verdicts_that_a_chargeback_contradicts(site: Site) -> None:
    wrong, right = alerted(site, 1), alerted(site, 2)
    decided(site, wrong, "genuine")
    decided(site, right, "fraud")
    take(site, chargeback(1), chargeback(2))
    assert ids(asked(site, shelf="overturned")) == [wrong]
    assert ids(asked(site, "ben", shelf="overturned")) == []


def test_export_is_masked_audited_and_no_formula(site: Site) -> None:
    for number in range(5):
        alerted(site, number, at_stake=number)
    lines = list(csv.DictReader(site.desk.csv(QueueQuery(limit=2), site["anna"], NOW)))
    assert [line["at_stake"] for line in lines] == ["4", "3", "2", "1", "0"]
    assert all("···" in line["card"] for line in lines)
    (step,) = site.desk.audit(site["ada"], NOW).rows
    assert (step.actor, step.action) == ("A. Novak", "queue.export")


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t=", "\r=", "\n=", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_text_of_an_export_is_a_formula(site: Site, sign: str) -> None:
    from fraud.core.records import Reason

    text = f"{sign}HYPERLINK(1)"
    alerted(site, 1, merchant=text, channel=text, currency=text, reasons=(Reason("amount", text),))
    (line,) = csv.DictReader(site.desk.csv(QueueQuery(), site["anna"], NOW))
    cells = [value for value in line.values() if value.endswith("HYPERLINK(1)")]
    assert len(cells) == 4
    assert {cell[0] for cell in cells} == {"'"}
    assert float(line["score"]) > 0, "numbers stay numbers"


def test_export_ends_at_its_cap(database: Database) -> None:
    site = site_of(database, export=3)
    for number in range(5):
        alerted(site, number)
    assert len(list(site.desk.csv(QueueQuery(limit=2), site["anna"], NOW))) == 1 + 3


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (QueueQuery(after="12"), "'12' is no key of a page"),
        (QueueQuery(after="1.x"), "is no key of a page"),
        (QueueQuery(filter=QueueFilter(took="hold")), "expected one of approve"),
    ],
)
def test_query_that_makes_no_sense_is_refused(site: Site, query: QueueQuery, error: str) -> None:
    with pytest.raises(InvalidError, match=error):
        site.desk.queue(query, site["anna"], NOW)


def test_saved_views_are_ones_own_or_the_teams(site: Site) -> None:
    query = QueueQuery(kind="declined", filter=QueueFilter(least=5_000))
    own = site.desk.save_view(site["anna"], "  dear   ones ", query, False, NOW)
    team = site.desk.save_view(site["lea"], "night", QueueQuery(order="due"), True, NOW)
    assert [(view.name, view.mine, view.team) for view in asked(site).saved] == [
        ("night", False, True),
        ("dear ones", True, False),
    ]
    assert asked(site).saved[1].query.filter == query.filter
    assert [view.name for view in asked(site, "ben").saved] == ["night"]
    with pytest.raises(ForbiddenError, match="may not save a view for the team"):
        site.desk.save_view(site["anna"], "ours", query, True, NOW)
    with pytest.raises(ForbiddenError, match="is the team's"):
        site.desk.delete_view(site["anna"], team.id, NOW)
    with pytest.raises(UnknownError):
        site.desk.delete_view(site["ben"], own.id, NOW)
    with pytest.raises(UnknownError):
        site.desk.change_view(site["ben"], own.id, NOW, default=True)
    with pytest.raises(ForbiddenError, match="a lead can change it"):
        site.desk.change_view(site["anna"], team.id, NOW, default=True)
    site.desk.delete_view(site["anna"], own.id, NOW)
    site.desk.delete_view(site["max"], team.id, NOW)
    assert asked(site).saved == ()


def test_view_saved_again_takes_the_place_of_the_first(site: Site) -> None:
    site.desk.save_view(site["anna"], "mine", QueueQuery(), False, NOW)
    site.desk.save_view(site["anna"], "mine", QueueQuery(order="due"), False, NOW)
    assert [view.query.order for view in asked(site).saved] == ["due"]


def test_view_saved_again_stays_the_one_that_the_queue_begins_with(site: Site) -> None:
    made = site.desk.save_view(site["anna"], "mine", QueueQuery(), False, NOW, ["why", "seen"])
    assert made.columns == ("stake", "card", "why", "seen")
    site.desk.change_view(site["anna"], made.id, NOW, default=True)
    again = site.desk.save_view(site["anna"], "mine", QueueQuery(order="due"), False, NOW)
    assert (again.id, again.default, again.columns) == (made.id, True, ())
    changed = site.desk.change_view(site["anna"], made.id, NOW, columns=["left"])
    assert (changed.columns, changed.default, changed.query.order) == (("stake", "card", "why", "left"), True, "due")
    with pytest.raises(InvalidError, match="'left over' is no column: expected some of risk"):
        site.desk.change_view(site["anna"], made.id, NOW, columns=["left over"])


def test_queue_begins_with_ones_own_view_else_with_the_teams(site: Site) -> None:
    assert site.desk.first_view(site["anna"]) is None
    views = [site.desk.save_view(site["anna"], name, QueueQuery(), False, NOW) for name in ("one", "two")]
    team = site.desk.save_view(site["lea"], "night", QueueQuery(order="due"), True, NOW)
    site.desk.change_view(site["max"], team.id, NOW, default=True)
    for view in views:
        site.desk.change_view(site["anna"], view.id, NOW, default=True)
    first = {who: site.desk.first_view(site[who]) for who in ("anna", "vera")}
    assert {who: view and view.name for who, view in first.items()} == {"anna": "two", "vera": "night"}
    assert first["vera"] is not None
    assert first["vera"].query == QueueQuery(order="due", view=team.id)
    site.desk.change_view(site["anna"], views[1].id, NOW, default=False)
    back = site.desk.first_view(site["anna"])
    assert back is not None
    assert back.name == "night"


def test_page_of_a_view_says_which_it_is(site: Site) -> None:
    made = site.desk.save_view(site["anna"], "mine", QueueQuery(), False, NOW)
    page = asked(site, view=made.id)
    assert page.view is not None
    assert page.view.name == "mine"
    assert asked(site).view is None
