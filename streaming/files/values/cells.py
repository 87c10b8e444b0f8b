"""Cells of Arrow columns as Python values; numbers, times and dates of every type."""

from typing import Any

import pyarrow as pa

from streaming.files.values.mapping import UNIT_NS
from streaming.files.values.moments import Days, Nanoseconds


class NotPlainError(Exception):
    """These columns need to be read row by row."""


def plain(column: Any) -> Any:
    """Return a column with dictionary and large text types made simple."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    large = pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type)
    return column.cast(pa.string()) if large else column


def python_values(column: Any) -> list[Any]:
    """Return an Arrow column as Python values, timestamps as UTC nanoseconds, dates as such of their midnight."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        return counted(column, UNIT_NS[kind.unit], Nanoseconds)
    if pa.types.is_date32(kind):
        return counted(column.cast(pa.int32()), UNIT_NS["d"], Days)
    if pa.types.is_date64(kind):
        return counted(column, UNIT_NS["ms"], Days)
    values: list[Any] = plain(column).to_pylist()
    return values


def counted(column: Any, unit: int, made: type[Nanoseconds]) -> list[Any]:
    """Return a column of counts as nanoseconds, which may be beyond 64 bits."""
    numbers = column.cast(pa.int64()).to_pylist()
    return [None if number is None else made(number * unit) for number in numbers]
