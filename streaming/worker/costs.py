"""What a batch costs at a level of the ladder, learned while running.

Times are nanoseconds. What is kept is few and recent, and its middle counts: a stall moves nothing, a machine that has
become slower is believed after a handful of batches.
"""

from collections import deque

import msgspec

KEPT = 15
TRUSTED = 8
SIZE_WEIGHT = 0.2
FIRST_FIXED, FIRST_EACH = 1_000_000.0, 1_000_000.0
"""What a batch and each of its events are taken to cost until one has been measured."""


class Recent:
    """A quantile of the newest measurements of one thing; `first` until there is one."""

    def __init__(self, first: float, share: float = 0.5, kept: int = KEPT) -> None:
        """Tell the value that `share` of the newest `kept` measurements stayed at or below."""
        self.value, self._share = first, share
        self._kept: deque[float] = deque(maxlen=kept)

    def __len__(self) -> int:
        """Return how many measurements there are."""
        return len(self._kept)

    def add(self, measured: float) -> None:
        """Take in a measurement."""
        self._kept.append(measured)
        self.value = sorted(self._kept)[min(int(self._share * len(self._kept)), len(self._kept) - 1)]


class _Sizes(msgspec.Struct):
    """Batches of similar size: their mean size, and what each of their events has cost."""

    size: float
    each: Recent


class BatchCost:
    """The cost of a batch of n events as a + b n, from the middle of what batches of each size have cost.

    Sizes are kept apart by powers of two: an overload, whose batches are all full, does not make what is known of small
    ones be forgotten.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self._sizes: dict[int, _Sizes] = {}
        self._fixed, self._each = FIRST_FIXED, FIRST_EACH
        self.learned = 0

    def learn(self, events: int, spent: float) -> None:
        """Take in what a batch of one event or more has cost."""
        held = self._sizes.setdefault(group_of(events), _Sizes(float(events), Recent(0.0)))
        held.size += SIZE_WEIGHT * (events - held.size)
        held.each.add(spent / events)
        self.learned += 1
        self._fit()

    def of(self, events: int) -> float:
        """Return what a batch of so many events costs: as measured, where enough of that size were, else as fitted."""
        held = self._sizes.get(group_of(events))
        if held is not None and len(held.each) >= TRUSTED:
            return held.each.value * held.size + self._each * (events - held.size)
        return self._fixed + self._each * events

    def _fit(self) -> None:
        """Fit a and b by least squares, neither below nothing; what was measured more often counts for more."""
        points = [(float(len(held.each)), held.size, held.size * held.each.value) for held in self._sizes.values()]
        weight = sum(w for w, _, _ in points)
        size, cost = sum(w * n for w, n, _ in points) / weight, sum(w * c for w, _, c in points) / weight
        spread = sum(w * (n - size) ** 2 for w, n, _ in points)
        # From one size alone nothing is known of the other part: all is laid on the events, to be safe.
        each = sum(w * (n - size) * (c - cost) for w, n, c in points) / spread if spread else cost / size
        self._each = min(max(each, 0.0), cost / size)
        self._fixed = cost - self._each * size


def group_of(events: int) -> int:
    """Return the number of a group of similar sizes: 0 for one event, 1 for two, 2 for three or four, and so on."""
    return (events - 1).bit_length()
