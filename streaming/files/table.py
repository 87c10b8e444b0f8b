"""Files in: CSV (also .gz, .xz), Parquet and JSON Lines, read in pieces through a mapping; nothing is lost.

Every row becomes a `Row` or a `Reject` that names its row number, what is wrong with it, and keeps its original bytes.
Rows are counted from 1 in sentences and from 0 in positions, anew in each file of a folder; a CSV file's header is not
counted, blank lines are no rows. Memory holds one piece at a time.
"""

import gzip
import hashlib
import lzma
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import IO, Any

import msgspec

from fraud.core.card_numbers import KEYLESS, CardNumbers
from fraud.core.errors import DataError
from fraud.core.records import Position, Reject
from streaming.files.values.account import Account
from streaming.files.values.faulty import RowError
from streaming.files.values.lines import Lines, fields_of, records
from streaming.files.values.mapping import Mapping
from streaming.files.values.rows import Row, RowReader
from streaming.messages.money import Rates

PIECE = 32_768
"""Rows read at a time."""
SMALL = 64
"""Rows of a piece that is no longer halved but read row by row."""
CONTENT = 8
"""Digits of a content's hash in the ids of dead letters."""
DELIMITERS = ",;\t|"
Picks = Callable[[list[str] | None], list[str]]
"""Chooses among a file's columns, which are None where each row names its own."""


class Table(msgspec.Struct, frozen=True):
    """A file, or the files of a folder or a pattern, to be read, and how; `account` counts what becomes of the rows."""

    path: Path
    mapping: Mapping
    rates: Rates = Rates()
    cards: CardNumbers = KEYLESS
    account: Account = msgspec.field(default_factory=Account)

    def rows(self) -> Iterator[Row | Reject]:
        """Yield every row of the files, in their order.

        Raises:
            DataError: when a file is missing, empty, damaged or of a kind that is not read.
            MappingError: when it lacks a column that the mapping names.
        """
        return self._read([(path, pieces(path, self._picks)) for path in files_of(self.path)])

    def count(self) -> int | None:
        """Return the number of rows where the files say so, for a progress bar."""
        files = files_of(self.path)
        if any(suffix(path) != ".parquet" for path in files):
            return None
        return sum(int(parquet_file(path).metadata.num_rows) for path in files)

    def _picks(self, names: list[str] | None) -> list[str]:
        """Return the columns that the mapping names; raise MappingError when the file lacks one."""
        if names is not None:
            self.mapping.check(names)
        return self.mapping.slots()

    def _read(self, parts: Iterable[tuple[Path, Iterable[Any]]]) -> Iterator[Row | Reject]:
        """Yield the rows of all pieces."""
        from streaming.files.values.columns import ColumnReader

        rows = RowReader(self.mapping, self.rates, self.cards)
        columns = ColumnReader(self.mapping, self.rates, rows)
        number = 0
        for path, held in parts:
            reader = PieceReader(path, rows, columns, self.account, number)
            for piece in held:
                yield from reader.read(piece, number)
                number += len(piece)


class PieceReader:
    """Read pieces: as columns where that can be done, else in halves, at last row by row."""

    def __init__(self, path: Path, rows: RowReader, columns: Any, account: Account, first: int = 0) -> None:
        """Keep the two readers; `path` is the file's, for positions; its first row has the number `first` of all."""
        self._path = path
        self._rows = rows
        self._columns = columns
        self._account = account
        self._first = first

    def read(self, piece: Any, first: int) -> Iterator[Row | Reject]:
        """Yield the rows of a piece whose first row has the number `first`."""
        from streaming.files.values.cells import NotPlainError

        try:
            found, odd = self._columns.read(piece.columns(), first)
        except NotPlainError:
            found, odd = None, ()
        if found is not None:
            self._account.take([row.verdict for row in found], odd)
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
                row = self._rows.read(values, number, self._account.add)
                self._account.take((row.verdict,))
                yield row
            except RowError as error:
                why, kept, masked = self._rows.letter(error, original, values)
                at = number - self._first
                reason = f"row {at + 1}: {why}"
                reject = Reject(
                    error.code,
                    reason,
                    kept,
                    Position(self._path.name, 0, at),
                    masked=masked,
                    content=digits_of(self._path),
                )
                self._account.refuse(reject)
                yield reject


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
    import pyarrow as pa

    from streaming.files.pieces import ParquetPiece

    file = parquet_file(path)
    chosen = picks(file.schema_arrow.names)
    try:
        for batch in file.iter_batches(PIECE, columns=sorted(set(chosen)), use_threads=False):
            yield ParquetPiece(batch, chosen)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error


def of_csv(path: Path, picks: Picks) -> Iterator[Any]:
    """Yield the pieces of a CSV file; raise DataError when it is empty, damaged, or holds a zero byte in its header."""
    from streaming.files.pieces import CsvPiece, Layout

    with unpacked(path) as file:
        lines = Lines(file, str(path))
        source = iter(lines)
        header, delimiter = header_of(next(source, b""), path)
        lines.placed += 1
        layout = Layout(tuple(header), tuple(picks(header)), delimiter)
        for held in grouped(lines.place(records(source, delimiter, len(header)))):
            yield CsvPiece(layout, held)
        lines.checked(str(path))


def of_lines(path: Path, picks: Picks) -> Iterator[Any]:
    """Yield the pieces of a JSON Lines file; raise DataError when it is damaged."""
    from streaming.files.pieces import JsonPiece, Layout

    layout = Layout((), tuple(picks(None)))
    with unpacked(path) as file:
        for held in grouped(iter(Lines(file, str(path)))):
            yield JsonPiece(layout, held)


KINDS = {".parquet": of_parquet, ".csv": of_csv, ".jsonl": of_lines, ".ndjson": of_lines}


def suffix(path: Path) -> str:
    """Return a file's kind by its name, compression left out."""
    name = path.name.lower()
    for packed in (".gz", ".xz"):
        name = name.removesuffix(packed)
    return Path(name).suffix


def files_of(path: Path) -> list[Path]:
    """Return the files of a folder or of a pattern such as `day-*.csv`, by name, or the one file.

    Of a folder those are taken whose kind is read, and whose names do not begin with `_` or `.`.

    Raises:
        DataError: when there is none.
    """
    if path.is_dir():
        found = sorted(each for each in path.iterdir() if each.is_file() and each.name[0] not in "_.")
        found = [each for each in found if suffix(each) in KINDS]
        if not found:
            msg = f"{path} is a folder without a file named {', '.join(KINDS)}: expected payments in it"
            raise DataError(msg)
        return found
    if not path.exists() and any(mark in path.name for mark in "*?["):
        if found := sorted(each for each in path.parent.glob(path.name) if each.is_file()):
            return found
        msg = f"{path}: no file has such a name"
        raise DataError(msg)
    return [path]


@lru_cache(64)
def _content(path: Path, size: int, changed_at: int) -> str:
    del size, changed_at
    return file_hash(path)[:CONTENT]


def digits_of(path: Path) -> str:
    """Return the first digits of the sha256 of a file's content, by which it is told from others of its name."""
    stat = path.stat()
    return _content(path, stat.st_size, stat.st_mtime_ns)


def file_hash(path: Path) -> str:
    """Return the sha256 of a file's content; of a folder or pattern that of its files' hashes, in their order."""
    hashes = []
    for each in files_of(path):
        with each.open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def parquet_file(path: Path) -> Any:
    """Return an open Parquet file; raise DataError when it is none."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> DataError:
    """Return what to say of a file that ends, or turns into nonsense, while it is read."""
    kind = "Parquet" if suffix(path) == ".parquet" else {".gz": "gzip", ".xz": "xz"}.get(path.suffix.lower(), "a file")
    text = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{path} cannot be read as {kind} ({text[:200]}): it is cut short or damaged; write it again")


@contextmanager
def unpacked(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, unpacked on the way; raise DataError where it turns out to be damaged."""
    openers: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open}
    try:
        with openers.get(path.suffix.lower(), open)(path, "rb") as file:
            yield file
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise damaged(path, error) from error


def grouped(items: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Yield lists of up to a piece's number of items."""
    while held := list(islice(items, PIECE)):
        yield held


def header_of(record: bytes, path: Path) -> tuple[list[str], str]:
    """Return a CSV file's column names and its delimiter, the most frequent of `DELIMITERS` in the first line.

    Columns of one name are told apart by `#1`, `#2`.
    """
    if not record.strip():
        msg = f"{path} is empty: expected a header line"
        raise DataError(msg)
    delimiter = max(DELIMITERS, key=lambda mark: record.count(mark.encode()))
    try:
        return told_apart([name.strip() for name in fields_of(record, delimiter)]), delimiter
    except RowError as error:
        msg = f"{path}: the header cannot be read: {error}"
        raise DataError(msg) from error


def told_apart(names: list[str]) -> list[str]:
    """Return columns' names, those that stand more than once with their number."""
    often, seen, apart = Counter(names), Counter[str](), []
    for name in names:
        seen[name] += 1
        apart.append(f"{name}#{seen[name]}" if often[name] > 1 else name)
    return apart
