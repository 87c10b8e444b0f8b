"""The scorer that serves what was learned: a base scorer, unchanged, and the mixture on top of what it says."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fraud.core.errors import ArtifactError
from fraud.core.learning.outcomes import log_odds
from fraud.core.ports import Codes, Histories, Matrix, Scorer
from fraud.core.records import Reason, Score, Values
from models.boosting import treeshap
from models.boosting.trees import Trees
from models.online import leaves as lv
from models.online.parameters import Parameters, mixed
from models.reasons.of_booster import Explainer

PART = "refreshed"


def changed(trees: Trees, parameters: Parameters) -> Trees:
    """Return the trees with new leaf values: each expert's change by its weight.

    To first order the mixture's log-odds are those of these trees; exact contributions of them add up exactly. The
    mixture itself is made of probabilities, and clips, so it is served by `Refreshed` and only explained by these.
    """
    shift = np.asarray(parameters.weights[1:]) @ parameters.changes.astype(np.float64)
    return replace(trees, leaf=trees.leaf + shift)


class Refreshed:
    """The Scorer port over a base and learned parameters.

    The base scores first and alone: the early exits of a blend read its own probability, as their proof asks, and a
    base without parameters is this scorer to the bit. Then sums of changes over the booster's leaves, clipped, are
    added to the base's log-odds, one for each pace, and the probabilities are mixed.
    """

    def __init__(self, base: Scorer, trees: Trees, names: Sequence[str], parameters: Parameters) -> None:
        """Take a base, its booster's trees with the names of their features, and parameters that belong to them.

        Raises ArtifactError when there are not as many changes as leaves.
        """
        self._base, self._trees, self._parameters = base, trees, parameters
        self._sums = lv.LeafSums(trees.walk, trees.features, parameters.changes.astype(np.float64))
        if len(names) != trees.features:
            message = f"The trees take {trees.features} features, got {len(names)} names: one for each is needed."
            raise ArtifactError(message)
        self._names = tuple(names)
        self._explainer: Explainer | None = None
        self._paths: treeshap.Paths | None = None

    @property
    def version(self) -> str:
        """Return the base's version: parameters have one of their own."""
        return self._base.version

    @property
    def spec_version(self) -> str:
        """Return the base's feature spec."""
        return self._base.spec_version

    @property
    def encoder(self) -> str:
        """Return the version of the base's encoder."""
        return self._base.encoder

    def encode(self, blocks: Matrix) -> Codes:
        """Return the base's codes."""
        return self._base.encode(blocks)

    def score(self, ids: Sequence[str], matrix: Matrix, histories: Histories | None = None) -> list[Score]:
        """Return the base's scores with what was learned on top; the part `refreshed` is what that adds, log-odds."""
        scores, sums = self._base.score(ids, matrix, histories), self._sums.of(matrix).tolist()
        return [self._moved(score, row) for score, row in zip(scores, sums, strict=True)]

    def explain(
        self, values: Values, score: Score, histories: Histories | None = None, row: int = 0
    ) -> tuple[Reason, ...]:
        """Return the base's reasons; where the base is the booster alone, those of the trees with their new values."""
        if self._base.encoder:
            return self._base.explain(values, score, histories, row)
        if self._paths is None or self._explainer is None:
            self._explainer = Explainer(self._names)
            self._paths = treeshap.build(changed(self._trees, self._parameters))
        return self._explainer.reasons(values, self._paths.contributions(values)[:-1])

    def _moved(self, score: Score, sums: Sequence[float]) -> Score:
        value = mixed(self._parameters, score.value, sums)
        if value == score.value:
            return score
        parts = (*score.parts, (PART, log_odds(value) - log_odds(score.value)))
        return Score(score.tx_id, value, score.model_version, score.level, parts)
