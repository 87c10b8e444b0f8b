"""Payments in the making: the columns that a pattern of behaviour decides, before delivery adds the rest."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fraud.simulate.traffic import NO_DEVICE, Ints


@dataclass(frozen=True, slots=True)
class Payments:
    """Columns of shape (payments,): `at` is ns since the stream's start, `cents` the amount in the base currency.

    `channel` is a position in the catalogue's channels, `kind` in the traffic's kinds, `scenario` in the rich
    stream's scenario names (0 is genuine).
    """

    at: Ints
    card: Ints
    merchant: Ints
    device: Ints
    cents: Ints
    channel: Ints
    kind: Ints
    scenario: Ints

    def __len__(self) -> int:
        """Return the number of payments."""
        return len(self.at)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Payments":
        """Return some rows."""
        return Payments(*(getattr(self, f.name)[rows] for f in fields(self)))


def made(
    at: Ints,
    card: Ints,
    merchant: Ints,
    cents: Ints,
    channel: Ints,
    scenario: int,
    device: Ints | None = None,
) -> Payments:
    """Return payments of one scenario; without `device` none is known."""
    zeros = np.zeros(len(at), dtype=np.int64)
    known = zeros + NO_DEVICE if device is None else device
    return Payments(at, card, merchant, known, np.maximum(cents, 1), channel, zeros, zeros + scenario)


def joined(parts: Sequence[Payments]) -> Payments:
    """Return all payments of all parts, in no order."""
    return Payments(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Payments)))
