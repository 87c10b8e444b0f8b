"""Whole columns to rows, fast, for the plain case; what a row means is defined by `RowReader` alone.

Anything out of the ordinary (a bad value, a mixed column, a rounding that is not obvious) raises `NotPlainError`; the
caller then halves the piece, and reads what is left over row by row.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat, starmap
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fraud.core.records import Transaction, Verdict
from fraud.core.settings import MOST_MINOR
from streaming.files.mapping import UNIT_NS, Mapping
from streaming.files.rows import (
    AMOUNT,
    CURRENCY,
    DEFAULT_AMOUNT,
    DEFAULTS,
    EARLIEST,
    LATEST,
    TIME,
    Row,
    RowError,
    RowReader,
    default_id,
    minor_digits,
    origin_of,
)
from streaming.messages.money import Rates

Ints = NDArray[np.int64]
EXACT = 2**53
NS_DIGITS = {"s": 9, "ms": 6, "us": 3, "ns": 0}


class NotPlainError(Exception):
    """These columns need to be read row by row."""


class ColumnReader:
    """Turn columns, Arrow arrays in the order of `roles`, into rows equal to those of a `RowReader`."""

    def __init__(self, mapping: Mapping, roles: Sequence[str], rates: Rates, rows: RowReader) -> None:
        """Keep the row reader, whose converters are used once per distinct value."""
        self._at = {role: index for index, role in enumerate(roles)}
        self._mapping = mapping
        self._rates = rates
        self._rows = rows
        self._origin = origin_of(mapping)

    def read(self, columns: Sequence[Any], first: int) -> list[Row]:
        """Return one row per index, `first` being the number of the first; raise NotPlainError for anything odd."""
        try:
            return self._read(columns, first)
        except (pa.ArrowException, RowError, ValueError, OverflowError, TypeError) as error:
            raise NotPlainError from error

    def _read(self, columns: Sequence[Any], first: int) -> list[Row]:
        times = self._times(columns[self._at[TIME]]).tolist()
        currencies = self._distinct(columns, CURRENCY, self._mapping.amount.currency)
        amounts = self._amounts(columns, len(times))
        numbers = map(default_id, range(first, first + len(times)))
        ids = self._distinct(columns, "id", None) if "id" in self._at else numbers
        others = (self._distinct(columns, role, default) for role, default in DEFAULTS.items())
        known_at = self._distinct(columns, "label_time", None)
        bases = self._bases(columns, amounts)
        cards = self._distinct(columns, "card", None)
        cells = zip(ids, cards, times, amounts, bases, currencies, *others, known_at, strict=False)
        return list(starmap(built, cells))

    def _distinct(self, columns: Sequence[Any], role: str, default: Any) -> Iterable[Any]:
        """Return a role's values, converted once per distinct one."""
        if role not in self._at:
            return repeat(default)
        return converted(columns[self._at[role]], self._rows.converters[role])

    def _times(self, column: Any) -> Ints:
        unit = self._mapping.time.unit
        if pa.types.is_timestamp(column.type):
            times = whole(column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64()))
        elif unit == "iso":
            times = whole(iso(column).cast(pa.int64()))
        else:
            times = self._origin + scaled(column, NS_DIGITS[unit], (LATEST - self._origin) // UNIT_NS[unit])
        return within(times, EARLIEST, LATEST - 1)

    def _amounts(self, columns: Sequence[Any], count: int) -> list[int]:
        if AMOUNT not in self._at:
            return [DEFAULT_AMOUNT] * count
        if self._mapping.amount.decimal != ".":
            raise NotPlainError
        column = columns[self._at[AMOUNT]]
        amounts = within(scaled(column, self._digits(columns), MOST_MINOR), 0, MOST_MINOR)
        return [int(amount) for amount in amounts.tolist()]

    def _currencies(self, columns: Sequence[Any]) -> set[str]:
        """Return the distinct currencies."""
        if CURRENCY not in self._at:
            return {self._rows.currency(None)}
        return set(map(self._rows.currency, columns[self._at[CURRENCY]].unique().to_pylist()))

    def _digits(self, columns: Sequence[Any]) -> int:
        """Return the digits that all amounts share; raise NotPlainError when they differ."""
        digits = {minor_digits(self._mapping.amount, self._rates, code) for code in self._currencies(columns)}
        if len(digits) != 1:
            raise NotPlainError
        return digits.pop()

    def _bases(self, columns: Sequence[Any], amounts: list[int]) -> Iterable[int]:
        if self._currencies(columns) <= {self._rates.base}:
            if max(amounts, default=0) > self._rates.most:
                raise NotPlainError
            return amounts
        currencies = self._distinct(columns, CURRENCY, self._mapping.amount.currency)
        return list(map(self._rows.base, amounts, currencies))


def built(
    tx_id: str,
    card: str,
    time: int,
    amount: int,
    base: int,
    currency: str,
    merchant: str,
    kind: Any,
    device: str | None,
    channel: str,
    mcc: int,
    text: str,
    verdict: Verdict | None,
    scenario: str,
    known_at: int | None,
) -> Row:
    """Return a row of values in the order of the columns."""
    tx = Transaction(
        id=tx_id,
        card=card,
        merchant=merchant,
        amount=amount,
        base_amount=base,
        happened_at=time,
        seen_at=time,
        kind=kind,
        device=device,
        currency=currency,
        channel=channel,
        mcc=mcc,
        text=text,
    )
    return Row(tx, verdict, scenario, known_at)


def converted(column: Any, convert: Callable[[Any], Any]) -> list[Any]:
    """Return a column's values, `convert` called once per distinct one."""
    encoded = column.dictionary_encode("encode")
    distinct = np.empty(len(encoded.dictionary), dtype=object)
    distinct[:] = list(map(convert, encoded.dictionary.to_pylist()))
    values: list[Any] = distinct[np.from_dlpack(encoded.indices)].tolist()
    return values


def whole(column: Any) -> Ints:
    """Return an int64 column, not copied; raise NotPlainError when cells are empty.

    By DLPack, because `to_numpy` imports pandas where it is installed, which takes a second.
    """
    if column.null_count:
        raise NotPlainError
    values: Ints = np.asarray(np.from_dlpack(column), dtype=np.int64)
    return values


def iso(column: Any) -> Any:
    """Return text as timestamps; raise NotPlainError for other types."""
    if not pa.types.is_string(column.type) or column.null_count or not len(column):
        raise NotPlainError
    first = column[0].as_py()
    zoned = first[-1:] in ("Z", "z") or first[-6:-5] in ("+", "-")
    return column.cast(pa.timestamp("ns", "UTC" if zoned and len(first) > 10 else None))


def scaled(column: Any, digits: int, most: int) -> Ints:
    """Return numbers times 10 ** digits, exactly, int64; raise NotPlainError when they are not whole then."""
    if column.null_count:
        raise NotPlainError
    if pa.types.is_integer(column.type):
        larger: Ints = within(whole(column.cast(pa.int64())), -most, most) * 10**digits
        return larger
    if pa.types.is_string(column.type):
        return unscaled(column.cast(pa.decimal128(38, digits)))
    if pa.types.is_floating(column.type):
        return rounded(np.asarray(np.from_dlpack(column.cast(pa.float64())), dtype=np.float64), digits)
    raise NotPlainError


def unscaled(column: Any) -> Ints:
    """Return decimals without their point; raise NotPlainError beyond 64 bits."""
    words: Ints = np.frombuffer(column.buffers()[1], dtype=np.int64).reshape(-1, 2)[column.offset :][: len(column)]
    if not np.array_equal(words[:, 1], words[:, 0] >> 63):
        raise NotPlainError
    low: Ints = np.ascontiguousarray(words[:, 0])
    return low


def rounded(values: NDArray[np.float64], digits: int) -> Ints:
    """Return floats times 10 ** digits; raise NotPlainError where that is not close to a whole number."""
    if not np.all(np.isfinite(values)):
        raise NotPlainError
    large = values * 10.0**digits
    near = np.rint(large)
    if not np.all((np.abs(large) < EXACT) & (np.abs(large - near) < 1e-3)):
        raise NotPlainError
    return near.astype(np.int64)


def within(values: Ints, least: int, most: int) -> Ints:
    """Return the values; raise NotPlainError when one is out of range."""
    if len(values) and (values.min() < least or values.max() > most):
        raise NotPlainError
    return values
