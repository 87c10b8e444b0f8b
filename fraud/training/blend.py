"""Fit the blend: booster and network on a fold's slices, mixtures of both at every exit, thresholds of early approval.

Mixture, calibration and thresholds are fitted on the validation rows, with logits of weights that never saw them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraud.core import metrics
from fraud.training import booster as boosting
from fraud.training.booster import BoosterSettings, Fit
from fraud.training.dataset import FRAUD, Dataset
from fraud.training.network import NetworkFit, NetworkSettings, fit_network
from fraud.training.own import coded
from fraud.training.sampling import Tokens
from fraud.training.splits import Rows, Slices, between
from models import calibration, logistic
from models.blend import Exit
from models.boosting.trees import F64, Trees
from models.calibration import Beta
from models.tgn.tgnn import NetworkConfig, NetworkShape

Step = Callable[[float, str], None]
"""Told the share of the work that is done, 0 to 1, and what is going on."""
Bools = NDArray[np.bool_]

MOST_LOST = 0.005
"""Risk control: with 95 % confidence at most this share of the frauds is lost by leaving early."""
CONFIDENCE = 0.95
MOST_AP = 0.001
SHARES = (0.98, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.5, 0.4, 0.3, 0.2)
"""Shares of early exits that are tried, greatest first."""
ALERTS = 0.01
BOOSTER_SHARE = 0.3
"""Of the progress bar."""


class BlendSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How both parts are fitted."""

    booster: BoosterSettings = BoosterSettings()
    network: NetworkSettings = NetworkSettings()


class BlendFit(NamedTuple):
    """The network, and what binds it to the booster: an exit a depth, the probability below which a payment leaves."""

    network: NetworkFit
    exits: tuple[Exit, ...]
    thresholds: tuple[float, ...]
    alone: tuple[Exit, ...]
    """The same exits for the network without the booster."""


def fit_blend(
    data: Dataset,
    tokens: Tokens,
    rows: Slices,
    booster: Fit,
    settings: NetworkSettings,
    step: Step | None = None,
    checkpoint: Path | None = None,
) -> BlendFit:
    """Fit the network beside a `booster` that was fitted on `rows`, and what binds the two.

    The network learns from all that comes before the validation rows, the booster has from these too once its number of
    trees was chosen; what is learned on the validation rows (mixture, calibration, thresholds) uses neither's own fit.
    """
    inner = before_validation(data, rows)
    score = boosting.raw_scores(booster.trees, data, inner)
    config = shape_of(data, tokens, booster, settings)
    splits = splits_of(booster.trees, [data.names.index(name) for name in config.columns])
    wide = coded(data, booster.trees.codes)
    network = fit_network(wide, tokens, rows._replace(inner=inner), score, config, settings, step, checkpoint, splits)
    fraud = data.fraud[rows.validation] == FRAUD
    held = booster.validation
    raw = held if len(held) else boosting.raw_scores(booster.trees, data, rows.validation)
    exits = fit_exits(raw, network.validation, fraud)
    alone = fit_exits(np.zeros_like(raw), network.validation, fraud)
    return BlendFit(network, exits, early_thresholds(exits, raw, network.validation, fraud), alone)


def splits_of(trees: Trees, features: Sequence[int]) -> list[F64]:
    """Return the thresholds at which trees split each of some features, as often as they do."""
    return [np.sort(trees.threshold[trees.feature == feature]) for feature in features]


def before_validation(data: Dataset, rows: Slices) -> Rows:
    """Return the learning rows from the start of `rows.train` until the validation rows begin."""
    if not len(rows.validation) or not len(rows.train):
        return rows.train
    return between(data, int(data.time[rows.train[0]]), int(data.time[rows.validation[0]]))


def shape_of(data: Dataset, tokens: Tokens, booster: Fit, settings: NetworkSettings) -> NetworkConfig:
    """Return the network's shape: the query reads the features that the booster gained most from."""
    strongest = np.argsort(-booster.importance, kind="stable")[: settings.columns]
    return NetworkConfig(
        columns=tuple(data.names[place] for place in strongest),
        sides=tokens.sides,
        text=tokens.has_text,
        **{name: getattr(settings, name) for name in NetworkShape.__struct_fields__},
    )


def fit_exits(raw: F64, logits: F64, fraud: Bools) -> tuple[Exit, ...]:
    """Return exit 0 (booster alone) and one a network exit, from out-of-sample logits (rows,) and (rows, exits)."""
    first = Exit(1.0, 0.0, 0.0, calibration.fit(raw, fraud))
    return (first, *(mixture(raw, logits[:, place], fraud) for place in range(logits.shape[1])))


def mixture(raw: F64, logit: F64, fraud: Bools) -> Exit:
    """Return the mixture with the greatest likelihood, no weight below 0, and its calibration."""
    if fraud.all() or not fraud.any():
        return Exit(0.5, 0.5, 0.0, Beta())
    columns = np.stack([raw, logit, np.ones(len(raw))], axis=1)
    free = np.array([bool(raw.any()), True, True])
    start = np.array([0.0, 0.0, np.log(fraud.mean() / (1 - fraud.mean()))])
    weights = logistic.fit(columns, fraud, start, free)
    for _ in range(2):
        if (weights[:2] >= 0).all():
            break
        free[:2] &= weights[:2] >= 0
        weights = logistic.fit(columns, fraud, start, free)
    booster, network, bias = (float(weight) for weight in weights)
    return Exit(booster, network, bias, calibration.fit(columns @ weights, fraud))


def early_thresholds(exits: Sequence[Exit], raw: F64, logits: F64, fraud: Bools) -> tuple[float, ...]:
    """Return, for each exit but the last, the probability below which a payment leaves it; 0 where none is safe.

    Two things must hold on the validation rows. A fraud is lost where an early exit approves what the last one would
    have put among the 1 % worst: the bound on the share of frauds lost (Clopper and Pearson, one-sided, 95 %) stays
    within `MOST_LOST`. And the ranking keeps its average precision to within `MOST_AP`: where most rows leave early,
    those that stay would otherwise be all that the last exit improves.
    """
    probability = [one.probabilities(raw, logits[:, max(place - 1, 0)]) for place, one in enumerate(exits)]
    last = probability[-1]
    caught = fraud & (last >= np.quantile(last, 1 - ALERTS))
    allowed = most_lost(int(fraud.sum()))
    if allowed < 0 or not caught.any():
        return (0.0,) * (len(exits) - 1)
    limits = []
    for early in probability[:-1]:
        worst = np.sort(early[caught])
        limits.append(ranking_limit(early, last, fraud, float(worst[min(allowed, len(worst) - 1)])))
    return tuple(limits)


def ranking_limit(early: F64, last: F64, fraud: Bools, most: float) -> float:
    """Return the greatest probability, `most` or below, at which leaving early costs the ranking next to nothing."""
    needed = metrics.average_precision(fraud, last) - MOST_AP
    for share in SHARES:
        limit = min(float(np.quantile(early, share)), most)
        if metrics.average_precision(fraud, np.where(early < limit, early, last)) >= needed:
            return limit
    return 0.0


def most_lost(frauds: int) -> int:
    """Return how many of so many frauds may be lost for the bound to hold; -1 when not even none is enough."""
    lost = -1
    while frauds and upper_bound(lost + 1, frauds) <= MOST_LOST:
        lost += 1
    return lost


def upper_bound(lost: int, frauds: int) -> float:
    """Return the one-sided 95 % bound of Clopper and Pearson on a share of which `lost` of `frauds` were seen."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if binomial_below(lost, frauds, middle) > 1 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def binomial_below(most: int, trials: int, share: float) -> float:
    """Return the chance of at most `most` successes in `trials`."""
    term = total = float((1 - share) ** trials)
    for count in range(1, most + 1):
        term *= (trials - count + 1) / count * share / max(1 - share, 1e-300)
        total += term
    return total
