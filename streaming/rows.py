"""Rows of a file to transactions: one row at a time, every fault with its column, value and repair."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from fraud.core.errors import MappingError
from fraud.core.records import Kind, Transaction, Verdict
from streaming.mapping import UNIT_NS, Mapping
from streaming.money import MOST_MINOR, Rates

DEFAULT_AMOUNT = 100
LONGEST_ID = 256
EARLIEST, LATEST = 0, 4_102_444_800_000_000_000  # 1970 to 2100
KINDS = {kind.value: kind for kind in Kind}


class RowError(Exception):
    """One row cannot be used: a stable code and a sentence."""

    def __init__(self, code: str, reason: str) -> None:
        """Keep the code beside the sentence."""
        super().__init__(reason)
        self.code = code


class Row(msgspec.Struct, frozen=True, gc=False):
    """A payment as read, with what the file says of its verdict."""

    tx: Transaction
    verdict: Verdict | None
    scenario: str


class RowReader:
    """Turn one row's values, in the order of `roles`, into a `Row`."""

    def __init__(self, mapping: Mapping, roles: Sequence[str], rates: Rates) -> None:
        """Prepare one converter per role."""
        self._at = {role: index for index, role in enumerate(roles)}
        self._time = time_reader(mapping)
        self._major = mapping.amount.unit == "major"
        self._currency = mapping.amount.currency
        self._rates = rates
        self._verdicts = {value.lower(): Verdict.FRAUD for value in mapping.label.fraud}
        self._verdicts |= {value.lower(): Verdict.GENUINE for value in mapping.label.genuine}

    def read(self, values: Sequence[Any], number: int) -> Row:
        """Return the row; raise RowError when a value cannot be used."""
        at = self._at
        happened_at = self._time(values[at["time"]])
        currency = self._text(values, "currency", self._currency).upper()
        amount = self._amount(values, currency)
        tx = Transaction(
            id=self._text(values, "id", "") or f"R{number:09d}",
            card=identifier("card", values[at["card"]]),
            merchant=identifier("merchant", values[at["merchant"]]) if "merchant" in at else "unknown",
            amount=amount,
            base_amount=self._base(amount, currency),
            happened_at=happened_at,
            seen_at=happened_at,
            kind=self._kind(values),
            device=self._text(values, "device", "") or None,
            currency=currency,
            channel=self._text(values, "channel", ""),
            mcc=self._mcc(values),
            text=self._text(values, "text", ""),
        )
        return Row(tx, self._verdict(values), self._text(values, "scenario", ""))

    def _text(self, values: Sequence[Any], role: str, default: str) -> str:
        index = self._at.get(role)
        if index is None or (value := values[index]) is None:
            return default
        return value if isinstance(value, str) else str(value)

    def _amount(self, values: Sequence[Any], currency: str) -> int:
        index = self._at.get("amount")
        if index is None:
            return DEFAULT_AMOUNT
        value = values[index]
        if type(value) is int and not self._major:
            minor = value
        else:
            minor = minor_units(value, self._rates.digits(currency) if self._major else 0)
        if not 0 <= minor <= MOST_MINOR:
            message = f"amount {value!r} is out of range: expected 0 to {MOST_MINOR} minor units"
            msg = "amount"
            raise RowError(msg, message)
        return minor

    def _base(self, amount: int, currency: str) -> int:
        try:
            return self._rates.to_base(amount, currency)
        except KeyError:
            known = ", ".join(self._rates.known())
            message = f"currency {currency!r} has no rate: expected one of {known}, or add it to [money] rates"
            msg = "currency"
            raise RowError(msg, message) from None

    def _kind(self, values: Sequence[Any]) -> Kind:
        text = self._text(values, "kind", "payment").lower()
        if text not in KINDS:
            message = f"kind {text!r} is unknown: expected one of {', '.join(KINDS)}"
            msg = "kind"
            raise RowError(msg, message)
        return KINDS[text]

    def _mcc(self, values: Sequence[Any]) -> int:
        text = self._text(values, "mcc", "0") or "0"
        if not (text.isascii() and text.isdigit() and len(text) <= 4):
            message = f"mcc {text!r} is not a merchant category code: expected four digits"
            msg = "mcc"
            raise RowError(msg, message)
        return int(text)

    def _verdict(self, values: Sequence[Any]) -> Verdict | None:
        return self._verdicts.get(self._text(values, "label", "").strip().lower())


def identifier(role: str, value: Any) -> str:
    """Return an id as text; raise RowError when it is empty, too long or holds control characters."""
    text = value if isinstance(value, str) else "" if value is None else str(value)
    if not text or len(text) > LONGEST_ID or not text.isprintable():
        message = f"{role} {text[:40]!r} is no id: expected 1 to {LONGEST_ID} printable characters"
        raise RowError(role, message)
    return text


def minor_units(value: Any, digits: int) -> int:
    """Return an amount in minor units, rounded half up; raise RowError when it is not a number."""
    try:
        number = Decimal(value if isinstance(value, str | int) else repr(value)).scaleb(digits)
        return math.floor(number + Decimal("0.5"))
    except (InvalidOperation, ValueError, OverflowError, TypeError):
        message = f"amount {value!r} is not a number: expected digits with a decimal point"
        msg = "amount"
        raise RowError(msg, message) from None


def time_reader(mapping: Mapping) -> Callable[[Any], int]:
    """Return the function from a value to UTC nanoseconds that the mapping's [time] asks for."""
    try:
        origin = iso_ns(mapping.time.origin)
    except RowError as error:
        msg = f"mapping: [time] origin: {error}"
        raise MappingError(msg) from error
    unit = UNIT_NS.get(mapping.time.unit)

    def read(value: Any) -> int:
        number = origin + counted(value, unit) if unit else iso_ns(value)
        if not EARLIEST < number < LATEST:
            message = f"time {value!r} is out of range: expected a time between 1970 and 2100; check unit and origin"
            msg_0 = "time"
            raise RowError(msg_0, message)
        return number

    return read


def counted(value: Any, unit: int) -> int:
    """Return a number of units as nanoseconds."""
    if type(value) is int:
        return value * unit
    try:
        return int(Decimal(value if isinstance(value, str) else repr(value)) * unit)
    except (InvalidOperation, ValueError, OverflowError, TypeError):
        message = f"time {value!r} is not a number: expected one, or [time] unit = 'iso'"
        msg = "time"
        raise RowError(msg, message) from None


def iso_ns(value: Any) -> int:
    """Return an ISO 8601 time, or a timestamp already in nanoseconds, as UTC nanoseconds; no zone means UTC."""
    if type(value) is int:
        return value
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (ValueError, TypeError):
        message = f"time {value!r} is not ISO 8601: expected 2026-01-31T12:00:00Z, or set [time] unit"
        msg = "time"
        raise RowError(msg, message) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    whole = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() // 1)
    return whole * 1_000_000_000 + moment.microsecond * 1_000
