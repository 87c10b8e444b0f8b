"""Files in: CSV (also .gz, .xz), Parquet and JSON Lines, read in pieces through a mapping; nothing is lost.

Every row becomes a `Row` or a `Reject` that names its row number, what is wrong with it, and keeps its original bytes.
Rows are counted from 1 in sentences and from 0 in positions; a CSV file's header is not counted, blank lines are no
rows. Memory holds one piece at a time.
"""

import csv
import gzip
import lzma
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import msgspec

from fraud.core.card_numbers import KEYLESS, CardNumbers
from fraud.core.errors import DataError
from fraud.core.records import Position, Reject
from streaming.files.mapping import Mapping
from streaming.files.rows import Row, RowError, RowReader
from streaming.messages.money import Rates

PIECE = 32_768
"""Rows read at a time."""
SMALL = 64
"""Rows of a piece that is no longer halved but read row by row."""
OVER_LINES = 16
"""Lines that a quoted field may run over."""
DELIMITERS = ",;\t|"
BOM = b"\xef\xbb\xbf"
Picks = Callable[[list[str] | None], list[str]]
"""Chooses among a file's columns, which are None where each row names its own."""


class Table(msgspec.Struct, frozen=True):
    """A file to be read, and how."""

    path: Path
    mapping: Mapping
    rates: Rates = Rates()
    cards: CardNumbers = KEYLESS

    def rows(self) -> Iterator[Row | Reject]:
        """Yield every row of the file, in its order.

        Raises:
            DataError: when the file is missing, empty or of a kind that is not read.
            MappingError: when it lacks a column that the mapping names.
        """
        return self._read(pieces(self.path, self._picks))

    def count(self) -> int | None:
        """Return the number of rows where the file says so, for a progress bar."""
        return int(parquet_file(self.path).metadata.num_rows) if suffix(self.path) == ".parquet" else None

    def _picks(self, names: list[str] | None) -> list[str]:
        """Return the columns that the mapping names; raise MappingError when the file lacks one."""
        if names is not None:
            self.mapping.check(names)
        return list(self.mapping.roles().values())

    def _read(self, parts: Iterable[Any]) -> Iterator[Row | Reject]:
        """Yield the rows of all pieces."""
        from streaming.files.columns import ColumnReader

        roles = list(self.mapping.roles())
        rows = RowReader(self.mapping, roles, self.rates, self.cards)
        reader = PieceReader(self.path.name, rows, ColumnReader(self.mapping, roles, self.rates, rows))
        number = 0
        for piece in parts:
            yield from reader.read(piece, number)
            number += len(piece)


class PieceReader:
    """Read pieces: as columns where that can be done, else in halves, at last row by row."""

    def __init__(self, name: str, rows: RowReader, columns: Any) -> None:
        """Keep the two readers; `name` is the file's, for positions."""
        self._name = name
        self._rows = rows
        self._columns = columns

    def read(self, piece: Any, first: int) -> Iterator[Row | Reject]:
        """Yield the rows of a piece whose first row has the number `first`."""
        from streaming.files.columns import NotPlainError

        try:
            found = self._columns.read(piece.columns(), first)
        except NotPlainError:
            found = None
        if found is not None:
            yield from found
        elif len(piece) <= SMALL:
            yield from self._one_by_one(piece, first)
        else:
            half = len(piece) // 2
            yield from self.read(piece.part(0, half), first)
            yield from self.read(piece.part(half, len(piece)), first + half)

    def _one_by_one(self, piece: Any, first: int) -> Iterator[Row | Reject]:
        for number, (original, cells) in enumerate(piece.lines(), first):
            values: Sequence[Any] | None = None
            try:
                values = cells()
                yield self._rows.read(values, number)
            except RowError as error:
                why, kept, masked = self._rows.letter(error, original, values)
                reason = f"row {number + 1}: {why}"
                yield Reject(error.code, reason, kept, Position(self._name, 0, number), masked=masked)


def pieces(path: Path, picks: Picks) -> Iterator[Any]:
    """Yield the pieces of a file, with the columns that `picks` chooses of those it has.

    Raises:
        DataError: when the file is missing, empty or of a kind that is not read.
    """
    kind = suffix(path)
    if kind not in KINDS:
        known = ".csv, .parquet or .jsonl (the text ones also with .gz or .xz)"
        msg = f"{path}: files named '{kind}' are not read: expected {known}"
        raise DataError(msg)
    if not path.exists():
        msg = f"{path} does not exist: expected a CSV, Parquet or JSON Lines file"
        raise DataError(msg)
    return KINDS[kind](path, picks)


def of_parquet(path: Path, picks: Picks) -> Iterator[Any]:
    """Yield the pieces of a Parquet file."""
    from streaming.files.pieces import ParquetPiece

    file = parquet_file(path)
    chosen = picks(file.schema_arrow.names)
    for batch in file.iter_batches(PIECE, columns=sorted(set(chosen)), use_threads=False):
        yield ParquetPiece(batch, chosen)


def of_csv(path: Path, picks: Picks) -> Iterator[Any]:
    """Yield the pieces of a CSV file."""
    from streaming.files.pieces import CsvPiece, Layout

    with open_bytes(path) as file:
        header, delimiter = header_of(next(records(file), b""), path)
        layout = Layout(tuple(header), tuple(picks(header)), delimiter)
        for held in grouped(records(file)):
            yield CsvPiece(layout, held)


def of_lines(path: Path, picks: Picks) -> Iterator[Any]:
    """Yield the pieces of a JSON Lines file."""
    from streaming.files.pieces import JsonPiece, Layout

    layout = Layout((), tuple(picks(None)))
    with open_bytes(path) as file:
        for held in grouped(line for line in file if line.strip()):
            yield JsonPiece(layout, held)


KINDS = {".parquet": of_parquet, ".csv": of_csv, ".jsonl": of_lines, ".ndjson": of_lines}


def suffix(path: Path) -> str:
    """Return a file's kind by its name, compression left out."""
    name = path.name.lower()
    for packed in (".gz", ".xz"):
        name = name.removesuffix(packed)
    return Path(name).suffix


def parquet_file(path: Path) -> Any:
    """Return an open Parquet file; raise DataError when it is none."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path)
    except pa.ArrowInvalid as error:
        msg = f"{path} cannot be read as Parquet ({error}): write it again"
        raise DataError(msg) from error


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file, unpacked on the way."""
    openers: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open}
    opener = openers.get(path.suffix.lower(), open)
    file: IO[bytes] = opener(path, "rb")
    return file


def grouped(items: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Yield lists of up to a piece's number of items."""
    while held := list(islice(items, PIECE)):
        yield held


def records(file: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the records of a CSV file, blank lines left out.

    A quoted field may run over some lines; where its quote is never closed, the first line is a record of its own.
    """
    lines = iter(file)
    for line in lines:
        if line.count(b'"') % 2:
            yield from closed(line, lines)
        elif line.strip():
            yield line


def closed(line: bytes, lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the record that begins on a line with an open quote, or that line and the next ones as they are."""
    held = [line]
    for following in islice(lines, OVER_LINES):
        held.append(following)
        if following.count(b'"') % 2:
            yield b"".join(held)
            return
    yield line
    yield from records(held[1:])


def header_of(record: bytes, path: Path) -> tuple[list[str], str]:
    """Return a CSV file's column names and its delimiter, the most frequent of `DELIMITERS` in the first line."""
    from streaming.files.pieces import fields_of

    text = record.removeprefix(BOM)
    if not text.strip():
        msg = f"{path} is empty: expected a header line"
        raise DataError(msg)
    delimiter = max(DELIMITERS, key=lambda mark: text.count(mark.encode()))
    try:
        return [name.strip() for name in fields_of(text, delimiter)], delimiter
    except (RowError, csv.Error) as error:
        msg = f"{path}: the header cannot be read: {error}"
        raise DataError(msg) from error
