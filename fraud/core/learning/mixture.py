"""A mixture of experts in probability space, weighed by what each has lost (Hedge with fixed share)."""

import math
from collections.abc import Sequence

import msgspec

from fraud.core.errors import StateError
from fraud.core.learning.journal import UNREADABLE

EXPERTS = ("frozen", "slow", "fast")
PRIOR = (0.5, 0.25, 0.25)
ETA, SHARE = 1.0, 1e-5


class Mixture:
    """Weights over experts: multiplied by exp(-eta loss) at each label, then a `share` is dealt out anew by the prior.

    Hedge with eta 1 on log-loss is Bayes' rule, so the mixture never loses more than ln(1 / prior) nats in all against
    its best expert; the fixed share (Herbster and Warmuth, Machine Learning 1998) lets another one become the
    best. Losses must be prequential: of probabilities that were given before the label was learned.
    """

    def __init__(self, prior: Sequence[float] = PRIOR, *, eta: float = ETA, share: float = SHARE) -> None:
        """Start at the prior; raise ValueError unless it is positive and adds up to 1."""
        if min(prior) <= 0 or abs(sum(prior) - 1) > 1e-9:
            msg = f"prior is {tuple(prior)}, expected a positive weight for each expert, 1 in all"
            raise ValueError(msg)
        self._prior, self._eta, self._share = tuple(prior), eta, share
        self.weights: tuple[float, ...] = self._prior
        """One weight an expert, 1 in all."""

    def probability(self, experts: Sequence[float]) -> float:
        """Return the mixture of the experts' probabilities."""
        return math.fsum(weight * p for weight, p in zip(self.weights, experts, strict=True))

    def learn(self, losses: Sequence[float]) -> None:
        """Take in what each expert lost on one label, nats."""
        least = min(losses)
        grown = [w * math.exp(-self._eta * (loss - least)) for w, loss in zip(self.weights, losses, strict=True)]
        total = math.fsum(grown)
        share = self._share
        self.weights = tuple(
            (1 - share) * one / total + share * prior for one, prior in zip(grown, self._prior, strict=True)
        )

    def snapshot(self) -> bytes:
        """Return the weights, to the last bit."""
        return msgspec.msgpack.encode(self.weights)

    def restore(self, snapshot: bytes) -> None:
        """Replace the weights; raise StateError unless there is one for each expert."""
        try:
            weights = msgspec.msgpack.decode(snapshot, type=tuple[float, ...])
        except UNREADABLE as error:
            msg = f"the mixture's weights cannot be read ({error}): restore what `snapshot` returned"
            raise StateError(msg) from error
        if len(weights) != len(self._prior):
            msg = f"the snapshot holds {len(weights)} weights, expected {len(self._prior)}: it is of another mixture"
            raise StateError(msg)
        self.weights = weights
