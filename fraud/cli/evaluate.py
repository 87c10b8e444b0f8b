"""`fraud evaluate`: train and test kinds of models on the same folds, side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from fraud.cli import fits, options, output, prequential
from fraud.core.errors import SettingsError

SHOWN = ("ap", "auc", "cp100", "recall_at_1pct")


Protocol = Annotated[
    str, typer.Option(help="fdh (four folds), chronological (one split), or prequential with --learn.")
]
Compare = Annotated[
    tuple[str, str] | None, typer.Option(help="Two kinds instead of --model: both on the same folds, and A less B.")
]
Split = Annotated[
    float | None, typer.Option(help="Learn before this time quantile: chronological .85, prequential .5 unless given.")
]
Train = Annotated[str, typer.Option(help="fdh: 'long' (all days from day 30) or 'week'.")]
FoldNumbers = Annotated[list[int] | None, typer.Option(help="fdh: only this fold, 1 to 4; repeatable.")]
Seed = Annotated[int, typer.Option(help="Seed of the fits.")]
Seeds = Annotated[int, typer.Option(min=1, help="Fit as often, with this many seeds from --seed on.")]
Learn = Annotated[bool, typer.Option("--learn", help="prequential: learn from late labels, with gate and guard.")]
ModelsFrom = Annotated[
    str | None, typer.Option(help="prequential: this kept model in place of one fitted on the file.")
]
Labels = Annotated[
    Path | None, typer.Option(help="prequential: labels with their own times, as fraud replay --labels takes them.")
]
Every = Annotated[str | None, typer.Option(help="prequential: the refresh period; refresh.every unless given.")]
Plots = Annotated[Path | None, typer.Option(help="Draw the test rows' pictures, kinds side by side, here.")]


def evaluate(
    data: options.Data,
    mapping: options.MappingName = "native",
    label_delay: options.LabelDelay = "7d",
    protocol: Protocol = "chronological",
    model: options.Kind = "booster",
    compare: Compare = None,
    split: Split = None,
    train: Train = "long",
    fold: FoldNumbers = None,
    settings: options.SettingsFile = None,
    set_: options.Set = None,
    cache: options.Cache = options.CACHE,
    runs: options.Runs = options.RUNS,
    seed: Seed = 0,
    seeds: Seeds = 1,
    quick: options.Quick = False,
    resume: options.Resume = False,
    learn: Learn = False,
    models_from: ModelsFrom = None,
    labels: Labels = None,
    every: Every = None,
    plots: Plots = None,
    json: options.Json = False,
) -> None:
    """Train and test as a live service would have: learn from what was known, test on what came after.

    Average precision first, then area under the ROC curve, card precision at 100 a day beside its ceiling, and the
    recall of a 1 % alert budget. A measure that has no meaning for the data is null. `chance` and `ceiling` are what a
    ranking by chance and the best one have. `ap_interval` and `recall_interval` hold bounds at 95 %, by a bootstrap
    over what `drawn` names: merchants, or cards where one merchant stands for all; `differences` those of one kind
    less another under the same draws. `slices` tells of a card's first week, new merchants and each scenario. A blend
    is shown beside its parts.

    `--protocol prequential --learn` decides the file from --split on through the live engine, while a learner, its gate
    and its guard run: a frozen base against what was learned, each payment by what was said when it was decided.
    """
    if protocol == prequential.PREQUENTIAL:
        asked = prequential.Asked(
            data, mapping, label_delay, labels, model, models_from, 0.5 if split is None else split, settings, set_,
            cache, runs, seed, quick, plots, every,
        )  # fmt: skip
        output.last_line(prequential.evaluate(asked, learn=learn, json=json))
        return
    from fraud.training import cost, protocols
    from fraud.training.evaluation import Evaluation
    from fraud.training.settings import BLEND, BOOSTER

    kinds = chosen(model, compare)
    fits.require_kinds(kinds, "--compare" if compare else "--model")
    fits.require(protocol, (*protocols.PROTOCOLS, prequential.PREQUENTIAL), "--protocol")
    fits.require(train, protocols.TRAIN, "--train")
    found = options.settings(settings)
    wide = any(kind != BOOSTER for kind in kinds)
    dataset = fits.extracted(data, mapping, label_delay, cache, found, histories=wide)
    request = fits.fit_request(BLEND if wide else BOOSTER, found, set_, seed, dataset, cache, quick=quick)
    folds = protocols.folds(dataset, protocol, 0.85 if split is None else split, train, fold)
    job = Evaluation(dataset, folds, request, runs, resume=resume)
    costs = job.costs()
    fits.announce(cost.summed(costs * seeds))
    with fits.bar("evaluate", costs[0], request, len(costs) * seeds) as step:
        result = job.run(range(seed, seed + seeds), kinds, step, None if json else told)
    if plots is not None:
        for path in job.draw(plots, kinds):
            output.say(f"drawn: {path}")
    if not json:
        output.out.print(side_by_side(result["models"]))
        for one in result["differences"]:
            output.show(less(one))
    first = result["models"][kinds[0]]
    how = {"label_delay": label_delay, "protocol": protocol, "model": kinds[0]}
    output.last_line({**first, **result, **how, **fits.figures(dataset)})


def chosen(model: str, compare: tuple[str, str] | None) -> list[str]:
    """Return the kinds to evaluate, those asked for first; a fit with a network answers for all of them."""
    from fraud.training.settings import BLEND, BOOSTER, KINDS, NETWORK

    if compare is not None and compare[0] == compare[1]:
        msg = f"--compare {compare[0]} {compare[1]}: expected two different kinds of {', '.join(KINDS)}"
        raise SettingsError(msg)
    requested = [model] if compare is None else list(compare)
    return requested if requested == [BOOSTER] else list(dict.fromkeys([*requested, BLEND, NETWORK, BOOSTER]))


def told(kind: str, result: dict[str, Any]) -> None:
    """Say how one kind did on one fold."""
    bounds = result["ap_interval"]
    within = " (ap {:.4f} to {:.4f})".format(*bounds) if bounds is not None else ""
    head = f"{result['fold']}, seed {result['seed']}: {kind}, {result['rows']:,} rows, {result['frauds']:,} frauds"
    output.say(f"{head}: {fits.measures(result)}{within}")


def side_by_side(models: dict[str, Any]) -> Table:
    """Return measures and slices that hold frauds (how many in brackets), a column a kind."""
    table, first = Table("", *models), next(iter(models.values()))
    for name in SHOWN:
        table.add_row(name, *(number(model["mean"][name]) for model in models.values()))
        if (bounds := bounded(first, name)) is not None:
            table.add_row("  by chance, at best", *[bounds] * len(models))
    for what in ("ap", "recall"):
        table.add_row(
            f"{what}, 95 % over {first['drawn']}s",
            *(between(model[f"{what}_interval"]) for model in models.values()),
        )
    for name, part in first["slices"].items():
        if not part["frauds"]:
            continue
        label = f"{name} ({part['frauds']:,}): ap, recall"
        parts = (model["slices"][name] for model in models.values())
        table.add_row(label, *(f"{number(part['ap'])}, {number(part['recall_at_1pct'])}" for part in parts))
    return table


def bounded(model: dict[str, Any], name: str) -> str | None:
    """Return a measure by chance and at best, as they are shown; None where they are not known."""
    chance, best = model["chance"].get(name), model["ceiling"].get(name)
    return None if chance is None or best is None else f"{number(chance)}, {number(best)}"


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
