"""Pictures of a scored set, as PNG files, kinds of models side by side.

Precision-recall, calibration, score distributions by class, the features that trees gain most from, learning curves.
Matplotlib is imported when a picture is drawn.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fraud.training.sampling import VALIDATED_ONE_IN
from models.boosting.trees import F64

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fraud.training.network import Epoch
    from fraud.training.prequential import Served

Flags = NDArray[np.bool_]
Scores = Mapping[str, F64]
"""A probability of each row, float64 (rows,), by kind of model."""

BINS = 15
SHOWN = 25
STYLES = ("-", "--", "-.", ":")
"""One a kind, so that curves on top of each other are both seen."""
LEAST = 1e-5
"""Probabilities below this are drawn at it, so that a logarithmic axis can show them."""


def draw_all(
    folder: Path,
    fraud: Flags,
    scores: Scores,
    importance: tuple[Sequence[str], F64] | None = None,
    curve: "Sequence[Epoch]" = (),
) -> list[Path]:
    """Write every picture into `folder` and return the paths; `fraud` is bool (rows,).

    `importance` names features and says what the trees gained from each, float64 (features,).
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {
        "precision_recall": precision_recall(fraud, scores),
        "calibration": calibration(fraud, scores),
        "scores": distributions(fraud, scores),
        **({"importance": feature_importance(*importance)} if importance is not None else {}),
        **({"learning": learning(curve)} if len(curve) else {}),
    }
    return [_save(figure, folder / f"{name}.png") for name, figure in pictures.items()]


def draw_prequential(folder: Path, served: "Served") -> list[Path]:
    """Write the pictures of a prequential run into `folder`: of its weeks, of its gain, and those of `draw_all`."""
    of, scores = served.of, {"frozen": served.of.frozen, "refreshed": served.p}
    paths = draw_all(folder, of.fraud, scores)
    return [*paths, _save(by_week(served), folder / "weeks.png"), _save(gain(served), folder / "gain.png")]


def by_week(served: "Served") -> "Figure":
    """Return each week's average precision and log-loss, frozen and refreshed."""
    from fraud.training.prequential import weeks

    figure, panels = _panels(2)
    found = weeks(served.of, served.p)
    for axes, key, name in zip(panels, ("ap", "log_loss"), ("average precision", "log-loss"), strict=True):
        for place, (kind, style) in enumerate((("frozen", "--"), ("refreshed", "-"))):
            values = [np.nan if one[key][place] is None else one[key][place] for one in found]
            axes.plot([one["week"] for one in found], values, style, marker="o", markersize=4, label=kind)
        axes.set(title=name, xlabel="week")
        axes.grid(alpha=0.3)
    panels[0].legend()
    return figure


def gain(served: "Served") -> "Figure":
    """Return what was gained so far on the frozen model, nats of log-loss; grey where payments got the frozen model."""
    of, p = served.of, served.p
    figure, axes = _figure("Gain so far on the frozen model", "day", "nats of log-loss")
    lost = [-np.log(np.where(of.fraud, one, 1 - one).clip(1e-6, 1)) for one in (of.frozen, p)]
    day = (of.time - of.time[0]) / 86_400e9
    axes.plot(day, np.cumsum(lost[0] - lost[1]))
    axes.fill_between(day, 0, 1, where=~served.learned, transform=axes.get_xaxis_transform(), color="grey", alpha=0.2)
    return figure


def precision_recall(fraud: Flags, scores: Scores) -> "Figure":
    """Return precision against recall, with the share of frauds as the line that chance reaches."""
    figure, axes = _figure("Precision and recall", "recall", "precision")
    for style, (kind, probability) in zip(cycle(STYLES), scores.items(), strict=False):
        hits = np.cumsum(fraud[np.argsort(-probability, kind="stable")])
        precision = hits / np.arange(1, len(hits) + 1)
        axes.plot(hits / max(hits[-1], 1), precision, style, drawstyle="steps-post", label=kind)
    axes.axhline(float(fraud.mean()), linestyle=":", color="grey", label="chance")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.legend()
    return figure


def calibration(fraud: Flags, scores: Scores) -> "Figure":
    """Return the observed share of frauds against the predicted one, in groups of equally many expected frauds."""
    figure, axes = _figure("Calibration", "predicted share of frauds", "observed share")
    lowest = 1.0
    for style, (kind, probability) in zip(cycle(STYLES), scores.items(), strict=False):
        points = [(probability[part].mean(), fraud[part].mean()) for part in expected_groups(probability, BINS)]
        predicted, observed = np.maximum(np.array(points).T, LEAST)
        axes.loglog(predicted, observed, style, marker="o", markersize=4, label=kind)
        lowest = min(lowest, float(predicted.min()), float(observed.min()))
    axes.loglog([lowest, 1], [lowest, 1], linestyle=":", color="grey", label="perfect")
    axes.legend()
    return figure


def expected_groups(probability: F64, groups: int) -> list[NDArray[np.intp]]:
    """Return row numbers in at most so many groups by probability, each about as many frauds to be expected.

    Groups of equally many rows would hold no fraud at all where frauds are rare, whatever the calibration.
    """
    order = np.argsort(probability, kind="stable")
    passed = np.cumsum(probability[order])
    edges = np.searchsorted(passed, passed[-1] * np.arange(1, groups) / groups) if len(order) else []
    return [part for part in np.split(order, edges) if len(part)]


def distributions(fraud: Flags, scores: Scores) -> "Figure":
    """Return how the scores of frauds and of genuine payments are spread, both axes logarithmic, a panel a kind."""
    figure, panels = _panels(len(scores))
    edges = np.geomspace(LEAST, 1, 50).tolist()
    for axes, (kind, probability) in zip(panels, scores.items(), strict=True):
        for name, flag in (("genuine", False), ("fraud", True)):
            axes.hist(np.maximum(probability[fraud == flag], LEAST), edges, histtype="step", label=name)
        axes.set(title=f"Scores of the {kind}", xlabel="probability of fraud", xscale="log", yscale="log")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("payments")
    panels[0].legend()
    return figure


def feature_importance(names: Sequence[str], importance: F64) -> "Figure":
    """Return the features that the trees gain most from, as shares of all gain."""
    figure, axes = _figure("Feature importance", "share of all gain", "")
    top = np.argsort(-importance, kind="stable")[:SHOWN][::-1]
    axes.barh([names[i] for i in top], importance[top] / max(float(importance.sum()), LEAST))
    axes.tick_params(axis="y", labelsize=7)
    return figure


def learning(curve: "Sequence[Epoch]") -> "Figure":
    """Return the network's losses and its average precision on the validation rows, epoch by epoch."""
    figure, panels = _panels(3)
    epochs, ap = np.arange(1, len(curve) + 1), np.array([line.validation_ap for line in curve])
    drawn, validated = [line.loss for line in curve], [line.validation_loss for line in curve]
    panels[0].plot(epochs, drawn, marker="o")
    panels[0].set(title="Loss, rows drawn to learn from", ylabel="log-loss")
    panels[1].plot(epochs, validated, marker="o")
    panels[1].set(title="Loss, rows it is judged on", ylabel="log-loss")
    panels[2].plot(epochs, ap, marker="o", color="tab:green")
    panels[2].set(title=f"Average precision, frauds and 1 genuine in {VALIDATED_ONE_IN}", ylabel="average precision")
    if np.isfinite(ap).any():
        best = int(np.nanargmax(ap))
        panels[2].axvline(best + 1, linestyle=":", color="grey", label=f"kept: epoch {best + 1}")
        panels[2].legend()
    for axes in panels:
        axes.set(xlabel="epoch", xticks=epochs)
        axes.grid(alpha=0.3)
    return figure


def _figure(title: str, x: str, y: str) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(7, 5), layout="constrained")  # no pyplot: no global state, no display
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes


def _panels(count: int) -> "tuple[Figure, list[Axes]]":
    """Return panels side by side with a common height."""
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(max(7.0, 4.5 * count), 4.5), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def _save(figure: "Figure", path: Path) -> Path:
    figure.savefig(path, dpi=120)
    return path
