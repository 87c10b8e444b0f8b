"""Which blocks each summary of a history stands for, and its code: by definition, not by pushes and merges.

A summary of level `l` covers 4^l blocks. A level holds at most 4; the last one merges within itself.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fraud.core.tokens import BLOCK, CLOSED_IN_WINDOW, CODE, LEVELS, MEANS, RADIX, SUMS

I64 = NDArray[np.int64]


def pushed(after: I64) -> I64:
    """Return how many blocks are summaries once so many events are absorbed: all but the open and 2 closed ones."""
    blocks: I64 = np.maximum(after // BLOCK - CLOSED_IN_WINDOW, 0)
    return blocks


def spans_of(blocks: I64) -> I64:
    """Return level, first block, and block after the last of the summaries of so many blocks, (q, SUMS, 3).

    Newest first; level -1 where there is none.
    """
    kinds, which = np.unique(blocks, return_inverse=True)
    table = np.zeros((len(kinds), SUMS, 3), np.int64)
    table[:, :, 0] = -1
    for row, kind in zip(table, kinds.tolist(), strict=True):
        found = spans_after(kind)
        row[: len(found)] = np.array(found).reshape(-1, 3)
    return table[which]


@lru_cache(maxsize=4096)
def spans_after(blocks: int) -> list[tuple[int, int, int]]:
    """Return the spans of the summaries of so many blocks, newest first."""
    found = []
    for level in range(LEVELS - 1):
        size, gone = RADIX**level, max(blocks - 1, 0) // RADIX * RADIX
        found += [(level, i * size, (i + 1) * size) for i in range(blocks - 1, gone - 1, -1)]
        blocks = gone // RADIX
    top, size = LEVELS - 1, RADIX ** (LEVELS - 1)
    # the top level merges within itself: its first 4, then each time what that made and 3 more
    gone = 0 if blocks <= RADIX else RADIX + (blocks - RADIX - 1) // (RADIX - 1) * (RADIX - 1)
    found += [(top, i * size, (i + 1) * size) for i in range(blocks - 1, gone - 1, -1)]
    return found + [(top, 0, gone * size)] * (gone > 0)


def merged(codes: Tensor, which: Tensor, spans: Tensor) -> Tensor:
    """Return the codes (q, SUMS, CODE) of spans (q, SUMS, 3) of `which` (q,) of the histories' codes (g, N, CODE)."""
    level, start, end = spans.unbind(2)
    which = which[:, None]
    total = functional.pad(codes[:, :, :MEANS].double().cumsum(1), (0, 0, 1, 0))  # (g, N + 1, MEANS)
    mean = (total[which, end] - total[which, start]) / (end - start).clamp(min=1)[:, :, None]
    tables = maxima(codes[:, :, MEANS:])
    offset = torch.tensor([0, *(table.shape[1] for table in tables)], device=codes.device).cumsum(0)
    size = RADIX ** level.clamp(min=0)
    place = offset[level.clamp(min=0)] + start // size
    place = torch.where((level == LEVELS - 1) & (start == 0), offset[LEVELS] + end // size - 1, place)
    place = place.where(level >= 0, offset[-1] - 1)
    return torch.cat([mean.float(), torch.cat(tables, 1)[which, place]], 2) * (level >= 0)[:, :, None]


def maxima(codes: Tensor) -> list[Tensor]:
    """Return the maxima of codes (g, N, C) by unit of every level, of the top level up to each unit, and a zero."""
    tables = [codes]
    for _ in range(LEVELS - 1):
        below = tables[-1]
        units = below.shape[1] // RADIX
        tables.append(below[:, : units * RADIX].reshape(len(below), units, RADIX, CODE - MEANS).amax(2))
    return [*tables, tables[-1].cummax(1).values, torch.zeros_like(codes[:, :1].sum(1, keepdim=True))]
