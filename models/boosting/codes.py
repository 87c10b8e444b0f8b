"""Codes of own words: which hash of a word the trees read as which number.

A vector holds a word as its hash, 24 bits, which a float32 keeps exactly; what a model makes of it is the model's.
Words with enough training rows have a code each, the commonest 0, then 1, and so on; all others have the code of the
commonest: no split can tell them from it, so nothing is learned of words that few rows speak for. Labels have no part
in codes. What is missing stays so.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core.errors import ArtifactError
from fraud.core.ports import Matrix

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
ENOUGH = 100
"""Training rows that a word needs for a code of its own, as LightGBM's `min_data_per_group`."""
MOST = 200
"""Words with a code of their own, a column: LightGBM tells 255 values apart."""
SHIFT = 24
COLUMNS, KEYS, CODES, REST = "code_columns", "code_keys", "codes", "code_rest"


class Codes(NamedTuple):
    """Codes of the columns `columns`, int64; `keys` are (place among them << 24) + hash, ascending, with `codes`.

    `rest` holds the code of all other words, float32, one a column.
    """

    columns: I64
    keys: I64
    codes: F32
    rest: F32

    def applied(self, rows: F32) -> F32:
        """Return rows, float32 (rows, features), with codes in the place of hashes; the same array without columns."""
        if not len(self.columns):
            return rows
        out = rows.copy()
        held = out[:, self.columns]
        out[:, self.columns] = self.of(held)
        return out

    def of(self, hashes: F32) -> F32:
        """Return the codes of hashes, float32 (rows, columns)."""
        there = ~np.isnan(hashes)
        asked = np.where(there, hashes, 0).astype(np.int64) + (np.arange(len(self.columns)) << SHIFT)
        rest = np.broadcast_to(self.rest, hashes.shape)
        if not len(self.keys):
            return np.where(there, rest, hashes)
        at = np.minimum(np.searchsorted(self.keys, asked), len(self.keys) - 1)
        found = np.where(self.keys[at] == asked, self.codes[at], rest)
        return np.where(there, found, hashes)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what an artifact stores; nothing without columns."""
        if not len(self.columns):
            return {}
        return {COLUMNS: self.columns, KEYS: self.keys, CODES: self.codes, REST: self.rest}

    def hashes(self, column: int) -> I64:
        """Return the hashes that have a code of their own in a column of the vector, in order of their codes."""
        place = int(np.flatnonzero(self.columns == column)[0])
        own = (self.keys >> SHIFT) == place
        order = np.argsort(self.codes[own], kind="stable")
        found: I64 = (self.keys[own] & ((1 << SHIFT) - 1))[order]
        return found


NONE = Codes(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))


def codes_in(arrays: Mapping[str, NDArray[np.generic]], features: int = 2**31) -> Codes:
    """Return the codes of an artifact, `NONE` where it has none; raise ArtifactError where they are damaged."""
    if COLUMNS not in arrays:
        return NONE
    try:
        found = Codes(
            np.asarray(arrays[COLUMNS], np.int64),
            np.asarray(arrays[KEYS], np.int64),
            np.asarray(arrays[CODES], np.float32),
            np.asarray(arrays[REST], np.float32),
        )
    except KeyError as error:
        message = f"The weights lack {error}; train the model again."
        raise ArtifactError(message) from error
    inside = bool(np.all((found.columns >= 0) & (found.columns < features)))
    sound = inside and len(found.keys) == len(found.codes) and len(found.rest) == len(found.columns)
    if not sound or bool(np.any(np.diff(found.keys) <= 0)):
        message = "The codes of own words in these weights do not fit each other; restore the file or train again."
        raise ArtifactError(message)
    return found


def fitted(hashes: Matrix, columns: I64) -> Codes:
    """Return codes of the words in some rows: hashes float32 (rows, columns); `columns` are their places in vectors."""
    keys, codes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for place, column in enumerate(hashes.T):
        words, rows = np.unique(column[~np.isnan(column)].astype(np.int64), return_counts=True)
        kept = np.sort(np.argsort(-rows, kind="stable")[:MOST])
        kept = kept[rows[kept] >= ENOUGH]
        keys.append((place << SHIFT) + words[kept])
        codes.append(np.argsort(np.argsort(-rows[kept], kind="stable"), kind="stable"))
    rest = np.zeros(len(columns), np.float32)
    return Codes(np.asarray(columns, np.int64), np.concatenate(keys), np.concatenate(codes).astype(np.float32), rest)
