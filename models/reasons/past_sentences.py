"""The sentences of the blend's reasons: they read the vector by feature name and, where it was read, the history.

A sentence takes the history's tokens as `fraud/core/tokens.py` has them; without histories it tells what the vector
knows (`wording.py`). Where a group can say several things it says what stands out most from the entity's own past.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core.ports import Tokens
from fraud.core.records import Values
from fraud.core.tokens import (
    AGE,
    CARD,
    DEVICE,
    FRAUD,
    HOUR_COS,
    HOUR_SIN,
    KNOWN,
    LOG_AMOUNT,
    MERCHANT,
    OTHER_FRAUDS,
    PRESENT,
    RATIO,
    RAW_COLUMNS,
    SAME_MCC,
    SAME_OTHER,
    SAME_TEXT,
    SUM_AMOUNT,
    SUM_COLUMNS,
    SUM_COUNT,
    SUM_FIRST,
    SUM_FRAUDS,
    SUM_KNOWN,
    SUM_LAST_FRAUD,
    WINDOW,
)
from models.reasons import sentences
from models.reasons.sentences import Reading, duration, plural, times

F32 = NDArray[np.float32]
TWICE = math.log(2)
NEAR_HOURS = 2.0
FEW = 3
"""Fewer payments than this are no past to compare with."""


class Side:
    """One entity's history as one payment reads it."""

    def __init__(self, raw: F32, sums: F32) -> None:
        """Take the tokens raw (RAW, RAW_COLUMNS) and sums (SUMS, SUM_COLUMNS)."""
        self.window = raw[:WINDOW][raw[:WINDOW, PRESENT] > 0]
        """The newest payments, newest first, (payments, RAW_COLUMNS)."""
        self.frauds = raw[raw[:, FRAUD] > 0]
        """Known frauds of the window, newest first, then older ones."""
        self.sums = sums[sums[:, PRESENT] > 0]

    def count(self, column: int, above: float = 0.0) -> int:
        """Return how many payments of the window have more than `above` in a column."""
        return int((self.window[:, column] > above).sum())

    def older(self, column: int, scale: float) -> int:
        """Return a count that the summaries keep as log1p(count) / scale."""
        return int(np.expm1(self.sums[:, column].astype(np.float64) * scale).round().sum())

    def newest_fraud(self) -> float:
        """Return the age in seconds of the newest known fraud, infinite when there is none."""
        ages = [float(age) for age in self.frauds[:, AGE]]
        ages += [float(row[SUM_LAST_FRAUD]) for row in self.sums if row[SUM_LAST_FRAUD] > 0]
        return seconds(min(ages)) if ages else math.inf


class View(NamedTuple):
    """What sentences read: the vector, and the sides of the history (card, merchant, device) as far as it was read."""

    read: Reading
    sides: tuple[Side, ...]

    @classmethod
    def of(cls, places: Mapping[str, int], values: Values, tokens: Tokens | None, strongest: str = "") -> "View":
        """Return the view of one vector (features,) and of one row's tokens (1, sides, ...)."""
        sides = () if tokens is None else zip(tokens.raw[0], tokens.sums[0], strict=True)
        return cls(Reading(places, values, strongest), tuple(Side(raw, sums) for raw, sums in sides))

    def side(self, place: int) -> Side:
        """Return a side, an empty one where it was not read."""
        if place < len(self.sides):
            return self.sides[place]
        return Side(np.zeros((0, RAW_COLUMNS), np.float32), np.zeros((0, SUM_COLUMNS), np.float32))


Telling = Callable[[View], str]


class Candidate(NamedTuple):
    """A sentence, and how many times the usual it tells of."""

    times: float
    text: str


def seconds(scaled: float) -> float:
    """Return the seconds that a token keeps as log1p(seconds) / 15."""
    return math.expm1(scaled * 15)


def days(age: float) -> str:
    """Return an age with one figure after the point when it is days: 2.3 days."""
    return f"{age / 86_400:.1f} days" if age >= 86_400 else duration(age)


def money(scaled: float) -> float:
    """Return the amount, major units, that a token keeps as log1p(minor units) / 10."""
    return math.expm1(scaled * 10) / 100


def of_last(hits: int, side: Side, whose: str, what: str) -> str:
    """Return a count beside what it is of: 3 of this card's last 40 payments were ..."""
    return f"{hits} of {whose} last {plural(len(side.window), 'payment')} {what}"


# ---- amount


def amount(view: View) -> str:
    """Compare the amount with the card's median and its recent payments, else with the merchant's or the device's."""
    read, side = view.read, view.side(CARD)
    if not math.isnan(read("card_amount_vs_median")):
        text = sentences.amount_of_card(read)
        if len(side.window) >= FEW:
            largest = money(float(side.window[:, LOG_AMOUNT].max()))
            text += f"; the largest of its last {len(side.window)} is {largest:.2f}"
        return text
    if not math.isnan(read("merchant_amount_vs_median")):
        return sentences.amount_of_merchant(read)
    return sentences.amount_of_device(read)


# ---- known frauds


def _frauds(side: Side, where: str, otherwise: str) -> str:
    window = side.window
    hits, known = int((window[:, FRAUD] > 0).sum()), int((window[:, KNOWN] > 0).sum())
    older, older_known = max(side.older(SUM_FRAUDS, 5), len(side.frauds) - hits), side.older(SUM_KNOWN, 10)
    if not hits and not older:
        return otherwise
    newest = f"the newest {days(side.newest_fraud())} old"
    if hits:
        verb = "is a known fraud" if hits == 1 else "are known frauds"
        text = f"{hits} of the last {plural(known, 'payment')} with a verdict {where} {verb}, {newest}"
        return text + (f"; before them {older} of {older_known}" if older_known else "")
    of = f" among {older_known} older verdicts" if older_known >= older else ""
    return f"{plural(older, 'known fraud')} {where}{of}, {newest}; none of the last {known} with a verdict"


def frauds_of_card(view: View) -> str:
    """Tell the card's known frauds among its newest verdicts, and before."""
    return _frauds(view.side(CARD), "of this card", sentences.frauds_of_card(view.read))


def frauds_of_merchant(view: View) -> str:
    """Tell the merchant's known frauds among its newest verdicts, and before."""
    return _frauds(view.side(MERCHANT), "at this merchant", sentences.frauds_of_merchant(view.read))


def frauds_of_device(view: View) -> str:
    """Tell the device's known frauds among its newest verdicts, and before."""
    return _frauds(view.side(DEVICE), "on this device", sentences.frauds_of_device(view.read))


# ---- recent payments


def _burst(read: Reading, entity: str, text: str) -> Candidate:
    """Weigh a pace: payments of a day, this one too, over those of a usual day and one of slack."""
    usual = sentences.usual(read, entity, "count")
    if math.isnan(usual):
        return Candidate(1.0, text)
    return Candidate(
        max(
            read.number(f"{entity}_count_{name}") / (usual * span + 1) for name, (_, span) in sentences.WINDOWS.items()
        ),
        text,
    )


def _spree(read: Reading) -> Candidate:
    usual, spent = sentences.usual(read, "card", "sum"), read.number("card_sum_1d")
    ratio = 0.0 if math.isnan(usual) else spent / (usual + max(read.number("card_mean_30d"), 1.0))
    return Candidate(ratio, sentences.spending_of_card(read))


def _spread(read: Reading, feature: str, text: str) -> Candidate:
    """Weigh the others of a day (merchants of a card, cards of a merchant) against those of a usual one of 30."""
    day, month = read.number(f"{feature}_1d"), read.number(f"{feature}_30d")
    return Candidate(day / (month / 30 + 1), text)


def _unusual(side: Side, whose: str, medians: str) -> Candidate:
    hits = side.count(RATIO, TWICE)
    text = of_last(hits, side, whose, f"were over twice {medians}")
    # About one payment in ten of an ordinary card is.
    return Candidate(hits / (len(side.window) * 0.1 + 1), text)


def _tainted(side: Side, whose: str, what: str) -> Candidate:
    hits = side.count(OTHER_FRAUDS)
    return Candidate(hits / (len(side.window) * 0.2 + 1), of_last(hits, side, whose, what))


def recent_of_card(view: View) -> str:
    """Tell what stands out of the card's recent payments: pace, spending, merchants, amounts, frauds known there."""
    read, side = view.read, view.side(CARD)
    return max(
        _burst(read, "card", sentences.pace_of_card(read)),
        _spree(read),
        _spread(read, "card_merchants", sentences.merchants_of_card(read)),
        _unusual(side, "this card's", "its median amount"),
        _tainted(side, "this card's", "were at merchants with known frauds"),
        key=lambda found: found.times,
    ).text


def recent_of_merchant(view: View) -> str:
    """Tell what stands out of the merchant's recent payments: pace, cards, amounts, frauds known on those cards."""
    read, side = view.read, view.side(MERCHANT)
    return max(
        _burst(read, "merchant", sentences.pace_of_merchant(read)),
        _spread(read, "merchant_cards", sentences.cards_of_merchant(read)),
        _unusual(side, "this merchant's", "the median of the card that paid"),
        _tainted(side, "this merchant's", "were by cards with known frauds"),
        key=lambda found: found.times,
    ).text


def history_of_device(view: View) -> str:
    """Tell what stands out of the device's history: its age, pace, cards, amounts."""
    read, side = view.read, view.side(DEVICE)
    return max(
        Candidate(1.0, sentences.age_of_device(read)),
        _burst(read, "device", sentences.pace_of_device(read)),
        _spread(read, "device_cards", sentences.cards_of_device(read)),
        _unusual(side, "this device's", "the median of the card that paid"),
        key=lambda found: found.times,
    ).text


# ---- older payments


def _older(view: View, place: int, entity: str, age: str) -> str:
    side = view.side(place)
    count = side.older(SUM_COUNT, 10)
    if not count:
        return age
    first = seconds(float(side.sums[:, SUM_FIRST].max()))
    # Means of log amounts, each summary weighed by its payments: what is told is a typical amount, not their mean.
    typical = money(float(np.average(side.sums[:, SUM_AMOUNT], weights=np.expm1(side.sums[:, SUM_COUNT] * 10))))
    text = f"This {entity} has {plural(count, 'older payment')} of typically {typical:.2f} since {duration(first)}"
    now = view.read("amount")
    return text if math.isnan(now) else f"{text}; this one is {times(now / max(typical, 0.01))} times that"


def older_of_card(view: View) -> str:
    """Tell the card's older payments: how many, since when, of what typical amount."""
    return _older(view, CARD, "card", sentences.age_of_card(view.read))


def older_of_merchant(view: View) -> str:
    """Tell the merchant's older payments: how many, since when, of what typical amount."""
    return _older(view, MERCHANT, "merchant", sentences.age_of_merchant(view.read))


# ---- the payment itself


def pair(view: View) -> str:
    """Tell whether the card knows the merchant, or of its known frauds there."""
    if view.read.number("pair_frauds") > 0:
        return sentences.frauds_of_pair(view.read)
    side = view.side(CARD)
    text = sentences.history_of_pair(view.read)
    if len(side.window) < FEW:
        return text
    return text + "; " + of_last(side.count(SAME_OTHER), side, "this card's", "were here")


def time(view: View) -> str:
    """Tell the time of day beside the hours that the card usually pays in."""
    text, side, hour = sentences.time(view.read), view.side(CARD), view.read("hour")
    if len(side.window) < FEW or math.isnan(hour):
        return text
    angle = 2 * math.pi * hour / 24
    likeness = side.window[:, HOUR_SIN] * math.sin(angle) + side.window[:, HOUR_COS] * math.cos(angle)
    hits = int((likeness >= math.cos(2 * math.pi * NEAR_HOURS / 24)).sum())
    return text + "; " + of_last(hits, side, "this card's", f"were within {NEAR_HOURS:.0f} hours of that time of day")


def channel(view: View) -> str:
    """Tell the kind of payment beside how often the card pays in this merchant category."""
    text, side = sentences.channel(view.read), view.side(CARD)
    if len(side.window) < FEW or not view.read.number("mcc"):
        return text
    return text + "; " + of_last(side.count(SAME_MCC), side, "this card's", "were in it")


def descriptor(view: View) -> str:
    """Tell who has used the descriptor text before, and in which known frauds."""
    card, merchant, device = (view.side(place) for place in range(3))
    hits = sum(int((side.frauds[:, SAME_TEXT] > 0).sum()) for side in (card, merchant, device))
    if hits:
        return f"{plural(hits, 'known fraud')} of this card, merchant or device carried this descriptor"
    mine = of_last(card.count(SAME_TEXT), card, "this card's", "carried this descriptor")
    return mine + ", " + of_last(merchant.count(SAME_TEXT), merchant, "this merchant's", "did")


def interaction(effect: float) -> str:
    """Tell what the parts do together and none does alone."""
    more = "more" if effect > 0 else "less"
    return f"Together these facts count {abs(effect):.2f} {more} in log-odds than one by one"


def other(view: View) -> str:
    """Name a feature that has no sentence of its own."""
    return sentences.other(view.read)
