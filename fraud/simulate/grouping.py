"""Small operations on groups of rows, without a loop."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraud.simulate.traffic import Ints


def expand(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """Return all positions of the ranges [low, high), in order, and the range that each belongs to."""
    length = high - low
    group = np.repeat(np.arange(len(low)), length)
    return np.arange(len(group)) - np.repeat(np.cumsum(length) - length, length) + low[group], group


def ranks(group: Ints, key: NDArray[Any]) -> Ints:
    """Return each row's place (0 is the smallest `key`) within its group."""
    order = np.lexsort((key, group))
    place = np.empty(len(group), dtype=np.int64)
    sizes = np.bincount(group) if len(group) else np.empty(0, dtype=np.int64)
    place[order] = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return place


def during(entity: Ints, day: Ints, who: Ints, since: Ints, length: Ints | int) -> tuple[Ints, Ints]:
    """Return the rows of each `who` within [since, since + length) days, and for each row the place in `who`.

    `entity` and `day` have shape (rows,); `who`, `since` and `length` belong together. A row that falls into
    several stretches is returned several times.
    """
    far = int(max(day.max(initial=0), (since + length).max(initial=0))) + 1
    key = entity * far + day
    order = np.argsort(key, kind="stable")
    low = np.searchsorted(key[order], who * far + since)
    high = np.searchsorted(key[order], who * far + since + length)
    positions, group = expand(low, high)
    return order[positions], group
