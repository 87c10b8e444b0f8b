"""Reasons of the booster: the exact contributions of TreeSHAP, summed over the features of each group, in words."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fraud.core.records import Values
from models.reasons.catalogue import GROUPS, Told, chosen, group_of
from models.reasons.grounds import Grounds, by_code, reason_of
from models.reasons.own import NOTHING, OwnUsual
from models.reasons.reading import Reading

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

Knowing = Callable[[Values, U8], Sequence[float]]
"""A vector and what is known of it, uint8 (cases, features) of 0 and 1, to the probability of each case."""


class Explainer:
    """Reasons for vectors of one list of feature names."""

    def __init__(self, names: Sequence[str], own: OwnUsual = NOTHING) -> None:
        """Sort the features into groups once; `own` says what is usual of own columns."""
        self._own = own
        self._places = {name: place for place, name in enumerate(names)}
        self._names = tuple(names)
        self._group = np.array([group_of(name) for name in names], dtype=np.intp)

    def explain(self, values: Values, effects: F64, knowing: Knowing) -> Grounds:
        """Return up to three groups that raised the score, strongest first, and the effects of all.

        `values` is float32 (features,), NaN where nothing is known; `effects`, float64 (features,), log-odds.
        """
        totals: F64 = np.bincount(self._group, weights=effects, minlength=len(GROUPS)).astype(np.float64)
        told = chosen(
            totals, lambda group: Reading(self._places, values, self._strongest(group, effects), own=self._own)
        )
        reasons = [reason_of(one, totals, without) for one, without in self._beside(told, values, knowing)]
        return Grounds(tuple(reasons), by_code(totals))

    def _beside(self, told: list[Told], values: Values, knowing: Knowing) -> list[tuple[Told, float]]:
        """Return groups with the probability had nothing been known of each."""
        known = np.stack([self._group != one.place for one in told]).astype(np.uint8) if told else None
        return [] if known is None else list(zip(told, knowing(values, known), strict=True))

    def _strongest(self, group: int, effects: F64) -> str:
        """Return the name of the group's feature that raised the score most."""
        members = np.flatnonzero(self._group == group)
        return self._names[int(members[np.argmax(effects[members])])]
