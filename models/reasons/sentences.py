"""The facts that a vector alone tells, each with how far it stands out; they cope with what is not known.

A vector describes the time just before its payment; where a sentence counts payments, this one is counted too.
`history_sentences.py` adds what the history of card, merchant and device says, where it was read, and chooses.
"""

import math
from datetime import UTC, datetime
from typing import NamedTuple

from fraud.core.attributes.values import PREFIX
from fraud.core.records import SECOND
from models.reasons.facts import STANDS_OUT, Fact, plain
from models.reasons.reading import Reading

WINDOWS = {"10m": ("10 minutes", 1 / 144), "1h": ("1 hour", 1 / 24), "1d": ("1 day", 1.0), "7d": ("7 days", 7.0)}
"""The windows a pace is told in: what they are called, and their length in days."""
RISK_WINDOWS = {"7d": "7 days", "30d": "30 days", "1d": "1 day"}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FURTHER = 2.0
"""An amount stands out more from another baseline when it is as many times as far above it as above the first."""
USUAL_FRAUD_SHARE = 0.01
"""Where so few of the verdicts are frauds nothing stands out: large merchants always have some."""
YOUNG = 7.0
"""Days for which what was first seen is new."""
ESTIMATED = 2
"""Significant figures of what is estimated: a median is that of a histogram whose bins are 31 % wide."""
LEAST_TOLD = 0.005
"""Amounts below read as 0.00."""
NIGHT_BEGINS, NIGHT_ENDS = 23.0, 6.0
"""Hours, UTC."""
UNITS = ((86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute"), (1.0, "second"))


def rounded(number: float, figures: int) -> str:
    """Return a number to so many significant figures, without an exponent: 1200, 85, 0.31."""
    if not 0 < number < math.inf:
        return f"{number:.0f}"
    places = figures - 1 - math.floor(math.log10(number))
    text = f"{round(number, places):.{max(places, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def times(ratio: float) -> str:
    """Return a ratio with two figures that matter: 120, 30, 2.4, 0.31."""
    return rounded(ratio, ESTIMATED)


def duration(seconds: float) -> str:
    """Return a time span in its largest whole unit: 3 days, 1 hour."""
    if seconds < 1:
        return "less than a second"
    size, unit = next((pair for pair in UNITS if seconds >= pair[0]), UNITS[-1])
    return plural(int(seconds // size), unit)


def plural(count: float, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count:.0f} {noun}" + ("" if round(count) == 1 else "s")


class Baseline(NamedTuple):
    """What an amount is compared with: the ratio's feature, whose features tell of it, and what it is called.

    A median is read from a histogram, and told as what it is known to; a mean is of sums, and exact.
    """

    ratio: str
    features: str
    called: str
    exact: bool = False


OF_CARD = Baseline("card_amount_vs_median", "card_amount_", "this card's median")
BASELINES = (
    OF_CARD,
    Baseline("pair_amount_vs_mean", "pair_amount_", "this card's mean at this merchant", exact=True),
    Baseline("merchant_amount_vs_median", "merchant_amount_", "this merchant's median"),
    Baseline("device_amount_vs_median", "device_amount_", "this device's median"),
)


def amount(read: Reading) -> Fact | None:
    """Compare the amount with what it is above: the card's own median first, and what it stands out from more."""
    if not read("amount") > 0:
        return None
    paid = f"Amount {read.money(read('amount'))}"
    known = [baseline for baseline in BASELINES if not math.isnan(read(baseline.ratio))]
    if not known:
        return plain(f"{paid}, without earlier payments to compare it with")
    above = [baseline for baseline in known if read(baseline.ratio) >= STANDS_OUT]
    if not above:
        return None
    least = read(above[0].ratio) * FURTHER
    other = [b for b in above[1:] if read.strongest.startswith(b.features)]
    other = other or [b for b in above[1:] if read(b.ratio) >= least]
    named = [above[0], *sorted(other, key=lambda baseline: -read(baseline.ratio))[:1]]
    text = f"{paid} is " + " and ".join(_over(read, baseline) for baseline in named)
    return Fact(text, max(read(baseline.ratio) for baseline in named))


def _over(read: Reading, baseline: Baseline) -> str:
    over = read(baseline.ratio)
    usual = read("amount") / over
    known = read.money(usual) if baseline.exact and usual >= LEAST_TOLD else f"about {rounded(usual, ESTIMATED)}"
    return f"{times(over)} times {baseline.called} of {known}"


def fraud_times(frauds: float, verdicts: float) -> float:
    """Return how many times the usual share of frauds is among some verdicts."""
    return frauds / max(verdicts, frauds) / USUAL_FRAUD_SHARE if frauds >= 1 else 0.0


def among(frauds: float, verdicts: float) -> str:
    """Return of how many verdicts some frauds are, nothing where fewer are known than frauds."""
    return f" (of {verdicts:.0f} labelled)" if verdicts >= frauds else ""


def _frauds(read: Reading, entity: str, where: str) -> Fact | None:
    for window, words in RISK_WINDOWS.items():
        frauds, labels = read.number(f"{entity}_frauds_{window}"), read.number(f"{entity}_labels_{window}")
        text = f"{plural(frauds, 'known fraud')} {where} in the last {words}{among(frauds, labels)}"
        if (found := Fact(text, fraud_times(frauds, labels))).speaks:
            return found
    since = read(f"{entity}_since_fraud")
    if math.isnan(since):
        return None
    text = f"The newest known fraud {where} was paid {duration(since)} ago"
    return Fact(text, fraud_times(1, read.number(f"{entity}_labels_30d")))


def frauds_of_card(read: Reading) -> Fact | None:
    """Tell the card's known frauds."""
    return _frauds(read, "card", "on this card")


def frauds_of_merchant(read: Reading) -> Fact | None:
    """Tell the merchant's known frauds."""
    return _frauds(read, "merchant", "at this merchant")


def frauds_of_device(read: Reading) -> Fact | None:
    """Tell the device's known frauds."""
    return _frauds(read, "device", "on this device")


def frauds_of_pair(read: Reading) -> Fact | None:
    """Tell the known frauds of this card at this merchant."""
    frauds, labels = read.number("pair_frauds"), read.number("pair_labels")
    text = f"{plural(frauds, 'known fraud')} of this card at this merchant{among(frauds, labels)}"
    since = read("pair_since_fraud")
    text = text if math.isnan(since) else f"{text}, the newest paid {duration(since)} ago"
    return Fact(text, fraud_times(frauds, labels))


def is_there(read: Reading, entity: str) -> bool:
    """Tell whether the payment names such an entity, new or known: one may carry no device."""
    return not math.isnan(read(f"{entity}_count_30d"))


class Life(NamedTuple):
    """How long an entity is known, and what of it is usual; of an age of NaN it was never seen."""

    age: float
    """Seconds."""
    total: float
    """Payments, or what was paid, in 30 days, or in its life where it is younger."""

    @property
    def days(self) -> float:
        """Return the days that the total is of, from 1 to 30."""
        return max(min(self.age / 86_400, 30.0), 1.0)

    @property
    def a_day(self) -> float:
        """Return the daily rate, NaN when the entity was never seen."""
        return math.nan if math.isnan(self.age) else max(self.total, 0.0) / self.days

    def beside(self, total: str) -> str:
        """Return what is usual, with the precision that it has; `total` is what there was in all those days.

        Of less than a day nothing is usual, only new. Less than 1 a day is told as what it was counted from.
        """
        if self.age < 86_400:
            return f"first seen {duration(self.age)} ago"
        if self.a_day < 1:
            return f"usual is {total} in {plural(math.floor(self.days), 'day')}"
        return f"usual is {rounded(self.a_day, ESTIMATED)} a day"


def life(read: Reading, entity: str, aggregate: str) -> Life:
    """Return what an entity is known by: `count` or `sum` of its payments."""
    return Life(read(f"{entity}_since_first"), read(f"{entity}_{aggregate}_30d"))


def first_seen(read: Reading, entity: str, *features: str) -> Fact | None:
    """Tell of an entity that the payment names and nobody has seen before; a pair has a sentence of its own."""
    there = is_there(read, entity) and math.isnan(read(f"{entity}_since_first"))
    return plain(f"This {entity} was never seen before", *features) if there and entity != "pair" else None


def pace(read: Reading, entity: str, where: str) -> Fact | None:
    """Tell the payments of the window that is furthest above the usual rate, with one payment of slack."""
    known, features = life(read, entity, "count"), (f"{entity}_count_", f"{entity}_since_last")
    if not is_there(read, entity):
        return None
    if math.isnan(known.age):
        return first_seen(read, entity, *features)
    if not known.a_day > 0:
        return plain(f"No payment {where} in the 30 days before this one", *features)
    counts = {window: read.number(f"{entity}_count_{window}") + 1 for window in WINDOWS}
    over = {window: counts[window] / (known.a_day * days + 1) for window, (_, days) in WINDOWS.items()}
    burst = max(WINDOWS, key=lambda window: over[window])
    text = f"{plural(counts[burst], 'payment')} {where} in {WINDOWS[burst][0]}; {known.beside(f'{known.total:.0f}')}"
    return Fact(text, over[burst], features)


def spending(read: Reading, entity: str, where: str) -> Fact | None:
    """Tell what was spent in a day beside a usual day, with one usual payment of slack."""
    known, spent = life(read, entity, "sum"), read.number(f"{entity}_sum_1d") + read.number("amount")
    if not known.a_day > 0 or known.total < LEAST_TOLD:
        return None
    over = spent / (known.a_day + max(read.number(f"{entity}_mean_30d"), 1.0))
    features = tuple(f"{entity}_{aggregate}_" for aggregate in ("sum", "mean", "dev", "max"))
    return Fact(f"{read.money(spent)} spent {where} in 1 day; {known.beside(read.money(known.total))}", over, features)


def others(read: Reading, entity: str, met: str, does: str) -> Fact:
    """Tell how many others (merchants of a card, cards of a merchant) were met in a day: `This card paid at 7 ...`.

    A usual day meets as many as it has payments, or all of a month where those are fewer.
    """
    feature = f"{entity}_{met}s"
    day, month = read.number(f"{feature}_1d"), read.number(f"{feature}_30d")
    text = f"This {entity} {does} {plural(day, met)} in 1 day before this payment; {month:.0f} in 30 days"
    over, payments = day / (month / 30 + 1), life(read, entity, "count").a_day
    each_day = over if math.isnan(payments) else day / (max(min(payments, month), 0.0) + 1)
    return Fact(text, over if each_day >= STANDS_OUT else each_day, (f"{feature}_",))


def age(read: Reading, entity: str) -> Fact | None:
    """Tell that an entity is new."""
    since = read(f"{entity}_since_first")
    if math.isnan(since):
        return first_seen(read, entity)
    return plain(f"This {entity} was first seen {duration(since)} ago") if since < YOUNG * 86_400 else None


def history_of_pair(read: Reading) -> Fact | None:
    """Tell that the card does not know the merchant, or how often it pays there of late."""
    if math.isnan(read("pair_since_last")):
        return plain("This card has not paid at this merchant before")
    return pace(read, "pair", "by this card at this merchant")


def when(read: Reading) -> str:
    """Return the time of day and the weekday, UTC."""
    minutes = int(read.number("hour") * 60) % 1440
    day = WEEKDAYS[int(read.number("weekday")) % 7]
    return f"Paid on a {day} at {minutes // 60:02d}:{minutes % 60:02d} UTC"


def time(read: Reading) -> Fact | None:
    """Tell of a payment at night."""
    hour = read("hour")
    return plain(when(read)) if hour >= NIGHT_BEGINS or hour < NIGHT_ENDS else None


def kind(read: Reading) -> str:
    """Return what is asked for."""
    return "Refund or reversal" if read.number("money_back") else "Payment"


def channel(read: Reading) -> Fact | None:
    """Tell of money that flows back, or of a card that was not present, with the merchant category."""
    absent, mcc = read("card_present") == 0, read.number("mcc")
    if not absent and not read.number("money_back"):
        return None
    text = kind(read) + (", card not present" if absent else "")
    return plain(text + (f", merchant category {mcc:.0f}" if mcc else ""))


def interaction(read: Reading) -> Fact | None:
    """Tell what the groups do together and none does alone, where that is more."""
    text = f"Together these facts count {read.remainder:.2f} more in log-odds than one by one"
    return plain(text) if read.remainder > 0 else None


def learned(read: Reading) -> Fact | None:
    """Tell what was learned since the model was trained; nobody asks where it does not speak for fraud."""
    lately = read.lately
    if not lately.payments:
        return None
    since = datetime.fromtimestamp(lately.since // SECOND, UTC)
    frauds = f", {plural(lately.frauds, 'fraud')} among them" if lately.frauds else ""
    of = f"{plural(lately.payments, 'payment')} since {since:%Y-%m-%d %H:%M} UTC{frauds}"
    return plain(f"What was learned of {of}, speaks for fraud")


def other(read: Reading) -> Fact | None:
    """Name the feature that raised the score most among those without a sentence of their own, where it has a value."""
    if read.strongest.startswith(PREFIX):
        text = read.own.told(read.strongest, read(read.strongest))
        return None if text is None else plain(text[0].upper() + text[1:])
    value = read.number(read.strongest)
    return plain(f"{read.strongest} is {value:.6g}") if value > 0 else None
