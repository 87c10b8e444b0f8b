"""Models of a site, to score again what was scored before: each loaded once, when somebody first asks."""

from threading import Lock
from typing import NamedTuple

import numpy as np

from fraud.core.errors import ArtifactError
from fraud.core.learning.outcomes import probability
from fraud.core.ports import Scorer
from fraud.core.settings import Settings
from fraud.review.library import Rescored
from models.blend import Blend
from models.boosting.scorer import Booster
from models.online.leaves import LeafSums
from models.online.parameters import moved
from models.online.snapshots import decoded, need_base, parameters_in
from streaming import wiring

MOST = 3
"""Models that are kept: that of today, and those around a change."""


class Loaded(NamedTuple):
    """A model, and the leaves that learned parameters change; None where it has none."""

    scorer: Scorer
    leaves: LeafSums | None


class SiteModels:
    """Loads models by the names that decisions give them."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings, which say where they lie and whose signature is trusted."""
        self._settings = settings
        self._loaded: dict[str, Loaded] = {}
        self._lock = Lock()

    def score(self, version: str, learned: bytes, of: Rescored) -> float:
        """Return the probability that a model gives a stored vector, with learned parameters where there are some.

        Raises:
            ArtifactError: the model is not here, needs what is not stored, or the parameters are of another one.
        """
        model = self._model(version)
        base = self._base(model, version, of)
        if not learned:
            return base
        if model.leaves is None:
            msg = f"{version} has no leaves that parameters could change"
            raise ArtifactError(msg)
        snapshot = decoded(learned)
        need_base(snapshot, model.scorer.version, model.scorer.spec_version)
        parameters = parameters_in(snapshot, model.leaves.leaves)
        values = model.leaves.values(parameters.changes.astype(np.float64))
        return moved(parameters, base, model.leaves.of(of.values[None, :], values)[0].tolist())[0]

    def _base(self, model: Loaded, version: str, of: Rescored) -> float:
        """Return the probability before anything was learned."""
        scorer = model.scorer
        if scorer.spec_version not in ("", of.spec):
            msg = f"{version} reads features {scorer.spec_version}, and {of.spec or 'none'} are stored"
            raise ArtifactError(msg)
        if of.model == scorer.version and of.log_odds is not None:
            return probability(of.log_odds)
        if isinstance(scorer, Blend):
            msg = f"{version} reads histories of card and merchant, which are not stored with an alert"
            raise ArtifactError(msg)
        return scorer.score([of.tx_id], np.ascontiguousarray(of.values[None, :]))[0].value

    def _model(self, version: str) -> Loaded:
        with self._lock:
            if version not in self._loaded:
                while len(self._loaded) >= MOST:
                    self._loaded.pop(next(iter(self._loaded)))
                self._loaded[version] = self._read(version)
            return self._loaded[version]

    def _read(self, version: str) -> Loaded:
        try:
            scorer = wiring.scorer(version, self._settings, wiring.spec_of(self._settings).version)
        except ImportError as error:
            msg = f"{version} cannot be run here ({error.name} is missing: install fraud[onnx])"
            raise ArtifactError(msg) from error
        if scorer.version != version:
            msg = f"{self._settings.model.folder} holds {scorer.version}, and {version} decides"
            raise ArtifactError(msg)
        return Loaded(scorer, LeafSums(scorer.trees) if isinstance(scorer, Booster | Blend) else None)
