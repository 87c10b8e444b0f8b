"""Labels in files: verdicts with their own times and sources, for a replay; what `fraud simulate --labels-out` writes.

One row a verdict. Columns `tx_id`, `verdict`, `source` and `happened_at` are needed; `seen_at`, when it was known, is
`happened_at` where there is no such column, and `version` is 0. Times are RFC 3339 text, whole nanoseconds since 1970
UTC, or timestamps. One row that cannot be used ends the reading: a label left out in silence would be a payment taken
for genuine.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from fraud.core.errors import DataError, nearest
from fraud.core.records import Label, LabelSource, Verdict
from streaming.files.table import pieces
from streaming.files.values.faulty import RowError, shown
from streaming.files.values.moments import LATEST, Nanoseconds
from streaming.files.values.rows import identifier
from streaming.files.values.words import is_missing, text_of
from streaming.messages.times import OLDEST, from_text, to_text

NEEDED = ("tx_id", "verdict", "source", "happened_at")
SEEN_AT, VERSION = "seen_at", "version"
COLUMNS = (*NEEDED, SEEN_AT, VERSION)
MOST_VERSION = 2**31 - 1

Word = TypeVar("Word", bound=StrEnum)


class LabelFile:
    """The labels of a file, in memory, some 150 bytes each; iterating yields them in the order of `seen_at`."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            DataError: when it is missing, of a kind that is not read, lacks a column, or a row cannot be used.
        """
        self._ids: list[str] = []
        self._words: list[tuple[Verdict, LabelSource]] = []
        numbers: list[tuple[int, int, int]] = []
        for label in labels_in(path):
            self._ids.append(label.tx_id)
            self._words.append((label.verdict, label.source))
            numbers.append((label.happened_at, label.seen_at, label.version))
        self._numbers = np.array(numbers, np.int64).reshape(-1, 3)

    def __len__(self) -> int:
        """Return the number of labels."""
        return len(self._ids)

    def __iter__(self) -> Iterator[Label]:
        """Yield the labels in the order in which they were seen; those of one instant as they stand in the file."""
        for row in np.argsort(self._numbers[:, 1], kind="stable").tolist():
            verdict, source = self._words[row]
            happened_at, seen_at, version = self._numbers[row].tolist()
            yield Label(
                tx_id=self._ids[row], verdict=verdict, happened_at=happened_at, seen_at=seen_at, source=source,
                version=version,
            )  # fmt: skip


def labels_in(path: Path) -> Iterator[Label]:
    """Yield the labels of a file as they stand in it; raise DataError as `LabelFile` does."""
    picked: list[str] = []

    def picks(names: list[str] | None) -> list[str]:
        picked[:] = COLUMNS if names is None else chosen(path, names)
        return picked

    number = 0
    for piece in pieces(path, picks):
        for _, values in piece.lines():
            number += 1
            try:
                yield label_of(dict(zip(picked, values(), strict=True)))
            except RowError as error:
                msg = f"{path} row {number}: {error}"
                raise DataError(msg) from error


def chosen(path: Path, names: Sequence[str]) -> list[str]:
    """Return the columns to read of those that a file has; raise DataError when it lacks one that is needed."""
    for name in NEEDED:
        if name not in names:
            msg = f"{path} has no column '{name}', it has {', '.join(names)}: expected {', '.join(NEEDED)}"
            raise DataError(msg + "." + nearest(name, names))
    return [name for name in COLUMNS if name in names]


def label_of(row: dict[str, Any]) -> Label:
    """Return a row's label; raise RowError when a value cannot be used."""
    happened_at = time_of("happened_at", row.get("happened_at"))
    seen_at = happened_at if is_missing(row.get(SEEN_AT)) else time_of(SEEN_AT, row[SEEN_AT])
    if seen_at < happened_at:
        reason = f"seen_at is {to_text(seen_at)}, before happened_at {to_text(happened_at)}: expected no earlier time"
        raise RowError(SEEN_AT, reason)
    return Label(
        tx_id=identifier("tx_id", row.get("tx_id")),
        verdict=word_of("verdict", row.get("verdict"), Verdict),
        source=word_of("source", row.get("source"), LabelSource),
        happened_at=happened_at,
        seen_at=seen_at,
        version=version_of(row.get(VERSION)),
    )


def word_of(name: str, value: Any, words: type[Word]) -> Word:
    """Return the word that a cell holds; raise RowError for any other."""
    known = {word.value: word for word in words}
    text = text_of(value).lower()
    if text not in known:
        expected = " or ".join(known) if len(known) == 2 else f"one of {', '.join(known)}"
        raise RowError(name, f"{name} is {shown(value)}: expected {expected}.{nearest(text, known)}")
    return known[text]


def time_of(name: str, value: Any) -> int:
    """Return a time as UTC nanoseconds; raise RowError for what is none."""
    try:
        found = int(value) if whole(value) else from_text(text_of(value))
    except ValueError:
        expected = "RFC 3339 with a zone, such as 2026-01-31T12:00:00Z, or whole nanoseconds since 1970 UTC"
        raise RowError(name, f"{name} is {shown(value)}: expected {expected}") from None
    if not OLDEST <= found < LATEST:
        raise RowError(name, f"{name} is {shown(value)}: expected a time of 2000 to 2100; is it in another unit?")
    return found


def whole(value: Any) -> bool:
    """Tell whether a cell is a count of nanoseconds: a whole number, or a timestamp that was made one."""
    return isinstance(value, Nanoseconds) or type(value) is int or (isinstance(value, str) and value.strip().isdigit())


def version_of(value: Any) -> int:
    """Return a label's version, 0 for an empty cell; raise RowError for what is none."""
    text = text_of(value) or "0"
    if not (text.isascii() and text.isdigit() and int(text) <= MOST_VERSION):
        raise RowError(VERSION, f"version is {shown(value)}: expected a whole number from 0 to {MOST_VERSION}")
    return int(text)
