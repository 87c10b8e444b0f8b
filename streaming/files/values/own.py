"""A file's own columns: numbers as its mapping writes amounts; what is no number counts as missing, and is told."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from fraud.core.attributes.declaration import PREFIX
from fraud.core.attributes.values import number_of
from streaming.files.values.account import OWN
from streaming.files.values.mapping import Mapping
from streaming.files.values.words import Said, WordReader, text_of


class OwnReader:
    """Reads values of own columns; `converters` and `noted` by role, as those of a `RowReader`."""

    def __init__(self, mapping: Mapping, words: WordReader) -> None:
        """Keep how numbers are written, and what stands for nothing."""
        self._words = words
        self._decimal, self._thousands = mapping.amount.decimal, mapping.amount.thousands
        self.roles = {name: PREFIX + name for name in mapping.own_columns()}
        self.converters: dict[str, Callable[[Any], Any]] = dict.fromkeys(
            (PREFIX + name for name in mapping.attrs.number), self.number
        )
        self.noted = {PREFIX + name: partial(self._odd_number, name) for name in mapping.attrs.number}

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
