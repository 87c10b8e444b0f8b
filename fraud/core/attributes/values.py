"""What a message says of an own column: a number, a word, or nothing. A value of another type counts as nothing."""

import hashlib
import math
from functools import lru_cache
from typing import Any

PREFIX = "attrs."
"""What stands before an own column's name in vectors and rules."""
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


@lru_cache(16_384)
def word_hash(word: str) -> int:
    """Return the hash of an own word, 24 bits, which a float32 holds exactly."""
    return int.from_bytes(hashlib.blake2b(word.encode(errors="replace"), digest_size=3).digest(), "little")


def said(value: float) -> str:
    """Return an own number as people read it."""
    if math.isnan(value):
        return "not given"
    return f"{value:,.2f}" if abs(value) < 1_000 and value != int(value) else f"{value:,.0f}"
