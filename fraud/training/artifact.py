"""From a data set to an artifact in the registry: slices, fit, measures, card."""

from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from fraud.training.dataset import FRAUD, Dataset
from fraud.training.fit import BoosterSettings, Fit, Step, fit
from fraud.training.protocols import BUDGET, MEASURES, Predictor, measure
from fraud.training.slices import Slices, slices, span_before, usual_start, usual_validation
from models import registry
from models.booster import KIND, Booster, weights
from models.registry import Card
from models.trees import F64

LIBRARIES = ("lightgbm", "numpy", "numba")


class Trained(NamedTuple):
    """What training leaves: the saved card, the fit, and the rows it was made on."""

    card: Card
    fit: Fit
    rows: Slices


def usual_slices(data: Dataset) -> Slices:
    """Return what a model made at the end of a history may learn from: rows whose verdicts are known by then."""
    ready, delay = int(data.time[-1]) + 1, data.meta.identity.label_delay
    return slices(data, span_before(ready, delay, usual_start(data), usual_validation(data, ready - delay)))


def train_booster(
    data: Dataset, root: Path, name: str, created: int, settings: BoosterSettings, step: Step | None = None
) -> Trained:
    """Fit the booster on all that is known at the end of `data` and save it as `name`; `created` is ns UTC.

    Raises DataError when there is nothing to learn from, ArtifactError for a name that is not allowed.
    """
    registry.require_name(name)
    rows = usual_slices(data)
    made = fit(data, rows, settings, step)
    scores = made.calibration.probabilities(made.validation.tolist())
    arrays = weights(made.trees, made.calibration, scores)
    card = registry.save(root, draft(data, name, created, settings, rows, made), arrays)
    return Trained(card, made, rows)


def draft(data: Dataset, name: str, created: int, settings: BoosterSettings, rows: Slices, made: Fit) -> Card:
    """Return the card of a fitted booster, before it is saved."""
    identity = data.meta.identity
    probability = np.array(made.calibration.probabilities(made.validation.tolist()))
    return Card(
        kind=KIND,
        name=name,
        created=created,
        data_hash=identity.data_hash,
        spec_version=identity.spec_version,
        features=data.names,
        label_delay=identity.label_delay,
        seed=settings.seed,
        metrics=_metrics(data, rows, probability),
        thresholds=_thresholds(probability),
        settings={**msgspec.to_builtins(settings), "trees": made.rounds, "trained_on": len(rows.train)},
        libraries={library: version(library) for library in LIBRARIES},
    )


def _metrics(data: Dataset, rows: Slices, probability: F64) -> dict[str, float | None]:
    """Return measures on the validation rows, scored by the model that had not seen them; {} without such rows."""
    if not len(probability):
        return {}
    measured = measure(data, rows.validation, probability)
    brier = float(np.mean((probability - (data.fraud[rows.validation] == FRAUD)) ** 2))
    return {**{name: measured[name] for name in MEASURES}, "brier": brier}


def _thresholds(probability: F64) -> dict[str, float]:
    """Return the probability that 1 % of the validation rows reach."""
    return {"alerts_1pct": float(np.quantile(probability, 1 - BUDGET))} if len(probability) else {}


class BoosterFitter:
    """The booster as a protocol wants it: fitted on a fold's slices, scored through the served form."""

    def __init__(self, settings: BoosterSettings, step: Step | None = None) -> None:
        """Take the settings of every fold."""
        self._settings = settings
        self._step = step or (lambda done, what: None)

    def __call__(self, data: Dataset, rows: Slices, fold: str) -> Predictor:
        """Return the fold's predictor."""
        made = fit(data, rows, self._settings, lambda done, what: self._step(done, f"{fold}, {what}"))
        return Booster(draft(data, "fold", 0, self._settings, rows, made), made.trees, made.calibration).probabilities
