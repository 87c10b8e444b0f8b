"""A judge of reasons that knows nothing of how they are made: does what a sentence tells speak for fraud?

It reads the sentence, asks the payment's vector how things are, and says what is wrong. Where a sentence tells of a
history, which no vector holds, its own numbers are judged. A sentence that it does not know is an error: whoever words
a new one says here when it may be told.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from fraud.core.records import Answer, Arrival, Reason
from fraud.core.settings import Settings
from fraud.simulate import Traffic
from fraud.simulate.source import merge
from streaming.wiring import build

Vector = Mapping[str, float]
Judge = Callable[[re.Match[str], Vector], bool]

ABOVE = 1.25
"""What is told must be so many times the usual; the product's own measure is stricter."""
FRAUD_SHARE = 0.01
SELDOM = 0.1
NEW_DAYS = 14.0
DAYS = {"10 minutes": ("10m", 1 / 144), "1 hour": ("1h", 1 / 24), "1 day": ("1d", 1.0), "7 days": ("7d", 7.0),
        "30 days": ("30d", 30.0)}  # fmt: skip
BASES = {
    "this card's median": "card_amount_vs_median",
    "this card's mean at this merchant": "pair_amount_vs_mean",
    "this merchant's median": "merchant_amount_vs_median",
    "this device's median": "device_amount_vs_median",
}
WHO = {
    "by this card": "card", "at this merchant": "merchant", "on this device": "device",
    "by this card at this merchant": "pair", "on this card": "card", "of this card": "card",
}  # fmt: skip
MODEL_CODES = re.compile(r"(rule|list):")


def never(found: re.Match[str], of: Vector) -> bool:
    """Tell that a sentence is never a ground to hold."""
    return False


def always(found: re.Match[str], of: Vector) -> bool:
    """Tell that a sentence is a ground to hold whatever the vector says."""
    return True


def days_of(of: Vector, entity: str) -> float:
    """Return for how many days, 1 to 30, an entity's payments of 30 days are."""
    return max(min(of[f"{entity}_since_first"] / 86_400, 30.0), 1.0)


def amount_is_above(found: re.Match[str], of: Vector) -> bool:
    named = [BASES[name] for name in re.findall(r"times (this [a-z' ]+?) of", found[0])]
    return bool(named) and any(of[ratio] >= ABOVE for ratio in named)


def nothing_to_compare(found: re.Match[str], of: Vector) -> bool:
    return all(math.isnan(of[ratio]) for ratio in BASES.values())


def frauds_of_window(found: re.Match[str], of: Vector) -> bool:
    entity, (window, _) = WHO[found[2]], DAYS[found[3]]
    frauds, labels = of[f"{entity}_frauds_{window}"], of[f"{entity}_labels_{window}"]
    return frauds > 0 and frauds > FRAUD_SHARE * labels


def fraud_of_before(found: re.Match[str], of: Vector) -> bool:
    entity = WHO[found[1]]
    return of[f"{entity}_since_fraud"] >= 0 and FRAUD_SHARE * of[f"{entity}_labels_30d"] < 1


def frauds_of_pair(found: re.Match[str], of: Vector) -> bool:
    return of["pair_frauds"] > FRAUD_SHARE * of["pair_labels"]


def frauds_of_history(found: re.Match[str], of: Vector) -> bool:
    frauds, known, entity = int(found[1]), int(found[2]), WHO[found[3]]
    return of[f"{entity}_since_fraud"] >= 0 and frauds > FRAUD_SHARE * known


def older_frauds(found: re.Match[str], of: Vector) -> bool:
    frauds, entity, known = int(found[1]), WHO[found[2]], int(found[3] or 0)
    return of[f"{entity}_since_fraud"] >= 0 and frauds > FRAUD_SHARE * known


def burst(found: re.Match[str], of: Vector) -> bool:
    entity, (window, span) = WHO[found[2]], DAYS[found[3]]
    usual = of[f"{entity}_count_30d"] / days_of(of, entity) * span
    payments = of[f"{entity}_count_{window}"] + 1
    return payments >= 2 and payments > ABOVE * usual


def none_lately(found: re.Match[str], of: Vector) -> bool:
    return of[f"{WHO[found[1]]}_count_30d"] == 0


def spent_much(found: re.Match[str], of: Vector) -> bool:
    entity = WHO[found[2]]
    return of[f"{entity}_sum_1d"] + of["amount"] > ABOVE * of[f"{entity}_sum_30d"] / days_of(of, entity)


def met_many(found: re.Match[str], of: Vector) -> bool:
    entity, met = found[1], {"paid at": "merchants", "saw": "cards", "used": "cards"}[found[2]]
    day, payments = of[f"{entity}_{met}_1d"], of[f"{entity}_count_30d"] / days_of(of, entity)
    return day >= 2 and day > ABOVE * min(payments, of[f"{entity}_{met}_30d"])


def often(found: re.Match[str], of: Vector) -> bool:
    return int(found[1]) > SELDOM * int(found[2])


def seldom(found: re.Match[str], of: Vector) -> bool:
    return int(found["hits"]) <= SELDOM * int(found["of"]) and int(found["of"]) >= 5


def never_seen(found: re.Match[str], of: Vector) -> bool:
    return math.isnan(of[f"{found[1]}_since_first"]) and of[f"{found[1]}_count_30d"] == 0


def is_new(found: re.Match[str], of: Vector) -> bool:
    return of[f"{found[1]}_since_first"] < NEW_DAYS * 86_400


def above_older(found: re.Match[str], of: Vector) -> bool:
    return of["amount"] > ABOVE * float(found[1])


def not_paid_here(found: re.Match[str], of: Vector) -> bool:
    return math.isnan(of["pair_since_last"])


def at_night(found: re.Match[str], of: Vector) -> bool:
    return of["hour"] < 6 or of["hour"] >= 22


def way_to_pay(found: re.Match[str], of: Vector) -> bool:
    return of["card_present"] == 0 or of["money_back"] == 1


OF_LAST = r"(?P<hits>\d+) of this (?:card|merchant)'s last (?P<of>\d+) payments?"
BESIDE = r"(?:usual is \S+ (?:a day|in \d+ days?)|first seen .+ ago)"
WHOSE = "(by this card at this merchant|by this card|at this merchant|on this device|on this card|of this card)"
KNOWN: dict[str, Judge] = {
    r"Amount \S+ is \S+ times .+": amount_is_above,
    r"Amount \S+, without earlier payments to compare it with": nothing_to_compare,
    r"No (fraud is known|fraud of this card is known) .+": never,
    rf"(\d+) known frauds? {WHOSE} in the last (1 day|7 days|30 days)(?: \(of \d+ labelled\))?": frauds_of_window,
    rf"The newest known fraud {WHOSE} was paid .+ ago": fraud_of_before,
    r"\d+ known frauds? of this card at this merchant(?: \(of \d+ labelled\))?(?:, the newest .+)?": frauds_of_pair,
    rf"(\d+) of the last (\d+) payments? with a verdict {WHOSE} (?:is a|are) known frauds?(.+)?": frauds_of_history,
    rf"(\d+) known frauds? {WHOSE}(?: among (\d+) older verdicts)?(?:, the newest .+)?": older_frauds,
    rf"(\d+) payments? {WHOSE} in (10 minutes|1 hour|1 day|7 days); {BESIDE}": burst,
    rf"No payment {WHOSE} in the 30 days before this one": none_lately,
    rf"(\S+) spent {WHOSE} in 1 day; {BESIDE}": spent_much,
    rf"(\S+) spent {WHOSE} in 1 day": never,
    r"This (card|merchant|device) (paid at|saw|used) \d+ \w+ in 1 day before this payment; .+": met_many,
    r"(\d+) of this \w+'s last (\d+) payments? were over twice .+": often,
    r"(\d+) of this \w+'s last (\d+) payments? were (?:at merchants|by cards) with known frauds": often,
    r"This (card|merchant|device) was never seen before": never_seen,
    r"This (card|merchant|device) was first seen .+ ago": is_new,
    r"This \w+ has \d+ older payments?, .+, of typically (\S+); this one is \S+ times that": above_older,
    r"This \w+ has \d+ older payments?, .+, of typically \S+": never,
    r"This card has not paid at this merchant before(; .+)?": not_paid_here,
    r"This card last paid at this merchant .+": never,
    rf"Paid on a \w+ at \d\d:\d\d UTC; {OF_LAST} were within 2 hours of that time of day": seldom,
    r"Paid on a \w+ at \d\d:\d\d UTC": at_night,
    rf"(Payment|Refund or reversal).*; {OF_LAST} were (in|without) it": seldom,
    r"(Payment|Refund or reversal)[^;]*": way_to_pay,
    r"\d+ known frauds? of this card, merchant or device carried this descriptor": always,
    rf"\d+ of this card's last \d+ payments? carried this descriptor, {OF_LAST} did": seldom,
    r"Together these facts count \S+ more in log-odds than one by one": always,
    r"Together these facts count \S+ less in log-odds than one by one": never,
    r"What was learned of .+ speaks for fraud": always,
}
"""Every sentence of a model's reasons, and what must hold for it to be a ground to hold a payment."""


def speaks(text: str, of: Vector) -> bool:
    """Tell whether a sentence is a ground to hold the payment of a vector; raise ValueError for one unknown here."""
    for pattern, judge in KNOWN.items():
        if found := re.fullmatch(pattern, text):
            return judge(found, of)
    msg = f"no judge knows the sentence {text!r}: add it with what must hold for it to be told"
    raise ValueError(msg)


def contradicting(reasons: Sequence[Reason], of: Vector) -> list[Reason]:
    """Return the reasons of a model, those of rules left out, that are told against what they say."""
    return [one for one in reasons if not MODEL_CODES.match(one.code) and not speaks(one.text, of)]


def alerts(model: str, traffic: Traffic, settings: Settings | None = None, batch: int = 32) -> Iterator[Answer]:
    """Yield what is above approve when a model decides on a stream, each with the vector that was scored."""
    yield from answered(model, merge(traffic), settings, batch)


def answered(
    model: str, events: Iterable[Arrival], settings: Settings | None = None, batch: int = 32
) -> Iterator[Answer]:
    """Yield what is above approve when a model decides on events, each with the vector that was scored."""
    chosen = settings or Settings()
    named = msgspec.structs.replace(chosen, model=msgspec.structs.replace(chosen.model, name=model))
    engine = build(named).engine
    for part in batches(events, batch):
        yield from (one for one in engine.handle(part) if one.alert is not None and one.vector is not None)


def batches(events: Iterable[Arrival], size: int) -> Iterator[list[Arrival]]:
    """Yield events, so many at once."""
    part: list[Arrival] = []
    for event in events:
        part.append(event)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
