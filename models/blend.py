"""Network and booster as one scorer: exits of growing cost, each a calibrated mixture, each part's share kept.

Exit 0 is the booster: it reads no history. Exit 1 adds the network's reading of card and merchant, exit 2 the device's.
A payment leaves at the first exit whose probability is below that exit's threshold; the thresholds come from risk
control on rows that no part was fitted on (`fraud/training/blend.py`). A share of the traffic, chosen by a hash of
the id, always goes to the last exit, so that what early approval misses can be measured.

A network without booster is the same scorer with the booster's weight at 0 and no early exit.
"""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core.errors import ArtifactError
from fraud.core.ports import Codes, Histories, Matrix, Tokens
from fraud.core.records import BASE, EXIT, Explanation, Level, Parts, Score, Values
from models.boosting import quickscorer
from models.boosting.scorer import REFERENCE
from models.boosting.trees import F64, Trees
from models.calibration import Beta, probabilities
from models.reasons.of_blend import Explainer, neutral_of
from models.reasons.own import NOTHING, OwnUsual
from models.registry import Artifact, Card
from models.tgn.runtime import Network

BLEND, NETWORK = "blend", "network"
EXITS, THRESHOLDS = "exits", "exit_thresholds"
PROBE_ONE_IN = 64
"""One payment in so many goes to the last exit whatever the first ones say."""


class Exit(NamedTuple):
    """A calibrated mixture: Beta(booster * raw + network * logit + bias)."""

    booster: float
    network: float
    bias: float
    calibration: Beta

    def logit(self, raw: F64, logit: F64) -> F64:
        """Return the mixture's log-odds, float64 (rows,)."""
        return self.booster * raw + self.network * logit + self.bias

    def probabilities(self, raw: F64, logit: F64) -> F64:
        """Return calibrated probabilities, float64 (rows,)."""
        return self.calibrated(raw, logit)[0]

    def calibrated(self, raw: F64, logit: F64) -> tuple[F64, F64]:
        """Return calibrated probabilities and their log-odds, float64 (rows,) each."""
        base = self.calibration.log_odds(self.logit(raw, logit).tolist())
        return np.array(probabilities(base), dtype=np.float64), np.array(base, dtype=np.float64)


class Reading(NamedTuple):
    """What was computed of the rows of one batch, float64 (rows,) each but for the exit taken.

    `base` is the log-odds of `probability`, `raw` and `logit` are what booster and network say.
    """

    exit: NDArray[np.int64]
    probability: F64
    base: F64
    raw: F64
    logit: F64


class Blend:
    """The Scorer port over booster and network."""

    def __init__(
        self, card: Card, trees: Trees, network: Network, exits: Sequence[Exit], thresholds: Sequence[float]
    ) -> None:
        """Take checked parts: as many exits as the network has and one more, a threshold for each but the last."""
        if len(exits) != network.sides or len(thresholds) != len(exits) - 1:
            message = f"Model '{card.name}' has {len(exits)} exits, its network of {network.sides} sides needs as many."
            raise ArtifactError(message)
        self._card, self._network = card, network
        self._trees = trees
        self._quickest = quickscorer.FastTrees(trees)
        self.exits, self.thresholds = tuple(exits), tuple(thresholds)
        self._version = f"{card.name}@{card.version}"
        self._explainer: Explainer | None = None
        self.neutral: NDArray[np.float32] = np.full(trees.features, np.nan, dtype=np.float32)
        """What stands for features that a reason takes out, float32 (features,)."""
        self.own: OwnUsual = NOTHING
        """What is usual of own columns."""
        self.reference_scores: F64 = np.empty(0)
        """Probabilities of the validation rows, ascending, thinned out: what an alert budget is met with."""
        self.evidence = True
        """Whether explanations carry the numbers behind them, those of single events among them."""

    @classmethod
    def of(cls, artifact: Artifact) -> "Blend":
        """Build from a loaded artifact; raise ArtifactError when it is of another kind or incomplete."""
        card, arrays = artifact.card, artifact.arrays
        if card.kind not in (BLEND, NETWORK):
            message = f"Model '{card.name}' is of kind '{card.kind}', expected '{BLEND}' or '{NETWORK}'."
            raise ArtifactError(message)
        exits = np.asarray(arrays.get(EXITS, ()), dtype=np.float64)
        if exits.ndim != 2 or exits.shape[1] != 6:
            message = f"Model '{card.name}' carries no exits; train it again."
            raise ArtifactError(message)
        made = [Exit(row[0], row[1], row[2], Beta(*row[3:])) for row in exits.tolist()]
        limits = np.asarray(arrays.get(THRESHOLDS, ()), dtype=np.float64).tolist()
        blend = cls(card, Trees.from_arrays(arrays), Network(arrays), made, limits)
        blend.reference_scores = np.asarray(arrays.get(REFERENCE, ()), dtype=np.float64)
        blend.own = OwnUsual.of(artifact)
        blend.neutral = neutral_of(arrays, len(card.features), blend.network.columns)
        return blend

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
        """Return the feature spec that both parts were fitted on."""
        return self._card.spec_version

    @property
    def encoder(self) -> str:
        """Return the version of the network's block encoder."""
        return self._network.encoder

    @property
    def trees(self) -> Trees:
        """Return the booster's trees."""
        return self._trees

    @property
    def network(self) -> Network:
        """Return the network."""
        return self._network

    def encode(self, blocks: Matrix) -> Codes:
        """Return codes (N, 32) of closed blocks (N, 16, 20)."""
        return self._network.encode(blocks)

    def score(self, ids: Sequence[str], matrix: Matrix, histories: Histories | None = None) -> list[Score]:
        """Return a calibrated score per row of `matrix`, float32 (rows, features); NaN means missing.

        Without histories every row leaves at exit 0, and says so by its level.
        """
        read = self.read(ids, matrix, histories)
        level = Level.FULL if histories is not None else Level.EARLY
        rows = zip(ids, *(part.tolist() for part in read), strict=True)
        return [
            Score(tx_id, probability, self._version, level, self._parts(taken, base, raw, logit))
            for tx_id, taken, probability, base, raw, logit in rows
        ]

    def read(self, ids: Sequence[str], matrix: Matrix, histories: Histories | None) -> Reading:
        """Return what each row's exit says; histories are decoded only for the rows that go on."""
        raw = self.raw(matrix)
        read = Reading(np.zeros(len(raw), np.int64), *self.exits[0].calibrated(raw, raw), raw, np.zeros(len(raw)))
        if histories is None:
            return read
        probe = np.array([zlib.crc32(tx_id.encode()) % PROBE_ONE_IN == 0 for tx_id in ids], dtype=bool)
        going = np.flatnonzero(probe | ~(read.probability < self.thresholds[0]))
        if len(going):
            self._go_on(read, going, probe, matrix, histories)
        return read

    def _go_on(self, read: Reading, going: NDArray[np.intp], probe: NDArray[np.bool_], matrix: Matrix,
               histories: Histories) -> None:  # fmt: skip
        """Take rows to exit 1 and, of a network with a device side, those still undecided to exit 2."""
        tokens = histories.tokens(going, self._network.sides)
        near = self._network.near(matrix[going], tokens)
        self._note(read, going, 1, near.logit)
        if self._network.sides == 2:
            return
        stay = np.flatnonzero(probe[going] | ~(read.probability[going] < self.thresholds[1]))
        if len(stay):
            kept = Tokens(tokens.raw[stay], tokens.sums[stay], tokens.codes[stay], tokens.text[stay])
            self._note(read, going[stay], 2, self._network.far(near.latents[stay], kept))

    def _note(self, read: Reading, rows: NDArray[np.intp], taken: int, logit: NDArray[np.float32]) -> None:
        wide = logit.astype(np.float64)
        read.exit[rows], read.logit[rows] = taken, wide
        read.probability[rows], read.base[rows] = self.exits[taken].calibrated(read.raw[rows], wide)

    def raw(self, matrix: Matrix) -> F64:
        """Return the booster's uncalibrated log-odds per row, float64 (rows,)."""
        return self._quickest.raw(matrix)

    def _parts(self, taken: int, base: float, raw: float, logit: float) -> Parts:
        """Return each part's share of the mixture's log-odds, what the calibration makes of them, the exit taken."""
        mix = self.exits[taken]
        shares = ("booster", mix.booster * raw), ("network", mix.network * logit)
        return *shares, (BASE, base), (EXIT, float(taken))

    def explain(self, values: Values, score: Score, histories: Histories | None = None, row: int = 0) -> Explanation:
        """Return up to three reasons that raised the score, strongest first."""
        if self._explainer is None:
            self._explainer = Explainer(self)
        grounds = self._explainer.explain(values, score, histories, row, events=self.evidence)
        return grounds.explanation(self.spec_version, self._version, evidence=self.evidence)


class Early:
    """The same scorer where there is no time for histories: everything leaves at exit 0, at level `early`."""

    def __init__(self, full: Blend) -> None:
        """Wrap the full scorer."""
        self._full = full

    @property
    def version(self) -> str:
        """Return the full scorer's version: the level says what ran."""
        return self._full.version

    @property
    def spec_version(self) -> str:
        """Return the full scorer's feature spec."""
        return self._full.spec_version

    @property
    def encoder(self) -> str:
        """Return the empty string: it reads no histories."""
        return ""

    def encode(self, blocks: Matrix) -> Codes:
        """Return the codes of the full scorer."""
        return self._full.encode(blocks)

    def score(self, ids: Sequence[str], matrix: Matrix, histories: Histories | None = None) -> list[Score]:
        """Return scores of exit 0."""
        return self._full.score(ids, matrix, None)

    def explain(self, values: Values, score: Score, histories: Histories | None = None, row: int = 0) -> Explanation:
        """Return reasons of exit 0."""
        return self._full.explain(values, score, None, row)
