"""Rows of a file to transactions: what one row means, every fault with its column, value and repair."""

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

import msgspec

from fraud.core.card_numbers import KEYLESS, CardNumbers
from fraud.core.errors import CardNumberError, MappingError
from fraud.core.records import Kind, Transaction, Verdict
from fraud.core.settings import MOST_MINOR
from streaming.files.mapping import UNIT_NS, Amount, Mapping
from streaming.messages.money import Rates
from streaming.messages.times import from_iso

DEFAULT_AMOUNT = 100
LONGEST_ID = 256
EARLIEST, LATEST = 0, 4_102_444_800_000_000_000  # 1970 to 2100
KINDS = {kind.value: kind for kind in Kind}
BEYOND = Decimal(10**20)
"""Out of every range; larger numbers are cut to it, for a million digits take seconds to make an integer of."""
DEFAULTS: dict[str, Any] = {
    "merchant": "unknown",
    "kind": Kind.PAYMENT,
    "device": None,
    "channel": "",
    "mcc": 0,
    "text": "",
    "label": None,
    "scenario": "",
}
"""What a role without a column stands for."""

LOOKED_AT = "card", "text"
"""The roles in which card numbers are looked for."""
AMOUNT, TIME, CURRENCY, KIND, MCC = "amount", "time", "currency", "kind", "mcc"


class RowError(Exception):
    """One row cannot be used: a stable code and a sentence."""

    def __init__(self, code: str, reason: str) -> None:
        """Keep the code beside the sentence."""
        super().__init__(reason)
        self.code = code


class Nanoseconds(int):
    """A time that is one already, from a column of timestamps."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """A payment as read, with what the file says of its verdict and, maybe, when (UTC ns) that was known."""

    tx: Transaction
    verdict: Verdict | None
    scenario: str
    known_at: int | None = None


class RowReader:
    """Turn one row's values, in the order of `roles`, into a `Row`. `converters` read one value of a role each."""

    def __init__(self, mapping: Mapping, roles: Sequence[str], rates: Rates, cards: CardNumbers = KEYLESS) -> None:
        """Prepare one converter per role."""
        self._cards = cards
        self._at = {role: index for index, role in enumerate(roles)}
        self._time = time_reader(mapping)
        self._money = mapping.amount
        self._rates = rates
        verdicts = {value.lower(): Verdict.FRAUD for value in mapping.label.fraud}
        verdicts |= {value.lower(): Verdict.GENUINE for value in mapping.label.genuine}
        self.converters: dict[str, Callable[[Any], Any]] = {
            "id": partial(identifier, "id"),
            "card": self._card,
            "merchant": partial(identifier, "merchant"),
            "device": device,
            "currency": self.currency,
            "kind": kind,
            "channel": text_of,
            "mcc": mcc,
            "text": self._text,
            "label": lambda value: verdicts.get(text_of(value).lower()),
            "scenario": text_of,
            "label_time": self._known_at,
        }

    def read(self, values: Sequence[Any], number: int) -> Row:
        """Return the row; raise RowError when a value cannot be used."""
        happened_at = self._time(values[self._at[TIME]])
        currency = self._value("currency", values, self._money.currency)
        amount = self.amount(values[self._at[AMOUNT]], currency) if AMOUNT in self._at else DEFAULT_AMOUNT
        others = {role: self._value(role, values, default) for role, default in DEFAULTS.items()}
        verdict, scenario = others.pop("label"), others.pop("scenario")
        tx = Transaction(
            id=self._value("id", values, default_id(number)),
            card=self._value("card", values, None),
            amount=amount,
            base_amount=self.base(amount, currency),
            happened_at=happened_at,
            seen_at=happened_at,
            currency=currency,
            **others,
        )
        return Row(tx, verdict, scenario, self._value("label_time", values, None))

    def amount(self, value: Any, currency: str) -> int:
        """Return an amount in minor units of its currency; raise RowError when it is no number or out of range."""
        minor = minor_units(value, minor_digits(self._money, self._rates, currency), self._money.decimal)
        if not 0 <= minor <= MOST_MINOR:
            message = f"amount {value!r} is out of range: expected 0 to {MOST_MINOR} minor units; refunds are a kind"
            raise RowError(AMOUNT, message)
        return minor

    def currency(self, value: Any) -> str:
        """Return a currency's code; raise RowError when there is no rate for it."""
        code = text_of(value).upper() or self._money.currency
        if code not in self._rates.known():
            known = ", ".join(self._rates.known())
            message = f"currency {code!r} has no rate: expected one of {known}, or add it to [money] rates"
            raise RowError(CURRENCY, message)
        return code

    def base(self, amount: int, currency: str) -> int:
        """Return an amount in minor units of the base currency; raise RowError when there is no rate."""
        base = self._rates.to_base(amount, self.currency(currency))
        if base > self._rates.most:
            message = f"amount {amount} {currency} is {base} in the base currency: expected at most {self._rates.most}"
            raise RowError(AMOUNT, message)
        return base

    def letter(self, row: RowError, original: bytes, values: Sequence[Any] | None) -> tuple[str, bytes, bool]:
        """Return what is kept of a row that is refused: why, its bytes, and whether card numbers were masked in them.

        Without its values the whole row is looked through.
        """
        if values is None:
            looked_at = original.decode("latin-1")
        else:
            looked_at = "\n".join(text_of(values[self._at[role]]) for role in LOOKED_AT if role in self._at)
        if not self._cards.shows(looked_at):
            return str(row), original, False
        masked = self._cards.masked(original.decode("latin-1")).encode("latin-1")
        return self._cards.masked(str(row)), masked, True

    def _card(self, value: Any) -> str:
        return self._taken("card", identifier("card", value))

    def _text(self, value: Any) -> str:
        return self._taken("text", text_of(value))

    def _taken(self, role: str, text: str) -> str:
        """Return a text with tokens for card numbers; raise RowError where one is refused."""
        try:
            return self._cards.text(text, role)
        except CardNumberError as error:
            raise RowError(error.code, str(error)) from None

    def _value(self, role: str, values: Sequence[Any], default: Any) -> Any:
        return self.converters[role](values[self._at[role]]) if role in self._at else default

    def _known_at(self, value: Any) -> int | None:
        return None if is_missing(value) else self._time(value)


def default_id(number: int) -> str:
    """Return the id of a row that names none, from its number, counted from 0."""
    return f"R{number:09d}"


def is_missing(value: Any) -> bool:
    """Tell whether a cell is empty: nothing, blank, or not a number."""
    return value is None or (isinstance(value, str) and not value.strip()) or value != value


def text_of(value: Any) -> str:
    """Return a cell as text without outer blanks; whole floats as whole numbers, an empty cell as ''."""
    if isinstance(value, str):
        return value.strip()
    if is_missing(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def identifier(role: str, value: Any) -> str:
    """Return an id as text; raise RowError when it is empty, too long or holds control characters."""
    text = text_of(value)
    if not text or len(text) > LONGEST_ID or not text.isprintable():
        message = f"{role} {text[:40]!r} is no id: expected 1 to {LONGEST_ID} printable characters"
        raise RowError(role, message)
    return text


def device(value: Any) -> str | None:
    """Return a device's id, None for an empty cell."""
    return None if is_missing(value) else identifier("device", value)


def kind(value: Any) -> Kind:
    """Return what a cell says of the kind of transaction, an empty one that it is a payment."""
    text = text_of(value).lower() or Kind.PAYMENT.value
    if text not in KINDS:
        message = f"kind {text[:40]!r} is unknown: expected one of {', '.join(KINDS)}"
        raise RowError(KIND, message)
    return KINDS[text]


def mcc(value: Any) -> int:
    """Return a merchant category code, 0 for an empty cell."""
    text = text_of(value) or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        message = f"mcc {text[:40]!r} is not a merchant category code: expected four digits"
        raise RowError(MCC, message)
    return int(text)


def minor_digits(money: Amount, rates: Rates, currency: str) -> int:
    """Return how many decimal digits the amounts of a file have beyond the unit that it counts in."""
    return rates.digits(currency) if money.unit == "major" else 0


def minor_units(value: Any, digits: int, mark: str = ".") -> int:
    """Return an amount in minor units, rounded half up; raise RowError when it is not a number."""
    if type(value) is int:
        return int(value * 10**digits)
    try:
        number = decimal_of(value.strip().replace(mark, ".") if isinstance(value, str) else value).scaleb(digits)
        return math.floor(min(max(number, -BEYOND), BEYOND) + Decimal("0.5"))
    except (ArithmeticError, ValueError, TypeError):
        message = f"amount {shown(value)} is not a number: expected digits with a decimal '{mark}'"
        raise RowError(AMOUNT, message) from None


def decimal_of(value: Any) -> Decimal:
    """Return a number exactly; raise InvalidOperation or TypeError when it is none, NaN included."""
    number = Decimal(value.strip() if isinstance(value, str) else repr(value) if isinstance(value, float) else value)
    if number.is_nan():
        raise InvalidOperation
    return number


def time_reader(mapping: Mapping) -> Callable[[Any], int]:
    """Return the function from a value to UTC nanoseconds that the mapping's [time] asks for."""
    origin, unit = origin_of(mapping), UNIT_NS.get(mapping.time.unit)

    def read(value: Any) -> int:
        timestamp = isinstance(value, Nanoseconds)
        number = origin + counted(value, unit) if unit and not timestamp else iso_ns(value)
        if not EARLIEST <= number < LATEST:
            message = f"time {shown(value)} is out of range: expected 1970 to 2100; check [time] unit and origin"
            raise RowError(TIME, message)
        return number

    return read


def origin_of(mapping: Mapping) -> int:
    """Return what 0 means in a file, UTC nanoseconds; raise MappingError when that is no time."""
    try:
        return iso_ns(mapping.time.origin)
    except RowError as error:
        msg = f"mapping: [time] origin: {error}"
        raise MappingError(msg) from error


def counted(value: Any, unit: int) -> int:
    """Return a number of units as nanoseconds."""
    if type(value) is int:
        return int(value * unit)
    try:
        return int(min(max(decimal_of(value) * unit, -BEYOND), BEYOND))
    except (ArithmeticError, ValueError, TypeError):
        message = f"time {shown(value)} is not a number: expected one, or [time] unit = 'iso'"
        raise RowError(TIME, message) from None


def iso_ns(value: Any) -> int:
    """Return an ISO 8601 time, or a timestamp already in nanoseconds, as UTC nanoseconds; no zone means UTC."""
    if isinstance(value, Nanoseconds):
        return int(value)
    try:
        return from_iso(value.isoformat() if isinstance(value, datetime) else value.strip())
    except (ValueError, TypeError, AttributeError):
        message = f"time {shown(value)} is not ISO 8601: expected 2026-01-31T12:00:00Z, or set [time] unit"
        raise RowError(TIME, message) from None


def shown(value: Any) -> str:
    """Return a value as it may stand in a sentence."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
