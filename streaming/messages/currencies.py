"""Currencies by ISO 4217: codes, numbers and names, and the decimal digits of their minor units; kept by `iso4217`."""

from functools import cache, lru_cache

from iso4217 import Currency

UNKNOWN = 2
"""Digits of what is no currency of the standard, and of those for which it states none, such as gold."""


@cache
def digits() -> dict[str, int]:
    """Return the decimal digits of each currency's minor unit."""
    return {each.code: UNKNOWN if each.exponent is None else each.exponent for each in Currency}


@cache
def _codes() -> dict[str, str]:
    """Return code by number (three digits) and by name in lower case."""
    return {f"{each.number:03d}": each.code for each in Currency if each.number} | {
        each.currency_name.lower(): each.code for each in Currency
    }


@lru_cache(4096)
def code_of(text: str) -> str:
    """Return a currency's code: of a code in any case, a number (978, 36) or an English name; other text as it is."""
    word = text.strip()
    if word.isascii() and word.isdigit():
        return _codes().get(word.zfill(3), word)
    return _codes().get(word.lower(), word.upper())
