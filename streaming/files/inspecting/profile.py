"""Columns of a file as text, of its first rows, and what each looks like."""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from streaming.files.pieces import object_of
from streaming.files.table import files_of, pieces, suffix, unpacked
from streaming.files.values.faulty import RowError
from streaming.files.values.lines import Lines
from streaming.files.values.mapping import NOTHING
from streaming.files.values.moments import Nanoseconds, moment_text
from streaming.files.values.words import text_of

SAMPLE = 50_000
"""Rows that a guess rests on."""
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
DEEPEST = 4
"""Objects within objects that are looked into."""


class Profile(msgspec.Struct, frozen=True):
    """A column: its name, its values as text ('' where there is nothing), and whether they are times already."""

    name: str
    values: list[str]
    timed: bool = False

    @property
    def present(self) -> list[str]:
        """Return the values that are there."""
        return [value for value in self.values if value]

    @property
    def distinct(self) -> set[str]:
        """Return the values, each once."""
        return set(self.present)

    @property
    def words(self) -> list[str]:
        """Return the words of the name, in lower case: of `transDate_time` trans, date, time."""
        return re.findall(r"[a-z]+|\d+", re.sub(r"([a-z])([A-Z])", r"\1 \2", self.name).lower())

    def share(self, fits: "re.Pattern[str]") -> float:
        """Return the share of values that match a pattern as a whole."""
        present = self.present
        return sum(fits.fullmatch(value) is not None for value in present) / len(present) if present else 0.0

    @property
    def numeric(self) -> bool:
        """Tell whether nearly all values are numbers."""
        return self.share(NUMBER) > 0.99


def profiles(path: Path, rows: int = SAMPLE) -> list[Profile]:
    """Return the columns of a file, a folder or a pattern by their first rows, one value a row of each.

    Raises:
        DataError: when a file is missing, empty, damaged or of a kind that is not read.
    """
    first = files_of(path)[0]
    if suffix(first) in (".jsonl", ".ndjson"):
        return of_objects(first, rows)
    names: list[str] = []

    def all_of_them(header: list[str] | None) -> list[str]:
        names.extend(header or ())
        return list(names)

    cells: list[Sequence[Any]] = []
    for piece in pieces(first, all_of_them):
        cells.extend(itertools.islice(values_of(piece, len(names)), rows - len(cells)))
        if len(cells) >= rows:
            break
    columns = zip(*cells, strict=True) if cells else [() for _ in names]
    return [profile_of(name, column) for name, column in zip(names, columns, strict=True)]


def values_of(piece: Any, columns: int) -> Iterator[Sequence[Any]]:
    """Yield the values of each row, nothing but None for one whose values cannot be told apart."""
    for _, values in piece.lines():
        try:
            yield values()
        except RowError:
            yield [None] * columns


def of_objects(path: Path, rows: int) -> list[Profile]:
    """Return the fields of JSON objects, those within others by their paths."""
    found: dict[str, list[Any]] = {}
    count = 0
    with unpacked(path) as file:
        for line in Lines(file, str(path)):
            try:
                fields = flat(object_of(line))
            except RowError:
                fields = {}
            for name in fields.keys() - found.keys():
                found[name] = [None] * count
            count += 1
            for name, held in found.items():
                held.append(fields.get(name))
            if count >= rows:
                break
    return [profile_of(name, held) for name, held in found.items()]


def flat(item: dict[str, Any], before: str = "", depth: int = DEEPEST) -> dict[str, Any]:
    """Return an object's plain values by name or path; lists are left out."""
    found: dict[str, Any] = {}
    for name, value in item.items():
        if isinstance(value, dict) and depth:
            found |= flat(value, f"{before}{name}.", depth - 1)
        elif not isinstance(value, dict | list):
            found[before + name] = value
    return found


def profile_of(name: str, column: Sequence[Any]) -> Profile:
    """Return a column's profile."""
    timed = any(isinstance(value, Nanoseconds) for value in column[:100])
    return Profile(name, [plain(value) for value in column], timed)


def plain(value: Any) -> str:
    """Return a value as text, '' for nothing and for words that mean it."""
    text = moment_text(value) if isinstance(value, Nanoseconds) else text_of(value)
    return "" if text.lower() in NOTHING else text
