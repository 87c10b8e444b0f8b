"""Lines of text files: byte order marks, line ends of every kind, and records of a CSV file, none of them lost.

Every line that is not blank is in exactly one record; `Lines` counts them and is asked at the end.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO

from fraud.core.errors import DataError
from streaming.files.values.faulty import RowError

CSV, UTF8 = "csv", "utf8"
OVER_LINES = 16
"""Lines that a quoted field may run over."""
CHUNK = 1 << 20
BOM = b"\xef\xbb\xbf"
OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
QUOTED = re.compile(rb'"[^"]*+(?:""[^"]*+)*+"(?!")')
"""A field in quotes; it gives nothing back that it has taken, or a line with an open quote would take for ever."""


class Lines:
    """The lines of a file, without its byte order mark; ends are LF, CRLF, or CR alone as old tables have it."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        """Take an open file.

        Raises:
            DataError: when it is in UTF-16.
        """
        self._file = file
        start = file.read(CHUNK)
        for mark, encoding in OTHER_ENCODINGS.items():
            if start.startswith(mark):
                msg = f"{name} is in {encoding}: expected UTF-8; save it so, or run iconv -f {encoding} -t UTF-8"
                raise DataError(msg)
        self._start = start.removeprefix(BOM)
        self._end = b"\r" if b"\r" in start and b"\n" not in start else b"\n"
        self.given = self.placed = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield lines with their ends, blank ones left out."""
        rest = self._start
        while True:
            *whole, rest = rest.split(self._end)
            for line in whole:
                if line.strip():
                    self.given += 1
                    yield line + b"\n"
            more = self._file.read(CHUNK)
            if not more:
                break
            rest += more
        if rest.strip():
            self.given += 1
            yield rest

    def place(self, records: Iterable[bytes]) -> Iterator[bytes]:
        """Yield records, their lines counted."""
        for record in records:
            self.placed += sum(map(bool, map(bytes.strip, record.split(b"\n")))) if b'"' in record else 1
            yield record

    def checked(self, name: str) -> None:
        """Raise AssertionError when a line is in no record, or in two: a fault of this reader, never of the file."""
        if self.given != self.placed:
            msg = f"{name}: {self.given} lines were read, {self.placed} are in records"
            raise AssertionError(msg)


def records(lines: Iterable[bytes], delimiter: str, fields: int) -> Iterator[bytes]:
    """Yield the records of a CSV file of so many columns.

    A quote opens a field only where the field begins: elsewhere it is text, as in `19" screen`. A quoted field may run
    over some lines, if the record is whole then and none of these lines is one by itself; else the line with the open
    quote is a record of its own, which cannot be read, and those after it stand for themselves.
    """
    mark = delimiter.encode()
    waiting: list[bytes] = []
    source = iter(lines)
    while True:
        line = waiting.pop(0) if waiting else next(source, None)
        if line is None:
            return
        if b'"' not in line or not ends_open(line, mark):
            yield line
            continue
        waiting.extend(islice(source, OVER_LINES - len(waiting)))
        taken = joined(line, waiting, delimiter, fields)
        yield b"".join([line, *waiting[:taken]])
        del waiting[:taken]


def joined(line: bytes, following: list[bytes], delimiter: str, fields: int) -> int:
    """Return how many following lines belong to the record that begins on a line with an open quote; 0 for none."""
    text, mark = line, delimiter.encode()
    for taken, more in enumerate(following[:OVER_LINES], 1):
        text += more
        if width(more, delimiter) == fields:
            return 0
        if not ends_open(text, mark):
            return taken if width(text, delimiter) == fields else 0
    return 0


def ends_open(text: bytes, mark: bytes) -> bool:
    """Tell whether a quoted field begins in a text and is not closed in it."""
    at = 0
    while True:
        if text.startswith(b'"', at):
            quoted = QUOTED.match(text, at)
            if quoted is None:
                return True
            at = quoted.end()
        at = text.find(mark, at) + 1
        if not at:
            return False


def width(record: bytes, delimiter: str) -> int:
    """Return the number of a record's fields, 0 where it is none."""
    try:
        return len(fields_of(record, delimiter))
    except RowError:
        return 0


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
