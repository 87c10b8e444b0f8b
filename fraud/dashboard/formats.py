"""How the console writes numbers, money, shares, times and versions: one place, so that no two pages differ.

What is unknown is a dash, nothing is `0`, what was not asked is empty. Money and times are raw here (minor units, UTC
nanoseconds); pages never format by themselves.
"""

import math
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

from fraud.core.records import DAY, HOUR, MINUTE, SECOND
from streaming.messages import currencies

UNKNOWN = "\u2013"
MINUS = "\u2212"
TIMES, DIVIDED = "\u00d7", "\u00f7"
THIN = "\u202f"
"""A narrow space that no line breaks at."""
MILLION = 1_000_000
SHOWN_ODDS = 1.05
"""An effect that moves the odds by less is not worth a figure."""
BANDS = (0.08, 0.30, 0.80)
"""Where the second, third and fourth bar of the risk meter begin."""
URGENT = 0.25
"""The share of its span under which time left is told as urgent."""
VERSION_LENGTH = 6

# --- numbers ---------------------------------------------------------------------------------------------------------


def number(value: float | None, digits: int = 0) -> str:
    """Return a number with commas and a real minus: `1,234.5`."""
    if value is None:
        return UNKNOWN
    text = f"{value:,.{digits}f}"
    if not text.strip("-0.,"):
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def count(value: int | None) -> str:
    """Return a count with thin thousands."""
    return UNKNOWN if value is None else f"{value:,}".replace(",", THIN).replace("-", MINUS)


def places(currency: str) -> int:
    """Return how many decimal digits a currency's minor unit has: ISO 4217, else 2."""
    return currencies.digits().get(currency, currencies.UNKNOWN)


def money(minor: int | None, currency: str = "EUR") -> str:
    """Return an amount without its currency: `1,234.50`, from a million on `1.24 M`."""
    if minor is None:
        return UNKNOWN
    digits = places(currency)
    value = minor / 10**digits
    return f"{number(value / MILLION, 2)} M" if abs(value) >= MILLION else number(value, digits)


def gain(minor: int | None, currency: str = "EUR") -> str:
    """Return a cost or gain in whole units with its sign: `+12,340`."""
    if minor is None:
        return UNKNOWN
    value = round(minor / 10 ** places(currency))
    return f"+{number(value)}" if value > 0 else number(value)


def probability(value: float | None) -> str:
    """Return a probability, which is never told as certain: `6.1 %`, `41 %`, `> 99 %`, `< 0.1 %`."""
    if value is None:
        return UNKNOWN
    if value > 0.99:
        return "> 99 %"
    return "< 0.1 %" if value < 0.001 else share(value)


def share(value: float | None) -> str:
    """Return a share: two significant figures under 10 %, whole above."""
    if value is None:
        return UNKNOWN
    percent = 100 * value
    return f"{number(percent, _digits(percent))} %"


def _digits(percent: float) -> int:
    """Return how many decimals two significant figures take; none from 9.95 on, where rounding makes it ten."""
    size = abs(percent)
    if size == 0 or size >= 9.95:
        return 0
    return min(4, 1 - math.floor(math.log10(size) + 1e-9))


def between(value: float | None, low: float | None, high: float | None) -> str:
    """Return a share with its 95 % interval: `38 % [31, 46]`."""
    if value is None or low is None or high is None:
        return share(value)
    return f"{share(value)} [{number(100 * low)}, {number(100 * high)}]"


def points(change: float | None, low: float | None = None, high: float | None = None) -> str:
    """Return a difference of shares in points: `+0.8 pt [0.2, 1.4]`."""
    if change is None:
        return UNKNOWN
    text = f"{'+' if change > 0 else ''}{number(100 * change, 1)} pt"
    return text if low is None or high is None else f"{text} [{number(100 * low, 1)}, {number(100 * high, 1)}]"


def odds(effect: float | None) -> str:
    """Return what an effect in log-odds does to the odds, as in "times 2.1"; empty where that is next to nothing."""
    if effect is None:
        return ""
    factor = math.exp(min(abs(effect), 14.0))
    if factor < SHOWN_ODDS:
        return ""
    digits = 0 if factor >= 9.95 else 1 if factor >= 1.2 else 2
    return f"{DIVIDED if effect < 0 else TIMES} {number(factor, digits)} odds"


# --- times -----------------------------------------------------------------------------------------------------------


def clock(at: int | None, now: int, zone: tzinfo = UTC) -> str:
    """Return a moment as short as it stays clear: `14:03:22` today, `28 Nov 14:03` this year, the date beyond."""
    if at is None:
        return UNKNOWN
    then, today = _moment(at, zone), _moment(now, zone)
    if then.date() == today.date():
        return f"{then:%H:%M:%S}"
    return f"{then.day} {then:%b %H:%M}" if then.year == today.year else f"{then:%Y-%m-%d}"


def day(at: int | None, now: int, zone: tzinfo = UTC) -> str:
    """Return a moment for a list of days: `14:03` today, `28 Nov` this year, the date beyond."""
    if at is None:
        return UNKNOWN
    then, today = _moment(at, zone), _moment(now, zone)
    if then.date() == today.date():
        return f"{then:%H:%M}"
    return f"{then.day} {then:%b}" if then.year == today.year else f"{then:%Y-%m-%d}"


def utc(at: int | None) -> str:
    """Return a moment in full, for whoever hovers and for what is printed: `2026-11-28 14:03:22 UTC`."""
    return "" if at is None else f"{_moment(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def machine(at: int | None) -> str:
    """Return a moment as the `datetime` of a `<time>`."""
    return "" if at is None else f"{_moment(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _moment(at: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(at // SECOND, tz=zone)


def span(length: int | None) -> str:
    """Return a length of time by its largest unit: `45 s`, `2 min`, `3 h`, `4 d`; minutes up to two hours."""
    if length is None:
        return UNKNOWN
    length = max(0, length)
    for unit, name, until in ((SECOND, "s", MINUTE), (MINUTE, "min", 2 * HOUR), (HOUR, "h", 2 * DAY)):
        if length < until:
            return f"{length // unit} {name}"
    return f"{count(length // DAY)} d"


def age(at: int | None, now: int) -> str:
    """Return how long ago something was."""
    return UNKNOWN if at is None else span(now - at)


def seconds(value: float | None) -> str:
    """Return a short time with one decimal under ten seconds: `0.4 s`, `38 s`."""
    return UNKNOWN if value is None else f"{number(value, 1 if value < 9.95 else 0)} s"


def milliseconds(value: float | None) -> str:
    """Return milliseconds without their unit, two significant figures under ten."""
    return UNKNOWN if value is None else number(value, 2 if value < 0.995 else 1 if value < 9.95 else 0)


class Left(NamedTuple):
    """Time left until a deadline, in words, and whether less than a quarter of its span is left."""

    text: str
    urgent: bool


def left(due_at: int | None, since: int | None, now: int) -> Left:
    """Return the time left of the span from `since` to `due_at`; urgent ones carry a `!` beside their colour."""
    if due_at is None:
        return Left("", urgent=False)
    rest = due_at - now
    if rest <= 0:
        return Left("time out !", urgent=True)
    urgent = since is not None and rest < URGENT * (due_at - since)
    return Left(f"{span(rest)} !" if urgent else span(rest), urgent)


# --- ids -------------------------------------------------------------------------------------------------------------


def version(name: str | None) -> str:
    """Return a version by its first six characters, that of a model with its name: `blend@da1d90`."""
    if not name:
        return UNKNOWN
    head, at, tail = name.rpartition("@")
    return head + at + tail[:VERSION_LENGTH]


# --- risk ------------------------------------------------------------------------------------------------------------


def band(score: float, bounds: tuple[float, ...] = BANDS) -> int:
    """Return how many of the four bars of the risk meter are filled."""
    return 1 + sum(score >= bound for bound in bounds)


def risk(score: float, model_score: float | None = None) -> str:
    """Return the probability of fraud, and the model's own where a rule lifted it: `20 % by rule, model 3.1 %`."""
    told = probability(score)
    if model_score is None or probability(model_score) == told:
        return told
    return f"{told} by rule, model {probability(model_score)}"
