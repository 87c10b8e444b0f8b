"""Files in: CSV (also .gz, .xz), Parquet and JSON Lines, read in pieces through a mapping; nothing is lost.

Every row becomes a `Row` or a `Reject` that names its row number, what is wrong with it, and keeps its original bytes.
"""

import csv
import gzip
import io
import lzma
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fraud.core.errors import DataError
from fraud.core.records import Position, Reject
from streaming.mapping import Mapping
from streaming.money import Rates
from streaming.rows import Row, RowError, RowReader

PIECE = 65_536
TEXT_SUFFIXES = {".csv", ".jsonl", ".ndjson"}


class Table(msgspec.Struct, frozen=True):
    """A file to be read, and how."""

    path: Path
    mapping: Mapping
    rates: Rates = Rates()

    def rows(self) -> Iterator[Row | Reject]:
        """Yield every row of the file, in its order.

        Raises:
            DataError: when the file is missing or of a kind that is not read.
            MappingError: when it lacks a column that the mapping names.
        """
        kind = suffix(self.path)
        if not self.path.exists():
            msg = f"{self.path} does not exist: expected a CSV, Parquet or JSON Lines file"
            raise DataError(msg)
        if kind == ".parquet":
            return self._parquet()
        if kind == ".csv":
            return self._csv()
        if kind in TEXT_SUFFIXES:
            return self._lines()
        msg = f"{self.path}: '{kind}' files are not read: expected .csv, .parquet or .jsonl (.gz and .xz text too)"
        raise DataError(msg)

    def count(self) -> int | None:
        """Return the number of rows where the file says so, for a progress bar."""
        if suffix(self.path) != ".parquet":
            return None
        from pyarrow import parquet

        return int(parquet.ParquetFile(self.path).metadata.num_rows)

    def _parquet(self) -> Iterator[Row | Reject]:
        from pyarrow import parquet

        file = parquet.ParquetFile(self.path)
        self.mapping.check(file.schema_arrow.names)
        roles = self.mapping.roles()
        reader, number = RowReader(self.mapping, list(roles), self.rates), 0
        for piece in file.iter_batches(PIECE, columns=sorted(set(roles.values()))):
            columns = [python_values(piece.column(name)) for name in roles.values()]
            for values in zip(*columns, strict=True):
                yield self._read(reader, values, number, lambda values=values: named(roles, values))
                number += 1

    def _csv(self) -> Iterator[Row | Reject]:
        with open_text(self.path) as file:
            lines = recorded(file)
            header = next(csv.reader(line for line, _ in lines), None)
            if header is None:
                msg = f"{self.path} is empty: expected a header line"
                raise DataError(msg)
            self.mapping.check(header)
            yield from self._csv_rows(header, lines)

    def _csv_rows(self, header: list[str], lines: Iterator[tuple[str, int]]) -> Iterator[Row | Reject]:
        roles = self.mapping.roles()
        picks = [header.index(name) for name in roles.values()]
        reader = RowReader(self.mapping, list(roles), self.rates)
        for number, (line, _) in enumerate(lines):
            try:
                fields = next(csv.reader([line], strict=True), [])
            except csv.Error as error:
                yield self._reject("csv", f"the line is no CSV: {error}", line.encode(), number)
                continue
            if len(fields) != len(header):
                reason = f"the line has {len(fields)} fields, the header has {len(header)}"
                yield self._reject("fields", reason, line.encode(), number)
                continue
            values = [fields[pick] for pick in picks]
            yield self._read(reader, values, number, lambda line=line: line.encode())

    def _lines(self) -> Iterator[Row | Reject]:
        roles = self.mapping.roles()
        reader = RowReader(self.mapping, list(roles), self.rates)
        with open_text(self.path) as file:
            for number, line in enumerate(file):
                yield self._line(reader, roles, line.rstrip("\n"), number)

    def _line(self, reader: RowReader, roles: dict[str, str], line: str, number: int) -> Row | Reject:
        try:
            record = msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            return self._reject("json", f"the line is not JSON: {error}", line.encode(), number)
        if not isinstance(record, dict):
            return self._reject("json", "the line is no JSON object", line.encode(), number)
        values = [record.get(name) for name in roles.values()]
        return self._read(reader, values, number, lambda: line.encode())

    def _read(self, reader: RowReader, values: Sequence[Any], number: int, original: Any) -> Row | Reject:
        try:
            return reader.read(values, number)
        except RowError as error:
            return self._reject(error.code, str(error), original(), number)

    def _reject(self, code: str, reason: str, original: bytes, number: int) -> Reject:
        return Reject(code, f"row {number + 1}: {reason}", original, Position(self.path.name, 0, number))


def suffix(path: Path) -> str:
    """Return a file's kind by its name, compression left out."""
    name = path.name.lower()
    for packed in (".gz", ".xz"):
        name = name.removesuffix(packed)
    return Path(name).suffix


def open_text(path: Path) -> io.TextIOBase:
    """Open a text file, unpacked on the way; bytes that are no UTF-8 are kept as escapes."""
    openers = {".gz": gzip.open, ".xz": lzma.open}
    opener: Any = openers.get(path.suffix.lower(), open)
    file: io.TextIOBase = opener(path, "rt", encoding="utf-8", errors="backslashreplace", newline="")
    return file


def recorded(file: io.TextIOBase) -> Iterator[tuple[str, int]]:
    """Yield records of a CSV file with the line each begins at: a quoted field may run over lines."""
    held, begun = "", 0
    for number, line in enumerate(file):
        held, begun = (held + line, begun) if held else (line, number)
        if held.count('"') % 2 == 0 or held.count("\n") > 16:
            yield held.rstrip("\r\n"), begun
            held = ""
    if held:
        yield held.rstrip("\r\n"), begun


def python_values(column: Any) -> list[Any]:
    """Return an Arrow column as Python values, timestamps as UTC nanoseconds."""
    import pyarrow

    if pyarrow.types.is_timestamp(column.type):
        column = column.cast(pyarrow.timestamp("ns", column.type.tz)).cast(pyarrow.int64())
    values: list[Any] = column.to_pylist()
    return values


def named(roles: dict[str, str], values: Sequence[Any]) -> bytes:
    """Return a row of a binary file as JSON: the bytes that a reject keeps of it."""
    return msgspec.json.encode(dict(zip(roles.values(), map(str, values), strict=True)))
