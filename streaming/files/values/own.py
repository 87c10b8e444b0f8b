"""A file's own columns: numbers as its mapping writes amounts, and words; what is neither counts as missing."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from fraud.core.attributes.declaration import PREFIX
from fraud.core.attributes.values import LONGEST_WORD, number_of, word_of
from streaming.files.values.account import OWN
from streaming.files.values.mapping import Mapping
from streaming.files.values.words import Said, WordReader, text_of, without_point


class OwnReader:
    """Reads values of own columns; `converters` and `noted` by role, as those of a `RowReader`."""

    def __init__(self, mapping: Mapping, words: WordReader, taken: Callable[[str, str], str]) -> None:
        """Keep how numbers are written, what stands for nothing, and what becomes of card numbers in a role's text."""
        self._words = words
        self._decimal, self._thousands = mapping.amount.decimal, mapping.amount.thousands
        self.roles = {name: PREFIX + name for name in mapping.own_columns()}
        self.converters: dict[str, Callable[[Any], Any]] = dict.fromkeys(
            (PREFIX + name for name in mapping.attrs.number), self.number
        )
        self.noted = {PREFIX + name: partial(self._odd_number, name) for name in mapping.attrs.number}
        self._taken = taken
        for name in mapping.attrs.category:
            self.converters[PREFIX + name] = partial(self.word, PREFIX + name)
            self.noted[PREFIX + name] = partial(self._odd_word, name)

    def number(self, value: Any) -> float | None:
        """Return an own number, None for nothing and for what is none."""
        if type(value) is str:
            return self._number_in(value)
        if value is None or self._words.is_missing(value):
            return None
        if not isinstance(value, bool | int | float):
            return self._number_in(str(value))
        number = number_of(float(value))
        return None if math.isnan(number) else number

    def word(self, role: str, value: Any) -> str | None:
        """Return an own word, None for nothing and for one that is too long; raise RowError for a card number."""
        text = without_point(self._words.text(value))
        return word_of(self._taken(role, text)) or None if text else None

    def _odd_word(self, name: str, value: Any) -> Said | None:
        text = self._words.text(value)
        return (OWN, f"{name} {text[:40]}") if len(text) > LONGEST_WORD else None

    def _number_in(self, value: str) -> float | None:
        text = value.strip()
        if self._words.is_missing(text):
            return None
        if self._thousands:
            text = text.replace(self._thousands, "")
        if self._decimal != ".":
            text = text.replace(self._decimal, ".")
        try:
            number = number_of(float(text)) if "_" not in text else math.nan
        except ValueError:
            return None
        return None if math.isnan(number) else number

    def _odd_number(self, name: str, value: Any) -> Said | None:
        if self._words.is_missing(value) or self.number(value) is not None:
            return None
        return OWN, f"{name} {text_of(value)[:40]}"
