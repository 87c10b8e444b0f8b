"""Amounts as people write them: signs, thousands marks, brackets, to whole minor units; nothing is guessed."""

import math
import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import msgspec

from streaming.files.values.faulty import RowError, shown
from streaming.files.values.mapping import Amount

AMOUNT = "amount"
BEYOND = Decimal(10**20)
"""Out of every range; larger numbers are cut to it, for a million digits take seconds to make an integer of."""
SIGNS = {
    "€": frozenset({"EUR"}),
    "£": frozenset({"GBP", "EGP", "FKP", "GIP", "SHP", "LBP", "SDG", "SSP", "SYP"}),
    "¥": frozenset({"JPY", "CNY"}),
    "₹": frozenset({"INR"}),
    "₩": frozenset({"KRW", "KPW"}),
    "₽": frozenset({"RUB"}),
    "₺": frozenset({"TRY"}),
    "₫": frozenset({"VND"}),
    "฿": frozenset({"THB"}),
    "₪": frozenset({"ILS"}),
}
"""Signs that stand for few currencies. A dollar or peso sign stands for many, so it is read unless it cannot be one."""
NOT_DOLLARS = frozenset().union(*SIGNS.values()) | {"CHF", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF"}
MARKS = ".,' \u00a0\u202f\u2019"
"""What stands between the digits of a number somewhere in the world."""


class Money(msgspec.Struct, frozen=True):
    """An amount in minor units of its currency, never below 0, and whether it was written as a negative one."""

    minor: int
    negative: bool = False


class AmountReader:
    """Read one value as an amount, as a mapping's [amount] says."""

    def __init__(self, said: Amount) -> None:
        """Keep how amounts are written."""
        self._said = said
        self._text = lru_cache(1 << 16)(self._from_text)

    def read(self, value: Any, digits: int, currency: str) -> Money:
        """Return an amount of a currency with so many decimal digits.

        Raises:
            RowError: when it is no number, is not whole where minor units are counted, is negative where that is not
                said to mean a refund, or when its sign is another currency's.
        """
        if type(value) is int:
            return self._signed(value * 10**digits, value)
        if isinstance(value, str):
            return self._text(value, digits, currency)
        return self._number(decimal_of(value, value, self._said.decimal), digits, value)

    def _from_text(self, value: str, digits: int, currency: str) -> Money:
        text, negative = unwrapped(value.strip(), currency)
        number = decimal_of(self._digits_of(text, value), value, self._said.decimal)
        return self._number(-number if negative else number, digits, value)

    def _digits_of(self, text: str, value: str) -> str:
        """Return a number's text with a decimal point and no other mark; raise RowError for a mark that is not said."""
        said = self._said
        other = "," if said.decimal == "." else "."
        if said.thousands:
            marks = MARKS[3:] if said.thousands.isspace() else "'\u2019" if said.thousands == "'" else said.thousands
            if any(mark in text for mark in marks):
                return ungrouped(text, marks, said.decimal, value)
        elif other in text:
            reason = f"amount {shown(value)} holds a {other!r}, but [amount] says that decimals follow a "
            repair = f"{said.decimal!r}: where it marks thousands, say thousands = {other!r}"
            raise RowError(AMOUNT, reason + repair)
        return text.replace(said.decimal, ".")

    def _number(self, number: Decimal, digits: int, value: Any) -> Money:
        exact = min(max(number, -BEYOND), BEYOND).scaleb(digits)
        if self._said.unit == "minor" and exact != exact.to_integral_value():
            reason = f"amount {shown(value)} is no whole number of minor units"
            raise RowError(AMOUNT, f"{reason}: where it counts whole units, say [amount] unit = 'major'")
        return self._signed(exact, value)

    def _signed(self, exact: Decimal | int, value: Any) -> Money:
        """Return minor units, rounded half up."""
        if exact < 0 and self._said.negative == "refuse":
            reason = f"amount {shown(value)} is out of range: expected 0 or more; where negative ones are refunds, say "
            raise RowError(AMOUNT, f"{reason}[amount] negative = 'refund'")
        minor = abs(exact) if isinstance(exact, int) else math.floor(abs(exact) + Decimal("0.5"))
        return Money(minor, exact < 0 and minor > 0)


def unwrapped(text: str, currency: str) -> tuple[str, bool]:
    """Return a number's text without brackets, signs and the currency's sign or code, and whether it is negative.

    Raises:
        RowError: when the sign is that of another currency.
    """
    bare, negative = text, False
    if bare[:1] == "(" and bare[-1:] == ")":
        bare, negative = bare[1:-1].strip(), True
    for _ in range(2):
        if bare[:1] in ("-", "\u2212"):
            bare, negative = bare[1:].lstrip(), not negative
        elif bare[-1:] in ("-", "\u2212") and len(bare) > 1:
            bare, negative = bare[:-1].rstrip(), not negative
        bare = without_sign(bare, currency, text)
    return bare, negative


def without_sign(text: str, currency: str, whole: str) -> str:
    """Return text without a currency's sign or code at either end; raise RowError when it is another currency's."""
    for mark, rest in ((text[:3], text[3:]), (text[-3:], text[:-3])):
        if mark.isascii() and mark.isalpha() and mark.upper() == currency:
            return rest.strip()
    for mark, rest in ((text[:1], text[1:]), (text[-1:], text[:-1])):
        known = SIGNS.get(mark)
        if (known is not None and currency not in known) or (mark == "$" and currency in NOT_DOLLARS):
            reason = f"amount {shown(whole)} has the sign {mark!r}, but the row's currency is {currency}"
            raise RowError(AMOUNT, f"{reason}: say it by [columns] currency or [amount] currency")
        if known is not None or mark == "$":
            return rest.strip()
    return text


def ungrouped(text: str, marks: str, decimal: str, value: str) -> str:
    """Return digits without thousands marks; raise RowError where these do not part groups of two or three digits."""
    whole, point, rest = text.partition(decimal)
    inner = f"[{re.escape(marks)}]"
    # two digits a group but for the last, as in 12,34,567: how amounts are written in India
    if not re.fullmatch(rf"[+-]?\d{{1,3}}(?:{inner}\d{{2,3}})*{inner}\d{{3}}", whole) or (point and not rest.isdigit()):
        reason = f"amount {shown(value)} is not a number"
        raise RowError(AMOUNT, f"{reason}: expected groups of three digits before the decimal {decimal!r}")
    return re.sub(inner, "", whole) + ("." + rest if point else "")


def decimal_of(number: Any, value: Any, mark: str) -> Decimal:
    """Return a number exactly; raise RowError, which shows `value`, when it is none, NaN included."""
    try:
        found = exactly(number)
    except (ArithmeticError, ValueError, TypeError):
        message = f"amount {shown(value)} is not a number: expected digits with a decimal '{mark}'"
        raise RowError(AMOUNT, message) from None
    return found


def exactly(value: Any) -> Decimal:
    """Return a number exactly; raise InvalidOperation, ValueError or TypeError when it is none, NaN included."""
    number = Decimal(value.strip() if isinstance(value, str) else repr(value) if isinstance(value, float) else value)
    if number.is_nan():
        raise InvalidOperation
    return number
