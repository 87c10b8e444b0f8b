"""Pieces of a file: some thousand rows that can be read as columns, halved, or read row by row."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import csv as arrow_csv

from streaming.files.columns import NotPlainError
from streaming.files.rows import Nanoseconds, RowError

CSV, FIELDS, JSON, UTF8 = "csv", "fields", "json", "utf8"
Line = tuple[bytes, Callable[[], Sequence[Any]]]
"""A row's original bytes, and its values, which raise RowError when they cannot be told apart."""


class Layout(msgspec.Struct, frozen=True):
    """What a text file's rows look like: all its columns (none for JSON), those that are mapped, the delimiter."""

    header: tuple[str, ...]
    picks: tuple[str, ...]
    delimiter: str = ","


class CsvPiece:
    """Records of a CSV file."""

    def __init__(self, layout: Layout, records: list[bytes]) -> None:
        """Keep records as they stand in the file, line ends included."""
        self._layout = layout
        self._records = records

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._records)

    def part(self, start: int, stop: int) -> "CsvPiece":
        """Return some of the rows."""
        return CsvPiece(self._layout, self._records[start:stop])

    def columns(self) -> list[Any]:
        """Return the mapped columns as text."""
        layout = self._layout
        text = b"".join(self._records)
        if b'"' in text:
            raise NotPlainError
        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(text),
                arrow_csv.ReadOptions(use_threads=False, column_names=layout.header, block_size=len(text) + 1),
                arrow_csv.ParseOptions(delimiter=layout.delimiter, quote_char=False),
                arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(layout.picks, pa.string()),
                    include_columns=sorted(set(layout.picks)),
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            raise NotPlainError from error
        if len(table) != len(self._records):
            raise NotPlainError
        return [table.column(name).combine_chunks() for name in layout.picks]

    def lines(self) -> Iterator[Line]:
        """Yield the records one by one."""
        for record in self._records:
            yield record.rstrip(b"\r\n"), lambda record=record: self._values(record)  # type: ignore[misc]

    def _values(self, record: bytes) -> list[str]:
        fields = fields_of(record, self._layout.delimiter)
        header = self._layout.header
        if len(fields) != len(header):
            reason = f"the row has {len(fields)} fields, the header has {len(header)}"
            raise RowError(FIELDS, f"{reason}: quote a field that holds {self._layout.delimiter!r}")
        return [fields[header.index(name)] for name in self._layout.picks]


def fields_of(record: bytes, delimiter: str) -> list[str]:
    """Return the fields of one record; raise RowError when it is not UTF-8 or its quotes do not pair."""
    try:
        text = record.decode()
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), [])
    except UnicodeDecodeError as error:
        message = f"byte {error.start} of the row is not UTF-8: convert the file to UTF-8"
        raise RowError(UTF8, message) from error
    except csv.Error as error:
        message = f"the row is no CSV ({error}): close every quote, and double quotes inside a field"
        raise RowError(CSV, message) from error


class JsonPiece:
    """Lines of a JSON Lines file."""

    def __init__(self, layout: Layout, records: list[bytes]) -> None:
        """Keep lines as they stand in the file."""
        self._layout = layout
        self._records = records

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._records)

    def part(self, start: int, stop: int) -> "JsonPiece":
        """Return some of the rows."""
        return JsonPiece(self._layout, self._records[start:stop])

    def columns(self) -> list[Any]:
        """Return the mapped fields of all objects."""
        try:
            objects = [object_of(record) for record in self._records]
            return [pa.array([item.get(name) for item in objects]) for name in self._layout.picks]
        except (RowError, pa.ArrowException, OverflowError) as error:
            raise NotPlainError from error

    def lines(self) -> Iterator[Line]:
        """Yield the objects one by one."""
        for record in self._records:
            yield record.rstrip(b"\r\n"), lambda record=record: self._values(record)  # type: ignore[misc]

    def _values(self, record: bytes) -> list[Any]:
        item = object_of(record)
        return [scalar(name, item.get(name)) for name in self._layout.picks]


_object = msgspec.json.Decoder(dict[str, Any])


def object_of(record: bytes) -> dict[str, Any]:
    """Return a line's JSON object; raise RowError when it holds none."""
    try:
        return _object.decode(record)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        message = f"the line is no JSON object ({error}): expected one object a line"
        raise RowError(JSON, message) from error


def scalar(name: str, value: Any) -> Any:
    """Return a value that is neither list nor object; raise RowError for one that is."""
    if isinstance(value, list | dict):
        message = f"field '{name}' holds a {'list' if isinstance(value, list) else 'JSON object'}: expected one value"
        raise RowError(JSON, message)
    return value


class ParquetPiece:
    """Rows of a Parquet file."""

    def __init__(self, batch: Any, picks: Sequence[str]) -> None:
        """Keep a record batch, and the columns that are mapped."""
        self._batch = batch
        self._picks = picks

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self._batch.num_rows)

    def part(self, start: int, stop: int) -> "ParquetPiece":
        """Return some of the rows."""
        return ParquetPiece(self._batch.slice(start, stop - start), self._picks)

    def columns(self) -> list[Any]:
        """Return the mapped columns, text ones as plain text."""
        return [plain(self._batch.column(name)) for name in self._picks]

    def lines(self) -> Iterator[Line]:
        """Yield the rows one by one, their original bytes as a JSON object."""
        for values in zip(*(python_values(self._batch.column(name)) for name in self._picks), strict=True):
            yield named(self._picks, values), lambda values=values: values  # type: ignore[misc]


def plain(column: Any) -> Any:
    """Return a column with dictionary and large text types made simple."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    large = pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type)
    return column.cast(pa.string()) if large else column


def python_values(column: Any) -> list[Any]:
    """Return an Arrow column as Python values, timestamps as UTC nanoseconds."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ns", column.type.tz), safe=False).cast(pa.int64())
        return [None if value is None else Nanoseconds(value) for value in column.to_pylist()]
    values: list[Any] = column.to_pylist()
    return values


def named(picks: Sequence[str], values: Sequence[Any]) -> bytes:
    """Return a row of a binary file as JSON: the bytes that a reject keeps of it."""
    return msgspec.json.encode(dict(zip(picks, values, strict=True)), enc_hook=str)
