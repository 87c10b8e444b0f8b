"""From a data set to an artifact in the registry: slices, fit, measures, card."""

from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from fraud.core.records import DAY
from fraud.training import fitting, own, plots
from fraud.training.dataset import FRAUD, GENUINE, Dataset
from fraud.training.fitting import BlendFitted, FitRequest, Fitted, Scores
from fraud.training.protocols import BUDGET, MEASURES, measure
from fraud.training.settings import BLEND, BOOSTER, booster_of
from fraud.training.splits import (
    ENOUGH_FRAUDS,
    LEAST_FRAUDS,
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
from models.boosting.trees import F32, F64
from models.reasons.own import USUAL
from models.registry import Arrays, Card

LIBRARIES = ("lightgbm", "numpy", "numba")
NETWORK_LIBRARIES = ("torch", "onnx", "onnxruntime")
USUAL_ROWS = 50_000
FEW_FRAUDS, FEW_DAYS = 100, 14
"""Fewer frauds, or days, are told of."""
EXITS = ("booster", "card and merchant", "device")
"""What each exit has read, first one first."""


class Made(NamedTuple):
    """What was fitted for an artifact: of which kind, on which rows, and how it scores the validation rows.

    `validation` holds probabilities by weights that never saw those rows, by kind; nothing without such rows.
    """

    kind: str
    rows: Slices
    fitted: Fitted
    validation: Scores

    @classmethod
    def of(cls, kind: str, rows: Slices, fitted: Fitted) -> "Made":
        """Return it with the scores of the validation rows."""
        return cls(kind, rows, fitted, fitted.validation())

    @property
    def scores(self) -> F64:
        """Return the validation rows' probabilities by the artifact's own kind, float64 (rows,); none: empty."""
        return self.validation.get(self.kind, np.zeros(0))


class Doubts(NamedTuple):
    """What speaks against a model, in sentences; `grave` ones against its being used without a second thought."""

    grave: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: Dataset, rows: Slices) -> "Doubts":
        """Return the doubts that a history and its slices raise: too few frauds, too short, nothing to choose on."""
        grave, others = [], []
        chosen_on = int(np.count_nonzero(data.fraud[rows.validation] == FRAUD))
        learned = int(np.count_nonzero(data.fraud[rows.train] == FRAUD))
        if chosen_on < LEAST_FRAUDS:
            grave.append(
                f"{chosen_on} frauds are among the last {len(rows.validation):,} payments whose verdict is known, and "
                f"fewer than {LEAST_FRAUDS} choose nothing: the model has a usual size, and its probabilities are not "
                "calibrated"
            )
        if learned < FEW_FRAUDS:
            others.append(f"only {learned:,} frauds to learn from: what is said of this model rests on few cases")
        if data.last - data.first < FEW_DAYS * DAY:
            days = (data.last - data.first) / DAY
            others.append(f"only {days:.1f} days of history: no feature of a week has seen two")
        return cls(tuple(grave), tuple(others))


class Trained(NamedTuple):
    """What training leaves: the saved card, what was fitted, and what speaks against it."""

    card: Card
    made: Made
    doubts: Doubts = Doubts()

    def draw(self, data: Dataset, folder: Path) -> list[Path]:
        """Draw how the model did on the rows it was chosen on; return the pictures' paths."""
        made = self.made
        if not made.validation:
            return []
        fraud = data.fraud[made.rows.validation] == FRAUD
        importance = data.names, made.fitted.booster.importance
        return plots.draw_all(folder, fraud, made.validation, importance, made.fitted.curve())


def usual_slices(data: Dataset, kind: str = BOOSTER, ready: int | None = None) -> Slices:
    """Return what a model made at `ready` (ns), the end of a history unless given, may learn from: what is known then.

    A blend is validated on more frauds than other kinds, so that its early approval can be proved safe.
    """
    enough = PROVING_FRAUDS if kind == BLEND else ENOUGH_FRAUDS
    ready, delay = data.last + 1 if ready is None else ready, data.meta.identity.latest
    return slices(data, span_before(ready, delay, usual_start(data), usual_validation(data, ready - delay, enough)))


def train(
    data: Dataset, root: Path, name: str, created: int, kind: str, request: FitRequest,
    step: fitting.Step | None = None, *, use: bool = True, unless_doubted: bool = False, ready: int | None = None,
) -> Trained:  # fmt: skip
    """Fit a kind on all that is known at the end of `data` and save it as `name`; `created` is ns UTC.

    With `use` it becomes the one in use, with `unless_doubted` only where there are no grave doubts about it. With
    `ready` (ns) it is fitted on what was known then.

    Raises DataError when there is nothing to learn from, ArtifactError for a name that is not allowed.
    """
    registry.require_name(name)
    rows = usual_slices(data, kind, ready)
    made = Made.of(kind, rows, fitting.fit(data, rows, request, step))
    arrays = arrays_of(data, made)
    doubts = Doubts.of(data, rows)
    use = use and not (unless_doubted and doubts.grave)
    card = registry.save(root, draft(data, name, created, request, made, arrays), arrays, use=use)
    if request.checkpoints is not None:
        request.checkpoints.clear()
    return Trained(card, made, doubts)


def arrays_of(data: Dataset, made: Made) -> Arrays:
    """Return what an artifact of a kind stores."""
    booster = made.fitted.booster
    arrays = {**weights(booster.trees, booster.calibration, made.scores.tolist()), **_own_arrays(data, made.rows)}
    if isinstance(made.fitted, BlendFitted):
        return {**arrays, **_network_arrays(data, made.rows, made.fitted, made.kind)}
    return arrays


def _own_arrays(data: Dataset, rows: Slices) -> Arrays:
    """Return what is usual of own columns, nothing without any."""
    return {USUAL: own.usual(data, usual_rows(data, rows))} if data.meta.identity.attrs else {}


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
        of_blend.NEUTRAL: _neutral(data, rows),
    }


def _neutral(data: Dataset, rows: Slices) -> F32:
    """Return a usual payment: medians, of own words the commonest."""
    from models.reasons import of_blend

    chosen = usual_rows(data, rows)
    found = of_blend.usual(data.matrix[chosen])
    if places := own.own_places(data):
        found[places] = own.usual(data, chosen)
    return found


def usual_rows(data: Dataset, rows: Slices) -> Rows:
    """Return the genuine training rows, evenly thinned to at most `USUAL_ROWS`, whose median is a usual payment."""
    genuine = rows.train[data.fraud[rows.train] == GENUINE]
    thinned: Rows = genuine[:: -(-len(genuine) // USUAL_ROWS) or 1]
    return thinned


def draft(data: Dataset, name: str, created: int, request: FitRequest, made: Made, arrays: Arrays) -> Card:
    """Return the card of what was fitted, before it is saved."""
    identity, rows = data.meta.identity, made.rows
    measured = {part: _metrics(data, rows, probability) for part, probability in made.validation.items()}
    return Card(
        kind=made.kind,
        name=name,
        created=created,
        data_hash=identity.data_hash,
        spec_version=identity.spec_version,
        features=data.names,
        label_delay=identity.label_delay,
        label_spread=identity.label_spread,
        until=int(data.time[made.rows.train].max()),
        gate=identity.gate,
        attrs=identity.attrs or msgspec.UNSET,
        words=own.known_words(data, made.fitted.booster.trees.codes) or msgspec.UNSET,
        seed=booster_of(request.settings).seed,
        metrics=measured.get(made.kind, {}),
        metrics_by_model=measured if len(measured) > 1 else {},
        thresholds=_thresholds(made.scores),
        settings={**msgspec.to_builtins(request.settings), "trained_on": len(rows.train), **_chosen(made.fitted)},
        libraries={library: version(library) for library in _libraries(made.fitted)},
        **_network_card(made.fitted, arrays),
    )


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
    from models.tgn.runtime import encoder_version

    limits: list[float | None] = [*np.asarray(arrays[THRESHOLDS], np.float64).tolist(), None]
    return {
        "encoder": encoder_version(arrays),
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
