"""A small console as it would be at a site: accounts, payments of a month, alerts of every kind, verdicts, rules.

Everything goes in as the projector takes it in, with real vectors and messages; `realistic` is the same each time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import insert

from features.spec import spec
from fraud.core.errors import ArtifactError
from fraud.core.evidence import Evidence, SideEvent, packed, tx_hash
from fraud.core.policy import ThresholdPolicy
from fraud.core.ports import Policy
from fraud.core.records import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Action,
    Decision,
    LabelSource,
    Reason,
    Verdict,
    Versions,
)
from fraud.core.releases import How, Release, named, of_id
from fraud.core.rules.ruleset import RuleSet, compile_rules
from fraud.core.rules.vocabulary import Vocabulary
from fraud.review.audit import Audit
from fraud.review.database import Database
from fraud.review.desk import Desk
from fraud.review.intake.seen import DecisionSeen, KnownSeen, Seen
from fraud.review.intake.take import Intake
from fraud.review.library import InUse, Order, Rescored
from fraud.review.people import Person, Role
from fraud.review.settings import ReviewSection
from fraud.review.tables import account
from fraud.review.tools import Tools
from fraud.review.views import Given
from streaming.messages.envelope import packed_vector
from streaming.messages.schema import of_decision
from tests.review import taken

NOW, STREAM = taken.NOW, taken.STREAM
KEY = bytes(range(32))
POLICY = ThresholdPolicy(challenge=0.05, review=0.2, decline=0.8)
VOCABULARY = Vocabulary.of(spec().names)
RULES = """\
list stolen block card { "4999000011112222" }

rule night "{amount} at hour {hour}" :
    when hour < 6 and amount > 50
    then floor 0.3

rule burst :
    when count(card, 10m) >= 5
    then review
"""


class Shelf:
    """The Library port over what a test gives it."""

    def __init__(self) -> None:
        self.rule_sets = {RULE_SET.version: RULE_SET}
        self.policies: dict[str, Policy] = {POLICY.version: POLICY}
        self.used = InUse("blend@1", RULE_SET.version, POLICY.version, "", "r-1")
        self.scores: dict[str, float] = {}
        self.rescored: list[tuple[str, bytes, Rescored]] = []

    def names(self, version: str) -> tuple[str, ...] | None:
        return spec().names if version == spec().version else None

    def vocabulary(self) -> Vocabulary:
        return VOCABULARY

    def policy(self, version: str) -> Policy | None:
        return self.policies.get(version)

    def rules(self, version: str) -> RuleSet | None:
        return self.rule_sets.get(version)

    def in_use(self) -> InUse:
        return self.used

    def score(self, model: str, learned: bytes, of: Rescored) -> float:
        self.rescored.append((model, learned, of))
        if model not in self.scores:
            msg = f"{model} is not on this machine."
            raise ArtifactError(msg)
        return self.scores[model]


class Keeper:
    """The Releases port that activates at once, on a shelf; `error` is raised instead where it is set."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.orders: list[Order | str] = []
        self.moved: list[Release] = []
        self.texts: dict[str, tuple[str, Mapping[str, str]]] = {}
        self.error: Exception | None = None

    def moves(self) -> Sequence[Release]:
        return tuple(self.moved)

    def rules(self, version: str) -> tuple[str, Mapping[str, str]] | None:
        return self.texts.get(version)

    def activate(self, order: Order) -> str:
        made = compile_rules(order.rules, VOCABULARY, "rules.fr", order.lists)
        self._shelf.rule_sets[made.version] = made
        return self._use(
            order, Release(id="", model="blend@1", rules=made.version, policy="p", at=order.now, by=order.by)
        )

    def rollback(self, release: str, by: str, note: str, now: int) -> str:
        return self._use(
            release,
            msgspec.structs.replace(of_id(self.moved, release), at=now, by=by, note=note, how=How.ROLLBACK),
        )

    def _use(self, order: Order | str, draft: Release) -> str:
        if self.error is not None:
            raise self.error
        self.orders.append(order)
        self.moved.append(named(self.moved, draft))
        self._shelf.used = self._shelf.used._replace(rules=draft.rules, release=self.moved[-1].id)
        return self.moved[-1].id


@dataclass(frozen=True)
class Site:
    """A console with its people by first name."""

    database: Database
    desk: Desk
    intake: Intake
    people: Mapping[str, Person]
    shelf: Shelf
    keeper: Keeper

    def __getitem__(self, name: str) -> Person:
        return self.people[name]


RULE_SET = compile_rules(RULES, VOCABULARY)
PEOPLE = {
    "vera": ("V. Viewer", Role.VIEWER),
    "anna": ("A. Novak", Role.ANALYST),
    "ben": ("B. Lang", Role.ANALYST),
    "cleo": ("C. Okafor", Role.ANALYST),
    "lea": ("L. Haddad", Role.LEAD),
    "max": ("M. Berg", Role.LEAD),
    "ada": ("Ada Root", Role.ADMIN),
}


def site_of(database: Database, **review: Any) -> Site:
    """Return a console without payments; nobody looks twice unless settings say so."""
    settings = ReviewSection(**{"four_eyes_from": 0, "blind_share": 0.0, **review})
    shelf, audit = Shelf(), Audit(KEY)
    keeper = Keeper(shelf)
    desk = Desk(Tools(database, audit, settings, shelf, keeper))
    rows = [
        {"name": name, "email": f"{key}@example.org", "role": int(role), "created": NOW}
        for key, (name, role) in PEOPLE.items()
    ]
    people = {}
    with database.write() as connection:
        for key, row in zip(PEOPLE, rows, strict=True):
            number = connection.execute(insert(account).values(**row).returning(account.c.id)).scalar_one()
            people[key] = Person(number, *PEOPLE[key])
    return Site(database, desk, Intake(database, taken.TERMS, audit.append), people, shelf, keeper)


def features(**named: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a vector with some features; all others are missing."""
    values = np.full(len(spec().names), np.nan, np.float32)
    for name, value in named.items():
        values[spec().names.index(name)] = value
    return values


def decision(number: int, action: Action = Action.APPROVE, **changes: Any) -> Decision:
    """Return the decision on payment `number` as this site makes them: with its versions, and reasons for an alert."""
    at = changes.pop("at", STREAM + number * SECOND)
    fields: dict[str, Any] = {
        "reasons": () if action is Action.APPROVE else (Reason("amount", "447.30 is 8.4 times 53.26", 1.4, 0.04),),
        "versions": Versions("blend@1", spec().version, POLICY.version, RULE_SET.version), "seen_at": at,
        "happened_at": at, "card": "4000123412340121", "merchant": "M000234", "base_amount": 10_000,
        "amount": 11_000, "text": "ACME*ONLINE",
    }  # fmt: skip
    return taken.decision(number, action, **{**fields, **changes})


def seen(number: int, what: Decision, values: Any = None, effects: Sequence[SideEvent] = (), at: int = NOW) -> Seen:
    """Return a decision as the projector reads it; `at` is the wall clock."""
    evidence = packed(Evidence(spec().version, "blend@1", (("amount", 1.4),), (tuple(effects),) if effects else ()))
    return taken.seen(
        number,
        what,
        arrived_at=at,
        message=of_decision(what),
        vector=packed_vector(features() if values is None else values, spec().version),
        evidence=evidence if what.alert is not None else b"",
    )


def take(site: Site, *batch: Seen, now: int = NOW) -> tuple[int, ...]:
    """Take in a batch, and return the numbers of its alerts."""
    return taken.take(site.intake, *batch, now=now).added


def alerted(site: Site, number: int, action: Action = Action.REVIEW, now: int = NOW, **changes: Any) -> int:
    """Take in one alert, of a card of its own unless another is given, and return its number."""
    changes = {"card": f"40001234{number:08}", **changes}
    (found,) = take(site, seen(number, decision(number, action, **changes), at=now), now=now)
    return found


def case_of(site: Site, alert: int) -> int:
    """Return the case of an alert."""
    (row,) = site.desk.row([alert], site["anna"], NOW)
    return row.case


def decided(site: Site, alert: int, verdict: str = "fraud", by: str = "anna", now: int = NOW, **given: Any) -> Any:
    """Give a verdict on the case of an alert, and return what came of it."""
    said = msgspec.convert({"verdict": verdict, **given}, Given)
    return site.desk.decide(site[by], case_of(site, alert), said, now)


def chargeback(number: int, verdict: Verdict = Verdict.FRAUD, **changes: Any) -> KnownSeen:
    """Return what a bank says of payment `number`, as the projector reads it."""
    fields: dict[str, Any] = {
        "source": LabelSource.CHARGEBACK, "happened_at": STREAM + 5 * DAY, "seen_at": STREAM + 5 * DAY,
        "card": f"40001234{number:08}", "merchant": "M000234", "base_amount": 10_000,
    }  # fmt: skip
    return taken.known(number, taken.label(number, verdict, **{**fields, **changes}))


# --- a month of a small site

CARDS, SHOPS, DEVICES, PAYMENTS = 40, 18, 12, 900
SPAN = 30 * DAY


def realistic(site: Site, payments: int = PAYMENTS, now: int = NOW) -> Site:
    """Take in a month of payments, among them alerts of every kind, and give some verdicts; return the site."""
    rng = np.random.default_rng(16)
    site.desk.keep_live_rules(RULES, {}, now - 20 * DAY)
    batch = [_payment(rng, number, payments, now) for number in range(payments)]
    for begin in range(0, payments, 100):
        take(site, *batch[begin : begin + 100], now=now)
    labels = [_label(each.decision, number) for number, each in enumerate(batch) if isinstance(each, DecisionSeen)]
    take(site, *[label for label in labels if label is not None], now=now)
    _work(site, now)
    return site


def _payment(rng: np.random.Generator, number: int, payments: int, now: int) -> Seen:
    """Return one payment: mostly small and approved; every twentieth or so is an alert."""
    score = float(rng.beta(0.3, 8)) if rng.random() > 0.06 else float(rng.uniform(0.06, 0.97))
    action = POLICY.action(score, 0)
    amount = int(rng.lognormal(8.2, 0.8)) + 100
    usual = int(rng.lognormal(8.2, 0.4)) + 100
    at = STREAM - SPAN + number * SPAN // payments
    card, shop = int(rng.integers(CARDS)), int(rng.zipf(1.6)) % SHOPS
    values = features(
        amount=amount / 100, hour=at % DAY / HOUR, card_amount_vs_median=amount / usual, card_count_10m=0,
        card_count_1h=1, card_count_1d=3, card_count_7d=13, card_count_30d=50, card_sum_1d=139.8, card_sum_7d=859,
        card_sum_30d=4_038, card_max_30d=447.3, card_merchants_30d=41, card_frauds_30d=1, merchant_count_1d=61,
        merchant_count_30d=360, merchant_cards_1d=44, merchant_frauds_7d=2, merchant_amount_vs_median=1.3,
    )  # fmt: skip
    reasons = (
        Reason("amount", f"Amount {amount / 100:.2f} is {amount / usual:.1f} times this card's usual", 1.4, score / 8),
        Reason("card-spending", f"{amount / 80:.2f} spent by this card in 1 day; usual is 53.78 a day", 0.7, score / 2),
        Reason("rule:night", f"{amount / 100:.2f} at hour 3"),
    )
    made = decision(
        number, action, at=at, score=score, model_score=score, card=f"4{card:015}", merchant=f"M{shop:06}",
        device=f"device-{card % DEVICES}" if card % 3 else None, amount=amount, base_amount=amount, currency="EUR",
        reasons=() if action is Action.APPROVE else reasons[: 2 + number % 2], at_stake=round(score * amount),
        expected_loss=round(score * amount * 1.1), channel=("ecom", "pos", "moto")[number % 3],
        mcc=(5411, 5732, 5812)[shop % 3], text=f"SHOP {shop} *ONLINE",
    )  # fmt: skip
    effects = [SideEvent(tx_hash(f"tx{number - back}"), at - back * HOUR, 0.2 * back) for back in range(1, 4)]
    # Alerts of the last hours wait; older ones have been due for long, and are taken in as closed.
    return seen(number, made, values, effects, at=now - (payments - number) * MINUTE // 3)


def _label(of: Decision, number: int) -> KnownSeen | None:
    """Return what became known of every third payment: by its score mostly."""
    if number % 3:
        return None
    verdict = Verdict.FRAUD if of.score > 0.5 else Verdict.GENUINE
    source = LabelSource.CHARGEBACK if verdict is Verdict.FRAUD else LabelSource.SILENCE
    fields = {"card": of.card, "merchant": of.merchant, "device": of.device, "paid_at": of.happened_at}
    return chargeback(number, verdict, source=source, happened_at=of.happened_at + 5 * DAY, **fields)


def _work(site: Site, now: int) -> None:
    """Let people work on some of what waits."""
    desk, said = site.desk, ("fraud", "genuine", "genuine", "unsure")
    for turn, (by, verdict) in enumerate(zip(("anna", "ben", "anna", "cleo"), said, strict=True)):
        for kind in ("held", "declined"):
            number = desk.next(site[by], kind, now + turn * SECOND)
            if number is not None:
                given = Given(verdict=verdict, note="called the cardholder", worth=1, keys=2, seconds=31.5 + turn)  # type: ignore[arg-type]
                desk.decide(site[by], number, given, now + turn * SECOND)
    number = desk.next(site["anna"], "challenged", now)
    if number is not None:
        desk.note(site["anna"], number, "Cardholder travels until Friday; calls back", now)
        desk.tag(site["anna"], number, "travel", now)
