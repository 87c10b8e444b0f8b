"""Reasons of the booster: the exact contributions of TreeSHAP, summed over the features of each group, in words."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fraud.core.records import Reason, Values
from models.reasons.catalogue import GROUPS, TOLD, group_of
from models.reasons.reading import Reading

F64 = NDArray[np.float64]


class Explainer:
    """Reasons for vectors of one list of feature names."""

    def __init__(self, names: Sequence[str]) -> None:
        """Sort the features into groups once."""
        self._places = {name: place for place, name in enumerate(names)}
        self._names = tuple(names)
        self._group = np.array([group_of(name) for name in names], dtype=np.intp)

    def reasons(self, values: Values, effects: F64) -> tuple[Reason, ...]:
        """Return up to three groups that raised the score, strongest first.

        `values` is float32 (features,), NaN where nothing is known; `effects`, float64 (features,), log-odds.
        """
        totals: F64 = np.bincount(self._group, weights=effects, minlength=len(GROUPS)).astype(np.float64)
        strongest = np.argsort(-totals, kind="stable")[:TOLD]
        return tuple(self._reason(int(i), values, effects, totals) for i in strongest if totals[i] > 0)

    def _reason(self, group: int, values: Values, effects: F64, totals: F64) -> Reason:
        read = Reading(self._places, values, self._strongest(group, effects))
        return Reason(GROUPS[group].name, GROUPS[group].words(read), float(totals[group]))

    def _strongest(self, group: int, effects: F64) -> str:
        """Return the name of the group's feature that raised the score most."""
        members = np.flatnonzero(self._group == group)
        return self._names[int(members[np.argmax(effects[members])])]
