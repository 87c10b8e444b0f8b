"""`fraud train`: fit a model on a history and keep it."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli import options, output
from fraud.cli.vectors import extracted, histories
from fraud.core.errors import FraudError, SettingsError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fraud.training.booster import BoosterSettings
    from fraud.training.checkpoints import Place
    from fraud.training.cost import Forecast
    from fraud.training.dataset import Dataset
    from fraud.training.fitting import FitRequest
    from fraud.training.train import Trained
    from streaming.settings import ServiceSettings

KINDS = ("booster", "network", "blend")

Kind = Annotated[str, typer.Option("--model", help="What to fit: booster, network, or blend (both, mixed).")]
Quick = Annotated[bool, typer.Option("--quick", help="Few trees, short epochs: a first look, not the best model.")]
Cache = Annotated[Path, typer.Option("--cache", help="Where extracted vectors and histories are kept between runs.")]
Runs = Annotated[Path, typer.Option("--runs", help="Where fits under way, and finished folds, are kept.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on where a killed call with the same data, settings and code was.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting of the fit, as network.epochs=8 or network.labels=false; repeatable."),
]
RUNS = Path("build/runs")


def train(
    data: options.Data,
    name: Annotated[str, typer.Option(help="The name that --model then takes.")],
    mapping: options.MappingName = "native",
    label_delay: options.LabelDelay = "7d",
    delay_spread: Annotated[
        float,
        typer.Option(help="Vary each label's delay by up to this share, and tell half of the genuine ones by silence."),
    ] = 0.0,
    model: Kind = "booster",
    models: options.Models = None,
    settings: options.SettingsFile = None,
    set_: Set = None,
    cache: Cache = options.CACHE,
    runs: Runs = RUNS,
    seed: Annotated[int, typer.Option(help="Training is a function of data, settings and this number.")] = 0,
    quick: Quick = False,
    resume: Resume = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the model without making it the one in use.")] = False,
    plots: Annotated[bool, typer.Option(help="Draw what the model does on the rows it was chosen on.")] = True,
    json: options.Json = False,
) -> None:
    """Fit a model on a history, as the live path would have seen it.

    The history is replayed through the live features with labels `--label-delay` late; the vectors are kept, so that
    a second run starts at once. The last part of the history chooses the number of trees, the epoch, the mixture and
    the calibration. Settings of the fit come from the tables `[train.booster]` and `[train.network]` of the settings
    file and from `--set`. Where the data has one fixed delay, `--delay-spread 0.3` keeps a model from learning that
    delay in place of what verdicts mean, for a service whose labels come sooner or later. Time and memory are
    told before it starts; a GPU is used where there is one.
    """
    require(model, KINDS, "--model")
    require_torch(model)
    found = options.settings(settings, models=models)
    folder = Path(found.model.folder)
    dataset = extracted(data, mapping, label_delay, cache, found, histories=model != "booster", spread=delay_spread)
    asked = asked_for(model, found, set_, seed, dataset, cache, quick=quick)
    asked = asked._replace(place=place_of(runs / f"train-{name}-{dataset.meta.identity.key}", asked.settings, resume))
    made = fitted(dataset, folder, name, model, asked, use=not keep)
    if plots:
        draw(dataset, made, folder / made.card.name / made.card.version / "plots")
    if not json:
        output.say(f"model '{name}' {made.card.version} kept in {folder / name}")
        for kind, metrics in (made.card.metrics_by_model or {model: made.card.metrics}).items():
            output.say(f"on the rows it was chosen on: {kind} {told(metrics)}")
    card = made.card
    output.last_line(
        {"name": name, "version": card.version, "metrics": card.metrics, "metrics_by_model": card.metrics_by_model}
    )


def fitted(data: "Dataset", folder: Path, name: str, kind: str, asked: "FitRequest", *, use: bool) -> "Trained":
    """Say what a fit will cost, fit with a progress bar, save."""
    from fraud.training import cost as forecasting
    from fraud.training import train as artifact
    from streaming import clock

    cost = forecasting.forecast(data, artifact.usual_slices(data, kind), asked)
    announce(cost)
    with bar("fit", cost, asked) as step:
        return artifact.train(data, folder, name, clock.now_ns(), kind, asked, step, use=use)


def asked_for(
    kind: str, found: "ServiceSettings", set_: "Iterable[str] | None", seed: int, data: "Dataset", cache: Path,
    *, quick: bool,
) -> "FitRequest":  # fmt: skip
    """Return what is to be fitted: settings, and for a network the histories it reads."""
    from fraud.training import settings
    from fraud.training.fitting import FitRequest

    tables = settings.merged(settings.tables_of(found.train), set_ or ())
    if kind == settings.BOOSTER:
        return FitRequest(settings.booster(seed, quick=quick, tables=tables))
    return FitRequest(settings.blend(seed, quick=quick, tables=tables), histories(data, cache))


def place_of(folder: Path, settings: Any, resume: bool) -> "Place":
    """Return where a fit keeps what it leaves; without `resume` nothing that lies there is used."""
    from fraud.training.checkpoints import Place

    place = Place(folder, settings)
    if not resume:
        place.forget()
    return place


def announce(cost: "Forecast") -> None:
    """Say what a fit will cost, and warn when the memory is not there."""
    output.say(f"fit: {cost.said}")
    if (free := free_bytes()) and cost.bytes > free:
        output.say(
            f"only {free / 2**30:.1f} GiB of memory are free: --set network.easy_share=0.01 takes less, "
            "and so does a shorter history"
        )


def free_bytes() -> int:
    """Return the memory that can be had, 0 where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    held = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(held.get("MemAvailable", "0").split()[0]) * 1024


def bar(what: str, cost: "Forecast", asked: "FitRequest", times: int = 1) -> "Bar":
    """Return a progress bar in what a fit counts by: rows learned from, or trees."""
    total, unit = (cost.learned, "rows") if cost.learned else (getattr(asked.settings, "trees", 1_000), "trees")
    return Bar(output.progress(what, total * times, unit), total)


class Bar:
    """A progress bar told by shares of a fit; fits before it may have filled part of it."""

    def __init__(self, progress: Any, total: int) -> None:
        """Take the bar, not yet shown, and what one fit adds to it."""
        self._progress, self._total, self._before = progress, total, 0

    def __enter__(self) -> "Bar":
        """Show it."""
        self._step = self._progress.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Take it away."""
        self._progress.__exit__(*error)

    def __call__(self, share: float, note: str) -> None:
        """Say how much of the fit under way is done."""
        self._step(self._before + int(share * self._total), note)

    def next(self) -> None:
        """Begin another fit."""
        self._before += self._total


def booster_settings(seed: int, *, quick: bool) -> "BoosterSettings":
    """Return the settings of a booster's fit."""
    from fraud.training import settings

    return settings.booster(seed, quick=quick)


def told(result: dict[str, Any]) -> str:
    """Return measures in a line."""
    return " ".join(
        f"{name} {result[name]:.4f}"
        for name in ("ap", "auc", "cp100", "recall_at_1pct")
        if result.get(name) is not None
    )


def draw(data: "Dataset", made: "Trained", folder: Path) -> None:
    """Draw how the model did on the rows it was chosen on."""
    from fraud.training import plots
    from fraud.training.dataset import FRAUD

    scores = made.fitted.validation()
    if not scores:
        return
    fraud = data.fraud[made.rows.validation] == FRAUD
    importance = data.names, made.fitted.booster.importance
    for path in plots.draw_all(folder, fraud, scores, importance, made.fitted.curve()):
        output.say(f"drawn: {path}")


def require(value: str, known: tuple[str, ...], what: str) -> None:
    """Raise SettingsError unless `value` is one of `known`."""
    if value not in known:
        msg = f"{what} {value}: expected one of {', '.join(known)}.{nearest(value, known)}"
        raise SettingsError(msg)


def require_torch(*kinds: str) -> None:
    """Raise FraudError when a network is asked for and torch is not installed."""
    if any(kind != "booster" for kind in kinds) and find_spec("torch") is None:
        msg = "A network is fitted with torch, which is not installed: install the extra 'network', as make setup does."
        raise FraudError(msg)
