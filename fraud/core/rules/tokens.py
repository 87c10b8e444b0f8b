"""The words of a rule file."""

import enum
import re
from collections.abc import Iterator

import msgspec

from fraud.core.rules.faults import Span


class Kind(enum.StrEnum):
    """What a word is."""

    NAME = "name"
    NUMBER = "number"
    DURATION = "duration"
    DATE = "date"
    TEXT = "text"
    SIGN = "sign"
    STRAY = "no word"
    END = "end of file"


class Token(msgspec.Struct, frozen=True):
    """One word with its place; `note` says what is wrong with a stray one."""

    kind: Kind
    text: str
    span: Span
    note: str = ""

    def __str__(self) -> str:
        """Return how a message names it."""
        return f"'{self.text}'" if self.text else "the end of the file"


KEYWORDS = frozenset(
    "list rule for when then and or not in contains missing true false until from floor note say allow block".split()
)

PATTERN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+|\#[^\n]*)
  | (?P<date>\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2})?Z?)?(?!\w))
  | (?P<duration>\d+(?:\.\d+)?[smhd]\b)
  | (?P<number>\d+(?:\.\d+)?(?![\w.]))
  | (?P<name>attrs\.[a-z]\w*|[^\W\d]\w*)
  | (?P<text>"[^"\n]*")
  | (?P<sign>==|!=|<=|>=|[<>(){},:+\-*/])
    """,
    re.VERBOSE,
)


NUMBER_LIKE = re.compile(r"[\d.]+\w*")
HINTS = {
    "=": " Did you mean '=='?",
    "'": " Text stands in double quotes.",
    "&": " Did you mean 'and'?",
    "|": " Did you mean 'or'?",
    "!": " Did you mean 'not'?",
}


def tokens(text: str, begin: int = 0, end: int | None = None) -> Iterator[Token]:
    """Yield the words of a stretch of text (of a sentence, up to its brace), an END last; what is no word is STRAY."""
    at, stop = begin, len(text) if end is None else end
    while at < stop:
        match = PATTERN.match(text, at, stop)
        if match is None:
            word = _stray(text, at)
            yield word
            at = word.span.end
            continue
        if match.lastgroup != "space":
            yield Token(Kind(match.lastgroup or ""), match[0], Span(at, match.end()))
        at = match.end()
    yield Token(Kind.END, text[stop : stop + 1], Span(stop, stop))


def _stray(text: str, at: int) -> Token:
    """Return what stands here and is no word, with the sentence that says so."""
    if text[at] == '"':
        line_end = text.find("\n", at)
        return _noted(text, at, line_end if line_end >= 0 else len(text), 'text without its closing "')
    if number := NUMBER_LIKE.match(text, at):
        note = f"'{number[0]}' is no number: expected digits, digits with a unit of s, m, h, d (10m), or 2026-12-31"
        return _noted(text, at, number.end(), note)
    return _noted(text, at, at + 1, f"unexpected character {text[at]!r}.{HINTS.get(text[at], '')}")


def _noted(text: str, begin: int, end: int, note: str) -> Token:
    return Token(Kind.STRAY, text[begin:end], Span(begin, end), note)
