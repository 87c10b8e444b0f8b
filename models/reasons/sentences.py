"""The sentences of the reason codes as a vector alone tells them; they cope with what is not known.

A vector describes the time just before its payment; where a sentence counts payments, this one is counted too.
`history_sentences.py` adds what the history of card, merchant and device says, where it was read.
"""

import math
from datetime import UTC, datetime
from typing import NamedTuple

from fraud.core.records import SECOND
from models.reasons.reading import Reading

WINDOWS = {"10m": ("10 minutes", 1 / 144), "1h": ("1 hour", 1 / 24), "1d": ("1 day", 1.0), "7d": ("7 days", 7.0)}
"""The windows a pace is told in: what they are called, and their length in days."""
RISK_WINDOWS = {"7d": "7 days", "30d": "30 days", "1d": "1 day"}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FURTHER = 2.0
"""An amount stands out more from another baseline when it is as many times as far above it as above the first."""
UNITS = ((86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute"), (1.0, "second"))


def times(ratio: float) -> str:
    """Return a ratio with two figures that matter: 30, 2.4, 0.31."""
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"


def duration(seconds: float) -> str:
    """Return a time span in its largest whole unit: 3 days, 1 hour."""
    size, unit = next((pair for pair in UNITS if seconds >= pair[0]), UNITS[-1])
    return plural(int(seconds // size), unit)


def plural(count: float, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count:.0f} {noun}" + ("" if round(count) == 1 else "s")


def rate(a_day: float) -> str:
    """Return a daily rate: 2 a day, 0.3 a day."""
    return f"{times(a_day)} a day"


class Baseline(NamedTuple):
    """What an amount is compared with: the ratio's feature, whose features tell of it, and what it is called."""

    ratio: str
    features: str
    called: str


OF_CARD = Baseline("card_amount_vs_median", "card_amount_", "this card's median")
BASELINES = (
    OF_CARD,
    Baseline("pair_amount_vs_mean", "pair_amount_", "this card's mean at this merchant"),
    Baseline("merchant_amount_vs_median", "merchant_amount_", "this merchant's median"),
    Baseline("device_amount_vs_median", "device_amount_", "this device's median"),
)


def amount(read: Reading) -> str:
    """Compare the amount with the card's own median, and with another baseline that it stands out more from."""
    known = [baseline for baseline in BASELINES if read.number(baseline.ratio) > 0]
    paid = f"Amount {read('amount'):.2f}"
    if not known:
        return f"{paid}, without earlier payments to compare it with"
    least = read.number(known[0].ratio) * FURTHER
    other = [b for b in known[1:] if read.strongest.startswith(b.features)]
    other = other or [b for b in known[1:] if read.number(b.ratio) >= least]
    told = [known[0], *sorted(other, key=lambda baseline: -read.number(baseline.ratio))[:1]]
    return f"{paid} is " + " and ".join(_over(read, baseline) for baseline in told)


def _over(read: Reading, baseline: Baseline) -> str:
    over = read(baseline.ratio)
    return f"{times(over)} times {baseline.called} of {read('amount') / over:.2f}"


def _frauds(read: Reading, entity: str, where: str) -> str:
    for window, words in RISK_WINDOWS.items():
        frauds, labels = read.number(f"{entity}_frauds_{window}"), read.number(f"{entity}_labels_{window}")
        if frauds > 0:
            return f"{plural(frauds, 'known fraud')} {where} in the last {words} (of {labels:.0f} labelled)"
    since = read(f"{entity}_since_fraud")
    if not math.isnan(since):
        return f"The newest known fraud {where} was paid {duration(since)} ago"
    return f"No fraud is known {where} ({read.number(f'{entity}_labels_30d'):.0f} labelled in 30 days)"


def frauds_of_card(read: Reading) -> str:
    """Tell the card's known frauds."""
    return _frauds(read, "card", "on this card")


def frauds_of_merchant(read: Reading) -> str:
    """Tell the merchant's known frauds."""
    return _frauds(read, "merchant", "at this merchant")


def frauds_of_device(read: Reading) -> str:
    """Tell the device's known frauds."""
    return _frauds(read, "device", "on this device")


def frauds_of_pair(read: Reading) -> str:
    """Tell the known frauds of this card at this merchant."""
    frauds, labels = read.number("pair_frauds"), read.number("pair_labels")
    if not frauds:
        return f"No fraud of this card is known at this merchant ({labels:.0f} labelled)"
    text = f"{plural(frauds, 'known fraud')} of this card at this merchant (of {labels:.0f} labelled)"
    since = read("pair_since_fraud")
    return text if math.isnan(since) else f"{text}, the newest paid {duration(since)} ago"


def usual(read: Reading, entity: str, aggregate: str) -> float:
    """Return an entity's daily rate over 30 days, or over its life when it is younger; NaN when it was never seen."""
    days = min(read(f"{entity}_since_first") / 86_400, 30.0)
    return max(read(f"{entity}_{aggregate}_30d"), 0.0) / max(days, 1.0)


def _pace(read: Reading, entity: str, where: str) -> str:
    a_day = usual(read, entity, "count")
    if not a_day > 0:
        return f"No payment {where} in the 30 days before this one"
    counts = {window: read.number(f"{entity}_count_{window}") + 1 for window in WINDOWS}
    # The window furthest above the usual rate, with one payment of slack so that a lone payment is no burst.
    burst = max(WINDOWS, key=lambda window: (counts[window] - 1) / (a_day * WINDOWS[window][1] + 1))
    now = f"{plural(counts[burst], 'payment')} {where} in {WINDOWS[burst][0]}"
    return f"{now}; usual is {rate(a_day)}"


def pace_of_card(read: Reading) -> str:
    """Tell the card's payments in the most unusual window beside its usual rate."""
    return _pace(read, "card", "by this card")


def pace_of_merchant(read: Reading) -> str:
    """Tell the merchant's payments in the most unusual window beside its usual rate."""
    return _pace(read, "merchant", "at this merchant")


def pace_of_device(read: Reading) -> str:
    """Tell the device's payments in the most unusual window beside its usual rate."""
    return _pace(read, "device", "on this device")


def _spending(read: Reading, entity: str, where: str) -> str:
    a_day = usual(read, entity, "sum")
    spent = f"{read.number(f'{entity}_sum_1d') + read.number('amount'):.2f} spent {where} in 1 day"
    return spent if math.isnan(a_day) else f"{spent}; usual is {a_day:.2f} a day"


def spending_of_card(read: Reading) -> str:
    """Tell what the card spent in a day beside its usual day."""
    return _spending(read, "card", "by this card")


def spending_of_merchant(read: Reading) -> str:
    """Tell what was spent at the merchant in a day beside its usual day."""
    return _spending(read, "merchant", "at this merchant")


def spending_of_device(read: Reading) -> str:
    """Tell what was spent on the device in a day beside its usual day."""
    return _spending(read, "device", "on this device")


def _others(read: Reading, feature: str, what: str) -> str:
    day, month = read.number(f"{feature}_1d"), read.number(f"{feature}_30d")
    return f"{plural(day, what)} in 1 day before this payment; {month:.0f} in 30 days"


def merchants_of_card(read: Reading) -> str:
    """Tell at how many merchants the card paid."""
    return "This card paid at " + _others(read, "card_merchants", "merchant")


def cards_of_merchant(read: Reading) -> str:
    """Tell how many cards paid at the merchant."""
    return "This merchant saw " + _others(read, "merchant_cards", "card")


def cards_of_device(read: Reading) -> str:
    """Tell how many cards the device used."""
    return "This device used " + _others(read, "device_cards", "card")


def _age(read: Reading, entity: str) -> str:
    since = read(f"{entity}_since_first")
    if math.isnan(since):
        return f"This {entity} was never seen before"
    return f"This {entity} was first seen {duration(since)} ago"


def age_of_card(read: Reading) -> str:
    """Tell when the card was first seen."""
    return _age(read, "card")


def age_of_merchant(read: Reading) -> str:
    """Tell when the merchant was first seen."""
    return _age(read, "merchant")


def age_of_device(read: Reading) -> str:
    """Tell when the device was first seen; a payment may carry none."""
    return _age(read, "device")


def history_of_pair(read: Reading) -> str:
    """Tell whether the card knows the merchant."""
    since = read("pair_since_last")
    if math.isnan(since):
        return "This card has not paid at this merchant before"
    return (
        f"This card last paid at this merchant {duration(since)} ago, "
        f"{plural(read.number('pair_count_30d'), 'time')} in 30 days"
    )


def time(read: Reading) -> str:
    """Tell the time of day and the weekday, UTC."""
    minutes = int(read.number("hour") * 60) % 1440
    day = WEEKDAYS[int(read.number("weekday")) % 7]
    return f"Paid on a {day} at {minutes // 60:02d}:{minutes % 60:02d} UTC"


def channel(read: Reading) -> str:
    """Tell the kind of payment: merchant category, presence of the card, direction of the money."""
    present = {1.0: ", card present", 0.0: ", card not present"}.get(read("card_present"), "")
    kind = "Refund or reversal" if read.number("money_back") else "Payment"
    mcc = read.number("mcc")
    return f"{kind}{present}" + (f", merchant category {mcc:.0f}" if mcc else "")


def interaction(read: Reading) -> str:
    """Tell what the groups do together and none does alone."""
    more = "more" if read.remainder > 0 else "less"
    return f"Together these facts count {abs(read.remainder):.2f} {more} in log-odds than one by one"


def learned(read: Reading) -> str:
    """Tell what was learned since the model was trained."""
    lately = read.lately
    since = datetime.fromtimestamp(lately.since // SECOND, UTC)
    payments, frauds = plural(lately.payments, "payment"), plural(lately.frauds, "fraud")
    of = f"{payments} since {since:%Y-%m-%d %H:%M} UTC, {frauds} among them"
    return f"What was learned of {of}, speaks for fraud"


def other(read: Reading) -> str:
    """Name the feature that raised the score most among those without a sentence of their own."""
    value = read(read.strongest)
    known = "not known" if math.isnan(value) else f"{value:.6g}"
    return f"{read.strongest} is {known}"
