"""Made-up histories of a data set's rows, for tests of fitting that need no extraction."""

from collections.abc import Iterator

import numpy as np

from fraud.training.sampling import Batch, Codes
from fraud.training.splits import Rows

SIDES, SLOTS, BLOCKS = 2, 3, 400


class MadeTokens:
    """The `Tokens` of rows: three events and one summary a side, drawn once by row number."""

    sides = SIDES
    has_text = False

    def __init__(self, rows: int, seed: int = 0) -> None:
        """Draw them."""
        rng = np.random.default_rng(seed)
        self.events = rng.normal(0, 0.5, (rows, SIDES, SLOTS, 32)).astype(np.float32)
        self.events[..., 0] = 1
        self.events[..., 20] = rng.random((rows, SIDES, SLOTS))
        self.made = rng.normal(0, 0.5, (BLOCKS, 16, 20)).astype(np.float32)
        self.made[..., 0] = 1

    def blocks(self) -> np.ndarray:
        """Return the blocks."""
        return self.made

    def batches(self, rows: Rows, codes: Codes, at_once: int) -> Iterator[tuple[Rows, Batch]]:
        """Yield the rows' tokens."""
        for begin in range(0, len(rows), at_once):
            some = rows[begin : begin + at_once]
            raw = np.zeros((len(some), SIDES, 64, 32), np.float32)
            raw[:, :, :SLOTS] = self.events[some]
            sums, read = (
                np.zeros((len(some), SIDES, 20, 16), np.float32),
                np.zeros((len(some), SIDES, 20, 32), np.float32),
            )
            block = (some[:, None] * SIDES + np.arange(SIDES)) % BLOCKS
            sums[:, :, 0, 0], sums[:, :, 0, 2], sums[:, :, 0, 6] = 1, np.log1p(16) / 10, 0.5
            read[:, :, 0] = codes[block]
            pushed = np.stack([block, np.ones_like(block)], axis=2)
            yield some, Batch(raw, sums, read, np.zeros((len(some), 24), np.int64), pushed)
