"""Values as an analyst reads them: numbers, spans of time, sentences with values filled in."""

import math
from collections.abc import Sequence

import msgspec

from fraud.core.records import Transaction
from fraud.core.rules.expressions import Row, Typed
from fraud.core.rules.vocabulary import Type, Value

UNKNOWN = "not known"
SPANS = ((86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute"), (1.0, "second"))


def shown(value: Value, kind: Type) -> str:
    """Return a value with the digits that matter, `not known` when it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return UNKNOWN
    if kind is Type.DURATION:
        return span(float(value))
    if kind is Type.NUMBER:
        return number(float(value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def number(value: float) -> str:
    """Return whole numbers without decimals, others with two; small ones with two figures.

    >>> number(7.0), number(12.345), number(0.0123)
    ('7', '12.35', '0.012')
    """
    if value == int(value) if math.isfinite(value) else False:
        return f"{value:.0f}"
    return f"{value:.2g}" if abs(value) < 0.1 else f"{value:.2f}"


def span(seconds: float) -> str:
    """Return a span of time in its largest unit, with one decimal below ten of it.

    >>> span(42), span(5400), span(86400 * 12.5)
    ('42 seconds', '1.5 hours', '12 days')
    """
    size, unit = next((pair for pair in SPANS if abs(seconds) >= pair[0]), SPANS[-1])
    count = seconds / size
    text = f"{count:.0f}" if abs(count) >= 10 or round(count, 1) == round(count) else f"{count:.1f}"
    return f"{text} {unit}" + ("" if text == "1" else "s")


class Sentence(msgspec.Struct, frozen=True):
    """A text with expressions in it."""

    parts: Sequence[str | Typed]

    def filled(self, tx: Transaction, row: Row) -> str:
        """Return the text with the values of one transaction."""
        return "".join(part if isinstance(part, str) else filled(part, tx, row) for part in self.parts)


def filled(part: Typed, tx: Transaction, row: Row) -> str:
    """Return the value of an expression as an analyst reads it."""
    value = part.run(tx, row)
    return shown(float(round(value)) if part.whole and math.isfinite(value) else value, part.type)
