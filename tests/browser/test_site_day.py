"""A day at the console of a real site, by keyboard: Kafka, Redis, PostgreSQL, a worker, a learner, traffic."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from fraud.core.records import BLOCKED, Action, Answer, Transaction
from fraud.core.settings import ModelSection, Settings
from fraud.simulate import fdh
from models.online.snapshots import decoded
from streaming import wiring
from streaming.kafka.updates import SNAPSHOT
from streaming.worker.warm_up import warm_up
from tests.browser.steps import case_of, give, leave, save_rules, take_next, type_into, watched
from tests.dashboard.site import PASSWORD
from tests.site import Site, until

pytestmark = pytest.mark.slow

RULES = """\
rule large "{amount} is more than most pay here" :
    when amount > 60
    then review
"""
SETTINGS = {
    "FRAUD_REFRESH__ENABLED": "true", "FRAUD_REFRESH__EVERY": "1s", "FRAUD_GATE__ENABLED": "true",
    "FRAUD_GATE__PATIENCE": "0s", "FRAUD_SERVING__BUDGET": "60s",
    # One person does all of it, and nobody waits ten seconds for what can be undone.
    "FRAUD_REVIEW__FOUR_EYES_FROM": "0", "FRAUD_REVIEW__BLIND_SHARE": "0", "FRAUD_REVIEW__RULES_SECOND": "false",
    "FRAUD_REVIEW__UNDO": "1s",
}  # fmt: skip
RATE, DECIDED, SECONDS = 25.0, 10, 180.0
KEYS = "1232"
"""Verdicts in turn: fraud, genuine, unsure, genuine."""


class Day(Site):
    """A site with a console, and simulated traffic that goes on until it is closed."""

    def __init__(self, kafka: str, redis: str, folder: Path, name: str, browser: Browser, rules: Path) -> None:
        """Create the topics; nothing runs yet."""
        super().__init__(kafka, redis, folder, name, environment=SETTINGS | {"FRAUD_RULES__FILE": str(rules)})
        self._browser, self._contexts, self.said = browser, list[BrowserContext](), list[str]()
        self.paid: dict[str, Transaction] = {}
        self._payments = fdh.generate(fdh.Fdh(cards=300, terminals=300, days=60, seed=7)).transactions()
        self._over = threading.Event()
        self._traffic = threading.Thread(target=self._pay_on, daemon=True)

    def open(self, database: str) -> dict[str, str]:
        """Start worker, learner, console and traffic; return the console's first line."""
        self.worker()
        self.book("--http", "0")
        words = ["--database", database, "--keys", str(self.folder / "keys"), "--port", "0"]
        words += ["--bootstrap", self.settings.bootstrap, "--prefix", self.settings.prefix, "--store", self.redis_url]
        migrated = [sys.executable, "-m", "fraud", "console", "migrate", "--database", database]
        subprocess.run(migrated, check=True, capture_output=True)
        self._start("console", ["-m", "fraud", "console", *words])
        until(lambda: "set_up" in self.log("console"), lambda: f"a console: {self.log('console')[-1_500:]}", SECONDS)
        until(lambda: "http_port" in self.log("book"), lambda: f"a learner: {self.log('book')[-1_500:]}", SECONDS)
        self._traffic.start()
        self.wait_for(1, SECONDS)
        lines = self.log("console").splitlines()
        return dict(json.loads(next(line for line in lines if "set_up" in line)))

    def page(self) -> Page:
        """Open a page."""
        size: Any = {"width": 1_280, "height": 800}
        return watched(self._browser, self._contexts, self.said, viewport=size)

    def pay(self, card: str) -> str:
        """Send one more payment of a card, and return its name."""
        tx = Transaction(**{
            **{name: getattr(next(iter(self.paid.values())), name) for name in Transaction.__struct_fields__},
            "id": f"later-{len(self.paid)}", "card": card,
        })  # fmt: skip
        self.paid[tx.id] = tx
        self.send([tx])
        return tx.id

    def answers(self, wanted: Callable[[Answer], bool]) -> list[Answer]:
        """Return the decisions so far of which something holds."""
        return [answer for answer in self.read().answers if wanted(answer)]

    def pin_newest(self, since: int) -> bool:
        """Have payments get the newest parameters, where they were made after a time; an operator's command."""
        records = self.records(self.topics.updates)
        bodies = [record.value for record in records if record.key.startswith(SNAPSHOT.encode())]
        newest = decoded(bodies[-1]) if bodies else None
        if newest is None or newest.at < since:
            return False
        command = [sys.executable, "-m", "fraud", "refresh", "pin", newest.version]
        where = ["--bootstrap", self.settings.bootstrap, "--prefix", self.settings.prefix]
        subprocess.run([*command, *where], check=True, capture_output=True)
        return True

    def close(self) -> None:
        """End all of it."""
        self._over.set()
        if self._traffic.ident is not None:
            self._traffic.join()
        leave(self._contexts)
        super().close()

    def _pay_on(self) -> None:
        while not self._over.is_set() and (some := list(islice(self._payments, int(RATE)))):
            self.paid |= {tx.id: tx for tx in some}
            self.send(some, RATE)


@pytest.fixture
def day(
    kafka: str, redis_url: str, tmp_path: Path, unique: Callable[[str], str], browser: Browser
) -> Iterator[Day]:  # fmt: skip
    """A site that nobody has started yet; at the end no page has thrown or broken its policy."""
    rules = tmp_path / "site.fr"
    rules.write_text(RULES)
    # What is not compiled yet would be compiled by the worker, and take minutes.
    warm_up(wiring.build(msgspec.structs.replace(Settings(), model=ModelSection(name="demo"))))
    name = unique("day")
    made = Day(kafka, redis_url, tmp_path / name, name, browser, rules)
    yield made
    made.close()
    assert made.said == []


def twin(page: Page, path: str) -> Any:
    """Return the record behind a page, as whoever has signed in sees it."""
    address = page.url.partition("//")[2].partition("/")[0]
    return page.request.get(f"http://{address}{path}").json()


def test_day_of_an_analyst_on_real_services(day: Day, postgres_url: str) -> None:
    told = day.open(postgres_url)
    page = day.page()
    page.goto(told["set_up"])
    type_into(page, "Ada Novak", "ada@example.org", PASSWORD)
    page.wait_for_url("**/queue")
    expect(page.locator("#fresh")).to_contain_text("new,")
    until(lambda: (twin(page, "/queue.json")["total"] or 0) > DECIDED + 2, "work for the day")
    page.keyboard.press("l")
    first = decide_ten(page)
    card = day.paid[twin(page, f"/cases/{first}.json")["alerts"][0]["tx_id"]].card
    follow_label(day, page, first)
    blocked(day, page, card)
    release_and_roll_back(day, page)


def decide_ten(page: Page) -> int:
    """Decide ten cases by keyboard alone; return the first, a fraud whose card is blocked."""
    first = take_next(page)
    for turn in range(DECIDED):
        give(page, KEYS[turn % len(KEYS)])
        expect(page.locator("#decide")).to_be_visible()
    assert case_of(page) != first
    return first


def follow_label(day: Day, page: Page, case: int) -> None:
    """See a verdict's label on its case: decided, sent, known, in the state, and live once payments get it."""
    page.goto(f"{page.url.partition('/cases')[0]}/cases/{case}")
    done = page.locator("ol.trail").first.locator("li.done time")
    expect(done).to_have_count(4, timeout=60_000)
    known_at = twin(page, f"/cases/{case}.json")["trails"][0]["known_at"]
    until(lambda: day.pin_newest(known_at), "parameters that know of the verdict")
    expect(done).to_have_count(5, timeout=60_000)
    trail = twin(page, f"/cases/{case}.json")["trails"][0]
    times = [trail[name] for name in ("decided_at", "sent_at", "known_at", "applied_at", "live_at")]
    assert all(times), trail
    assert trail["verdict"] == "fraud"
    expect(page.locator("ol.trail").first).to_contain_text("live in")


def blocked(day: Day, page: Page, card: str) -> None:
    """See that a later payment of a card is declined by the block list."""

    def declined() -> bool:
        made = day.pay(card)
        until(lambda: bool(day.answers(lambda answer: answer.decision.tx_id == made)), "its decision")
        (answer,) = day.answers(lambda answer: answer.decision.tx_id == made)
        return answer.decision.action is Action.DECLINE and answer.decision.reasons[0].code == BLOCKED

    until(declined, "a payment that is declined because its card is blocked")
    until(lambda: bool(twin(page, f"/queue.json?kind=declined&card={card}")["rows"]), "that the console has it")
    page.goto(f"{page.url.partition('/cases')[0]}/queue?kind=declined&card={card}")
    expect(page.locator("#rows")).to_contain_text("Ada Novak")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text(BLOCKED)


def release_and_roll_back(day: Day, page: Page) -> None:
    """Mend a fault of a rule in its place, release it, see a decision name it; release another one, and go back."""
    save_rules(page, "amount > 60", "amount > 55", "a little lower", fault="amuont")
    first = released(day, page)
    save_rules(page, "amount > 55", "amount > 50", "lower still")
    assert released(day, page) != first
    page.keyboard.press("g")
    page.keyboard.press("m")
    page.wait_for_url("**/model")
    before = len(day.answers(lambda answer: answer.decision.versions.release == first))
    page.get_by_role("row", name=first).get_by_role("button", name="Roll back to it").press("Enter")
    page.wait_for_url("**/rules/*")
    expect(page.locator("main h1 + span")).to_contain_text("live")
    until(
        lambda: len(day.answers(lambda answer: answer.decision.versions.release == first)) > before,
        "a decision by the release that was rolled back to",
    )


def released(day: Day, page: Page) -> str:
    """Activate the version that a page shows; return its release once a decision names it."""
    page.get_by_role("button", name="Activate").press("Enter")
    expect(page.locator("main h1 + span b")).to_have_text("live")
    name = str(twin(page, "/model.json")["release"]["id"])
    until(
        lambda: bool(day.answers(lambda answer: answer.decision.versions.release == name)),
        f"a decision that names {name}",
    )
    return name
