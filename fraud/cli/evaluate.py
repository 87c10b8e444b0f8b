"""`fraud evaluate`: train and test kinds of models on the same folds, side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from fraud.cli import fits, options, output, vectors
from fraud.core.errors import SettingsError

if TYPE_CHECKING:
    from fraud.training.dataset import Dataset
    from fraud.training.fitting import FitRequest
    from fraud.training.protocols import Fold
    from fraud.training.splits import Slices
    from models.boosting.trees import F64

PROTOCOLS = ("fdh", "chronological")
SHOWN = ("ap", "auc", "cp100", "recall_at_1pct")


def evaluate(
    data: options.Data,
    mapping: options.MappingName = "native",
    label_delay: options.LabelDelay = "7d",
    protocol: Annotated[str, typer.Option(help="fdh (four folds) or chronological (one split).")] = "chronological",
    model: options.Kind = "booster",
    compare: Annotated[
        tuple[str, str] | None, typer.Option(help="Two kinds instead of --model: both on the same folds, and A less B.")
    ] = None,
    split: Annotated[float, typer.Option(help="chronological: learn before this time quantile.")] = 0.85,
    train: Annotated[str, typer.Option(help="fdh: 'long' (all days from day 30) or 'week'.")] = "long",
    fold: Annotated[list[int] | None, typer.Option(help="fdh: only this fold, 1 to 4; repeatable.")] = None,
    settings: options.SettingsFile = None,
    set_: options.Set = None,
    cache: options.Cache = options.CACHE,
    runs: options.Runs = options.RUNS,
    seed: Annotated[int, typer.Option(help="Seed of the fits.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Fit as often, with this many seeds from --seed on.")] = 1,
    quick: options.Quick = False,
    resume: options.Resume = False,
    plots: Annotated[Path | None, typer.Option(help="Draw the test rows' pictures, kinds side by side, here.")] = None,
    json: options.Json = False,
) -> None:
    """Train and test as a live service would have: learn from what was known, test on what came after.

    Average precision first, then area under the ROC curve, card precision at 100 a day beside its ceiling, and the
    recall of a 1 % alert budget. A measure that has no meaning for the data is null. `ap_interval` and
    `recall_interval` hold bounds at 95 %, by a bootstrap over merchants; `differences` those of one kind less another
    under the same draws. `slices` tells of a card's first week, new merchants and each scenario. A blend is shown
    beside its parts.
    """
    fitting = chosen(model, compare)
    for kind in fitting:
        fits.require(kind, fits.KINDS, "--compare" if compare else "--model")
    fits.require(protocol, PROTOCOLS, "--protocol")
    fits.require(train, ("long", "week"), "--train")
    fits.require_torch(*fitting)
    found = options.settings(settings)
    wide = any(kind != "booster" for kind in fitting)
    dataset = vectors.extracted(data, mapping, label_delay, cache, found, histories=wide)
    asked = fits.asked_for("blend" if wide else "booster", found, set_, seed, dataset, cache, quick=quick)
    job = Evaluation(dataset, folds_of(dataset, protocol, split, train, fold), asked, runs, resume)
    result = job.run(range(seed, seed + seeds), fitting, None if json else told)
    if plots is not None:
        job.draw(plots, fitting)
    if not json:
        output.out.print(side_by_side(result["models"]))
        for one in result["differences"]:
            output.show(less(one))
    first = result["models"][fitting[0]]
    output.last_line({**first, **result, "label_delay": label_delay, "protocol": protocol, "model": fitting[0]})


def chosen(model: str, compare: tuple[str, str] | None) -> list[str]:
    """Return the kinds to judge, those asked for first; a fit with a network answers for all of them."""
    if compare is not None and compare[0] == compare[1]:
        msg = f"--compare {compare[0]} {compare[1]}: expected two different kinds of {', '.join(fits.KINDS)}"
        raise SettingsError(msg)
    asked = [model] if compare is None else list(compare)
    return asked if asked == ["booster"] else list(dict.fromkeys([*asked, "blend", "network", "booster"]))


def folds_of(data: "Dataset", protocol: str, split: float, train: str, only: list[int] | None) -> "list[Fold]":
    """Return the folds of a protocol, or those of them that are asked for."""
    from fraud.training import protocols

    if protocol != "fdh":
        return [protocols.chronological_fold(data, split)]
    folds = protocols.fdh_folds(data, train)
    if only and not set(only) <= set(range(1, len(folds) + 1)):
        msg = f"--fold {' '.join(map(str, only))}: expected numbers from 1 to {len(folds)}"
        raise SettingsError(msg)
    return [folds[number - 1] for number in sorted(set(only))] if only else folds


class Evaluation:
    """Folds fitted one after the other, each kept as it is done."""

    def __init__(self, data: "Dataset", folds: "Sequence[Fold]", asked: "FitRequest", runs: Path, resume: bool) -> None:
        """Take the folds and what to fit on each; with `resume` kept scores are taken as they are."""
        self._data, self._folds, self._asked = data, folds, asked
        self._runs, self._resume = runs, resume
        self._scores: dict[str, list[F64]] = {}

    def run(self, seeds: Sequence[int], kinds: Sequence[str], told: Any) -> dict[str, Any]:
        """Return how each kind did (`models`), and how they differ (`differences`)."""
        from fraud.training import cost, evaluation
        from fraud.training.splits import slices

        costs = [
            cost.forecast(self._data, slices(self._data, fold.span), self._asked, len(fold.test))
            for fold in self._folds
        ]
        fits.announce(cost.summed(costs * len(seeds)))
        with fits.bar("evaluate", costs[0], self._asked, len(costs) * len(seeds)) as self._bar:
            judged = evaluation.judge(self._data, self._folds, self._fit, seeds, told, kinds)
        models = {kind: evaluation.summary(ones) for kind, ones in judged.items()}
        return {"models": models, "differences": evaluation.compared(judged)}

    def _fit(self, rows: "Slices", fold: "Fold", seed: int) -> "dict[str, F64]":
        from fraud.training import checkpoints, fitting, settings

        chosen = settings.reseeded(self._asked.settings, seed)
        place = fits.place_of(checkpoints.fold_folder(self._runs, self._data, fold), chosen, self._resume)
        scores = checkpoints.read_scores(place.scores)
        if scores is None:
            asked = self._asked._replace(settings=chosen, place=place)
            made = fitting.fit(self._data, rows, asked, lambda share, note: self._bar(share, f"{fold.name}, {note}"))
            scores = made.scores(self._data, fold.test)
            checkpoints.write_scores(place.scores, scores)
            place.checkpoint.unlink(missing_ok=True)
        self._bar.next()
        for kind, score in scores.items():
            self._scores.setdefault(kind, []).append(score)
        return scores

    def draw(self, folder: Path, kinds: Sequence[str]) -> None:
        """Draw the test rows of all folds together, by the first seed."""
        import numpy as np

        from fraud.training import plots
        from fraud.training.dataset import FRAUD

        folds = len(self._folds)
        fraud = np.concatenate([self._data.fraud[fold.test] == FRAUD for fold in self._folds])
        for path in plots.draw_all(folder, fraud, {kind: np.concatenate(self._scores[kind][:folds]) for kind in kinds}):
            output.say(f"drawn: {path}")


def told(kind: str, result: dict[str, Any]) -> None:
    """Say how one kind did on one fold."""
    bounds = result["ap_interval"]
    within = " (ap {:.4f} to {:.4f})".format(*bounds) if bounds is not None else ""
    head = f"{result['fold']}, seed {result['seed']}: {kind}, {result['rows']:,} rows, {result['frauds']:,} frauds"
    output.say(f"{head}: {fits.told(result)}{within}")


def side_by_side(models: dict[str, Any]) -> Table:
    """Return measures and slices that hold frauds (how many in brackets), a column a kind."""
    table = Table("", *models)
    for name in SHOWN:
        table.add_row(name, *(number(model["mean"][name]) for model in models.values()))
    for what in ("ap", "recall"):
        table.add_row(f"{what}, 95 %", *(between(model[f"{what}_interval"]) for model in models.values()))
    first = next(iter(models.values()))
    for name, part in first["slices"].items():
        if not part["frauds"]:
            continue
        label = f"{name} ({part['frauds']:,}): ap, recall"
        parts = (model["slices"][name] for model in models.values())
        table.add_row(label, *(f"{number(part['ap'])}, {number(part['recall_at_1pct'])}" for part in parts))
    return table


def less(one: dict[str, Any]) -> str:
    """Return a difference of two kinds in words."""
    head = f"{one['of']} less {one['less']}"
    ap = f"ap {number(one['ap'], '+')} [{between(one['ap_interval'], '+')}]"
    return f"{head}: {ap}, recall {number(one['recall_at_1pct'], '+')} [{between(one['recall_interval'], '+')}]"


def number(value: float | None, sign: str = "") -> str:
    """Return a measure as it is shown."""
    return "-" if value is None else f"{value:{sign}.4f}"


def between(bounds: Sequence[float] | None, sign: str = "") -> str:
    """Return an interval as it is shown."""
    return "-" if bounds is None else f"{bounds[0]:{sign}.4f} to {bounds[1]:{sign}.4f}"
