"""Faults of a rule file, shown as a compiler shows them: place, sentence, source line, caret."""

import bisect
import re
import unicodedata
from collections.abc import Sequence

import msgspec

from fraud.core.errors import RuleError

SHOWN = 50
"""A list file of another kind has a fault on every line: more than these tell nothing new, and would fill a log."""

COMMENT = re.compile(r'("[^"\n]*")|#[^\n]*')


class Span(msgspec.Struct, frozen=True):
    """A stretch of the source, as character offsets: `begin` included, `end` not."""

    begin: int
    end: int

    def to(self, other: "Span") -> "Span":
        """Return the stretch from here to the end of another one."""
        return Span(self.begin, other.end)


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong: where (line and column from 1, width in characters), and what to do."""

    name: str
    line: int
    column: int
    width: int
    message: str
    source: str

    def __str__(self) -> str:
        """Return the fault with its source line and a caret under the place."""
        caret = " " * cells(self.source[: self.column - 1]) + "^" * self.width
        return f"{self.name}:{self.line}:{self.column}: {self.message}\n    {self.source}\n    {caret}"


class RulesError(RuleError):
    """A rule file does not compile; `faults` holds every fault, in order of place, and the message the first ones."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        """Keep the faults in the order given."""
        self.faults = tuple(faults)
        count = f"{len(self.faults)} fault{'s' if len(self.faults) != 1 else ''}"
        more = f", the first {SHOWN} are shown" if len(self.faults) > SHOWN else ""
        super().__init__("\n".join([*map(str, self.faults[:SHOWN]), count + more]))


class Source:
    """A text with a name, which knows its lines."""

    def __init__(self, text: str, name: str = "rules.fr") -> None:
        """Find the lines once."""
        self.text, self.name = text, name
        self._starts = [0] + [at + 1 for at, char in enumerate(text) if char == "\n"]

    def cut(self, span: Span) -> str:
        """Return the text of a span, on one line and without comments."""
        return " ".join(COMMENT.sub(r"\1", self.text[span.begin : span.end]).split())

    def fault(self, span: Span, message: str) -> Fault:
        """Return a fault at a span."""
        line = bisect.bisect_right(self._starts, span.begin) - 1
        start = self._starts[line]
        stop = self.text.find("\n", start)
        source = self.text[start : stop if stop >= 0 else len(self.text)]
        width = max(1, min(span.end, start + len(source)) - span.begin)
        # Tabs would push the caret away from its place, and what a terminal takes for a command must not reach it.
        plain = "".join(char if char.isprintable() else " " for char in source)
        return Fault(self.name, line + 1, span.begin - start + 1, width, message, plain.rstrip())


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes: none for accents that combine, two for wide letters."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


class FaultAt(Exception):
    """Raised inside the compiler; never leaves it."""

    def __init__(self, span: Span, message: str) -> None:
        """Keep place and sentence."""
        super().__init__(message)
        self.span, self.message = span, message
