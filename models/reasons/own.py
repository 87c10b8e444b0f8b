"""What is usual of own columns, and the sentence that tells one beside it."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core.attributes.declaration import CATEGORY, PREFIX
from fraud.core.attributes.values import said, word_hash
from models.registry import Artifact, own_columns

USUAL = "own_usual"
"""The array of usual values, float32 (own columns,), in vector order: medians, of words the commonest hash."""


class OwnUsual(NamedTuple):
    """Usual values of own columns by feature name, and the words that hashes of categories stand for."""

    values: Mapping[str, float]
    words: Mapping[str, Mapping[int, str]]

    @classmethod
    def of(cls, artifact: Artifact) -> "OwnUsual":
        """Return what an artifact keeps; nothing of one without own columns."""
        card, own = artifact.card, own_columns(artifact.card)
        names = [name for name in card.features if name.startswith(PREFIX)]
        usual = np.asarray(artifact.arrays.get(USUAL, np.full(len(names), np.nan)), np.float64).tolist()
        kept = card.words if isinstance(card.words, dict) else {}
        words = {
            PREFIX + name: {word_hash(word): word for word in kept.get(name, ())}
            for name, kind in own.items()
            if kind == CATEGORY
        }
        return cls(dict(zip(names, usual, strict=False)), words)

    def told(self, name: str, value: float) -> str | None:
        """Return the sentence of an own column beside what is usual; None where it is as usual."""
        usual = self.values.get(name, math.nan)
        if value == usual or (math.isnan(value) and math.isnan(usual)):
            return None
        label = name.removeprefix(PREFIX).replace("_", " ")
        text, beside = self._shown(name, value), self._shown(name, usual)
        return f"{label} {text}" if math.isnan(usual) else f"{label} {text}, usual {beside}"

    def _shown(self, name: str, value: float) -> str:
        if name not in self.words or math.isnan(value):
            return said(value)
        word = self.words[name].get(int(value))
        return "a rare word" if word is None else f"'{word}'"


NOTHING = OwnUsual({}, {})


def usual_of(matrix: NDArray[np.float32], words: Sequence[bool]) -> NDArray[np.float32]:
    """Return usual values, float32 (columns,), of rows (rows, columns): medians, of columns of `words` the commonest.

    NaN where most rows have no value.
    """
    found = np.full(matrix.shape[1], np.nan, np.float32)
    for place, (column, is_word) in enumerate(zip(matrix.T, words, strict=True)):
        there = column[~np.isnan(column)]
        if 2 * len(there) <= len(column) or not len(there):
            continue
        if is_word:
            values, counts = np.unique(there, return_counts=True)
            found[place] = values[np.argmax(counts)]
        else:
            found[place] = np.quantile(there, 0.5, method="lower")
    return found
