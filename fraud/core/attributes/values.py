"""What a message says of an own column: a number, a word, or nothing. A value of another type counts as nothing."""

import math
from typing import Any

MOST_NUMBER = 3.0e38
"""A larger number is none: vectors are float32."""
LONGEST_WORD = 256
MISSING = math.nan


def number_of(value: Any) -> float:
    """Return an own number, NaN for nothing and for a value of another type: text, truth, lists, what is not finite."""
    if type(value) is float or type(value) is int:
        return float(value) if -MOST_NUMBER <= value <= MOST_NUMBER else MISSING
    return MISSING


def word_of(value: Any) -> str:
    """Return an own word, of a whole number its digits; "" for nothing and for a value of another type."""
    if type(value) is str:
        word = value.strip()
        return word if len(word) <= LONGEST_WORD else ""
    return str(value) if type(value) is int and abs(value) < 10**LONGEST_WORD else ""


def said(value: float) -> str:
    """Return an own number as people read it."""
    if math.isnan(value):
        return "not given"
    return f"{value:,.2f}" if abs(value) < 1_000 and value != int(value) else f"{value:,.0f}"
