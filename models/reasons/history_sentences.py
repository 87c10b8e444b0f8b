"""The facts of the reason codes, with the history of card, merchant and device where it was read.

Without a history they are what the vector knows (`sentences.py`). Each group has one fact or several, of which `told`
chooses; None is a fact that there is nothing to say of.
"""

import math

import numpy as np

from fraud.core.tokens import (
    CARD,
    CARD_PRESENT,
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
from models.reasons.facts import Fact, plain
from models.reasons.reading import EntityHistory, Reading, seconds
from models.reasons.sentences import duration, plural, rounded, times

Facts = tuple[Fact | None, ...]

TWICE = math.log(2)
NEAR_HOURS = 2.0
FEW = 3
"""Fewer payments than this are too few to compare an amount with."""
ENOUGH, SELDOM = 10, 20
"""A thing is seldom that at most one payment in 20 does, of 10 at least."""
USUALLY_LARGE, USUALLY_AMONG_FRAUDS = 0.1, 0.2
"""Shares of an ordinary entity's payments that are over twice the median, or with somebody who has known frauds."""


def days(age: float) -> str:
    """Return an age with one figure after the point when it is days: 2.3 days."""
    return f"{age / 86_400:.1f} days" if age >= 86_400 else duration(age)


def close(amount: float) -> str:
    """Return an amount that tokens keep as a logarithm in steps of 1/1024: three figures of it are known."""
    return rounded(max(amount, 0.01), 3)


def of_last(hits: int, history: EntityHistory, whose: str, what: str) -> str:
    """Return a count beside what it is of: 3 of this card's last 40 payments were ..."""
    return f"{hits} of {whose} last {plural(len(history.window), 'payment')} {what}"


def seldom(hits: int, history: EntityHistory) -> bool:
    """Tell whether so few of an entity's newest payments are unusual for it."""
    return len(history.window) >= ENOUGH and hits * SELDOM <= len(history.window)


# ---- amount


def amount(read: Reading) -> Facts:
    """Compare the amount with what it is above, and with the card's recent payments where it is above them all."""
    fact, card = sentences.amount(read), read.history(CARD)
    if fact is None or math.isnan(read(sentences.OF_CARD.ratio)) or len(card.window) < FEW:
        return (fact,)
    largest = read.major(float(card.window[:, LOG_AMOUNT].max()))
    if read("amount") <= largest:
        return (fact,)
    return (fact._replace(text=f"{fact.text}; the largest of the card's last {len(card.window)} is {close(largest)}"),)


# ---- known frauds


def _frauds(history: EntityHistory, where: str, otherwise: Fact | None) -> Facts:
    window = history.window
    hits, known = int((window[:, FRAUD] > 0).sum()), int((window[:, KNOWN] > 0).sum())
    older, older_known = max(history.older(SUM_FRAUDS, 5), len(history.frauds) - hits), history.older(SUM_KNOWN, 10)
    if not hits and not older:
        return (otherwise,)
    newest = "" if math.isinf(age := history.newest_fraud()) else f", the newest {days(age)} old"
    if hits:
        verb = "is a known fraud" if hits == 1 else "are known frauds"
        text = f"{hits} of the last {plural(known, 'payment')} with a verdict {where} {verb}{newest}"
        before = f"; before them {older} of {older_known}" if 0 < older <= older_known else ""
        return (Fact(text + before, sentences.fraud_times(hits, known)),)
    of = f" among {older_known} older verdicts" if older_known >= older else ""
    text = f"{plural(older, 'known fraud')} {where}{of}{newest}"
    return (Fact(text, sentences.fraud_times(older, known + older_known)),)


def frauds_of_card(read: Reading) -> Facts:
    """Tell the card's known frauds among its newest verdicts, and before."""
    return _frauds(read.history(CARD), "of this card", sentences.frauds_of_card(read))


def frauds_of_merchant(read: Reading) -> Facts:
    """Tell the merchant's known frauds among its newest verdicts, and before."""
    return _frauds(read.history(MERCHANT), "at this merchant", sentences.frauds_of_merchant(read))


def frauds_of_device(read: Reading) -> Facts:
    """Tell the device's known frauds among its newest verdicts, and before."""
    return _frauds(read.history(DEVICE), "on this device", sentences.frauds_of_device(read))


def frauds_of_pair(read: Reading) -> Facts:
    """Tell the known frauds of this card at this merchant."""
    return (sentences.frauds_of_pair(read),)


# ---- recent payments


def _large(history: EntityHistory, whose: str, medians: str) -> Fact:
    hits = history.count(RATIO, TWICE)
    text = of_last(hits, history, whose, f"were over twice {medians}")
    return Fact(text, hits / (len(history.window) * USUALLY_LARGE + 1))


def _among_frauds(history: EntityHistory, whose: str, what: str) -> Fact:
    hits = history.count(OTHER_FRAUDS)
    return Fact(of_last(hits, history, whose, what), hits / (len(history.window) * USUALLY_AMONG_FRAUDS + 1))


def recent_of_card(read: Reading) -> Facts:
    """Tell of the card's recent payments: pace, spending, merchants, amounts, frauds known there."""
    history = read.history(CARD)
    return (
        sentences.pace(read, "card", "by this card"),
        sentences.spending(read, "card", "by this card"),
        sentences.others(read, "card", "merchant", "paid at"),
        _large(history, "this card's", "its median amount"),
        _among_frauds(history, "this card's", "were at merchants with known frauds"),
    )


def recent_of_merchant(read: Reading) -> Facts:
    """Tell of the merchant's recent payments: pace, spending, cards, amounts, frauds known on those cards."""
    history = read.history(MERCHANT)
    return (
        sentences.pace(read, "merchant", "at this merchant"),
        sentences.spending(read, "merchant", "at this merchant"),
        sentences.others(read, "merchant", "card", "saw"),
        _large(history, "this merchant's", "the median of the card that paid"),
        _among_frauds(history, "this merchant's", "were by cards with known frauds"),
    )


def recent_of_device(read: Reading) -> Facts:
    """Tell of the device's recent payments: pace, spending, cards, amounts."""
    return (
        sentences.pace(read, "device", "on this device"),
        sentences.spending(read, "device", "on this device"),
        sentences.others(read, "device", "card", "used"),
        _large(read.history(DEVICE), "this device's", "the median of the card that paid"),
    )


# ---- older payments


def _older(read: Reading, side: int, entity: str) -> Facts:
    """Tell how far the amount is above the older payments', and that the entity is new."""
    age, sums, now = sentences.age(read, entity), read.history(side).sums, read("amount")
    count = read.history(side).older(SUM_COUNT, 10)
    if not count or math.isnan(now):
        return (age,)
    first = seconds(float(sums[:, SUM_FIRST].max()))
    # Means of log amounts, each summary weighed by its payments: what is told is a typical amount, not their mean.
    typical = read.major(float(np.average(sums[:, SUM_AMOUNT], weights=np.expm1(sums[:, SUM_COUNT] * 10))))
    over = now / max(typical, 0.01)
    text = f"This {entity} has {plural(count, 'older payment')}, the first {duration(first)} ago, of typically"
    return age, Fact(f"{text} {close(typical)}; this one is {times(over)} times that", over)


def history_of_card(read: Reading) -> Facts:
    """Tell the card's older payments, or that it is new."""
    return _older(read, CARD, "card")


def history_of_merchant(read: Reading) -> Facts:
    """Tell the merchant's older payments, or that it is new."""
    return _older(read, MERCHANT, "merchant")


def history_of_device(read: Reading) -> Facts:
    """Tell the device's older payments, or that it is new."""
    return _older(read, DEVICE, "device")


def history_of_pair(read: Reading) -> Facts:
    """Tell that the card does not know the merchant, or how often it pays there of late."""
    forgotten = math.isnan(read("pair_since_last")) and read.history(CARD).count(SAME_OTHER) > 0
    return () if forgotten else (sentences.history_of_pair(read),)


# ---- the payment itself


def time(read: Reading) -> Facts:
    """Tell of an hour that the card seldom pays in; where little is known of it, of the night."""
    card, hour = read.history(CARD), read("hour")
    if len(card.window) < ENOUGH or math.isnan(hour):
        return (sentences.time(read),)
    angle = 2 * math.pi * hour / 24
    likeness = card.window[:, HOUR_SIN] * math.sin(angle) + card.window[:, HOUR_COS] * math.cos(angle)
    hits = int((likeness >= math.cos(2 * math.pi * NEAR_HOURS / 24)).sum())
    near = of_last(hits, card, "this card's", f"were within {NEAR_HOURS:.0f} hours of that time of day")
    return (_seldom(hits, card, f"{sentences.when(read)}; {near}"),)


def channel(read: Reading) -> Facts:
    """Tell of a merchant category or way to pay that the card seldom uses; else what the vector knows of the kind."""
    card, kind = read.history(CARD), sentences.kind(read)
    if len(card.window) < ENOUGH or read.number("money_back"):
        return (sentences.channel(read),)
    mcc, hits, absent = read.number("mcc"), card.count(SAME_MCC), int((card.window[:, CARD_PRESENT] < 0).sum())
    alike = of_last(hits, card, "this card's", "were in it")
    without = of_last(absent, card, "this card's", "were without it")
    return (
        _seldom(hits, card, f"{kind}, merchant category {mcc:.0f}; {alike}") if mcc else None,
        _seldom(absent, card, f"{kind}, card not present; {without}") if read("card_present") == 0 else None,
    )


def descriptor(read: Reading) -> Facts:
    """Tell of known frauds with the descriptor's text, or that it is new to the merchant."""
    sides = card, merchant, _ = [read.history(side) for side in (CARD, MERCHANT, DEVICE)]
    if hits := sum(int((history.frauds[:, SAME_TEXT] > 0).sum()) for history in sides):
        return (plain(f"{plural(hits, 'known fraud')} of this card, merchant or device carried this descriptor"),)
    if not read.has_text:
        return ()
    text = of_last(merchant.count(SAME_TEXT), merchant, "this merchant's", "carried this descriptor")
    if len(card.window):
        mine = of_last(card.count(SAME_TEXT), card, "this card's", "carried this descriptor")
        text = mine + ", " + of_last(merchant.count(SAME_TEXT), merchant, "this merchant's", "did")
    return (_seldom(merchant.count(SAME_TEXT), merchant, text),)


# ---- what no group tells alone


def other(read: Reading) -> Facts:
    """Name a feature that no other code speaks for."""
    return (sentences.other(read),)


def interaction(read: Reading) -> Facts:
    """Tell what the groups do together."""
    return (sentences.interaction(read),)


def learned(read: Reading) -> Facts:
    """Tell what was learned since the model was trained."""
    return (sentences.learned(read),)


def _seldom(hits: int, history: EntityHistory, text: str) -> Fact | None:
    """Return a fact of what so few of an entity's newest payments do, None where it is not seldom."""
    return plain(text) if seldom(hits, history) else None
