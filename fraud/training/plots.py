"""Pictures of a scored set, as PNG files: precision-recall, calibration, score distributions, feature importance.

Matplotlib is imported when a picture is drawn.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.trees import F64

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Flags = NDArray[np.bool_]

BINS = 15
SHOWN = 25
LEAST = 1e-5
"""Probabilities below this are drawn at it, so that a logarithmic axis can show them."""


def draw_all(folder: Path, fraud: Flags, probability: F64, names: Sequence[str], importance: F64) -> list[Path]:
    """Write every picture into `folder` and return the paths; `fraud` and `probability` are (rows,)."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {
        "precision_recall": precision_recall(fraud, probability),
        "calibration": calibration(fraud, probability),
        "scores": scores(fraud, probability),
        "importance": feature_importance(names, importance),
    }
    return [_save(figure, folder / f"{name}.png") for name, figure in pictures.items()]


def precision_recall(fraud: Flags, probability: F64) -> "Figure":
    """Return precision against recall, with the share of frauds as the line that chance reaches."""
    figure, axes = _figure("Precision and recall", "recall", "precision")
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(fraud[order])
    axes.plot(hits / max(hits[-1], 1), hits / np.arange(1, len(hits) + 1), drawstyle="steps-post")
    axes.axhline(float(fraud.mean()), linestyle=":", color="grey", label="chance")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.legend()
    return figure


def calibration(fraud: Flags, probability: F64) -> "Figure":
    """Return the observed share of frauds against the predicted one, in bins of equal size."""
    figure, axes = _figure("Calibration", "predicted share of frauds", "observed share")
    parts = np.array_split(np.argsort(probability, kind="stable"), BINS * 2)
    points = [(probability[part].mean(), fraud[part].mean()) for part in parts if len(part)]
    predicted, observed = np.maximum(np.array(points).T, LEAST)
    axes.loglog([LEAST, 1], [LEAST, 1], linestyle=":", color="grey", label="perfect")
    axes.loglog(predicted, observed, marker="o", label="this model")
    axes.legend()
    return figure


def scores(fraud: Flags, probability: F64) -> "Figure":
    """Return how the scores of frauds and of genuine payments are spread, both on logarithmic axes."""
    figure, axes = _figure("Scores", "probability of fraud", "payments")
    edges = np.geomspace(LEAST, 1, 50).tolist()
    for name, flag in (("genuine", False), ("fraud", True)):
        axes.hist(np.maximum(probability[fraud == flag], LEAST), edges, histtype="step", label=name)
    axes.set(xscale="log", yscale="log")
    axes.legend()
    return figure


def feature_importance(names: Sequence[str], importance: F64) -> "Figure":
    """Return the features that the trees gain most from, as shares of all gain."""
    figure, axes = _figure("Feature importance", "share of all gain", "")
    top = np.argsort(-importance, kind="stable")[:SHOWN][::-1]
    axes.barh([names[i] for i in top], importance[top] / max(float(importance.sum()), LEAST))
    axes.tick_params(axis="y", labelsize=7)
    return figure


def _figure(title: str, x: str, y: str) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(7, 5), layout="constrained")  # no pyplot: no global state, no display
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure: "Figure", path: Path) -> Path:
    figure.savefig(path, dpi=120)
    return path
