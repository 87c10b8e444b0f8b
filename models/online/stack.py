"""Two paces and the frozen model: what is learned, what is published of it, and what it says of a payment."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core.errors import StateError
from fraud.core.learning.mixture import EXPERTS, Mixture
from fraud.core.learning.outcomes import Outcome, loss
from models.online.learner import FAST, SLOW, LeafLearner
from models.online.parameters import CLIP, Parameters
from models.registry import Arrays

PACES = (SLOW, FAST)
MIXTURE = "mixture"


class Learned(NamedTuple):
    """One label as it is learned. `experts` are the probabilities that each expert gave when the decision was read."""

    leaves: Sequence[int]
    base: float
    outcome: Outcome
    experts: tuple[float, ...]


class OnlineStack:
    """Learners of two paces beside the frozen model, mixed by what each has lost."""

    def __init__(self, leaves: int, paces: Sequence[float] = PACES, clip: float = CLIP) -> None:
        """Start at no change, for trees with so many leaves in all; no payment is moved by more than `clip`."""
        self._learners = [LeafLearner(leaves, pace, clip) for pace in paces]
        self._clip = clip
        self._mixture = Mixture()

    @property
    def weights(self) -> tuple[float, ...]:
        """Return the experts' weights: frozen, slow, fast."""
        return self._mixture.weights

    def learn(self, label: Learned) -> None:
        """Take in a label: first what it cost each expert, as said before, then a step of each pace.

        A payment that was not kept (`kept` of 0) is weighed and not learned.
        """
        self._mixture.learn([loss(label.outcome, p) for p in label.experts])
        if label.outcome.fraud or label.outcome.kept > 0:
            for learner in self._learners:
                learner.learn(label.leaves, label.base, label.outcome)

    def export(self) -> Parameters:
        """Return the parameters as of now."""
        changes = np.stack([one.values() for one in self._learners]).astype(np.float32)
        return Parameters(self.weights, changes, self._clip)

    def snapshot(self) -> Arrays:
        """Return the whole state as plain arrays by name."""
        state: Arrays = {MIXTURE: np.array(self.weights)}
        for expert, learner in zip(EXPERTS[1:], self._learners, strict=True):
            state |= {f"{expert}.{name}": array for name, array in learner.snapshot().items()}
        return state

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Replace the whole state; raise StateError when it is of other trees or incomplete."""
        if MIXTURE not in arrays or arrays[MIXTURE].shape != (len(EXPERTS),):
            msg = f"the state has no weight for each of {', '.join(EXPERTS)}: restore what `snapshot` returned"
            raise StateError(msg)
        for expert, learner in zip(EXPERTS[1:], self._learners, strict=True):
            begin = f"{expert}."
            learner.restore({name.removeprefix(begin): a for name, a in arrays.items() if name.startswith(begin)})
        weights = np.asarray(arrays[MIXTURE], np.float64)
        if not (np.isfinite(weights).all() and weights.min() > 0):
            msg = f"the weights {weights.tolist()} are no shares: restore what `snapshot` returned"
            raise StateError(msg)
        self._mixture.weights = tuple(weights.tolist())
