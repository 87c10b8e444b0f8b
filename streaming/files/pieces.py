"""Pieces of a file: some thousand rows that can be read as columns, halved, or read row by row."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import csv as arrow_csv

from streaming.files.values.cells import NotPlainError, plain, python_values
from streaming.files.values.faulty import RowError
from streaming.files.values.lines import fields_of

FIELDS, JSON = "fields", "json"
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
            return [pa.array([found(item, name) for item in objects]) for name in self._layout.picks]
        except (RowError, pa.ArrowException, OverflowError) as error:
            raise NotPlainError from error

    def lines(self) -> Iterator[Line]:
        """Yield the objects one by one."""
        for record in self._records:
            yield record.rstrip(b"\r\n"), lambda record=record: self._values(record)  # type: ignore[misc]

    def _values(self, record: bytes) -> list[Any]:
        item = object_of(record)
        return [scalar(name, found(item, name)) for name in self._layout.picks]


_object = msgspec.json.Decoder(dict[str, Any])


def found(item: dict[str, Any], name: str) -> Any:
    """Return the value under a name, or under a path such as `payer.card.id`; None where there is none."""
    if name in item or "." not in name:
        return item.get(name)
    inner: Any = item
    for step in name.split("."):
        inner = inner.get(step) if isinstance(inner, dict) else None
    return inner


def object_of(record: bytes) -> dict[str, Any]:
    """Return a line's JSON object; raise RowError when it holds none.

    Half of a pair of characters, as a text cut inside an emoji ends with, is read as U+FFFD.
    """
    try:
        return _object.decode(record)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        if (whole := mended(record)) is not None:
            return whole
        message = f"the line is no JSON object ({error}): expected one object a line"
        raise RowError(JSON, message) from error


def mended(record: bytes) -> dict[str, Any] | None:
    """Return the object of a line that holds unpaired surrogates, these replaced; None for any other line."""
    try:
        text = json.dumps(json.loads(record), ensure_ascii=False)
        return _object.decode(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


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


def named(picks: Sequence[str], values: Sequence[Any]) -> bytes:
    """Return a row of a binary file as JSON: the bytes that a reject keeps of it."""
    return msgspec.json.encode(dict(zip(picks, values, strict=True)), enc_hook=str)
