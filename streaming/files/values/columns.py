"""Whole columns to rows, fast, for the plain case; what a row means is defined by `RowReader` alone.

Anything out of the ordinary (a bad value, a mixed column, a rounding that is not obvious) raises `NotPlainError`; the
caller then halves the piece, and reads what is left over row by row.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice, repeat, starmap
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fraud.core.records import Transaction, Verdict
from streaming.files.values.account import LABEL
from streaming.files.values.amounts import AMOUNT, Money
from streaming.files.values.cells import NotPlainError, python_values
from streaming.files.values.faulty import RowError
from streaming.files.values.mapping import UNIT_NS, Mapping
from streaming.files.values.moments import LATEST, TIME, earliest_of, moment_text, origin_of, zone_of
from streaming.files.values.rows import (
    CURRENCY,
    DEFAULT_AMOUNT,
    ENDLESS,
    LABEL_TIME,
    Row,
    RowReader,
    default_id,
    flowing,
    joined,
    judged,
    minor_digits,
    places,
)
from streaming.files.values.words import Said
from streaming.messages.money import Rates
from streaming.messages.schema import MOST

Ints = NDArray[np.int64]
Odd = tuple[str, str, int]
"""Something odd in values that are used all the same: its sort, the value, how many rows have it."""
EXACT = 2**53
NS_DIGITS = {"s": 9, "ms": 6, "us": 3, "ns": 0}


class ColumnReader:
    """Turn columns, Arrow arrays in the order of a mapping's slots, into rows equal to those of a `RowReader`."""

    def __init__(self, mapping: Mapping, rates: Rates, rows: RowReader) -> None:
        """Keep the row reader, whose converters are used once per distinct value."""
        self._at = places(mapping)
        self._mapping = mapping
        self._rates = rates
        self._rows = rows
        self._origin = origin_of(mapping.time)
        self._earliest = earliest_of(mapping.time)
        self._plain_times = not mapping.time.pattern and zone_of(mapping.time) is None and len(self._at[TIME]) == 1

    def read(self, columns: Sequence[Any], first: int) -> tuple[list[Row], list[Odd]]:
        """Return one row per index, `first` being the number of the first, and what is odd in them.

        Raises:
            NotPlainError: for anything out of the ordinary.
        """
        try:
            return self._read(columns, first)
        except (pa.ArrowException, RowError, ValueError, OverflowError, TypeError) as error:
            raise NotPlainError from error

    def _read(self, columns: Sequence[Any], first: int) -> tuple[list[Row], list[Odd]]:
        odd: list[Odd] = []
        times = self._times(columns)
        currencies = self._distinct(columns, CURRENCY, self._mapping.amount.currency, odd)
        amounts, negative = self._amounts(columns, len(times))
        numbers = map(default_id, range(first, first + len(times)))
        ids = self._distinct(columns, "id", None, odd) if "id" in self._at else numbers
        others = {role: self._distinct(columns, role, default, odd) for role, default in self._rows.defaults.items()}
        if any(negative):
            others["kind"] = list(map(flowing, others["kind"], map(Money, amounts, negative)))
        known_at = self._known(columns, times, others, odd)
        bases = self._bases(columns, amounts)
        cards = self._distinct(columns, "card", None, odd)
        own = self._own(columns, odd)
        cells = zip(ids, cards, times, amounts, bases, currencies, *others.values(), known_at, own, strict=False)
        return list(starmap(built, cells)), odd

    def _own(self, columns: Sequence[Any], odd: list[Odd]) -> Iterable[dict[str, Any] | None]:
        """Return the own columns of each row, None where there are none."""
        names = tuple(self._rows.own)
        if not names:
            return repeat(None)
        values = [self._distinct(columns, role, None, odd) for role in self._rows.own.values()]
        return (dict(zip(names, row, strict=True)) for row in zip(*values, strict=True))

    def _known(
        self, columns: Sequence[Any], times: list[int], others: dict[str, Iterable[Any]], odd: list[Odd]
    ) -> Iterable[int | None]:
        """Return when verdicts were known; verdicts without a usable time are set right in `others`."""
        if LABEL_TIME not in self._at:
            return repeat(None)
        values = self._values(columns, LABEL_TIME)
        known = converted(values, self._rows.converters[LABEL_TIME], None)
        verdicts = list(islice(others[LABEL], len(times)))
        for at, (verdict, when) in enumerate(zip(verdicts, known, strict=True)):
            if when is not None and (when == ENDLESS or when < times[at]):
                verdicts[at], known[at], sort = judged(verdict, when, times[at])
                if sort:
                    odd.append((sort, moment_text(python_values(values.slice(at, 1))[0]), 1))
        others[LABEL] = verdicts
        return known

    def _values(self, columns: Sequence[Any], role: str) -> Any:
        """Return a role's values, those of several columns joined."""
        at = self._at[role]
        if len(at) == 1:
            return columns[at[0]]
        parts = [list(map(self._rows.words.text, columns[place].to_pylist())) for place in at]
        return pa.array([joined(role, cells) for cells in zip(*parts, strict=True)], pa.string())

    def _distinct(self, columns: Sequence[Any], role: str, default: Any, odd: list[Odd]) -> Iterable[Any]:
        """Return a role's values, converted once per distinct one; what is odd in them goes to `odd`."""
        if role not in self._at:
            return repeat(default)
        noted = self._rows.noted.get(role)
        note = None if noted is None else partial(noting, noted, odd)
        return converted(self._values(columns, role), self._rows.converters[role], note)

    def _times(self, columns: Sequence[Any]) -> list[int]:
        column = self._values(columns, TIME)
        if not self._plain_times and not pa.types.is_timestamp(column.type):
            return converted(column, self._rows.time, None)
        unit = self._mapping.time.unit
        if pa.types.is_timestamp(column.type):
            times = whole(column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64()))
        elif unit == "iso":
            times = whole(iso(column).cast(pa.int64()))
        elif unit not in NS_DIGITS:
            return converted(column, self._rows.time, None)
        else:
            times = self._origin + scaled(column, NS_DIGITS[unit], (LATEST - self._origin) // UNIT_NS[unit])
        found: list[int] = within(times, self._earliest, LATEST - 1).tolist()
        return found

    def _amounts(self, columns: Sequence[Any], count: int) -> tuple[list[int], Iterable[bool]]:
        """Return amounts in minor units, and which were written as negative."""
        if AMOUNT not in self._at:
            return [DEFAULT_AMOUNT] * count, ()
        column, digits = columns[self._at[AMOUNT][0]], self._digits(columns)
        try:
            if self._mapping.amount.decimal != "." and pa.types.is_string(column.type):
                raise NotPlainError
            amounts = within(scaled(column, digits, MOST), 0, MOST)
        except (NotPlainError, pa.ArrowException):
            return self._written(column, columns)
        return [int(amount) for amount in amounts.tolist()], ()

    def _written(self, column: Any, columns: Sequence[Any]) -> tuple[list[int], list[bool]]:
        """Return amounts that have signs, marks or brackets."""
        (currency,) = known if len(known := self._currencies(columns)) == 1 else ("",)
        if not currency:
            raise NotPlainError
        found = converted(column, lambda value: self._rows.money(value, currency), None)
        return [each.minor for each in found], [each.negative for each in found]

    def _currencies(self, columns: Sequence[Any]) -> set[str]:
        """Return the distinct currencies."""
        if CURRENCY not in self._at:
            return {self._rows.currency(None)}
        return set(map(self._rows.currency, columns[self._at[CURRENCY][0]].unique().to_pylist()))

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
        currencies = self._distinct(columns, CURRENCY, self._mapping.amount.currency, [])
        return list(map(self._rows.base, amounts, currencies))


def noting(noted: Callable[[Any], Said | None], odd: list[Odd], value: Any, rows: int) -> None:
    """Add what is odd in a value that so many rows have."""
    if (said := noted(value)) is not None:
        odd.append((*said, rows))


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
    attrs: dict[str, Any] | None,
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
        attrs=attrs,
    )
    return Row(tx, verdict, scenario, known_at)


def converted(column: Any, convert: Callable[[Any], Any], note: Callable[[Any, int], None] | None) -> list[Any]:
    """Return a column's values, `convert` called once per distinct one, `note` with how many rows have it as well."""
    encoded = column.dictionary_encode("encode")
    known = python_values(encoded.dictionary)
    distinct = np.empty(len(known), dtype=object)
    distinct[:] = list(map(convert, known))
    indices = np.from_dlpack(encoded.indices)
    if note is not None:
        for value, rows in zip(known, np.bincount(indices, minlength=len(known)).tolist(), strict=True):
            note(value, rows)
    values: list[Any] = distinct[indices].tolist()
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
