"""The gradient-boosted expert behind the Scorer port: compiled trees, a calibration, reasons in words."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fraud.core.errors import ArtifactError
from fraud.core.ports import Histories, Matrix, ReadsNoHistory
from fraud.core.records import BASE, EXIT, Explanation, Level, Score, Values
from models.boosting import quickscorer, treeshap
from models.boosting.trees import F64, Trees
from models.calibration import Beta, probabilities
from models.reasons.of_booster import Explainer
from models.reasons.own import NOTHING, OwnUsual
from models.registry import Artifact, Card

KIND = "booster"
CALIBRATION, REFERENCE = "calibration", "reference_scores"
REFERENCE_COUNT = 4_001
ONLY_EXIT = (EXIT, 0.0)


class Booster(ReadsNoHistory):
    """Scores from trees, the same bits for a row whatever its batch.

    Scoring costs about 1 us a row at batch 32 and 16 us at batch 1 for 300 trees of 15 leaves; reasons cost about
    0.2 ms and are prepared on first use.
    """

    def __init__(
        self, card: Card, trees: Trees, calibration: Beta, reference: F64 | None = None, own: OwnUsual = NOTHING
    ) -> None:
        """Take checked parts; `own` is what is usual of own columns.

        Raises ArtifactError when the card names another number of features.
        """
        if len(card.features) != trees.features:
            message = f"Model '{card.name}' names {len(card.features)} features, its trees take {trees.features}."
            raise ArtifactError(message)
        self._card = card
        self._trees = trees
        self._calibration = calibration
        self._version = f"{card.name}@{card.version}"
        self._quickest = quickscorer.FastTrees(trees)
        self._paths: treeshap.Paths | None = None
        self._explainer = Explainer(card.features, own)
        self.reference_scores: F64 = np.empty(0) if reference is None else reference
        """Probabilities of the validation rows, ascending, thinned out: what an alert budget is met with."""
        self.evidence = True
        """Whether explanations carry the numbers behind them."""

    @classmethod
    def of(cls, artifact: Artifact) -> "Booster":
        """Build from a loaded artifact; raise ArtifactError when it is of another kind or incomplete."""
        if artifact.card.kind != KIND:
            message = f"Model '{artifact.card.name}' is of kind '{artifact.card.kind}', expected '{KIND}'."
            raise ArtifactError(message)
        numbers = np.asarray(artifact.arrays.get(CALIBRATION, ()), dtype=np.float64)
        if numbers.shape != (3,):
            message = f"Model '{artifact.card.name}' carries no calibration; train it again."
            raise ArtifactError(message)
        reference = np.asarray(artifact.arrays.get(REFERENCE, ()), dtype=np.float64)
        trees, own = Trees.from_arrays(artifact.arrays), OwnUsual.of(artifact)
        return cls(artifact.card, trees, Beta(*map(float, numbers)), reference, own)

    @property
    def card(self) -> Card:
        """Return the artifact's card."""
        return self._card

    @property
    def version(self) -> str:
        """Return name and content hash, as decisions record it."""
        return self._version

    @property
    def spec_version(self) -> str:
        """Return the feature spec that the trees were fitted on."""
        return self._card.spec_version

    @property
    def trees(self) -> Trees:
        """Return the trees."""
        return self._trees

    def score(self, ids: Sequence[str], matrix: Matrix, histories: Histories | None = None) -> list[Score]:
        """Return a calibrated score per row of `matrix`, float32 (rows, features); NaN means missing."""
        base = self._calibration.log_odds(self.raw(matrix).tolist())
        rows = zip(ids, probabilities(base), base, strict=True)
        return [
            Score(tx_id, value, self._version, Level.FULL, ((BASE, log_odds), ONLY_EXIT))
            for tx_id, value, log_odds in rows
        ]

    def raw(self, matrix: Matrix) -> F64:
        """Return uncalibrated log-odds per row, float64 (rows,)."""
        return self._quickest.raw(matrix)

    def probabilities(self, matrix: Matrix) -> F64:
        """Return calibrated probabilities per row, float64 (rows,): what `score` says, for many rows."""
        return np.array(self._calibration.probabilities(self.raw(matrix).tolist()), dtype=np.float64)

    def contributions(self, values: Values) -> F64:
        """Return each feature's effect in log-odds, float64 (features + 1,), the last the base; they add up to raw."""
        return self._game.contributions(values)

    def knowing(self, values: Values, known: NDArray[np.uint8]) -> list[float]:
        """Return the probability of a row of which only some features are known, uint8 (cases, features) of 0 and 1.

        That is the mean raw score over the training rows that go the same way wherever a feature is not known, as in
        TreeSHAP's game, calibrated.
        """
        return self._calibration.probabilities(self._game.values(values, known).tolist())

    def explain(self, values: Values, score: Score, histories: Histories | None = None, row: int = 0) -> Explanation:
        """Return up to three reasons that raised the score, strongest first."""
        grounds = self._explainer.explain(values, self.contributions(values)[:-1], self.knowing)
        return grounds.explanation(self.spec_version, self._version, evidence=self.evidence)

    @property
    def _game(self) -> treeshap.Paths:
        """Return the trees' game, prepared on first use."""
        if self._paths is None:
            self._paths = treeshap.build(self._trees)
        return self._paths


def weights(trees: Trees, calibration: Beta, scores: Sequence[float] = ()) -> dict[str, NDArray[np.generic]]:
    """Return the arrays that an artifact of this kind stores; `scores` are those of the validation rows."""
    arrays = {**trees.arrays(), CALIBRATION: np.array(calibration, dtype=np.float64)}
    if len(scores):
        shares = np.linspace(0.0, 1.0, min(len(scores), REFERENCE_COUNT))
        arrays[REFERENCE] = np.quantile(np.asarray(scores), shares, method="lower").astype(np.float32)
    return arrays
