"""Lists of a rule file: values with an expiry, written in place or read from a file of their own."""

import math
import re
from collections.abc import Iterator, Mapping

from fraud.core.errors import nearest
from fraud.core.rules.checker import Listing
from fraud.core.rules.dates import end_of
from fraud.core.rules.expressions import FOREVER
from fraud.core.rules.faults import Fault, FaultAt, Source, Span
from fraud.core.rules.tree import Entry, ListTree
from fraud.core.rules.vocabulary import Type, Value, Vocabulary

COMMENT = re.compile(r"(?:^|\s)#.*")
IDS = "card", "device"
COLUMN_MARKS = {";": "';'", ",": "','", "\t": "tab"}
UNTIL = re.compile(r"(?<=\s)until\s+")


def listing_of(tree: ListTree, vocabulary: Vocabulary, files: Mapping[str, str], faults: list[Fault]) -> Listing:
    """Return a list as conditions see it; what is wrong in a list file is added to `faults`.

    Raises:
        FaultAt: when its field is unknown, a value is of another type, or its file is not there.
    """
    field = vocabulary.fields.get(tree.field.name)
    if field is None:
        known = nearest(tree.field.name, vocabulary.fields)
        raise FaultAt(tree.field.span, f"a list is of a field of the transaction, not of '{tree.field.name}'.{known}")
    if tree.file is None:
        return Listing(field.name, _entries_in_place(tree.entries, field.name, field.type))
    name = str(tree.file.value)
    if name not in files:
        raise FaultAt(
            tree.file.span,
            f"list file '{name}' cannot be read: expected a UTF-8 text beside the rule file or in a folder there, one "
            "value a line",
        )
    return Listing(field.name, entries_of(Source(files[name], name), field.type, faults, field.name))


def _entries_in_place(entries: tuple[Entry, ...], field: str, kind: Type) -> dict[Value, int]:
    found: dict[Value, int] = {}
    for entry in entries:
        literal = entry.value
        value = literal.value
        if isinstance(value, bool) or literal.unit or isinstance(value, str) is not (kind is Type.TEXT):
            raise FaultAt(literal.span, f"expected a {kind}, for {field} is one")
        try:
            _enter(found, value, FOREVER if entry.until is None else entry.until)
        except ValueError as error:
            raise FaultAt(literal.span, str(error)) from error
    return found


def entries_of(source: Source, kind: Type, faults: list[Fault], field: str = "") -> dict[Value, int]:
    """Return the values of a list file, one a line: `VALUE` or `VALUE until 2026-12-31`.

    A comment begins with `#` at the start of a line or after a space. An id with the mark of a table's columns in it is
    a fault unless it stands in quotes: a table saved as a list would block nobody, in silence.
    """
    found: dict[Value, int] = {}
    for begin, text in _lines(source.text):
        value, *ends = UNTIL.split(text)
        try:
            # Only the last end is one: a second `until` is refused as no date.
            _enter(found, _value(value.rstrip(), kind, field), end_of(" until ".join(ends)) if ends else FOREVER)
        except ValueError as error:
            faults.append(source.fault(Span(begin, begin + len(text)), f"no entry of a list: {error}"))
    return found


def _lines(whole: str) -> Iterator[tuple[int, str]]:
    """Yield each line that holds something, without its comment, and where that begins in the text."""
    at = 0
    for line in whole.split("\n"):
        plain = COMMENT.sub("", line, count=1) if "#" in line else line
        if text := plain.strip():
            yield at + len(plain) - len(plain.lstrip()), text
        at += len(line) + 1


def _value(text: str, kind: Type, field: str) -> Value:
    if kind is Type.TEXT:
        if len(text) > 1 and text[0] == text[-1] == '"':
            return text[1:-1]
        if field in IDS and (marks := [name for mark, name in COLUMN_MARKS.items() if mark in text]):
            msg = f"'{text}' holds a {marks[0]}, as a table with columns has it: expected one {field} a line, quoted "
            raise ValueError(msg + "where that is part of it")
        return text
    value = float(text)
    if not math.isfinite(value):
        msg = f"'{text}' is not a number that payments have"
        raise ValueError(msg)
    return value


def _enter(found: dict[Value, int], value: Value, end: int) -> None:
    """Add an entry; raise ValueError when the value stands above with another end, for one of them is a mistake."""
    if found.setdefault(value, end) != end:
        shown = f"{value:g}" if isinstance(value, float) else value
        msg = f"'{shown}' stands above with another end: expected each value once"
        raise ValueError(msg)
