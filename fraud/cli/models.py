"""`fraud models`: list, show, compare, promote, roll back, sign trained models; take vectors to a notebook."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from fraud.cli import fits, options, output
from fraud.core.errors import SettingsError

app = typer.Typer(help="List, show, compare, promote, roll back and sign trained models.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The model's name, or NAME@VERSION for another version than the one in use.")]


@app.command("list")
def list_models(models: options.Models = None, settings: options.SettingsFile = None) -> None:
    """List trained models; the version in use is marked with a star."""
    from models import registry

    folder = root(models, settings)
    for found in registry.found(folder):
        card = found.card
        ap = card.metrics.get("ap")
        mark = "*" if found.current else " "
        shown = f"validation AP {ap:.3f}" if ap is not None else "no validation"
        delay = registry.said(card.label_delay)
        head = f"{mark} {card.name:<20} {card.version}  {card.kind:<8} {shown}  labels {delay:<8}"
        output.show(f"{head} spec {card.spec_version}")
    output.last_line({"models": registry.names(folder)})


@app.command("show")
def show_model(name: Name, models: options.Models = None, settings: options.SettingsFile = None) -> None:
    """Show a model's card: what it was fitted on, how, how it did; and which versions were in use before."""
    from models import registry

    folder = root(models, settings)
    card = card_of(folder, name)
    for move in registry.history(folder, card.name):
        output.say(f"in use by {move.how}: {move.version} {when(move.at)}")
    output.show(msgspec.json.format(msgspec.json.encode(card), indent=2).decode())


@app.command("promote")
def promote(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    version: Annotated[str, typer.Argument(help="The version to use, as fraud models list shows it.")],
    models: options.Models = None,
    settings: options.SettingsFile = None,
    store: options.Store = None,
) -> None:
    """Make a kept version the one in use; services take it up when they start.

    Refused while a release is in force, which names the version that decides.
    """
    from models import registry
    from streaming import clock
    from streaming.wiring import spec_of

    need_no_release(settings, store, f"promoting {name} {version}")
    folder = root(models, settings)
    registry.require_known(folder, name)
    registry.promote(folder, name, version, clock.now_ns())
    card = registry.card_of(folder, name)
    if card.spec_version != spec_of(options.settings(settings)).version:
        own = registry.own_columns(card)
        other = f"it reads {registry.listed(own)}, which the settings do not declare" if own else ""
        other = other or f"it was trained on feature spec {card.spec_version}, this release computes another"
        output.say(f"warning: {other}")
    output.last_line({"name": name, "version": version})


@app.command("rollback")
def rollback(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    models: options.Models = None,
    settings: options.SettingsFile = None,
    store: options.Store = None,
) -> None:
    """Go back to the version that was in use before; a second call goes one further back.

    Refused while a release is in force, which names the version that decides.
    """
    from models import registry
    from streaming import clock

    need_no_release(settings, store, f"another version of {name}")
    version = registry.rollback(root(models, settings), name, clock.now_ns())
    output.last_line({"name": name, "version": version})


@app.command("compare")
def compare(
    name: Name,
    other: Annotated[str, typer.Argument(help="Another model, or NAME@VERSION.")],
    models: options.Models = None,
    settings: options.SettingsFile = None,
) -> None:
    """Show two trained models side by side: measures on their validation rows, and the settings in which they differ.

    Measures of models that were fitted on other data or under another label delay do not say which is better: for that
    see fraud evaluate --compare.
    """
    folder = root(models, settings)
    cards = [card_of(folder, one) for one in (name, other)]
    table = Table("", *(f"{card.name}@{card.version}" for card in cards))
    rows = [flat(card) for card in cards]
    differ = {}
    for key in dict.fromkeys([*rows[0], *rows[1]]):
        cells = [row.get(key) for row in rows]
        if cells[0] != cells[1] or key.startswith("metrics."):
            table.add_row(key, *(cell(value) for value in cells))
            differ[key] = cells
    output.out.print(table)
    if cards[0].data_hash != cards[1].data_hash or cards[0].label_delay != cards[1].label_delay:
        output.say("fitted on other data or labels: the measures are about different rows")
    output.last_line({"models": [f"{card.name}@{card.version}" for card in cards], "differ": differ})


@app.command("export")
def export(
    data: options.Data,
    out: Annotated[Path, typer.Option(help="The file to write: .parquet (vectors) or .npz.")],
    mapping: options.MappingName = "native",
    label_delay: options.LabelDelay = "7d",
    tokens: Annotated[
        int, typer.Option(min=0, help="With .npz: also what a network reads of so many payments, the newest ones.")
    ] = 0,
    settings: options.SettingsFile = None,
    cache: options.Cache = options.CACHE,
) -> None:
    """Write what models are fitted on to one file, for notebooks: vectors, verdicts, and tokens of the newest payments.

    `tx_id` names each row's transaction. `matrix` is (payments, features) with `names`; `raw`, `sums`, `codes` and
    `text` are the tokens of the payments numbered in `rows`, codes by no encoder (zero).
    """
    from fraud.training import dataset, extraction

    if tokens and out.suffix != ".npz":
        msg = f"--tokens are written to an .npz file, --out is {out}"
        raise SettingsError(msg)
    found = options.settings(settings)
    held = fits.extracted(data, mapping, label_delay, cache, found, histories=tokens > 0)
    more = extraction.newest_tokens(held, cache, tokens) if tokens else {}
    dataset.export(held, dataset.ids_of(held, cache), out, more)
    output.last_line({"out": str(out), "rows": held.meta.rows, "features": len(held.names), "tokens": tokens})


@app.command("make-key")
def make_key(file: Annotated[Path, typer.Argument(help="The file to write: the private key, mode 0600.")]) -> None:
    """Make a key to sign models with; the last line has its public key, for model.trusted of those who verify."""
    from models import signatures

    output.last_line({"file": str(file), "public": signatures.make_key(file)})


@app.command("sign")
def sign(
    name: Name,
    key: Annotated[Path, typer.Option("--key", help="The private key, as fraud models make-key writes it.")],
    models: options.Models = None,
    settings: options.SettingsFile = None,
) -> None:
    """Sign a model: its card, which has the hash of its weights. Signatures of others stay beside it."""
    from models import signatures

    card, folder = placed(root(models, settings), name)
    public = signatures.sign(folder, signatures.read_key(key))
    output.last_line({"model": f"{card.name}@{card.version}", "signed_by": public})


@app.command("verify")
def verify(name: Name, models: options.Models = None, settings: options.SettingsFile = None) -> None:
    """Say whether a model is whole and who has signed it; exit status 1 unless somebody in model.trusted has.

    Where model.trusted is empty anybody's signature does.
    """
    from models import signatures

    trusted = options.settings(settings, models=models).model.trusted
    card, folder = placed(root(models, settings), name)
    signers = signatures.signers(folder)
    for public in signatures.signed_by(folder):
        said = "right" if public in signers else "WRONG"
        output.show(f"{said}  {public}{'  trusted' if public in signatures.normal(trusted) else ''}")
    fine = bool(signatures.trusted_among(signers, trusted))
    output.last_line({"model": f"{card.name}@{card.version}", "signed_by": signers, "trusted": fine})
    if not fine:
        raise typer.Exit(1)


def need_no_release(settings: Path | None, store: str | None, what: str) -> None:
    """Raise ReleaseError where a release is in force: in the store of the site, where one answers, or in its folder."""
    from fraud.cli.release import live_release
    from streaming import releasing

    releasing.need_no_release(live_release(settings, store), what)


def root(models: Path | None, settings: Path | None) -> Path:
    """Return the folder of the registry."""
    return Path(options.settings(settings, models=models).model.folder)


def card_of(folder: Path, name: str) -> Any:
    """Return the card of NAME or NAME@VERSION."""
    from models import registry

    bare, _, version = name.partition("@")
    return registry.card_of(folder, bare, version or None)


def placed(folder: Path, name: str) -> tuple[Any, Path]:
    """Return the card of NAME or NAME@VERSION, whose weights match it, and where it lies."""
    from models import registry

    card = card_of(folder, name)
    return card, registry.folder_of(folder, card.name, card.version)


def when(at: int) -> str:
    """Return a time, ns UTC, as people read it; nothing where it is not known."""
    from datetime import UTC, datetime

    return f"since {datetime.fromtimestamp(at // 10**9, UTC):%Y-%m-%d %H:%M:%S} UTC" if at else ""


def flat(card: Any) -> dict[str, Any]:
    """Return what of a card can be compared, by dotted name."""
    made: dict[str, Any] = {}

    def note(place: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, one in value.items():
                note(f"{place}.{key}" if place else key, one)
        elif not isinstance(value, list | tuple):
            made[place] = value

    held = msgspec.to_builtins(card)
    for name in ("kind", "data_hash", "until", "label_delay", "spec_version", "seed", "metrics", "metrics_by_model"):
        note(name, held[name])
    for name in ("gate", "thresholds", "exits", "architecture", "settings", "libraries"):
        note(name, held[name])
    return made


def cell(value: Any) -> str:
    """Return a value as a table shows it."""
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
