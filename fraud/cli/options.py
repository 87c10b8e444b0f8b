"""Options that several commands share, and how their values are read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.core.errors import SettingsError
from fraud.core.fields import Duration

if TYPE_CHECKING:
    from fraud.core.settings import Settings
    from streaming.settings import ServiceSettings

Data = Annotated[Path, typer.Option("--data", help="Payments to read: CSV (also .gz, .xz), Parquet or JSON Lines.")]
MappingName = Annotated[
    str, typer.Option("--mapping", help="A mapping's name (fdh, native, ...) or a TOML file; see fraud simulate.")
]
LabelDelay = Annotated[
    str,
    typer.Option(
        "--label-delay", help="How long after a payment its verdict is known: 7d, 1h, 30m; 'none' for no labels."
    ),
]
ModelName = Annotated[
    str | None, typer.Option("--model", help="A trained model's name; 'rules', the default, always exists.")
]
Models = Annotated[Path | None, typer.Option("--models", help="The folder of trained models; default build/models.")]
Rules = Annotated[Path | None, typer.Option("--rules", help="A file of analyst rules; see fraud rules --help.")]
SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", envvar="FRAUD_SETTINGS", help="A TOML file of settings; see fraud settings."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on the last line only.")]

Bootstrap = Annotated[
    str | None, typer.Option("--bootstrap", help="Addresses of Kafka, HOST:PORT, separated by commas.")
]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="State store: redis://HOST:PORT/0, rediss:// or redis+cluster://. With a password set FRAUD_STORE__URL or "
        "FRAUD_STORE__URL_FILE instead: what is typed here stands in the list of processes.",
    ),
]
Group = Annotated[str | None, typer.Option("--group", help="Consumer group of the workers.")]
Prefix = Annotated[str | None, typer.Option("--prefix", help="Put before every topic's name.")]
Delivery = Annotated[
    str | None, typer.Option("--delivery", help="fast (default) or transactional, for readers with read_committed.")
]
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

CACHE = Path("build/cache")
RUNS = Path("build/runs")


def duration(text: str) -> int | None:
    """Return nanoseconds, None for 'none'; raise SettingsError for anything that is no duration."""
    if text == "none":
        return None
    try:
        return int(Duration.parse(text))
    except ValueError as error:
        msg = f"--label-delay: {error}, or 'none'"
        raise SettingsError(msg) from error


def moment(text: str | None, option: str) -> int:
    """Return a time as UTC nanoseconds, 0 for none; raise SettingsError for what is no time."""
    from streaming.messages.times import from_iso

    try:
        return 0 if text is None else from_iso(text)
    except (ValueError, OverflowError) as error:
        msg = f"{option} {text}: expected a day or a time, such as 2026-01-31 or 2026-01-31T12:00:00Z"
        raise SettingsError(msg) from error


def label_delay(text: str, settings: "Settings") -> int | None:
    """Return `duration` of a text; raise SettingsError for one after which the payments are forgotten."""
    delay, keep = duration(text), settings.labels.keep
    if delay is not None and delay > keep:
        msg = f"--label-delay {text}: payments are remembered for {keep}, so no label would find its own; "
        raise SettingsError(msg + "give a shorter delay, or set labels.keep")
    return delay


def settings(
    file: Path | None,
    *,
    model: str | None = None,
    models: Path | None = None,
    rules: Path | None = None,
    dead: Path | None = None,
    batch: int | None = None,
    learn: bool = False,
) -> "ServiceSettings":
    """Return the settings: what the command line says before the environment, before the file, before defaults.

    `learn` switches refreshes and the gate on.
    """
    from streaming.settings import changed, read_settings

    found = read_settings(file)
    found = changed(found, "model", name=model, folder=models)
    found = changed(found, "rules", file=rules)
    found = changed(found, "engine", batch=batch)
    found = changed(found, "refresh", enabled=learn or None)
    found = changed(found, "gate", enabled=learn or None)
    return changed(found, "paths", dead=dead)


def service(
    file: Path | None,
    *,
    bootstrap: str | None = None,
    store: str | None = None,
    group: str | None = None,
    prefix: str | None = None,
    delivery: str | None = None,
    http: int | None = None,
    **others: Any,
) -> "ServiceSettings":
    """Return the settings of the service: what `settings` takes, and what Kafka and Redis need.

    Raises:
        SettingsError: when the way of delivery is unknown.
    """
    from streaming.settings import changed

    if delivery not in (None, "fast", "transactional"):
        msg = f"--delivery {delivery}: expected fast or transactional"
        raise SettingsError(msg)
    found = settings(file, **others)
    found = changed(found, "kafka", bootstrap=bootstrap, group=group, prefix=prefix, delivery=delivery)
    found = changed(found, "store", url=store)
    return changed(found, "serving", http=http)
