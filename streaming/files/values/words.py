"""Words of a table: labels, kinds, channels, and what stands where there is nothing."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from fraud.core.records import Kind, Verdict
from streaming.files.values.account import CHANNEL, KIND, LABEL
from streaming.files.values.faulty import RowError, shown
from streaming.files.values.mapping import Mapping
from streaming.messages.schema import LONGEST_ID

KINDS = {kind.value: kind for kind in Kind}
WHOLE_FLOAT = re.compile(r"-?\d+\.0+")
Said = tuple[str, str]
"""Something odd in a value that is used all the same: its sort, and the value."""


class WordReader:
    """Read values as the words of a mapping; `noted` tell by role what is odd in one that is used all the same."""

    def __init__(self, mapping: Mapping) -> None:
        """Keep the mapping's words in lower case."""
        label, kinds = mapping.label, mapping.kind
        self._nothing = frozenset(word.lower() for word in mapping.missing.words)
        self._verdicts = words(fraud=label.fraud, genuine=label.genuine)
        self._other_verdict = None if label.others == "unlabelled" else label.others
        self._kinds = {word: KINDS[name] for word, name in words(**said(kinds)).items()}
        self._other_kind = kinds.others
        self._channels = words(**said(mapping.channel))
        self.noted: dict[str, Callable[[Any], Said | None]] = {
            LABEL: self._odd_label, KIND: self._odd_kind, CHANNEL: self._odd_channel,
        }  # fmt: skip

    def is_missing(self, value: Any) -> bool:
        """Tell whether a cell holds nothing, or a word for nothing."""
        return is_missing(value) or (isinstance(value, str) and value.strip().lower() in self._nothing)

    def text(self, value: Any) -> str:
        """Return a cell as text, '' where it is missing."""
        return "" if self.is_missing(value) else text_of(value)

    def kind(self, value: Any) -> Kind:
        """Return what a cell says of the kind of transaction, an empty one that it is a payment."""
        text = self.text(value).lower() or Kind.PAYMENT.value
        if text in self._kinds:
            return self._kinds[text]
        if text not in KINDS and self._other_kind == "refuse":
            expected = ", ".join([*KINDS, *self._kinds])
            message = f"kind {shown(text[:40])} is unknown: expected one of {expected}, or a word of [kind]"
            raise RowError(KIND, message)
        return KINDS.get(text, Kind.PAYMENT)

    def channel(self, value: Any) -> str:
        """Return a channel, '' where there is none or the mapping's words do not name it."""
        text = self.text(value)
        if len(text) > LONGEST_ID:
            raise RowError(CHANNEL, f"channel of {len(text)} characters: expected at most {LONGEST_ID}")
        return self._channels.get(text.lower(), "") if self._channels else text

    def verdict(self, value: Any) -> Verdict | None:
        """Return what a label says, None where that is nothing, or not known."""
        text = self.text(value).lower()
        word = self._verdicts.get(text, self._other_verdict if text else None)
        return None if word is None else Verdict(word)

    def _odd_label(self, value: Any) -> Said | None:
        text = self.text(value)
        return (LABEL, text[:40]) if text and self.verdict(value) is None else None

    def _odd_kind(self, value: Any) -> Said | None:
        text = self.text(value)
        return (KIND, text[:40]) if text and text.lower() not in KINDS.keys() | self._kinds.keys() else None

    def _odd_channel(self, value: Any) -> Said | None:
        text = self.text(value)
        return (CHANNEL, text[:40]) if text and self._channels and text.lower() not in self._channels else None


def words(**lists: Sequence[str]) -> dict[str, str]:
    """Return lower-case word to what it means."""
    return {word.lower(): meaning for meaning, listed in lists.items() for word in listed}


def said(section: msgspec.Struct) -> dict[str, Sequence[str]]:
    """Return the lists of words of a mapping's section."""
    return {name: value for name, value in msgspec.structs.asdict(section).items() if isinstance(value, tuple)}


def is_missing(value: Any) -> bool:
    """Tell whether a cell is empty: nothing, blank, or not a number."""
    return value is None or (isinstance(value, str) and not value.strip()) or value != value


def text_of(value: Any) -> str:
    """Return a cell as text without outer blanks; whole floats as whole numbers, an empty cell as ''."""
    if isinstance(value, str):
        return value.strip()
    if is_missing(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def without_point(text: str) -> str:
    """Return text, of a whole number that a table once kept as a float, such as 1234.0, its digits."""
    return text.partition(".")[0] if WHOLE_FLOAT.fullmatch(text) else text
