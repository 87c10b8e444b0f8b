"""A day at the console, in a real browser, on the real desk: what an analyst and a lead do, by keyboard."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect
from sqlalchemy import func, select

from fraud.review.changes import newest
from fraud.review.second_factor import STEP, code_of
from fraud.review.tables import outbox, verdict
from fraud.review.words import Parcel
from tests.browser.real import Running, now, running
from tests.browser.steps import CASE, give, save_rules, take_next
from tests.dashboard.site import PASSWORD
from tests.review.seeding import alerted
from tests.site import until

pytestmark = pytest.mark.slow


@pytest.fixture
def console(tmp_path: Path, browser: Browser) -> Iterator[Running]:
    """A console where nobody has to look twice."""
    with running(tmp_path, browser) as found:
        yield found


@pytest.fixture
def careful(tmp_path: Path, browser: Browser) -> Iterator[Running]:
    """A console where everything is looked at twice: by amount from 1 cent on."""
    with running(tmp_path, browser, four_eyes_from=1) as found:
        yield found


@pytest.fixture
def blind(tmp_path: Path, browser: Browser) -> Iterator[Running]:
    """A console where every verdict is asked for once more, blind."""
    with running(tmp_path, browser, blind_share=1.0) as found:
        yield found


def verdicts(found: Running) -> int:
    with found.site.database.read() as connection:
        return connection.execute(select(func.count()).select_from(verdict)).scalar_one()


def labels(found: Running) -> int:
    """Count the labels that leave, or wait to."""
    with found.site.database.read() as connection:
        waits = outbox.c.undone.is_(False) & (outbox.c.kind == Parcel.LABEL)
        return connection.execute(select(func.count()).select_from(outbox).where(waits)).scalar_one()


def test_ten_alerts_are_decided_by_keyboard_alone(console: Running) -> None:
    for number in range(12):
        alerted(console.site, 5_000 + number, at_stake=90_000 + number)
    page = console.person("anna")
    before = verdicts(console)
    take_next(page)
    for turn in range(10):
        give(page, "123"[turn % 3])
        expect(page.locator("#decide")).to_be_visible()
    assert verdicts(console) - before >= 10


def test_verdict_can_be_undone_and_then_nothing_leaves(console: Running) -> None:
    alerted(console.site, 5_000, at_stake=90_000)
    alerted(console.site, 5_001, at_stake=80_000)
    page = console.person("anna")
    take_next(page)
    case, before = page.url, labels(console)
    give(page, "1")
    assert labels(console) > before
    page.keyboard.press("u")
    page.wait_for_url(case.partition("?")[0] + "*")
    expect(page.locator("#decide")).to_be_visible()
    assert labels(console) == before


def test_bulk_is_previewed_decided_and_undone_at_once(console: Running) -> None:
    for number in range(3):
        alerted(console.site, 5_000 + number, at_stake=90_000 + number)
    page = console.person("ben")
    page.keyboard.press("j")
    for _ in range(2):
        page.keyboard.press("Shift+J")
    expect(page.locator("#chosen")).to_contain_text("3 selected")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("✕ Fraud for 3 alerts")
    before = verdicts(console)
    page.get_by_role("button", name="Decide 3").press("Enter")
    page.wait_for_url("**/queue?undo=*")
    assert verdicts(console) - before == 3
    page.keyboard.press("u")
    page.wait_for_url("**/queue")
    expect(page.locator("#toast")).to_have_count(0)
    assert page.locator("#rows tr").first.get_attribute("class") != "gone"


def test_second_person_sees_the_first_verdict_of_a_large_amount_after_their_own(careful: Running) -> None:
    alerted(careful.site, 5_000, at_stake=90_000)
    first = careful.person("anna")
    case = take_next(first)
    expect(first.locator(".actions .notice")).to_contain_text("A second person looks after you")
    before = labels(careful)
    give(first, "1")
    assert labels(careful) == before
    second = careful.person("ben")
    second.goto(f"{careful.address}/cases/{case}")
    expect(second.locator(".actions .notice")).to_contain_text("A second person has to look, for the amount")
    give(second, "1")
    assert labels(careful) > before


def test_blind_review_hides_the_first_verdict_and_two_who_disagree_go_to_a_lead(blind: Running) -> None:
    alerted(blind.site, 5_000, at_stake=90_000)
    first = blind.person("anna")
    case = take_next(first)
    before = labels(blind)
    give(first, "1")
    second = blind.person("ben")
    second.goto(f"{blind.address}/cases/{case}")
    expect(second.locator(".actions .notice")).to_contain_text("the first verdict is shown after yours")
    assert "A. Novak" not in second.locator("main").inner_text()
    give(second, "2")
    assert labels(blind) == before
    lead = blind.person("lea")
    lead.goto(blind.address + "/team")
    expect(lead.locator("main")).to_contain_text("A. Novak: ✕ fraud")
    expect(lead.locator("main")).to_contain_text("B. Lang: ✓ genuine")


def test_rule_is_edited_with_its_fault_in_place_saved_and_activated_by_a_second_lead(console: Running) -> None:
    page = console.person("lea")
    save_rules(page, "hour < 6", "hour < 4", "only at night", fault="huor")
    page.get_by_role("link", name="Difference from live").click()
    expect(page.locator("tr.plus")).to_contain_text("hour < 4")
    page.go_back()
    page.get_by_role("button", name="Activate").click()
    expect(page.locator(".bar.notice")).to_contain_text("Another lead has to agree")
    other = console.person("max")
    other.goto(console.address + "/rules")
    other.get_by_role("button", name="Agree and activate").click()
    expect(other.locator("main")).to_contain_text("live")
    assert len(console.site.keeper.orders) == 1


def test_colours_are_kept_for_whoever_chose_them(console: Running) -> None:
    page = console.person("anna", color_scheme="light")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(19, 24, 32)"
    page.locator("summary", has_text="A. Novak").press("Enter")
    page.locator("select[name=theme]").select_option("dark")
    page.get_by_role("button", name="Keep", exact=True).press("Enter")
    page.wait_for_load_state()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(233, 237, 242)"


def test_decision_that_comes_meanwhile_waits_behind_the_pill_of_whoever_looks(console: Running) -> None:
    page = console.person("anna")
    expect(page.locator("#live")).not_to_contain_text("not connected")
    before = page.locator("#rows tr").count()
    alerted(console.site, 6_000, at_stake=41_290)
    expect(page.locator("#fresh")).to_contain_text("1 new, 412.90 at stake")
    assert page.locator("#rows tr").count() == before
    page.keyboard.press("l")
    expect(page.locator("#rows")).to_contain_text("412.90")


def test_decision_that_comes_between_a_page_and_its_stream_is_told(console: Running) -> None:
    page = console.person("anna")

    def meanwhile(route: Route) -> None:
        alerted(console.site, 6_000, at_stake=41_290)
        with console.site.database.read() as connection:
            last = newest(connection)
        until(lambda: console.live.seq >= last, "that the server has seen it")
        route.continue_()

    page.route("**/queue/live*", meanwhile, times=1)
    page.reload()
    expect(page.locator("#fresh")).to_contain_text("1 new, 412.90 at stake")


def test_page_whose_stream_is_refused_at_first_says_so_and_asks_again(console: Running) -> None:
    page = console.person("anna")
    page.route("**/queue/live*", lambda route: route.abort(), times=1)
    page.reload()
    expect(page.locator("#live")).to_have_text("○ not connected, trying again")
    alerted(console.site, 6_000, at_stake=41_290)
    expect(page.locator("#fresh")).to_contain_text("1 new, 412.90 at stake")
    expect(page.locator("#live")).not_to_contain_text("not connected")
    console.said.clear()  # the browser calls a request that was cut off an error


def test_eight_windows_of_one_browser_all_load_and_some_say_that_they_are_not_told(console: Running) -> None:
    first = console.person("anna")
    pages = [first, *(first.context.new_page() for _ in range(7))]
    for page in pages[1:]:
        page.goto(f"{console.address}/queue")
    for page in pages[4:]:
        expect(page.locator("#live")).to_have_text("○ not told of changes: too many pages are open")
    assert console.live.viewers == 4
    first.close()
    until(lambda: any("too many" not in page.locator("#live").inner_text() for page in pages[4:]), "one in its place")
    console.said.clear()  # the browser calls an answer of 429 an error


HIDDEN = """
(hidden) => {
  Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
  document.dispatchEvent(new Event("visibilitychange"));
}
"""


def test_page_that_is_hidden_leaves_its_stream_and_hears_later_what_came(console: Running) -> None:
    page = console.person("anna")
    until(lambda: console.live.viewers == 1, "a page that listens")
    page.evaluate(HIDDEN, True)
    until(lambda: console.live.viewers == 0, "nobody who listens")
    alerted(console.site, 6_000, at_stake=41_290)
    page.evaluate(HIDDEN, False)
    expect(page.locator("#fresh")).to_contain_text("1 new, 412.90 at stake")


def test_colleague_who_decides_greys_the_row_that_another_sees(console: Running) -> None:
    alert = alerted(console.site, 6_000, at_stake=95_000)
    alerted(console.site, 6_001, at_stake=94_000)
    looking, working = console.person("anna"), console.person("ben")
    row = looking.locator(f"#alert-{alert}")
    expect(row).to_be_visible()
    take_next(working)
    expect(row).to_contain_text("B. Lang")
    give(working, "2")
    expect(row).to_have_class(re.compile("gone"))


def test_new_rows_are_shown_by_a_key_and_what_was_chosen_stays(console: Running) -> None:
    page = console.person("anna")
    expect(page.locator("#live")).not_to_contain_text("not connected")
    for number in range(3):
        alerted(console.site, 6_000 + number, at_stake=90_000 + number)
    expect(page.locator("#fresh")).to_contain_text("3 new")
    for key in ("j", "x", "Shift+J"):
        page.keyboard.press(key)
    chosen = page.locator("#rows tr:has(input:checked)").evaluate_all("(rows) => rows.map((row) => row.id)")
    page.keyboard.press("l")
    expect(page.locator("#rows tr").nth(2)).to_contain_text("900.00")
    expect(page.locator("#chosen")).to_contain_text("2 selected")
    again = page.locator("#rows tr:has(input:checked)").evaluate_all("(rows) => rows.map((row) => row.id)")
    assert again == chosen
    assert page.locator("tr.current").get_attribute("id") == chosen[-1]


def test_new_row_of_an_empty_queue_is_shown_by_a_key(console: Running) -> None:
    page = console.person("anna")
    page.goto(f"{console.address}/queue?merchant=NEW")
    expect(page.locator("#rows")).to_contain_text("Nothing in this queue fits the filter")
    expect(page.locator("#live")).not_to_contain_text("not connected")
    alerted(console.site, 6_000, at_stake=80_000)
    alerted(console.site, 6_001, at_stake=90_000, merchant="NEW")
    expect(page.locator("#fresh")).to_contain_text("1 new, 900.00 at stake")
    page.keyboard.press("l")
    expect(page.locator("#rows tr[data-alert]")).to_have_count(1)
    page.keyboard.press("n")
    page.wait_for_url(CASE)
    expect(page.locator("h1")).to_have_text("100.00 EUR")


def test_filter_holds_from_case_to_case_and_at_its_end_one_is_back_in_it(console: Running) -> None:
    for number in range(4):
        alerted(console.site, 6_000 + number, at_stake=90_000 + number, merchant="RING" if number % 2 else "OTHER")
    page = console.person("anna")
    page.goto(f"{console.address}/queue?merchant=RING&order=newest")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(CASE)
    expect(page.locator("#main")).to_contain_text("RING")
    give(page, "1")
    page.wait_for_url(CASE)
    expect(page.locator("#main")).to_contain_text("RING")
    give(page, "1")
    page.wait_for_url(re.compile(r"/queue\?.*\bmerchant=RING"))
    expect(page.locator("#rows")).to_contain_text("Nothing in this queue fits the filter")


def test_skip_opens_the_next_case(console: Running) -> None:
    for number in range(2):
        alerted(console.site, 6_000 + number, at_stake=90_000 + number)
    page = console.person("anna")
    page.keyboard.press("n")
    page.wait_for_url(CASE)
    before = page.url
    page.keyboard.press("s")
    page.keyboard.type("I know the cardholder")
    page.keyboard.press("Enter")
    page.wait_for_function("(before) => location.href !== before", arg=before)
    page.wait_for_url(CASE)
    expect(page.locator("#lock")).to_have_text("locked by you")


def test_enter_in_the_bar_of_the_selected_tags_and_never_decides(console: Running) -> None:
    for number in range(2):
        alerted(console.site, 6_000 + number, at_stake=90_000 + number)
    page, before = console.person("ben"), verdicts(console)
    page.keyboard.press("j")
    page.keyboard.press("Shift+J")
    page.locator("#bulk [name=tag]").fill("Ring 7")
    page.locator("#bulk [name=tag]").press("Enter")
    expect(page.locator("#rows tr").first).to_contain_text("ring 7")
    assert verdicts(console) == before
    page.locator("#all").check()
    page.locator("#bulk").get_by_role("button", name="Give").click()
    expect(page.locator("#rows tr").first).to_contain_text("you")


def test_queue_is_kept_with_its_filter_and_columns_and_begun_with(console: Running) -> None:
    page = console.person("lea")
    page.goto(f"{console.address}/queue?least=50.00&order=due")
    page.keyboard.press("v")
    for column in ("Seen", "Risk"):
        page.get_by_role("checkbox", name=column, exact=True).uncheck()
    page.get_by_role("button", name="Show these").click()
    expect(page.locator("th.c-seen")).to_be_hidden()
    expect(page.locator("th.c-left")).to_be_visible()
    page.keyboard.press("v")
    page.locator("#view [name=name]").fill("dear ones")
    page.locator("#view [name=team]").check()
    page.locator("#view").get_by_role("button", name="Keep").click()
    page.wait_for_url("**/queue?*view=*")
    page.keyboard.press("v")
    page.get_by_role("button", name="Begin with it").click()
    page.wait_for_load_state()
    other = console.person("anna")
    other.wait_for_url("**/queue?*view=*")
    expect(other.locator(".bar.under")).to_contain_text("amount from 50.00")
    expect(other.locator("th.c-seen")).to_be_hidden()
    expect(other.locator("a.tab[aria-current]")).to_contain_text("dear ones")


def test_second_factor_is_set_up_from_its_picture_and_asked_for_at_the_next_sign_in(console: Running) -> None:
    page = console.person("anna")
    page.goto(f"{console.address}/settings/second-factor")
    expect(page.locator("svg.qr path")).to_have_count(1)
    secret = base64.b32decode(page.locator(".enrol code").inner_text().replace(" ", ""))
    page.locator("[name=code]").fill(code_of(secret, now() // STEP))
    page.get_by_role("button", name="Set it up").click()
    expect(page.locator("main")).to_contain_text("You are asked for a code beside your password")
    page.locator("summary", has_text="A. Novak").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("[role=status]")).to_contain_text("You are signed out here")
    page.locator("[name=email]").fill("anna@example.org")
    page.locator("[name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("[name=code]")).to_be_focused()
    page.keyboard.type("000000")
    page.keyboard.press("Enter")
    expect(page.locator(".fault")).to_contain_text("This code is wrong")
    console.said.clear()  # the browser calls the refusal an error
    page.locator("[name=code]").fill(code_of(secret, now() // STEP + 1))
    page.keyboard.press("Enter")
    page.wait_for_url("**/queue")
