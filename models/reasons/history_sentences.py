"""The sentences of the reason codes, with the history of card, merchant and device where it was read.

Without a history they tell what the vector knows (`sentences.py`). Where a group can say several things it says the one
whose feature raised the score most, where that is known, else what stands out most from what is usual.
"""

import math
from typing import NamedTuple

import numpy as np

from fraud.core.tokens import (
    CARD,
    DEVICE,
    FRAUD,
    HOUR_COS,
    HOUR_SIN,
    KNOWN,
    LOG_AMOUNT,
    MERCHANT,
    OTHER_FRAUDS,
    RATIO,
    SAME_MCC,
    SAME_OTHER,
    SAME_TEXT,
    SUM_AMOUNT,
    SUM_COUNT,
    SUM_FIRST,
    SUM_FRAUDS,
    SUM_KNOWN,
)
from models.reasons import sentences
from models.reasons.reading import EntityHistory, Reading, money, seconds
from models.reasons.sentences import duration, plural, times

TWICE = math.log(2)
NEAR_HOURS = 2.0
FEW = 3
"""Fewer payments than this are too few to compare with."""


class Candidate(NamedTuple):
    """A sentence, how many times the usual it tells of, and the beginnings of the names of the features it tells of."""

    times: float
    text: str
    features: tuple[str, ...] = ()


def choose(read: Reading, *candidates: Candidate) -> str:
    """Return the sentence of the feature that raised the score most, else the one that stands out most."""
    of_strongest = [found for found in candidates if read.strongest.startswith(found.features)]
    return max(of_strongest or candidates, key=lambda found: found.times).text


def days(age: float) -> str:
    """Return an age with one figure after the point when it is days: 2.3 days."""
    return f"{age / 86_400:.1f} days" if age >= 86_400 else duration(age)


def of_last(hits: int, history: EntityHistory, whose: str, what: str) -> str:
    """Return a count beside what it is of: 3 of this card's last 40 payments were ..."""
    return f"{hits} of {whose} last {plural(len(history.window), 'payment')} {what}"


# ---- amount


def amount(read: Reading) -> str:
    """Compare the amount with the card's median and its recent payments, and with what it stands out from more."""
    text, card = sentences.amount(read), read.history(CARD)
    if math.isnan(read(sentences.OF_CARD.ratio)) or len(card.window) < FEW:
        return text
    largest = money(float(card.window[:, LOG_AMOUNT].max()))
    return f"{text}; the largest of the card's last {len(card.window)} is {largest:.2f}"


# ---- known frauds


def _frauds(history: EntityHistory, where: str, otherwise: str) -> str:
    window = history.window
    hits, known = int((window[:, FRAUD] > 0).sum()), int((window[:, KNOWN] > 0).sum())
    older, older_known = max(history.older(SUM_FRAUDS, 5), len(history.frauds) - hits), history.older(SUM_KNOWN, 10)
    if not hits and not older:
        return otherwise
    newest = f"the newest {days(history.newest_fraud())} old"
    if hits:
        verb = "is a known fraud" if hits == 1 else "are known frauds"
        text = f"{hits} of the last {plural(known, 'payment')} with a verdict {where} {verb}, {newest}"
        return text + (f"; before them {older} of {older_known}" if older_known else "")
    of = f" among {older_known} older verdicts" if older_known >= older else ""
    return f"{plural(older, 'known fraud')} {where}{of}, {newest}; none of the last {known} with a verdict"


def frauds_of_card(read: Reading) -> str:
    """Tell the card's known frauds among its newest verdicts, and before."""
    return _frauds(read.history(CARD), "of this card", sentences.frauds_of_card(read))


def frauds_of_merchant(read: Reading) -> str:
    """Tell the merchant's known frauds among its newest verdicts, and before."""
    return _frauds(read.history(MERCHANT), "at this merchant", sentences.frauds_of_merchant(read))


def frauds_of_device(read: Reading) -> str:
    """Tell the device's known frauds among its newest verdicts, and before."""
    return _frauds(read.history(DEVICE), "on this device", sentences.frauds_of_device(read))


# ---- recent payments


def _pace(read: Reading, entity: str, text: str) -> Candidate:
    """Weigh a pace: payments of a window over those of a usual one and one of slack."""
    usual = sentences.usual(read, entity, "count")
    over = (read.number(f"{entity}_count_{name}") / (usual * span + 1) for name, (_, span) in sentences.WINDOWS.items())
    return Candidate(1.0 if math.isnan(usual) else max(over), text, (f"{entity}_count_", f"{entity}_since_last"))


def _spending(read: Reading, entity: str, text: str) -> Candidate:
    """Weigh what was spent in a day against a usual day and one usual payment of slack."""
    usual, spent = sentences.usual(read, entity, "sum"), read.number(f"{entity}_sum_1d")
    ratio = 0.0 if math.isnan(usual) else spent / (usual + max(read.number(f"{entity}_mean_30d"), 1.0))
    return Candidate(ratio, text, tuple(f"{entity}_{aggregate}_" for aggregate in ("sum", "mean", "dev", "max")))


def _others(read: Reading, feature: str, text: str) -> Candidate:
    """Weigh the others of a day (merchants of a card, cards of a merchant) against those of a usual one of 30."""
    day, month = read.number(f"{feature}_1d"), read.number(f"{feature}_30d")
    return Candidate(day / (month / 30 + 1), text, (f"{feature}_",))


def _large(history: EntityHistory, whose: str, medians: str) -> Candidate:
    hits = history.count(RATIO, TWICE)
    text = of_last(hits, history, whose, f"were over twice {medians}")
    # About one payment in ten of an ordinary card is.
    return Candidate(hits / (len(history.window) * 0.1 + 1), text)


def _among_frauds(history: EntityHistory, whose: str, what: str) -> Candidate:
    hits = history.count(OTHER_FRAUDS)
    return Candidate(hits / (len(history.window) * 0.2 + 1), of_last(hits, history, whose, what))


def recent_of_card(read: Reading) -> str:
    """Tell of the card's recent payments: pace, spending, merchants, amounts, frauds known there."""
    history = read.history(CARD)
    return choose(
        read,
        _pace(read, "card", sentences.pace_of_card(read)),
        _spending(read, "card", sentences.spending_of_card(read)),
        _others(read, "card_merchants", sentences.merchants_of_card(read)),
        _large(history, "this card's", "its median amount"),
        _among_frauds(history, "this card's", "were at merchants with known frauds"),
    )


def recent_of_merchant(read: Reading) -> str:
    """Tell of the merchant's recent payments: pace, spending, cards, amounts, frauds known on those cards."""
    history = read.history(MERCHANT)
    return choose(
        read,
        _pace(read, "merchant", sentences.pace_of_merchant(read)),
        _spending(read, "merchant", sentences.spending_of_merchant(read)),
        _others(read, "merchant_cards", sentences.cards_of_merchant(read)),
        _large(history, "this merchant's", "the median of the card that paid"),
        _among_frauds(history, "this merchant's", "were by cards with known frauds"),
    )


def recent_of_device(read: Reading) -> str:
    """Tell of the device's recent payments: pace, spending, cards, amounts."""
    return choose(
        read,
        _pace(read, "device", sentences.pace_of_device(read)),
        _spending(read, "device", sentences.spending_of_device(read)),
        _others(read, "device_cards", sentences.cards_of_device(read)),
        _large(read.history(DEVICE), "this device's", "the median of the card that paid"),
    )


# ---- older payments


def _older(read: Reading, side: int, entity: str, age: str) -> str:
    sums = read.history(side).sums
    count = read.history(side).older(SUM_COUNT, 10)
    if not count:
        return age
    first = seconds(float(sums[:, SUM_FIRST].max()))
    # Means of log amounts, each summary weighed by its payments: what is told is a typical amount, not their mean.
    typical = money(float(np.average(sums[:, SUM_AMOUNT], weights=np.expm1(sums[:, SUM_COUNT] * 10))))
    number, now = plural(count, "older payment"), read("amount")
    text = f"This {entity} has {number}, the first {duration(first)} ago, of typically {typical:.2f}"
    return text if math.isnan(now) else f"{text}; this one is {times(now / max(typical, 0.01))} times that"


def history_of_card(read: Reading) -> str:
    """Tell the card's older payments, else when it was first seen."""
    return _older(read, CARD, "card", sentences.age_of_card(read))


def history_of_merchant(read: Reading) -> str:
    """Tell the merchant's older payments, else when it was first seen."""
    return _older(read, MERCHANT, "merchant", sentences.age_of_merchant(read))


def history_of_device(read: Reading) -> str:
    """Tell the device's older payments, else when it was first seen."""
    return _older(read, DEVICE, "device", sentences.age_of_device(read))


def history_of_pair(read: Reading) -> str:
    """Tell whether the card knows the merchant, and how many of its newest payments were there."""
    text, card = sentences.history_of_pair(read), read.history(CARD)
    if len(card.window) < FEW:
        return text
    return text + "; " + of_last(card.count(SAME_OTHER), card, "this card's", "were here")


# ---- the payment itself


def time(read: Reading) -> str:
    """Tell the time of day beside the hours that the card usually pays in."""
    text, card, hour = sentences.time(read), read.history(CARD), read("hour")
    if len(card.window) < FEW or math.isnan(hour):
        return text
    angle = 2 * math.pi * hour / 24
    likeness = card.window[:, HOUR_SIN] * math.sin(angle) + card.window[:, HOUR_COS] * math.cos(angle)
    hits = int((likeness >= math.cos(2 * math.pi * NEAR_HOURS / 24)).sum())
    return text + "; " + of_last(hits, card, "this card's", f"were within {NEAR_HOURS:.0f} hours of that time of day")


def channel(read: Reading) -> str:
    """Tell the kind of payment beside how often the card pays in this merchant category."""
    text, card = sentences.channel(read), read.history(CARD)
    if len(card.window) < FEW or not read.number("mcc"):
        return text
    return text + "; " + of_last(card.count(SAME_MCC), card, "this card's", "were in it")


def descriptor(read: Reading) -> str:
    """Tell who has used the descriptor text before, and in which known frauds."""
    sides = card, merchant, _ = [read.history(side) for side in (CARD, MERCHANT, DEVICE)]
    hits = sum(int((history.frauds[:, SAME_TEXT] > 0).sum()) for history in sides)
    if hits:
        return f"{plural(hits, 'known fraud')} of this card, merchant or device carried this descriptor"
    mine = of_last(card.count(SAME_TEXT), card, "this card's", "carried this descriptor")
    return mine + ", " + of_last(merchant.count(SAME_TEXT), merchant, "this merchant's", "did")
