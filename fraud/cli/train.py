"""`fraud train`: fit a model on a history and keep it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraud.cli import fits, options, output

if TYPE_CHECKING:
    from fraud.training.dataset import Dataset
    from fraud.training.fitting import FitRequest
    from fraud.training.train import Trained


def train(
    data: options.Data,
    name: Annotated[str, typer.Option(help="The name that --model then takes.")],
    mapping: options.MappingName = "native",
    label_delay: options.LabelDelay = "7d",
    delay_spread: Annotated[
        float,
        typer.Option(help="Vary each label's delay by up to this share, and tell half of the genuine ones by silence."),
    ] = 0.0,
    until: Annotated[
        str | None, typer.Option(help="Learn only what was known at this day or time; later payments are left unseen.")
    ] = None,
    model: options.Kind = "booster",
    models: options.Models = None,
    settings: options.SettingsFile = None,
    set_: options.Set = None,
    cache: options.Cache = options.CACHE,
    runs: options.Runs = options.RUNS,
    seed: Annotated[int, typer.Option(help="Training is a function of data, settings and this number.")] = 0,
    quick: options.Quick = False,
    resume: options.Resume = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the model without making it the one in use.")] = False,
    plots: Annotated[bool, typer.Option(help="Draw what the model does on the rows it was chosen on.")] = True,
    json: options.Json = False,
) -> None:
    """Fit a model on a history, as the live path would have seen it.

    The history is replayed through the live features with labels `--label-delay` late; the vectors are kept, so that
    a second run starts at once. The last part of the history chooses the number of trees, the epoch, the mixture and
    the calibration. Settings of the fit come from the tables `train.booster` and `train.network` of the settings
    file and from `--set`. With `--until` nothing later is learned from, so that `fraud replay --from` shows what the
    model makes of days it has never seen. Where the data has one fixed delay, `--delay-spread 0.3` keeps a model from
    learning that delay in place of what verdicts mean, for a service whose labels come sooner or later. Time and memory
    are told before it starts; a GPU is used where there is one.
    """
    from fraud.training.checkpoints import checkpoints_in
    from fraud.training.settings import BOOSTER

    fits.require_kinds([model], "--model")
    found = options.settings(settings, models=models)
    folder = Path(found.model.folder)
    wide = model != BOOSTER
    dataset = fits.extracted(data, mapping, label_delay, cache, found, histories=wide, spread=delay_spread)
    request = fits.fit_request(model, found, set_, seed, dataset, cache, quick=quick)
    kept = checkpoints_in(
        runs / f"train-{name}-{until or 'all'}-{dataset.meta.identity.key}", request.settings, resume=resume
    )
    ready = options.moment(until, "--until") or None
    made = fitted(dataset, folder, name, model, request._replace(checkpoints=kept), ready, use=not keep)
    if plots:
        for path in made.draw(dataset, folder / made.card.name / made.card.version / "plots"):
            output.say(f"drawn: {path}")
    for sentence in (*made.doubts.grave, *made.doubts.others):
        output.warn(sentence)
    if made.doubts.grave and not keep:
        output.warn(f"so it is kept, but not in use: fraud models promote {name} {made.card.version} puts it there")
    if not json:
        output.say(f"model '{name}' {made.card.version} kept in {folder / name}")
        for kind, metrics in (made.card.metrics_by_model or {model: made.card.metrics}).items():
            output.say(f"on the rows it was chosen on: {kind} {fits.measures(metrics)}")
        tell_worth(made)
    card = made.card
    kept_as = {
        "name": name,
        "version": card.version,
        "metrics": card.metrics,
        "metrics_by_model": card.metrics_by_model,
    }
    output.last_line({**kept_as, **fits.figures(dataset)})


def tell_worth(made: "Trained") -> None:
    """Say what each own column is worth, where there are any."""
    if own := made.made.fitted.booster.worth:
        output.say(f"average precision on these rows, with them less without: {own[0]}")
        output.say(f"what is lost where one column's values are shuffled: {'; '.join(map(str, own[1:]))}")
        if own[0].high < 0:
            output.warn("the own columns cost: what they say differs from the days that the model was chosen on")


def fitted(
    data: "Dataset", folder: Path, name: str, kind: str, request: "FitRequest", ready: int | None, *, use: bool
) -> "Trained":
    """Say what a fit will cost, fit with a progress bar on what was known at `ready` (ns; None: at the end), save."""
    from fraud.training import cost as forecasting
    from fraud.training import train as artifact
    from streaming import clock

    cost = forecasting.forecast(data, artifact.usual_slices(data, kind, ready), request)
    fits.announce(cost)
    with fits.bar("fit", cost, request) as step:
        return artifact.train(
            data, folder, name, clock.now_ns(), kind, request, step, use=use, unless_doubted=True, ready=ready
        )
