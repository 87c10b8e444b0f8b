"""The scorers that serve what was learned: base scorers, unchanged, and the mixture on top of what they say."""

from collections.abc import Mapping, Sequence

import numpy as np

from fraud.core.ports import Codes, Histories, Matrix, Scorer
from fraud.core.records import Explanation, Level, Score, Values, log_odds_in
from models.boosting.trees import Trees
from models.online.leaves import LeafSums
from models.online.parameters import Parameters, moved
from models.online.snapshots import Snapshot, need_base, parameters_in
from models.reasons.lately import lately_of, with_lately
from models.reasons.reading import NOTHING, Lately

PART = "refreshed"


class Refreshed:
    """The Scorer port over a base and learned parameters.

    The base scores first and alone: the early exits of a blend read its own probability, as their proof asks, and a
    base without parameters is this scorer to the bit. Then sums of changes over the booster's leaves, clipped, are
    added to the base's log-odds, one for each pace, and the probabilities are mixed. Its reasons are the base's, and
    one more for what was learned.
    """

    def __init__(
        self, base: Scorer, sums: LeafSums, parameters: Parameters, version: str = "", lately: Lately = NOTHING
    ) -> None:
        """Take a base, its booster's leaves, and parameters that belong to them, with their version.

        `lately` says what they were learned of. Raises ArtifactError when there are not as many changes as leaves.
        """
        self._base, self._sums, self._parameters = base, sums, parameters
        self._values = sums.values(parameters.changes.astype(np.float64))
        self._version, self._lately = version, lately

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
        scores, sums = self._base.score(ids, matrix, histories), self._sums.of(matrix, self._values).tolist()
        return [self._moved(score, row) for score, row in zip(scores, sums, strict=True)]

    def explain(self, values: Values, score: Score, histories: Histories | None = None, row: int = 0) -> Explanation:
        """Return the base's reasons and, where it has raised the score, what was learned lately among them."""
        told = self._base.explain(values, score, histories, row)
        return with_lately(told, values, self._lately, dict(score.parts).get(PART, 0.0), log_odds_in(score.parts))

    def _moved(self, score: Score, sums: Sequence[float]) -> Score:
        value, added = moved(self._parameters, score.value, sums)
        parts = (*score.parts, (PART, added)) if value != score.value else score.parts
        return Score(score.tx_id, value, score.model_version, score.level, parts, self._version)


class Refreshing:
    """Makes the scorers of learned parameters over one base. What does not depend on them is built once."""

    def __init__(self, bases: Mapping[Level, Scorer], trees: Trees) -> None:
        """Take the scorers that parameters change, by level, the full one among them, and their booster's trees."""
        self._bases, self._sums = dict(bases), LeafSums(trees)
        self.base, self.spec = bases[Level.FULL].version, bases[Level.FULL].spec_version

    def warm(self) -> None:
        """Load the compiled loops, for which the first payments would wait otherwise."""
        nothing = self._sums.values(np.zeros((1, self._sums.leaves)))
        for rows in (1, 2):
            self._sums.of(np.zeros((rows, self._sums.features), np.float32), nothing)

    def scorers(self, snapshot: Snapshot) -> dict[Level, Scorer]:
        """Return the scorers of a snapshot by level.

        Raises:
            ArtifactError: when it is damaged, or was learned on another model, other features or other trees.
        """
        need_base(snapshot, self.base, self.spec)
        parameters, lately = parameters_in(snapshot, self._sums.leaves), lately_of(snapshot.labels, snapshot.since)
        return {
            level: Refreshed(base, self._sums, parameters, snapshot.version, lately)
            for level, base in self._bases.items()
        }
