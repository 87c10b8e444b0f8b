"""From a data set to an artifact in the registry: slices, fit, measures, card."""

from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from fraud.training import fitting, plots
from fraud.training.booster import BoosterSettings
from fraud.training.dataset import FRAUD, GENUINE, Dataset
from fraud.training.fitting import BlendFitted, FitRequest, Fitted
from fraud.training.protocols import BUDGET, MEASURES, measure
from fraud.training.settings import BLEND, BOOSTER
from fraud.training.splits import (
    ENOUGH_FRAUDS,
    PROVING_FRAUDS,
    Rows,
    Slices,
    slices,
    span_before,
    usual_start,
    usual_validation,
)
from models import registry
from models.boosting.scorer import weights
from models.boosting.trees import F64
from models.registry import Arrays, Card

LIBRARIES = ("lightgbm", "numpy", "numba")
NETWORK_LIBRARIES = ("torch", "onnx", "onnxruntime")
USUAL_ROWS = 50_000
EXITS = ("booster", "card and merchant", "device")
"""What each exit has read, first one first."""


class Trained(NamedTuple):
    """What training leaves: the saved card, what was fitted, and the rows it was made on."""

    card: Card
    fitted: Fitted
    rows: Slices

    def draw(self, data: Dataset, folder: Path) -> list[Path]:
        """Draw how the model did on the rows it was chosen on; return the pictures' paths."""
        scores = self.fitted.validation()
        if not scores:
            return []
        fraud = data.fraud[self.rows.validation] == FRAUD
        importance = data.names, self.fitted.booster.importance
        return plots.draw_all(folder, fraud, scores, importance, self.fitted.curve())


def usual_slices(data: Dataset, kind: str = BOOSTER) -> Slices:
    """Return what a model made at the end of a history may learn from: rows whose verdicts are known by then.

    A blend is judged on more frauds than other kinds, so that its early approval can be proved safe.
    """
    enough = PROVING_FRAUDS if kind == BLEND else ENOUGH_FRAUDS
    ready, delay = int(data.time[-1]) + 1, data.meta.identity.latest
    return slices(data, span_before(ready, delay, usual_start(data), usual_validation(data, ready - delay, enough)))


def train(
    data: Dataset, root: Path, name: str, created: int, kind: str, asked: FitRequest, step: fitting.Step | None = None,
    *, use: bool = True,
) -> Trained:  # fmt: skip
    """Fit a kind on all that is known at the end of `data` and save it as `name`; `created` is ns UTC.

    With `use` it becomes the one in use.

    Raises DataError when there is nothing to learn from, ArtifactError for a name that is not allowed.
    """
    registry.require_name(name)
    rows = usual_slices(data, kind)
    fitted = fitting.fit(data, rows, asked, step)
    arrays = arrays_of(data, rows, fitted, kind)
    card = registry.save(root, draft(data, name, created, kind, asked, rows, fitted, arrays), arrays, use=use)
    if asked.place is not None:
        asked.place.forget()
    return Trained(card, fitted, rows)


def arrays_of(data: Dataset, rows: Slices, fitted: Fitted, kind: str) -> Arrays:
    """Return what an artifact of a kind stores."""
    booster = fitted.booster
    reference = fitted.validation().get(kind, np.zeros(0))
    arrays = weights(booster.trees, booster.calibration, reference.tolist())
    return {**arrays, **_network_arrays(data, rows, fitted, kind)} if isinstance(fitted, BlendFitted) else arrays


def _network_arrays(data: Dataset, rows: Slices, fitted: BlendFitted, kind: str) -> Arrays:
    from fraud.training import onnx_export
    from models import blend as serving
    from models.reasons import of_blend

    made = fitted.made
    # A network alone still has the booster for what leaves before any history is read, and nothing leaves early.
    exits = made.exits if kind == BLEND else (made.exits[0], *made.alone[1:])
    limits = made.thresholds if kind == BLEND else (0.0,) * len(made.thresholds)
    return {
        **onnx_export.arrays_of(made.network.network, data.names),
        serving.EXITS: np.array([[one.booster, one.network, one.bias, *one.calibration] for one in exits]),
        serving.THRESHOLDS: np.array(limits, dtype=np.float64),
        of_blend.NEUTRAL: of_blend.usual(data.matrix[usual_rows(data, rows)]),
    }


def usual_rows(data: Dataset, rows: Slices) -> Rows:
    """Return the genuine training rows, evenly thinned to at most `USUAL_ROWS`, whose median is a usual payment."""
    genuine = rows.train[data.fraud[rows.train] == GENUINE]
    thinned: Rows = genuine[:: -(-len(genuine) // USUAL_ROWS) or 1]
    return thinned


def draft(
    data: Dataset, name: str, created: int, kind: str, asked: FitRequest, rows: Slices, fitted: Fitted, arrays: Arrays
) -> Card:
    """Return the card of what was fitted, before it is saved."""
    identity, validation = data.meta.identity, fitted.validation()
    measured = {part: _metrics(data, rows, probability) for part, probability in validation.items()}
    return Card(
        kind=kind,
        name=name,
        created=created,
        data_hash=identity.data_hash,
        spec_version=identity.spec_version,
        features=data.names,
        label_delay=identity.label_delay,
        label_spread=identity.label_spread,
        seed=_booster_settings(asked).seed,
        metrics=measured.get(kind, {}),
        metrics_by_model=measured if len(measured) > 1 else {},
        thresholds=_thresholds(validation.get(kind, np.zeros(0))),
        settings={**msgspec.to_builtins(asked.settings), "trained_on": len(rows.train), **_chosen(fitted)},
        libraries={library: version(library) for library in _libraries(fitted)},
        **_network_card(fitted, arrays),
    )


def _booster_settings(asked: FitRequest) -> BoosterSettings:
    return asked.settings if isinstance(asked.settings, BoosterSettings) else asked.settings.booster


def _chosen(fitted: Fitted) -> dict[str, Any]:
    """Return what was chosen on the validation rows: how many trees, and which epoch."""
    if isinstance(fitted, BlendFitted):
        return {"chosen": {"trees": fitted.booster.rounds, "epoch": fitted.made.network.best + 1}}
    return {"trees": fitted.booster.rounds}


def _libraries(fitted: Fitted) -> tuple[str, ...]:
    return (*LIBRARIES, *(NETWORK_LIBRARIES if isinstance(fitted, BlendFitted) else ()))


def _network_card(fitted: Fitted, arrays: Arrays) -> dict[str, Any]:
    """Return what the card says of the network: shape, encoder's version, exits with their thresholds."""
    if not isinstance(fitted, BlendFitted):
        return {}
    from models.blend import THRESHOLDS
    from models.tgn.runtime import Network

    limits: list[float | None] = [*np.asarray(arrays[THRESHOLDS], np.float64).tolist(), None]
    return {
        "encoder": Network(arrays).encoder,
        "architecture": msgspec.to_builtins(fitted.made.network.network.config),
        "exits": dict(zip(EXITS, limits, strict=False)),
    }


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
