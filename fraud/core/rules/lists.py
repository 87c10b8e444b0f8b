"""Lists of a rule file: values with an expiry, written in place or read from a file of their own."""

import re
from collections.abc import Mapping

from fraud.core.errors import nearest
from fraud.core.rules.checker import Listing
from fraud.core.rules.dates import end_of
from fraud.core.rules.expressions import FOREVER
from fraud.core.rules.faults import Fault, FaultAt, Source, Span
from fraud.core.rules.tree import ListTree
from fraud.core.rules.vocabulary import Type, Value, Vocabulary

LINE = re.compile(r"\s*(?P<value>[^#\s](?:.*?[^\s])??)(?:\s+until\s+(?P<until>\S+))?\s*(?:#.*)?")


def listing_of(tree: ListTree, vocabulary: Vocabulary, files: Mapping[str, str], faults: list[Fault]) -> Listing:
    """Return a list as conditions see it.

    Raises:
        FaultAt: when its field is unknown, a value is of another type, or its file is not there.
    """
    field = vocabulary.fields.get(tree.field.name)
    if field is None:
        known = nearest(tree.field.name, vocabulary.fields)
        raise FaultAt(tree.field.span, f"a list is of a field of the transaction, not of '{tree.field.name}'.{known}")
    if tree.file is not None:
        name = str(tree.file.value)
        if name not in files:
            raise FaultAt(tree.file.span, f"list file '{name}' cannot be read: expected one value a line")
        return Listing(tree.field.name, entries_of(Source(files[name], name), field.type, faults))
    entries: dict[Value, int] = {}
    for entry in tree.entries:
        value = entry.value.value
        if isinstance(value, bool) or isinstance(value, str) is not (field.type is Type.TEXT):
            raise FaultAt(entry.value.span, f"expected a {field.type}, for {tree.field.name} is one")
        entries[value] = FOREVER if entry.until is None else entry.until
    return Listing(tree.field.name, entries)


def entries_of(source: Source, kind: Type, faults: list[Fault]) -> dict[Value, int]:
    """Return the values of a list file, one a line: `VALUE` or `VALUE until 2026-12-31`; `#` begins a comment."""
    entries: dict[Value, int] = {}
    at = 0
    for line in source.text.splitlines(keepends=True):
        match = LINE.fullmatch(line.rstrip("\r\n"))
        if match is not None and line.strip():
            try:
                value: Value = float(match["value"]) if kind is Type.NUMBER else match["value"].strip('"')
                entries[value] = end_of(match["until"]) if match["until"] else FOREVER
            except ValueError as error:
                faults.append(source.fault(Span(at, at + len(line.rstrip())), f"no entry of a list: {error}"))
        at += len(line)
    return entries
