"""Kinds of models behind one face: fit on slices, then score rows, as booster, network and blend at once.

A blend holds a booster and a network, so one fit answers for all three; a booster alone needs neither tokens nor torch.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from fraud.core.errors import DataError
from fraud.training import booster as boosting
from fraud.training import checkpoints
from fraud.training.booster import BoosterSettings, Fit
from fraud.training.checkpoints import Checkpoints
from fraud.training.dataset import Dataset
from fraud.training.settings import BLEND, BOOSTER, NETWORK
from fraud.training.splits import Rows, Slices
from models.boosting.trees import F64

if TYPE_CHECKING:
    from fraud.training.blend import BlendFit, BlendSettings
    from fraud.training.network import Epoch
    from fraud.training.sampling import Tokens

Step = Callable[[float, str], None]
"""Told the share of the work that is done, 0 to 1, and what is going on."""
Scores = dict[str, F64]
"""A probability of each row, float64 (rows,), by kind of model."""


class Fitted(Protocol):
    """What fitting leaves: something that scores rows, by every kind it holds."""

    @property
    def booster(self) -> Fit:
        """Return the fitted booster."""

    def scores(self, data: Dataset, rows: Rows) -> Scores:
        """Return calibrated probabilities of rows of `data`, by kind."""

    def validation(self) -> Scores:
        """Return those of the validation rows, by weights that never saw them; nothing without such rows."""

    def curve(self) -> "Sequence[Epoch]":
        """Return the network's learning curve, nothing without a network."""


class BoosterFitted(NamedTuple):
    """A booster alone."""

    booster: Fit

    def scores(self, data: Dataset, rows: Rows) -> Scores:
        """Return calibrated probabilities of rows of `data`."""
        return {BOOSTER: probabilities(self.booster, boosting.raw_scores(self.booster.trees, data, rows))}

    def validation(self) -> Scores:
        """Return out-of-sample probabilities of the validation rows."""
        raw = self.booster.validation
        return {BOOSTER: probabilities(self.booster, raw)} if len(raw) else {}

    def curve(self) -> "Sequence[Epoch]":
        """Return nothing."""
        return ()


class BlendFitted(NamedTuple):
    """Booster, network and their blend."""

    made: "BlendFit"
    booster: Fit

    def scores(self, data: Dataset, rows: Rows) -> Scores:
        """Return calibrated probabilities of rows of `data`, each kind at its last exit."""
        logits = self.made.network.trainer.predict(rows)[:, -1]
        return self._mixed(boosting.raw_scores(self.booster.trees, data, rows), logits)

    def validation(self) -> Scores:
        """Return out-of-sample probabilities of the validation rows."""
        logits = self.made.network.validation
        if len(logits) != len(self.booster.validation) or not len(logits):
            return {}
        return self._mixed(self.booster.validation, logits[:, -1])

    def curve(self) -> "Sequence[Epoch]":
        """Return the network's learning curve."""
        return self.made.network.curve

    def _mixed(self, raw: F64, logit: F64) -> Scores:
        return {
            BOOSTER: probabilities(self.booster, raw),
            NETWORK: self.made.alone[-1].probabilities(np.zeros_like(raw), logit),
            BLEND: self.made.exits[-1].probabilities(raw, logit),
        }


class FitRequest(NamedTuple):
    """What is to be fitted: the settings of a booster or of both parts, and where a killed fit goes on."""

    settings: "BoosterSettings | BlendSettings"
    tokens: "Tokens | None" = None
    checkpoints: Checkpoints | None = None


def fit(data: Dataset, rows: Slices, request: FitRequest, step: Step | None = None) -> Fitted:
    """Fit on `rows.train`, choosing on the other two; with checkpoints a killed fit goes on where it was."""
    tell = step or (lambda done, what: None)
    settings, kept = request.settings, request.checkpoints
    if isinstance(settings, BoosterSettings):
        return BoosterFitted(_booster(data, rows, settings, kept, tell))
    if request.tokens is None:
        message = "A network reads histories, and none were recorded; extract the data with histories."
        raise DataError(message)
    from fraud.training import blend

    share = blend.BOOSTER_SHARE
    booster = _booster(data, rows, settings.booster, kept, lambda done, what: tell(share * done, what))
    made = blend.fit_blend(
        data, request.tokens, rows, booster, settings.network,
        lambda done, what: tell(share + (1 - share) * done, f"network, {what}"), kept.network if kept else None,
    )  # fmt: skip
    return BlendFitted(made, booster)


def _booster(data: Dataset, rows: Slices, settings: BoosterSettings, kept: Checkpoints | None, tell: Step) -> Fit:
    """Return a fitted booster, or the one that an earlier call has left."""
    path = kept.booster(settings) if kept is not None else None
    if path is not None and (held := checkpoints.read_booster(path)) is not None:
        return held
    most = settings.trees
    made = boosting.fit(data, rows, settings, lambda done, what: tell(min(done / most, 1.0), f"booster, {what}"))
    if path is not None:
        checkpoints.write_booster(path, made)
    return made


def probabilities(booster: Fit, raw: F64) -> F64:
    """Return a booster's calibrated probabilities, float64 (rows,)."""
    return np.array(booster.calibration.probabilities(raw.tolist()), dtype=np.float64)
