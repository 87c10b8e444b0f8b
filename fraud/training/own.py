"""Own columns in training: words as codes, what is usual of them, and which words a model knows."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraud.core.attributes.declaration import CATEGORY, PREFIX
from fraud.core.attributes.values import word_hash
from fraud.core.ports import Matrix
from fraud.training.dataset import Dataset
from fraud.training.splits import Rows
from models.boosting.codes import NONE, Codes, fitted
from models.reasons.own import usual_of


class ChangedMatrix:
    """A matrix of vectors whose rows are changed as they are asked for."""

    def __init__(self, matrix: Matrix, change: Callable[[Matrix], Matrix]) -> None:
        """Take vectors (rows, features), and what returns rows changed, leaving those that it is given alone."""
        self._matrix, self._change, self.shape = matrix, change, matrix.shape

    def __getitem__(self, rows: Any) -> Matrix:
        """Return rows, float32 (n, features)."""
        return self._change(np.asarray(self._matrix[rows]))


def blanked(data: Dataset) -> Dataset:
    """Return a data set as if nobody had sent own columns."""
    places = own_places(data)

    def blank(rows: Matrix) -> Matrix:
        out = rows.copy()
        out[:, places] = np.nan
        return out

    return data._replace(matrix=ChangedMatrix(data.matrix, blank))  # type: ignore[arg-type]


def coded(data: Dataset, codes: Codes) -> Dataset:
    """Return a data set with codes in the place of own words; the same one without words."""
    if not len(codes.columns):
        return data
    return data._replace(matrix=ChangedMatrix(data.matrix, codes.applied))  # type: ignore[arg-type]


def codes_of(data: Dataset, rows: Rows) -> Codes:
    """Return codes of own words, learned from some rows alone; `NONE` without any words."""
    columns = word_columns(data)
    if not len(columns):
        return NONE
    hashes = np.stack([np.asarray(data.matrix[:, column])[rows] for column in columns], axis=1)
    return fitted(hashes, columns)


def word_columns(data: Dataset) -> NDArray[np.int64]:
    """Return the places of own words in the vectors, ascending."""
    kinds = data.meta.identity.attrs.items()
    return np.array(sorted(data.names.index(PREFIX + name) for name, kind in kinds if kind == CATEGORY), np.int64)


def own_places(data: Dataset) -> list[int]:
    """Return the places of own columns in the vectors."""
    return [place for place, name in enumerate(data.names) if name.startswith(PREFIX)]


def usual(data: Dataset, rows: Rows) -> NDArray[np.float32]:
    """Return the usual values of own columns among some rows, float32 (own columns,)."""
    places, words = own_places(data), set(word_columns(data).tolist())
    return usual_of(data.matrix[rows][:, places], [place in words for place in places])


def known_words(data: Dataset, codes: Codes) -> dict[str, tuple[str, ...]]:
    """Return the words that have a code of their own by category, in order of their codes."""
    found = {}
    for name, words in data.meta.words.items():
        texts = {word_hash(word): word for word in words}
        hashes = codes.hashes(data.names.index(PREFIX + name)).tolist()
        found[name] = tuple(texts[each] for each in hashes if each in texts)
    return found
