"""A day at the console, in a real browser, on the real desk: what an analyst and a lead do, by keyboard."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import func, select

from fraud.review.tables import outbox, verdict
from fraud.review.words import Parcel
from tests.browser.real import Running, running
from tests.review.seeding import alerted

pytestmark = pytest.mark.slow
CASE = re.compile(r"/cases/\d+")


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


def give(page: Page, key: str) -> None:
    """Give a verdict in two keys and wait for what comes next."""
    before = page.url
    page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_function("(before) => location.href !== before", arg=before)
    page.wait_for_load_state()


def test_ten_alerts_are_decided_by_keyboard_alone(console: Running) -> None:
    for number in range(12):
        alerted(console.site, 5_000 + number, at_stake=90_000 + number)
    page = console.person("anna")
    before = verdicts(console)
    page.keyboard.press("n")
    page.wait_for_url(CASE)
    for turn in range(10):
        give(page, "123"[turn % 3])
        expect(page.locator("#decide")).to_be_visible()
    assert verdicts(console) - before >= 10


def test_verdict_can_be_undone_and_then_nothing_leaves(console: Running) -> None:
    alerted(console.site, 5_000, at_stake=90_000)
    alerted(console.site, 5_001, at_stake=80_000)
    page = console.person("anna")
    page.keyboard.press("n")
    page.wait_for_url(CASE)
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
    first.keyboard.press("n")
    first.wait_for_url(CASE)
    case = CASE.search(first.url)
    assert case is not None
    expect(first.locator(".actions .notice")).to_contain_text("A second person looks after you")
    before = labels(careful)
    give(first, "1")
    assert labels(careful) == before
    second = careful.person("ben")
    second.goto(careful.address + case.group())
    expect(second.locator(".actions .notice")).to_contain_text("A second person has to look, for the amount")
    give(second, "1")
    assert labels(careful) > before


def test_blind_review_hides_the_first_verdict_and_two_who_disagree_go_to_a_lead(blind: Running) -> None:
    alerted(blind.site, 5_000, at_stake=90_000)
    first = blind.person("anna")
    first.keyboard.press("n")
    first.wait_for_url(CASE)
    case = CASE.search(first.url)
    assert case is not None
    before = labels(blind)
    give(first, "1")
    second = blind.person("ben")
    second.goto(blind.address + case.group())
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
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**/rules")
    editor = page.locator("#rules-text")
    plain = editor.input_value()
    editor.fill(plain.replace("hour < 6", "huor < 6"))
    expect(page.locator("#faults pre .ruled")).to_have_text("huor")
    editor.fill(plain.replace("hour < 6", "hour < 4"))
    expect(page.locator("#faults")).to_contain_text("No fault")
    page.get_by_label("What changes, and why").fill("only at night")
    page.get_by_role("button", name="Save as a version").click()
    page.wait_for_url(re.compile("/rules/.+"))
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
    with page.expect_request("**/queue/live*"):
        page.reload()
    page.wait_for_timeout(300)
    alerted(console.site, 6_000, at_stake=41_290)
    expect(page.locator("#fresh")).to_contain_text("1 new, 412.90 at stake")
    assert page.locator("#rows tr").count() == before
    page.keyboard.press("l")
    expect(page.locator("#rows")).to_contain_text("412.90")


def test_colleague_who_decides_greys_the_row_that_another_sees(console: Running) -> None:
    alert = alerted(console.site, 6_000, at_stake=95_000)
    alerted(console.site, 6_001, at_stake=94_000)
    looking, working = console.person("anna"), console.person("ben")
    row = looking.locator(f"#alert-{alert}")
    expect(row).to_be_visible()
    working.keyboard.press("n")
    working.wait_for_url(CASE)
    expect(row).to_contain_text("B. Lang")
    give(working, "2")
    expect(row).to_have_class(re.compile("gone"))
