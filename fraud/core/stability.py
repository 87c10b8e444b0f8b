"""Population stability: how far the values of columns have moved from a reference.

With shares p of the reference (n rows) and q of a window (m rows) in the same bins,

    PSI = sum (q - p) ln(q / p),

each share taken with half a count more in every bin that either has used, so that one which is empty in the other
costs little. Where nothing has moved, PSI / (1/n + 1/m) is close to chi-squared with (bins - 1) degrees of freedom
(Yurdakul and Naranjo, Journal of Risk Model Validation 2020): it is (bins - 1)(1/n + 1/m) on average. `Compared` has
that mean, to be subtracted, and a bound that chance passes one time in 300,000.

Bins are quantiles of the reference, with one more for missing values; a column of few values has fewer.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraud.core.errors import StateError

HALF = 0.5
CHANCE = 4.5
"""In standard deviations of a normal distribution: 1 in 300,000."""

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


class Compared(NamedTuple):
    """A window of one column against its reference: PSI, its mean and its bound under chance."""

    of: str
    psi: float
    expected: float
    bound: float

    @property
    def excess(self) -> float:
        """Return what chance does not explain."""
        return max(self.psi - self.expected, 0.0)


def stability(reference: I64, window: I64) -> F64:
    """Return the index of each row of counts, (columns, bins) each."""
    used = reference + window > 0
    p, q = (_shares(counts, used) for counts in (reference, window))
    moved = (q - p) * np.log(q / p, out=np.zeros_like(p), where=used)
    return np.asarray(moved.sum(axis=-1))


def chance(bins: int, n: int, m: int) -> tuple[float, float]:
    """Return mean and bound of the index of n against m decisions where nothing has moved.

    The bound is the chi-squared quantile at 4.5 standard deviations, by Wilson and Hilferty's cube.
    """
    freedom, unit = max(bins - 1, 0), 1 / n + 1 / m
    if not freedom:
        return 0.0, 0.0
    spread = 2 / (9 * freedom)
    return freedom * unit, freedom * (1 - spread + CHANCE * math.sqrt(spread)) ** 3 * unit


def _shares(counts: I64, used: NDArray[np.bool_]) -> F64:
    """Return shares with half a count more in every bin in use; 1 where neither has any, which moves nothing."""
    smoothed = np.where(used, counts + HALF, 0.0)
    return np.where(used, smoothed / smoothed.sum(axis=-1, keepdims=True), 1.0)


class Bins:
    """Bins of columns, from quantiles of a sample; the last one of each is for missing values."""

    def __init__(self, edges: F32) -> None:
        """Take inner edges, float32 (columns, bins - 1), ascending, filled up with infinity."""
        self.edges = edges

    @classmethod
    def of(cls, sample: F32, bins: int) -> "Bins":
        """Return bins of about equal share of a sample, (rows, columns); equal values stay together."""
        edges = np.full((sample.shape[1], bins - 1), np.inf, np.float32)
        for column, values in enumerate(sample.T):
            known = values[~np.isnan(values)]
            if len(known):
                found = np.unique(np.quantile(known, np.arange(1, bins) / bins, method="lower"))
                edges[column, : len(found)] = found
        return cls(edges)

    def counts(self, rows: F32) -> I64:
        """Return how many rows fall in each bin, (columns, bins + 1); a value at an edge is below it."""
        columns, inner = self.edges.shape
        size = inner + 2
        index = (rows[:, :, None] > self.edges).sum(axis=2)
        index[np.isnan(rows)] = inner + 1
        flat = (index + np.arange(columns) * size).ravel()
        return np.bincount(flat, minlength=columns * size).reshape(columns, size).astype(np.int64)


class Thinned:
    """Rows of a long stretch, evenly spread: every k-th, k doubled whenever there would be twice `most`."""

    def __init__(self, most: int, columns: int) -> None:
        """Keep between `most` and twice as many of what comes."""
        self._most, self._columns = most, columns
        self.rows: dict[int, F32] = {}
        """What is kept, by its place in what came."""
        self.seen, self.stride = 0, 1

    def add(self, row: F32) -> None:
        """Take a row in, or leave it out."""
        if self.seen % self.stride == 0:
            self.rows[self.seen] = row
            if len(self.rows) >= 2 * self._most:
                self.stride *= 2
                self.rows = {place: kept for place, kept in self.rows.items() if place % self.stride == 0}
        self.seen += 1

    def matrix(self) -> F32:
        """Return what was kept, float32 (rows, columns)."""
        return np.array(list(self.rows.values()), np.float32).reshape(-1, self._columns)


class Columns:
    """Columns of values, compared with a reference of their own: given, or the first window's."""

    def __init__(self, names: Sequence[str], bins: int, least: int) -> None:
        """Watch columns of these names; a reference of one's own takes `least` rows."""
        self.names, self._bins = tuple(names), bins
        self._sample = Thinned(least, len(self.names))
        self._least = least
        self._by: Bins | None = None
        self._reference: I64 = np.zeros((len(self.names), bins + 1), np.int64)
        self._window = self._reference.copy()

    @property
    def has_reference(self) -> bool:
        """Tell whether there is something to compare with."""
        return self._by is not None

    def refer_to(self, sample: F32) -> None:
        """Compare with a sample, (rows, columns), from now on."""
        self._by = Bins.of(sample, self._bins)
        self._reference = self._by.counts(sample)

    def add(self, rows: F32) -> None:
        """Take rows in: into the window, or into what becomes the reference."""
        if self._by is not None:
            self._window += self._by.counts(rows)
        else:
            for row in rows:
                self._sample.add(row)

    def close(self) -> list[Compared]:
        """End a window; return how each column compares, or nothing where this window becomes the reference."""
        if self._by is None:
            if self._sample.seen >= self._least:
                self.refer_to(self._sample.matrix())
                self._sample = Thinned(self._least, len(self.names))
            return []
        if not self._window.any():
            return []
        n, m = int(self._reference[0].sum()), int(self._window[0].sum())
        used = ((self._reference + self._window) > 0).sum(axis=1).tolist()
        indices = stability(self._reference, self._window).tolist()
        self._window = np.zeros_like(self._window)
        named = zip(self.names, indices, used, strict=True)
        return [Compared(name, index, *chance(bins, n, m)) for name, index, bins in named]

    @property
    def sample(self) -> Mapping[int, F32]:
        """Return the rows of what becomes the reference, by number; a row never changes under its number."""
        return self._sample.rows

    def snapshot(self) -> "ColumnsState":
        """Return the whole state but for the sample."""
        edges = b"" if self._by is None else self._by.edges.tobytes()
        sample = self._sample
        return ColumnsState(
            self.names, edges, self._reference.tobytes(), self._window.tobytes(), sample.seen, sample.stride
        )

    def restore(self, state: "ColumnsState", sample: Mapping[int, F32]) -> None:
        """Replace the whole state; raise StateError for other columns or bins."""
        shape = self._reference.shape
        same = state.names == self.names and all(len(row) == len(self.names) for row in sample.values())
        if not same or len(state.reference) != self._reference.nbytes:
            msg = f"the state of drift is of {len(state.names)} other columns or other bins: start it anew"
            raise StateError(msg)
        edges = np.frombuffer(state.edges, np.float32).reshape(-1, self._bins - 1)
        self._by = Bins(edges) if len(edges) else None
        self._reference = np.frombuffer(state.reference, np.int64).reshape(shape)
        self._window = np.frombuffer(state.window, np.int64).reshape(shape).copy()
        self._sample = Thinned(self._least, len(self.names))
        self._sample.rows = dict(sample)
        self._sample.seen, self._sample.stride = state.seen, state.stride


class ColumnsState(msgspec.Struct, frozen=True, array_like=True):
    """The state of `Columns` but for its sample: arrays as bytes, float32 and int64."""

    names: tuple[str, ...]
    edges: bytes
    reference: bytes
    window: bytes
    seen: int
    stride: int
