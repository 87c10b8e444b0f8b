"""How a column's times are written: guessed from its values."""

import re
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise, product

import msgspec

from streaming.files.inspecting.profile import NUMBER, Profile
from streaming.files.values.mapping import UNIT_NS, Time
from streaming.files.values.moments import LATEST, by_iso
from streaming.messages.times import OLDEST

DATES = (
    "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%Y/%m/%d", "%d.%m.%Y", "%d.%m.%y", "%d-%m-%Y", "%m-%d-%Y",
    "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%Y%m%d",
)  # fmt: skip
CLOCKS = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p", "%H%M%S")
PATTERNS = [f"{date}{mark}{clock}" for date, clock, mark in product(DATES, CLOCKS, (" ", "T"))] + list(DATES)
TRIED = 2_000
"""Values that a pattern is tried on."""
ODD = 0.01
"""The share of values that need not be times."""
ORIGIN = "2020-01-01"
"""What 0 is taken for where a file counts from a day that it does not tell."""


class Written(msgspec.Struct, frozen=True):
    """How times are written, and what is not certain about it."""

    time: Time
    doubt: str = ""


def written(column: Profile) -> Written | None:
    """Return how a column's times are written, None where its values are no times."""
    values = spread(column.present)
    if not values:
        return None
    if column.timed or sum(map(is_iso, values)) >= (1 - ODD) * len(values):
        return Written(Time())
    if column.share(NUMBER) == 1:
        return counted([float(value) for value in values])
    return by_patterns(values)


def by_patterns(values: Sequence[str]) -> Written | None:
    """Return the pattern that all values fit; of several the one whose times are more in order, then less far apart."""
    fits = [pattern for pattern in PATTERNS if fit(values[:20], pattern, 0.2) and fit(values, pattern)]
    if not fits:
        return None
    best = min(fits, key=lambda pattern: disorder(values, pattern))
    twins = [other for other in fits if {other, best} == {best, swapped(best)} and other != best]
    doubt = f"'{twins[0]}' fits as well: look at days and months" if twins else ""
    return Written(Time(pattern=best), doubt)


def counted(values: Sequence[float]) -> Written | None:
    """Return the unit of counts since 1970, or of counts from a day of the file's own; None for other numbers."""
    low, high = min(values), max(values)
    for unit in ("s", "ms", "us", "ns"):
        if low * UNIT_NS[unit] >= OLDEST and high * UNIT_NS[unit] < LATEST:
            return Written(Time(unit=unit))
    if low >= 0 and high > low and high < 10 * 366 * 86_400 and steps(values) < 0.01:
        doubt = f"it counts from a day that the file does not tell: {ORIGIN} is made up, and so may be the unit"
        return Written(Time(unit="s", origin=ORIGIN), doubt)
    return None


def spread(values: Sequence[str]) -> list[str]:
    """Return values from all over a column, in their order."""
    return list(values[:: -(-len(values) // TRIED) or 1])


def is_iso(value: str) -> bool:
    """Tell whether a text is an ISO 8601 time; a bare number is none."""
    if NUMBER.fullmatch(value) or not re.match(r"\d{4}-", value):
        return False
    try:
        return by_iso(None, value) is not None
    except (ValueError, OverflowError):
        return False


def fit(values: Sequence[str], pattern: str, odd: float = ODD) -> bool:
    """Tell whether a pattern reads all values but a share of odd ones."""
    return sum(moment(value, pattern) is None for value in values) <= odd * len(values)


def moment(value: str, pattern: str) -> datetime | None:
    """Return what a pattern makes of a text, None where it does not fit."""
    try:
        return datetime.strptime(value, pattern)  # noqa: DTZ007 (compared with each other only)
    except ValueError:
        return None


def disorder(values: Sequence[str], pattern: str) -> tuple[float, float]:
    """Return the share of values that are earlier than the one before them, and how far apart all are, seconds."""
    times = [each.timestamp() for value in values if (each := moment(value, pattern))]
    return steps(times), max(times) - min(times)


def steps(values: Sequence[float]) -> float:
    """Return the share of numbers that are less than the one before them."""
    return sum(other < one for one, other in pairwise(values)) / max(len(values) - 1, 1)


def swapped(pattern: str) -> str:
    """Return a pattern with day and month exchanged."""
    return pattern.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")
