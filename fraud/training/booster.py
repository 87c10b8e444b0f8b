"""Fit the boosted expert: LightGBM on a data set's rows, the number of trees and the calibration chosen out of sample.

LightGBM is imported here and nowhere else, when a fit starts.
"""

import math
import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraud.core.errors import SettingsError
from fraud.training.dataset import FRAUD, Dataset
from fraud.training.lightgbm_text import parse
from fraud.training.own import blanked, codes_of, own_places
from fraud.training.splits import Rows, Slices, can_choose
from fraud.training.worth import Worth, together, worth
from models import calibration
from models.boosting import quickscorer
from models.boosting.codes import NONE, Codes
from models.boosting.trees import F64, Trees
from models.calibration import Beta

if TYPE_CHECKING:
    import lightgbm

Step = Callable[[int, str], None]
"""Told how many trees are done in all, and of which fit."""


class BoosterSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the booster is fitted. `trees` is the most; with `patience` > 0 fewer are kept when more do not help.

    `genuine_per_fraud` > 0 keeps about that many genuine rows a fraud, never fewer than `least_genuine`, and weighs
    each by the inverse of its chance to be kept, so that the prior stays exact: on a million rows with 0.8 % frauds
    6 times faster, and no worse. `most_step` > 0 bounds what one tree may add to a log-odds: at large learning rates
    leaves of few frauds run away without it. The same settings, rows and library give the same model.
    """

    trees: int = 600
    learning_rate: float = 0.03
    leaves: int = 15
    least_rows_a_leaf: int = 50
    feature_share: float = 1.0
    row_share: float = 1.0
    l2: float = 0.0
    smoothing: float = 0.0
    most_step: float = 0.0
    patience: int = 100
    genuine_per_fraud: float = 12.0
    least_genuine: int = 50_000
    threads: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what LightGBM or the served form cannot take; raise SettingsError."""
        shares = (self.feature_share, self.row_share)
        if not all(0 < share <= 1 for share in shares):
            message = f"feature_share and row_share must be above 0 and at most 1, got {shares}."
            raise SettingsError(message)
        if not 2 <= self.leaves <= quickscorer.MOST_LEAVES:
            message = f"leaves is {self.leaves}, expected 2 to {quickscorer.MOST_LEAVES}: what a fast tree can hold."
            raise SettingsError(message)
        if self.trees < 1 or self.learning_rate <= 0:
            message = f"trees ({self.trees}) must be at least 1 and learning_rate ({self.learning_rate}) above 0."
            raise SettingsError(message)


class Fit(NamedTuple):
    """A fitted booster, and what was seen on the rows it was chosen on.

    `validation` holds raw scores of the validation rows by a model that had not seen them, float64 (rows,), empty
    when there was nothing to choose on; `importance` is the total gain a feature, float64 (features,), `worth` what own
    columns are worth on the validation rows.
    """

    trees: Trees
    calibration: Beta
    rounds: int
    validation: F64
    importance: F64
    worth: tuple[Worth, ...] = ()


class Choice(NamedTuple):
    """The number of trees, and what was seen of the validation rows: raw scores, the worth of own columns."""

    rounds: int
    raw: F64
    worth: tuple[Worth, ...] = ()


class Forecast(NamedTuple):
    """What a fit will cost, roughly."""

    seconds: float
    bytes: int


SCORED_AT_ONCE = 65_536
ROWS_FOR_THREADS = 50_000
# Measured with LightGBM 4.7 on two shared cores of a 2020s server: seconds a row, feature and tree.
SECONDS_A_CELL = 2.2e-10
SECONDS_A_BIN = 6e-8


def forecast(data: Dataset, rows: Slices, settings: BoosterSettings) -> Forecast:
    """Return the time and memory that a fit on these rows takes: choosing the number of trees, and the final fit."""
    features = len(data.names)
    # Where there are own columns, what they are worth asks for one more fit.
    parts = rows.inner, rows.train, *((rows.inner,) if own_places(data) else ())
    kept = [_kept_rows(data.fraud[part] == FRAUD, settings) for part in parts]
    by_thread = sum(count * 2 / max(threads_for(count, settings), 1) for count in kept) * features
    seconds = by_thread * (SECONDS_A_BIN + settings.trees * SECONDS_A_CELL)
    return Forecast(seconds, int(max(kept) * features * 5 + len(rows.validation) * features * 5))


def fit(data: Dataset, rows: Slices, settings: BoosterSettings, step: Step | None = None) -> Fit:
    """Fit on `rows.train`; choose the number of trees and the calibration on `rows.validation` where possible."""
    tell = step or (lambda done, what: None)
    if settings.patience and can_choose(data, rows):
        rounds, validation, told = _choose(data, rows, settings, tell)
        beta = calibration.fit(validation, data.fraud[rows.validation] == FRAUD)
    else:
        rounds, validation, beta, told = settings.trees, np.zeros(0), Beta(), ()
    codes = codes_of(data, rows.train)
    model = _train(data, rows.train, settings, rounds, lambda done: tell(done, "final fit"), codes)
    trees = replace(parse(model.model_to_string()), codes=codes)
    importance = np.asarray(model.feature_importance("gain"), dtype=np.float64)
    return Fit(trees, beta, rounds, validation, importance, told)


def raw_scores(trees: Trees, data: Dataset, rows: Rows) -> F64:
    """Return the uncalibrated log-odds of many rows, float64 (rows,); the matrix is read a part at a time."""
    quickest, out = quickscorer.FastTrees(trees), np.empty(len(rows))
    for begin in range(0, len(rows), SCORED_AT_ONCE):
        part = np.ascontiguousarray(data.matrix[rows[begin : begin + SCORED_AT_ONCE]])
        out[begin : begin + len(part)] = quickest.raw(part)
    return out


def _choose(data: Dataset, rows: Slices, settings: BoosterSettings, tell: Step) -> Choice:
    """Return the best number of trees, the raw scores of the validation rows at that number, and own columns' worth."""
    trees = _best(data, rows, settings, tell, codes_of(data, rows.inner))
    raw = raw_scores(trees, data, rows.validation)
    # The final fit sees more rows, so it affords as many more trees as rows grow by, damped.
    grown = math.sqrt(len(rows.train) / max(len(rows.inner), 1))
    most = min(round(len(trees.roots) * min(grown, 1.5)), settings.trees)
    if not own_places(data):
        return Choice(most, raw)
    without = _best(blanked(data), rows, settings, tell, NONE)
    told = together(data, rows.validation, raw, raw_scores(without, data, rows.validation), settings.seed)
    return Choice(most, raw, (told, *worth(data, rows.validation, trees, settings.seed)))


def _best(data: Dataset, rows: Slices, settings: BoosterSettings, tell: Step, codes: Codes) -> Trees:
    """Return the trees, fitted before the validation rows, whose number does best on these."""
    matrix, fraud = codes.applied(data.matrix[rows.validation]), data.fraud[rows.validation] == FRAUD
    model = _train(
        data, rows.inner, settings, settings.trees, lambda done: tell(done, "choosing"), codes, valid=(matrix, fraud)
    )
    return replace(parse(model.model_to_string(num_iteration=max(model.best_iteration, 1))), codes=codes)


def load_lightgbm() -> None:
    """Load LightGBM so that threads that wait do not spin on cores that others need.

    OpenMP reads `OMP_WAIT_POLICY` once, when it is loaded; one that is set already stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import lightgbm  # noqa: F401


def _train(
    data: Dataset,
    rows: Rows,
    settings: BoosterSettings,
    rounds: int,
    tell: Callable[[int], None],
    codes: Codes,
    valid: tuple[NDArray[np.float32], NDArray[np.bool_]] | None = None,
) -> "lightgbm.Booster":
    """Return a LightGBM model of `rounds` trees, or with the best number of trees noted when `valid` is there."""
    load_lightgbm()
    import lightgbm

    kept, weight = thinned(data.fraud[rows] == FRAUD, settings)
    chosen = rows[kept]
    matrix = codes.applied(data.matrix[chosen])
    train = lightgbm.Dataset(matrix, data.fraud[chosen] == FRAUD, weight=weight, free_raw_data=True)
    callbacks: list[Callable[..., None]] = [lambda env: tell(env.iteration + 1)]
    validation = []
    if valid is not None:
        validation = [lightgbm.Dataset(valid[0], valid[1], reference=train)]
        callbacks.append(lightgbm.early_stopping(settings.patience, verbose=False))
    asked = parameters(settings, len(chosen))
    return lightgbm.train(asked, train, rounds, valid_sets=validation, callbacks=callbacks)


def threads_for(rows: int, settings: BoosterSettings) -> int:
    """Return the threads to fit so many rows with: on few, threads wait for each other longer than they work.

    The trees are the same for any number of threads.
    """
    return settings.threads if rows >= ROWS_FOR_THREADS else 1


def parameters(settings: BoosterSettings, rows: int) -> dict[str, Any]:
    """Return LightGBM's names for the settings, to fit so many rows, with all that makes a fit repeatable."""
    return {
        "objective": "binary",
        "metric": "average_precision",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.least_rows_a_leaf,
        "feature_fraction": settings.feature_share,
        "bagging_fraction": settings.row_share,
        "bagging_freq": int(settings.row_share < 1),
        "lambda_l2": settings.l2,
        "path_smooth": settings.smoothing,
        "max_delta_step": settings.most_step,
        "num_threads": threads_for(rows, settings),
        "seed": settings.seed,
        "deterministic": True,
        "force_col_wise": True,
        "verbose": -1,
    }


def thinned(fraud: NDArray[np.bool_], settings: BoosterSettings) -> tuple[Rows, NDArray[np.float64] | None]:
    """Return which rows to keep, and their weights (None when all are kept): every fraud, a share of the genuine."""
    share = genuine_share(fraud, settings)
    if share == 1:
        return np.arange(len(fraud)), None
    lucky = np.random.default_rng(settings.seed).random(len(fraud)) < share
    kept = np.flatnonzero(fraud | lucky)
    return kept, np.where(fraud[kept], 1.0, 1 / share)


def genuine_share(fraud: NDArray[np.bool_], settings: BoosterSettings) -> float:
    """Return the chance of a genuine row to be kept."""
    frauds = int(fraud.sum())
    wanted = max(settings.genuine_per_fraud * frauds, settings.least_genuine)
    return min(1.0, wanted / max(len(fraud) - frauds, 1)) if settings.genuine_per_fraud > 0 else 1.0


def _kept_rows(fraud: NDArray[np.bool_], settings: BoosterSettings) -> int:
    frauds = int(fraud.sum())
    return frauds + round((len(fraud) - frauds) * genuine_share(fraud, settings))
