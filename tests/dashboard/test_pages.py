"""Every page, rendered of a view: escaped, without code or style in it, and saying what the view says."""

import dataclasses
import re
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from jinja2 import UndefinedError

from fraud.core.records import SECOND
from fraud.dashboard.formats import money
from fraud.dashboard.pages import Pages, zone_of
from fraud.dashboard.routes.table import ROUTES
from fraud.review.people import Role
from fraud.review.views import Owner
from tests.dashboard.markup import Markup
from tests.dashboard.seeded import NASTY, NOW, case_view, queue_page, queue_rows
from tests.dashboard.shown import Shown, every_page, reader, scene

PAGES = Pages()
SHOWN = list(every_page())
CASE = next(shown for shown in SHOWN if shown.name == "case")
QUEUE = next(shown for shown in SHOWN if shown.name == "queue")
PARTS = ("row", "graph", "timeline", "trail", "rules_faults")


def rendered(shown: Shown, role: Role = Role.LEAD, **fields: Any) -> str:
    return PAGES.render(shown.name, shown.view, scene(shown, reader(role), **fields))


def case(**fields: Any) -> str:
    return rendered(dataclasses.replace(CASE, view=msgspec.structs.replace(case_view(), **fields)))


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.file)
@pytest.mark.parametrize("role", [Role.VIEWER, Role.ADMIN])
def test_page_holds_under_the_strict_policy(shown: Shown, role: Role) -> None:
    page = Markup(rendered(shown, role))
    for element in page.elements:
        names = set(element.attributes)
        assert "style" not in names, element
        assert not [name for name in names if name.startswith(("on", "hx-on", "hx-vals"))], element
        assert "javascript:" not in str(element.attributes), element
    for script in page.named("script"):
        assert "src" in script.attributes or script.attributes["type"] == "application/json"
    assert not page.named("style", "iframe", "object")


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.file)
def test_page_names_each_thing_once_and_every_control(shown: Shown) -> None:
    page = Markup(rendered(shown))
    ids = [element.attributes["id"] for element in page.shown if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    for control in page.named("input", "select", "textarea"):
        if control.attributes.get("type") not in ("hidden", "submit"):
            assert control.within("label") or control.attributes.get("aria-label"), control.attributes
    for button in page.named("button", "a", "summary"):
        assert button.text.strip() or button.attributes.get("aria-label"), button.attributes


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.file)
def test_every_form_that_changes_something_carries_the_token(shown: Shown) -> None:
    page = Markup(rendered(shown))
    for form in page.named("form"):
        if form.attributes.get("method") == "post":
            inside = [field for field in page.named("input") if field.within("form") is form]
            assert [field.attributes["value"] for field in inside if field.attributes.get("name") == "csrf"] != [], form


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.file)
def test_text_of_others_is_text_and_nothing_else(shown: Shown) -> None:
    text = rendered(shown, flash=NASTY, undo="u")
    assert "<script>alert" not in text


def test_view_without_a_name_that_the_page_shows_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        PAGES.render("bulk", queue_page(), scene(QUEUE))


# --- queue -----------------------------------------------------------------------------------------------------------


def test_queue_row_says_what_it_is_worth_and_never_by_colour_alone() -> None:
    page = Markup(rendered(QUEUE))
    row = page.by_id("alert-100")
    assert "278.59" in row.text
    assert "480.00 USD" in row.text
    assert "60 %" in row.text
    assert "◆held" in row.text
    assert "30 s !" in row.text
    assert row.text.count("held") == 1
    meters = [span.attributes for span in page.named("span") if span.attributes.get("role") == "img"]
    assert meters[0]["aria-label"] == "risk 3 of 4"


def test_row_alone_is_the_row_of_the_queue() -> None:
    alone = Markup(PAGES.render("row", queue_rows()[0], scene(QUEUE))).by_id("alert-100")
    assert alone.text.split() == Markup(rendered(QUEUE)).by_id("alert-100").text.split()


def test_row_that_a_rule_lifted_tells_the_score_of_the_model() -> None:
    page = Markup(rendered(QUEUE))
    assert "rule; 3.1 %" in page.by_id("alert-107").text
    assert "rule" not in page.by_id("alert-108").text.split("◆")[0]


def test_decided_row_is_greyed_and_cannot_be_chosen() -> None:
    done = msgspec.structs.replace(queue_rows()[0], status="decided", verdict="fraud")
    page = Markup(PAGES.render("row", done, scene(QUEUE)))
    assert page.by_id("alert-100").attributes["class"] == "gone"
    assert "disabled" in page.named("input")[0].attributes
    assert "✕ fraud" in page.by_id("alert-100").text


def test_viewer_of_a_queue_has_no_button_that_an_analyst_has() -> None:
    viewer, analyst = rendered(QUEUE, Role.VIEWER), rendered(QUEUE, Role.ANALYST)
    assert "/next" in analyst
    assert "/next" not in viewer
    assert "/queue.csv" not in viewer
    assert 'href="/team"' not in analyst
    assert 'href="/audit"' not in rendered(QUEUE, Role.LEAD)
    assert 'href="/audit"' in rendered(QUEUE, Role.ADMIN)


def test_empty_queue_says_what_comes_next() -> None:
    shown = next(shown for shown in SHOWN if shown.file == "queue-empty")
    told = " ".join(Markup(rendered(shown)).by_id("rows").text.split())
    assert told == "Nothing is held. 91 wait under Declined, second look, 34.69 EUR at stake."


def test_filter_is_told_and_each_part_can_be_taken_away() -> None:
    shown = next(shown for shown in SHOWN if shown.file == "queue-filtered")
    links = {" ".join(link.text.split()): link.attributes["href"] for link in Markup(rendered(shown)).named("a")}
    assert links["channel ecom \u00d7"] == "/queue?order=due&least=50.00&assignee=2&older=30"
    assert links["person B. Lang \u00d7"] == "/queue?order=due&least=50.00&channel=ecom&older=30"
    assert links["older than, minutes 30 \u00d7"] == "/queue?order=due&least=50.00&channel=ecom&assignee=2"


def test_row_says_who_has_it_where_there_is_room_and_beside_the_state_where_not() -> None:
    page = Markup(rendered(QUEUE))
    assert [span.text for span in page.named("span") if span.attributes.get("class") == "c-narrow"] == ["B. Lang"]
    wide = [cell.text.strip() for cell in page.named("td") if "c-wide" in (cell.attributes.get("class") or "").split()]
    assert wide[:6] == ["ecom", "blend@da1d90", "", "ecom", "blend@da1d90", "B. Lang"]


# --- what is read elsewhere, and what a page says of numbers --------------------------------------------------------


def test_dossier_tells_moments_whole_and_folds_nothing() -> None:
    shown = next(shown for shown in SHOWN if shown.file == "print")
    page = Markup(rendered(shown))
    assert "stored 2026-11-30 14:31:22 UTC by" in " ".join(page.elements[0].text.split())
    assert {time.text for time in page.named("time") if not time.text.endswith(" UTC")} == set()
    assert ["open" in part.attributes for part in page.named("details") if "silent" in part.text] == [True]
    assert ["open" in part.attributes for part in Markup(case()).named("details") if "silent" in part.text] == [False]


def test_bands_of_probability_have_ends_that_are_said_in_words() -> None:
    shown = next(shown for shown in SHOWN if shown.file == "model")
    cells = [cell.text for cell in Markup(rendered(shown)).named("td")]
    assert [text for text in cells if text.startswith("under ") or text.endswith(" more")][:2] == [
        "under 0.10 %",
        "99 % and more",
    ]


def test_rules_that_are_faulty_are_not_counted_and_unknown_ones_are_said_to_be() -> None:
    told = {
        shown.file: " ".join(Markup(rendered(shown)).elements[0].text.split())
        for shown in SHOWN
        if shown.name == "rules"
    }
    assert "live is fbc320, 1 rule, 1 list" in told["rules"]
    assert "live is fbc320 by A. Novak" in told["rules-faulty"]
    assert "which one is live is not known here, 1 rule, 1 list" in told["rules-first"]


# --- what surrounds a page -------------------------------------------------------------------------------------------


def test_console_that_hears_nothing_says_for_how_long() -> None:
    assert "● live, 0.4 s" in rendered(QUEUE)
    assert "○ last decision 42 s ago" in rendered(QUEUE, heard_at=NOW - 42 * SECOND)
    assert "○ no decision yet" in rendered(QUEUE, heard_at=None)


def test_reader_decides_on_colours_rows_keys_and_zone() -> None:
    who = reader(theme="dark", compact=True, keys=False, zone="Asia/Tokyo")
    page = Markup(PAGES.render(QUEUE.name, QUEUE.view, scene(QUEUE, who)))
    assert page.elements[0].attributes["data-theme"] == "dark"
    assert page.elements[0].attributes["data-keys"] == "off"
    assert page.by_id("queue").attributes["class"] == "queue compact"
    assert str(zone_of(scene(QUEUE, who))) == "Asia/Tokyo"
    assert str(zone_of(scene(QUEUE, reader(zone="../x")))) == "UTC"


def test_what_was_just_done_can_be_undone() -> None:
    page = Markup(rendered(QUEUE, undo="t0ken", flash="Fraud, for 2 payments."))
    assert page.by_id("toast").attributes["action"] == "/undo/t0ken"
    assert "Fraud, for 2 payments." in page.by_id("toast").text


def test_static_files_have_an_address_that_changes_with_them() -> None:
    address = PAGES.asset("app.css")
    assert address.startswith("/static/app.css?v=")
    assert address in rendered(QUEUE)


# --- case ------------------------------------------------------------------------------------------------------------


def test_case_sets_no_verdict_beforehand_and_weighs_none_heavier() -> None:
    page = Markup(rendered(CASE))
    choices = [field for field in page.named("input") if field.attributes.get("name") == "verdict"]
    assert [field.attributes["value"] for field in choices] == ["fraud", "genuine", "unsure", "escalated"]
    assert not [field for field in choices if "checked" in field.attributes]
    assert {field.parent.attributes["class"] for field in choices if field.parent} == {"choice"}


def test_case_tells_what_is_at_stake_as_its_row_did_and_the_sum_apart() -> None:
    one = case_view().alert.row.at_stake
    whole = one + 500
    head = " ".join(Markup(case(at_stake=whole)).by_id("main").text.split())
    assert f"at stake {money(one, 'EUR')} EUR of {money(whole, 'EUR')} in the case" in head
    assert f"at stake {money(one, 'EUR')} EUR card" in " ".join(Markup(case(at_stake=one)).by_id("main").text.split())


def test_closed_case_has_no_time_left_and_says_that_nobody_gave_a_verdict() -> None:
    assert "min left" in Markup(case()).by_id("main").text
    text = " ".join(Markup(case(state="decided", owner=None, verdicts=(), can=())).by_id("main").text.split())
    assert " left ·" not in text
    assert "Closed without a verdict." in text


def test_verdict_goes_to_every_open_alert_of_the_card_unless_left_out() -> None:
    page = Markup(rendered(CASE))
    boxes = [
        field for field in page.named("input") if field.attributes.get("name") == "alert" and field.within("fieldset")
    ]
    assert [(box.attributes["value"], "checked" in box.attributes) for box in boxes] == [("100", True), ("103", True)]


def test_stored_reasons_carry_their_time_and_versions_and_today_is_told_apart() -> None:
    text = " ".join(Markup(rendered(CASE)).by_id("main").text.split())
    assert "stored 14:31:22 by blend@da1d90, rules fbc320, policy 0a11ff" in text
    assert "Today differs: model blend@e07a55, policy 77aa01 today: 20 % by rule, model 3.1 %, ● approved" in text
    assert "Approved below 5.8 %" in text
    assert "1 of 3 spoke" in text
    assert "higher than 99 % of 20" in text


def test_case_of_another_shows_who_has_it_and_no_verdict_buttons() -> None:
    text = case(owner=Owner(2, "B. Lang", NOW + 60 * SECOND, mine=False), can=("reveal",))
    assert "locked by B. Lang until" in text
    assert 'id="decide"' not in text
    assert 'data-mine="0"' in text


def test_blind_second_look_hides_the_first_verdict() -> None:
    shown = next(shown for shown in SHOWN if shown.file == "case-blind")
    assert "the first verdict is shown after yours" in rendered(shown)


def test_decided_case_says_who_what_and_when_and_follows_its_label() -> None:
    shown = next(shown for shown in SHOWN if shown.file == "case-decided")
    page = Markup(rendered(shown))
    text = " ".join(page.by_id("main").text.split())
    assert "B. Lang decided this 4 s ago: ✕ fraud, decline, block card." in text
    assert "in 6 s" in text
    assert "live in r118" in text
    asks = page.by_id("trail").attributes
    assert (asks["hx-get"], asks["hx-trigger"]) == ("/cases/7/trail", "every 2s")


def test_route_that_a_page_asks_by_itself_keeps_nobody_signed_in() -> None:
    asked = {
        re.sub(r"/\d+", "/{case}", urlsplit(element.attributes["hx-get"]).path)
        for shown in SHOWN
        for element in Markup(rendered(shown)).elements
        if "every" in element.attributes.get("hx-trigger", "") and "hx-get" in element.attributes
    }
    asked.add("/queue/live")
    active = {route.path: route.active for route in ROUTES if route.method == "GET"}
    assert {path: active[path] for path in asked} == dict.fromkeys(["/queue/live", "/cases/{case}/trail"], False)


def test_graph_and_older_payments_ask_the_case_that_they_are_of() -> None:
    graph = next(shown for shown in SHOWN if shown.name == "graph")
    asked = {
        button.attributes["hx-get"]
        for button in Markup(rendered(graph)).named("button")
        if "hx-get" in button.attributes
    }
    assert "/cases/7/graph?at=now&hops=2&alert=100" in asked
    timeline = next(shown for shown in SHOWN if shown.name == "timeline")
    assert 'hx-get="/cases/7/timeline?after=k"' in rendered(timeline)


def test_fault_of_a_rule_stands_in_its_place() -> None:
    shown = next(shown for shown in SHOWN if shown.name == "rules_faults")
    page = Markup(rendered(shown))
    (line,) = page.named("pre")
    told, carets = line.text.split("\n")
    assert told[carets.index("^") : carets.rindex("^") + 1] == "card_amount_vs_meidan"
    assert "Did you mean card_amount_vs_median?" in page.by_id("faults").text
