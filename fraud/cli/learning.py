"""`fraud train`, `fraud evaluate`, `fraud models`: fit, judge and keep models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from fraud.cli import options, output
from fraud.core.errors import SettingsError, nearest

if TYPE_CHECKING:
    from fraud.core.settings import Settings
    from fraud.training.dataset import Dataset
    from fraud.training.fit import BoosterSettings

KINDS = ("booster",)
PROTOCOLS = ("fdh", "chronological")

Kind = Annotated[str, typer.Option("--model", help="What to fit: booster.")]
Quick = Annotated[bool, typer.Option("--quick", help="Few, fast-learning trees: a first look, not the best model.")]
Cache = Annotated[Path, typer.Option("--cache", help="Where extracted vectors are kept between runs.")]

app = typer.Typer(help="List and show trained models.", no_args_is_help=True)


def train(
    data: options.Data,
    name: Annotated[str, typer.Option(help="The name that --model then takes.")],
    mapping: options.MappingName = "native",
    label_delay: options.LabelDelay = "7d",
    model: Kind = "booster",
    models: options.Models = None,
    settings: options.SettingsFile = None,
    cache: Cache = options.CACHE,
    seed: Annotated[int, typer.Option(help="Training is a function of data, settings and this number.")] = 0,
    quick: Quick = False,
    plots: Annotated[bool, typer.Option(help="Draw precision-recall, calibration and importances.")] = True,
    json: options.Json = False,
) -> None:
    """Fit a model on a history, as the live path would have seen it.

    The history is replayed through the live features with labels `--label-delay` late; the vectors are kept, so that
    a second run starts at once. The last part of the history chooses the number of trees and the calibration.
    """
    require(model, KINDS, "--model")
    from fraud.training.artifact import train_booster
    from streaming import clock

    found = options.settings(settings, models=models)
    folder = Path(found.model.folder)
    dataset = extracted(data, mapping, label_delay, cache, found)
    fit = booster_settings(seed, quick=quick)
    with output.progress("fit", None, "trees") as step:
        made = train_booster(dataset, folder, name, clock.now_ns(), fit, lambda done, note: step(done, note))
    if plots:
        draw(dataset, made, folder / made.card.name / made.card.version / "plots")
    if not json:
        output.say(f"model '{name}' {made.card.version}: {made.fit.rounds} trees, kept in {folder / name}")
    output.last_line({"name": name, "version": made.card.version, "metrics": made.card.metrics})


def evaluate(
    data: options.Data,
    mapping: options.MappingName = "native",
    label_delay: options.LabelDelay = "7d",
    protocol: Annotated[str, typer.Option(help="fdh (four folds) or chronological (one split).")] = "chronological",
    model: Kind = "booster",
    split: Annotated[float, typer.Option(help="chronological: learn before this time quantile.")] = 0.85,
    train: Annotated[str, typer.Option(help="fdh: 'long' (all days from day 30) or 'week'.")] = "long",
    settings: options.SettingsFile = None,
    cache: Cache = options.CACHE,
    seed: Annotated[int, typer.Option(help="Seed of the fits and of the intervals.")] = 0,
    quick: Quick = False,
    json: options.Json = False,
) -> None:
    """Train and test as a live service would have: learn from what was known, test on what came after.

    Average precision first, then area under the ROC curve, card precision at 100 a day beside its ceiling, and the
    recall of a 1 % alert budget. A measure that has no meaning for the data is null. `ap_interval` holds the bounds
    of average precision at 95 %, by a bootstrap over merchants.
    """
    require(model, KINDS, "--model")
    require(protocol, PROTOCOLS, "--protocol")
    require(train, ("long", "week"), "--train")
    from fraud.training import protocols
    from fraud.training.artifact import BoosterFitter

    dataset = extracted(data, mapping, label_delay, cache, options.settings(settings))
    folds = protocols.fdh_folds(dataset, train) if protocol == "fdh" else [protocols.chronological_fold(dataset, split)]
    with output.progress("evaluate", None, "trees") as step:
        fitter = BoosterFitter(booster_settings(seed, quick=quick), lambda done, note: step(done, note))
        result = protocols.evaluate(dataset, folds, fitter, None if json else told, seed)
    output.last_line({**result, "label_delay": label_delay, "protocol": protocol, "model": model})


@app.command("list")
def list_models(models: options.Models = None, settings: options.SettingsFile = None) -> None:
    """List trained models; the version in use is marked with a star."""
    from models import registry

    folder = Path(options.settings(settings, models=models).model.folder)

    for found in registry.found(folder):
        card = found.card
        ap = card.metrics.get("ap")
        mark = "*" if found.current else " "
        shown = f"validation AP {ap:.3f}" if ap is not None else "no validation"
        output.show(f"{mark} {card.name:<20} {card.version}  {card.kind:<10} {shown}  spec {card.spec_version}")
    output.last_line({"models": registry.names(folder)})


@app.command("show")
def show_model(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    models: options.Models = None,
    settings: options.SettingsFile = None,
) -> None:
    """Show a model's card: what it was fitted on, how, and how it did."""
    from models import registry

    folder = Path(options.settings(settings, models=models).model.folder)

    output.show(msgspec.json.format(msgspec.json.encode(registry.card_of(folder, name)), indent=2).decode())


def booster_settings(seed: int, *, quick: bool) -> "BoosterSettings":
    """Return the settings of a fit."""
    from fraud.training.fit import BoosterSettings

    if quick:
        return BoosterSettings(seed=seed, trees=60, learning_rate=0.15, patience=10, most_step=1.0)
    return BoosterSettings(seed=seed)


def extracted(data: Path, mapping: str, label_delay: str, cache: Path, settings: "Settings") -> "Dataset":
    """Return the vectors of a history, from the cache when it holds them."""
    from fraud.training import dataset
    from streaming import configuration
    from streaming import mapping as mappings
    from streaming.extracting import Extraction, file_hash
    from streaming.files import Table

    delay = options.duration(label_delay)
    table = Table(data, mappings.load(mapping), configuration.rates(settings))
    rows = table.count() if data.exists() else None
    table.rows()
    extraction = Extraction(table, delay, settings)
    text = msgspec.json.encode(table.mapping).decode() + configuration.fingerprint(settings)
    identity = dataset.Identity(file_hash(data), extraction.spec_version, -1 if delay is None else delay, text)
    if (held := dataset.cached(cache, identity)) is not None:
        output.say(f"vectors of {data.name} with labels {label_delay} late: {held.meta.rows:,} rows, from {cache}")
        return held
    with output.progress("extract", rows, "payments") as step:
        return dataset.write(cache, identity, extraction.names, converted(extraction), step)


def converted(extraction: Any) -> Any:
    """Yield extracted payments as the data set takes them; scenarios by number, in order of first appearance."""
    from fraud.training.dataset import Row

    codes: dict[str, int] = {"": 0}
    for item in extraction:
        code = int(item.scenario) if item.scenario.isdigit() else codes.setdefault(item.scenario, len(codes))
        yield Row(item.tx, item.values, item.verdict, code)


def told(result: dict[str, Any]) -> None:
    """Say how one fold went."""
    measures = " ".join(
        f"{name} {result[name]:.4f}" for name in ("ap", "auc", "cp100", "recall_at_1pct") if result[name] is not None
    )
    bounds = result["ap_interval"]
    within = " (ap {:.4f} to {:.4f})".format(*bounds) if bounds is not None else ""
    output.say(f"{result['fold']}: {result['rows']:,} rows, {result['frauds']:,} frauds: {measures}{within}")


def draw(dataset: "Dataset", made: Any, folder: Path) -> None:
    """Draw how the model did on the rows it was chosen on."""
    if not len(made.fit.validation):
        return
    import numpy as np

    from fraud.training import plots
    from fraud.training.dataset import FRAUD

    probability = np.array(made.fit.calibration.probabilities(made.fit.validation.tolist()))
    fraud = dataset.fraud[made.rows.validation] == FRAUD
    for path in plots.draw_all(folder, fraud, probability, dataset.names, made.fit.importance):
        output.say(f"drawn: {path}")


def require(value: str, known: tuple[str, ...], what: str) -> None:
    """Raise SettingsError unless `value` is one of `known`."""
    if value not in known:
        msg = f"{what} {value}: expected one of {', '.join(known)}.{nearest(value, known)}"
        raise SettingsError(msg)
