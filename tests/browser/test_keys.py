"""The pages by keyboard alone, and what others do meanwhile: over filled views, with what is sent noted."""

import json
import re
from collections.abc import Mapping

import msgspec
import pytest
from playwright.sync_api import Page, expect

from fraud.review.views import Owner
from tests.browser.served import Open, Served
from tests.dashboard.seeded import queue_rows
from tests.dashboard.shown import reader, scene

pytestmark = pytest.mark.slow


def sent(page: Page, served: Served, count: int = 1) -> list[tuple[str, Mapping[str, list[str]]]]:
    """Wait until so much was sent, and return it."""
    for _ in range(1_000):
        if len(served.sent) >= count:
            return served.sent
        page.wait_for_timeout(10)
    msg = f"{len(served.sent)} of {count} messages were sent within 10 s"
    raise AssertionError(msg)


def current(page: Page) -> str:
    return page.locator("tr.current").get_attribute("id") or ""


def test_queue_goes_by_keys_alone(opened: Open, served: Served) -> None:
    page = opened("/queue")
    for key in ("j", "j", "k"):
        page.keyboard.press(key)
    assert current(page) == "alert-100"
    page.keyboard.press("Shift+J")
    page.keyboard.press("Shift+J")
    expect(page.locator("#chosen")).to_have_text("3 selected · 656.25 at stake · 3 cards")
    page.keyboard.press("x")
    expect(page.locator("#chosen")).to_have_text("2 selected · 479.57 at stake · 2 cards")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    path, form = sent(page, served)[-1]
    assert (path, form["alert"], form["preview"], form["verdict"]) == ("/bulk", ["100", "101"], ["1"], ["fraud"])


def test_head_of_a_case_stays_where_it_is_whatever_is_brought_into_view(opened: Open) -> None:
    page = opened("/cases/7")
    page.set_viewport_size({"width": 1280, "height": 650})
    top = page.locator(".head").bounding_box()
    for key in ("t", "m", "Escape", "t"):
        page.keyboard.press(key)
        assert page.locator(".head").bounding_box() == top, key
    expect(page.locator("#graph-table")).to_be_hidden()


def test_key_that_is_held_down_counts_once_but_for_those_that_go_on(opened: Open) -> None:
    page = opened("/queue")
    for key in ("j", "x"):
        for _ in range(2):
            page.keyboard.down(key)
        page.keyboard.up(key)
    assert current(page) == "alert-101"
    expect(page.locator("#chosen")).to_contain_text("1 selected")


def test_keys_lead_to_pages_search_filter_and_help(opened: Open) -> None:
    page = opened("/queue")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("j")
    assert page.locator("tr.current").count() == 0
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    expect(page.locator("[name=least]")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.locator("[name=q]")).to_be_focused()
    page.keyboard.type("gtjx?")
    expect(page.locator("[name=q]")).to_have_value("gtjx?")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("m")
    page.wait_for_url("**/model")


def test_verdict_takes_two_keys_and_sends_what_was_shown(opened: Open, served: Served) -> None:
    page = opened("/cases/7")
    page.keyboard.press("Enter")
    assert served.sent == []
    page.keyboard.press("1")
    expect(page.locator("[name=action]")).to_have_value("block_card")
    page.keyboard.press("Enter")
    page.wait_for_url("**/cases/8")
    path, form = served.sent[0]
    assert path == "/cases/7/verdict"
    assert (form["verdict"], form["action"], form["alert"], form["keys"]) == (
        ["fraud"],
        ["block_card"],
        ["100", "103"],
        ["3"],
    )


def test_another_action_stays_as_picked_and_an_alert_can_be_left_out(opened: Open, served: Served) -> None:
    page = opened("/cases/7")
    for key in ("a", "3", "1", "2", " ", "-", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url("**/cases/8")
    _, form = served.sent[0]
    assert (form["verdict"], form["action"], form["alert"], form["worth"]) == (
        ["genuine"],
        ["step_up"],
        ["103"],
        ["-1"],
    )


def test_note_is_typed_without_keys_and_sent_with_the_verdict(opened: Open, served: Served) -> None:
    page = opened("/cases/7")
    page.keyboard.press("3")
    page.keyboard.press("m")
    page.keyboard.type("1 2 u s")
    page.keyboard.press("Enter")
    page.wait_for_url("**/cases/8")
    assert (served.sent[0][1]["verdict"], served.sent[0][1]["note"]) == (["unsure"], ["1 2 u s"])


def test_slider_hides_what_came_later_and_says_how_far_back_it_is(opened: Open) -> None:
    page = opened("/cases/7")
    everything = page.locator("#graph a:visible").count()
    for _ in range(5):
        page.keyboard.press("[")
    expect(page.locator("#slider-day")).to_have_text("5 d earlier")
    hidden = page.locator("#graph svg a.later").count()
    assert 0 < hidden < everything
    for _ in range(5):
        page.keyboard.press("]")
    assert page.locator("#graph svg a.later").count() == 0


def test_graph_has_a_table_twin_and_other_hops(opened: Open) -> None:
    page = opened("/cases/7")
    page.keyboard.press("t")
    expect(page.locator("#graph-table")).to_be_visible()
    expect(page.locator("#graph-table tbody tr")).to_have_count(page.locator("#graph svg a").count())
    with page.expect_response(lambda answer: "hops=1" in answer.url):
        page.keyboard.press("h")
    expect(page.locator("#graph")).to_have_count(1)


def test_card_is_revealed_in_its_place(opened: Open, served: Served) -> None:
    page = opened("/cases/7")
    page.keyboard.press("r")
    expect(page.locator("#card-name")).to_have_text("C000121")
    assert served.sent[0][0] == "/cases/7/reveal"


def test_undo_is_one_key_for_ten_seconds(opened: Open, served: Served) -> None:
    served.undo = "t0ken"
    page = opened("/queue")
    page.keyboard.press("u")
    assert sent(page, served)[0][0] == "/undo/t0ken"
    page.clock.install()
    page.goto(f"{served.address}/queue")
    expect(page.locator("#toast")).to_be_visible()
    page.clock.fast_forward(10_001)
    expect(page.locator("#toast")).to_have_count(0)


def test_keys_that_are_switched_off_do_nothing(opened: Open, served: Served) -> None:
    served.who = reader(keys=False)
    page = opened("/queue")
    for key in ("j", "n", "?"):
        page.keyboard.press(key)
    assert page.locator("tr.current").count() == 0
    expect(page.locator("#keys")).to_be_hidden()
    assert served.sent == []


def test_page_that_is_left_lets_its_case_go_and_one_that_decides_does_not(opened: Open, served: Served) -> None:
    page = opened("/cases/7")
    page.keyboard.press("g")
    page.keyboard.press("q")
    page.wait_for_url("**/queue")
    assert [path for path, _ in served.sent] == ["/cases/7/release"]
    page.goto(f"{served.address}/cases/7")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    page.wait_for_url("**/cases/8")
    assert [path for path, _ in served.sent] == ["/cases/7/release", "/cases/7/verdict"]


def test_next_case_takes_the_place_of_the_decided_one_with_its_own_keys_and_undo(opened: Open, served: Served) -> None:
    page = opened("/cases/7")
    page.evaluate("window.same = true")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    page.wait_for_url("**/cases/8")
    assert page.evaluate("window.same"), "the page was loaded anew"
    expect(page.locator("#toast")).to_be_visible()
    expect(page.locator("#lock")).to_have_text("locked by you")
    assert page.locator("[name=verdict]:checked").count() == 0
    for key in ("[", "4", "Enter"):
        page.keyboard.press(key)
    page.wait_for_timeout(0)
    expect(page.locator("#toast")).to_be_visible()
    page.keyboard.press("u")
    page.wait_for_url("**/queue")
    paths = [path for path, _ in sent(page, served, 4)]
    assert (paths[0], paths[1]) == ("/cases/7/verdict", "/cases/8/verdict")
    assert sorted(paths[2:]) == ["/cases/8/release", "/undo/t0ken"]


def test_fault_of_a_rule_stands_in_its_place_while_one_types(opened: Open, served: Served) -> None:
    page = opened("/rules")
    page.locator("#rules-text").press_sequentially("x")
    expect(page.locator("#faults pre .ruled")).to_have_text("card_amount_vs_meidan")
    assert served.sent[-1][1]["list"] == ["stolen.txt"]
    page.locator("#faults a").click()
    expect(page.locator("#rules-text")).to_be_focused()


# --- what others do --------------------------------------------------------------------------------------------------


def test_rows_of_others_wait_behind_a_pill_and_move_nothing(opened: Open, served: Served) -> None:
    page = opened("/queue")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.mouse.wheel(0, 40)
    for number in range(7):
        served.tell("added", number, json.dumps({"id": 900 + number, "at_stake": 5_900}))
    expect(page.locator("#fresh")).to_have_text("7 new, 413.00 at stake - show L")
    assert page.locator("#rows tr").count() == len(queue_rows())
    assert current(page) == "alert-101"
    expect(page.locator("#alert-101 input")).to_be_checked()


MARKED = """
window.marked = [];
new MutationObserver((all) => {
  for (const {target} of all) if (target.matches("td.changed")) window.marked.push(target.textContent.trim());
}).observe(document.querySelector("#rows"), {subtree: true, attributeFilter: ["class"]});
"""
"""Notes what the cells say that are marked as changed."""


def test_row_that_changes_changes_in_its_cells_alone(opened: Open, served: Served) -> None:
    page = opened("/queue")
    page.keyboard.press("j")
    page.keyboard.press("x")
    changed = msgspec.structs.replace(queue_rows()[0], at_stake=99_900)
    html = served.pages.render("row", changed, scene(served.shown["queue"]))
    # The mark of a changed cell goes after a moment, which a busy machine may sleep through: it is counted as it comes.
    page.evaluate(MARKED)
    served.tell("changed", 1, json.dumps({"id": 100, "html": html}))
    expect(page.locator("#alert-100")).to_contain_text("999.00")
    page.wait_for_function("window.marked.length > 0")
    assert page.evaluate("window.marked") == ["999.00"]
    expect(page.locator("#alert-100 input")).to_be_checked()
    assert current(page) == "alert-100"


def test_row_that_changes_names_its_reader_as_the_page_did(opened: Open, served: Served) -> None:
    page = opened("/queue")
    shown = scene(served.shown["queue"])
    for owner, called in ((reader().id, "you"), (reader().id + 1, "Anna Lang")):
        changed = msgspec.structs.replace(queue_rows()[0], owner=Owner(owner, "Anna Lang", 0, mine=False), verdict=None)
        html = served.pages.render("row", changed, shown)
        served.tell("changed", 1, json.dumps({"id": 100, "html": html}))
        expect(page.locator("#alert-100 .c-owner")).to_have_text(called)


def test_row_that_somebody_decided_greys_where_it_is_and_cannot_be_chosen(opened: Open, served: Served) -> None:
    page = opened("/queue")
    page.locator("#alert-101 input").check()
    served.tell("gone", 1, json.dumps({"id": 101, "text": "decided"}))
    expect(page.locator("#alert-101")).to_have_class(re.compile("gone"))
    expect(page.locator("#alert-101 input")).to_be_disabled()
    expect(page.locator("#bulk")).to_be_hidden()
    assert page.locator("#rows tr").nth(1).get_attribute("id") == "alert-101"


def test_counts_and_age_of_the_newest_decision_follow(opened: Open, served: Served) -> None:
    page = opened("/queue")
    served.tell("counts", 1, json.dumps({"views": {"held": 1_234}, "heard_at_age": 42.0}))
    expect(page.locator("[data-badge=held]")).to_have_text("1\u202f234")
    expect(page.locator("#live")).to_have_text("○ last decision 42 s ago")


def test_live_rows_shift_nothing(opened: Open, served: Served) -> None:
    page = opened("/queue")
    row = queue_rows()[3]
    for number in range(60):
        told = msgspec.structs.replace(row, at_stake=10_000 + number, seen_before=number)
        html = served.pages.render("row", told, scene(served.shown["queue"]))
        served.tell("changed", 3 * number, json.dumps({"id": row.alert, "html": html}))
        served.tell("added", 3 * number + 1, json.dumps({"id": 900 + number, "at_stake": 1}))
        served.tell("counts", 3 * number + 2, json.dumps({"views": {"held": 9 + number}, "heard_at_age": 0.1}))
    expect(page.locator("#fresh")).to_contain_text("60 new", timeout=20_000)
    assert page.evaluate("window.moved") <= 0.02


def test_stream_that_falls_silent_is_asked_for_anew(opened: Open, served: Served) -> None:
    page = opened("/queue")
    page.clock.install()
    served.tell("counts", 1, json.dumps({"views": {"held": 7}, "heard_at_age": 42.0}))
    page.goto(f"{served.address}/queue")
    expect(page.locator("#live")).to_have_text("○ last decision 42 s ago")
    with page.expect_request("**/queue/live*"):
        page.clock.run_for(30_000)
    page.clock.resume()
    expect(page.locator("#live")).to_have_text("○ last decision 42 s ago")


def test_live_rows_are_heard_on_every_page_that_is_opened(opened: Open, served: Served) -> None:
    served.tell("counts", 1, json.dumps({"views": {"held": 7}, "heard_at_age": 42.0}))
    for _ in range(8):
        expect(opened("/queue").locator("#live")).to_have_text("○ last decision 42 s ago")
