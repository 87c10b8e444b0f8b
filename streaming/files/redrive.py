"""Drive in again what a file's rows could not say: repaired rows become transactions of a file of their own.

The file written is JSON Lines under the mapping `redriven`: ids, times and amounts as they were understood, so that
nothing depends on where in the first file a row stood.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fraud.common.files import make_private
from fraud.core.errors import CardNumberError, DataError, nearest
from fraud.core.records import Verdict
from streaming.files.dead_letters import MASKED, Letter
from streaming.files.pieces import CsvPiece, JsonPiece, Layout
from streaming.files.table import Table, digits_of, header_of, suffix, unpacked
from streaming.files.values.faulty import RowError
from streaming.files.values.lines import Lines
from streaming.files.values.moments import TIME, Nanoseconds
from streaming.files.values.rows import LABEL_TIME, Row, RowReader, places

MAPPING = "redriven"
LABELS = {Verdict.FRAUD: "1", Verdict.GENUINE: "0", Verdict.WITHDRAWN: None, None: None}


class Redriver:
    """Read the original bytes of dead letters of one file again, with repairs."""

    def __init__(self, table: Table) -> None:
        """Take the file that the letters came from and its mapping; only a CSV file's header is read."""
        self._table = table
        self._columns = table.mapping.slots()
        self._rows = RowReader(table.mapping, table.rates, table.cards)
        self._kind = suffix(table.path)
        self._layout = self._layout_of(table.path)

    def read(self, letter: Letter, changes: Mapping[str, str], replacement: str = "") -> Row:
        """Return the row of a letter, some of its columns changed, or of other text in its place.

        Raises:
            RowError: when it still cannot be read.
            DataError: when a column to be changed is not mapped, or the letter is of a file with another content.
        """
        if letter.content and not replacement and letter.content != (here := digits_of(self._table.path)):
            msg = f"letter {letter.id} is of another file named {letter.topic}: {self._table.path} has @{here}; "
            raise DataError(msg + "give with --data the file that it came from")
        if letter.masked and not replacement:
            raise RowError(CardNumberError.code, MASKED)
        original = replacement.encode() if replacement else letter.bytes()
        values = list(self._values(original))
        for name, value in changes.items():
            values[self._place(name)] = value
        return self._rows.read(values, letter.offset)

    def _values(self, original: bytes) -> Sequence[Any]:
        piece = (CsvPiece if self._kind == ".csv" else JsonPiece)(self._layout, [original])
        values = next(piece.lines())[1]()
        if self._kind != ".parquet" or self._table.mapping.time.unit != "iso":
            return values
        times = {
            at for role, found in places(self._table.mapping).items() if role in (TIME, LABEL_TIME) for at in found
        }
        return [Nanoseconds(v) if at in times and str(v).isdigit() else v for at, v in enumerate(values)]

    def _place(self, name: str) -> int:
        columns = self._columns
        if name not in columns:
            msg = f"--set {name}: no such column in the mapping: expected one of {', '.join(columns)}."
            raise DataError(msg + nearest(name, columns))
        return columns.index(name)

    def _layout_of(self, path: Path) -> Layout:
        picks = tuple(self._columns)
        if self._kind != ".csv":
            return Layout((), picks)
        with unpacked(path) as file:
            header, delimiter = header_of(next(iter(Lines(file, str(path))), b""), path)
        return Layout(tuple(header), picks, delimiter)


def redrive(
    redriver: Redriver, letters: Iterable[Letter], changes: Mapping[str, str], replacement: str, out: Path
) -> tuple[list[Letter], dict[str, str]]:
    """Append the letters that can be read now to `out`; return them, and by id why the others still cannot."""
    done: list[Letter] = []
    faults: dict[str, str] = {}
    lines: list[bytes] = []
    for letter in letters:
        try:
            lines.append(msgspec.json.encode(content_of(redriver.read(letter, changes, replacement))) + b"\n")
            done.append(letter)
        except RowError as error:
            faults[letter.id] = f"row {letter.offset + 1}: {error}"
    if lines:
        out.parent.mkdir(parents=True, exist_ok=True)
        make_private(out)
        with out.open("ab") as file:
            file.write(b"".join(lines))
    return done, faults


def content_of(row: Row) -> dict[str, Any]:
    """Return a row as the mapping `redriven` reads it."""
    tx = row.tx
    return {
        "id": tx.id,
        "happened_at": tx.happened_at,
        "card": tx.card,
        "merchant": tx.merchant,
        "device": tx.device,
        "amount": tx.amount,
        "currency": tx.currency,
        "text": tx.text,
        "mcc": tx.mcc,
        "channel": tx.channel,
        "kind": tx.kind,
        "fraud": LABELS[row.verdict],
        "known_at": row.known_at,
        "scenario": row.scenario,
        **({"attrs": tx.attrs} if tx.attrs else {}),
    }
