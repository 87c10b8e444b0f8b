"""`fraud release`: what is in force, model, rules and policy together; put another in force, go back, who did it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.table import Table

from fraud.cli import options, orders, output
from fraud.core.errors import SettingsError

if TYPE_CHECKING:
    from fraud.core.releases import Release, Releases
    from streaming.releasing import Move, Releasing

HELP = """See which release is in force, put another one in force, go back.

A release is model, rules and policy under one name, kept in the state store. Workers take it up between two batches,
within seconds, and every decision names it. Once one is in force it stands above --model, --rules and 'fraud models
promote'. More: docs/releases.md.
"""

app = typer.Typer(help=HELP, no_args_is_help=True)

Folder = Annotated[
    Path | None, typer.Option("--folder", help="Releases of an engine without a store (paths.releases), not a store's.")
]
Note = Annotated[str, typer.Option("--note", help="Why, for those who look at the history.")]
By = Annotated[str, typer.Option("--by", help="Who does it; default: your login name.")]


@app.command("list")
def list_releases(
    last: Annotated[int, typer.Option(min=1, help="Show so many moves, the newest.")] = 20,
    store: options.Store = None,
    folder: Folder = None,
    settings: options.SettingsFile = None,
) -> None:
    """List which release came into force when, by whom and why, newest last; that is the one in force."""
    with opened(settings, store, folder) as releases:
        moves, live = releases.moves()[-last:], releases.live()
    table = Table("at (UTC)", "release", "how", "by", "model", "rules", "policy", "note")
    for move in moves:
        parts = move.model, move.rules, move.policy
        table.add_row(orders.when(move.at), move.id, move.how.value, move.by, *parts, move.note)
    output.out.print(table)
    output.last_line({"live": live and live.id, "moves": [msgspec.to_builtins(move) for move in moves]})


@app.command("show")
def show(
    release: Annotated[str, typer.Argument(help="A release, as fraud release list shows it; default: in force.")] = "",
    store: options.Store = None,
    folder: Folder = None,
    settings: options.SettingsFile = None,
) -> None:
    """Show a release: when it last came into force, its model, its rules with their lists, its policy."""
    from fraud.core.releases import NO_RULES, of_id
    from fraud.core.rules.bundle import parted

    with opened(settings, store, folder) as releases:
        moves = releases.moves()
        found = of_id(moves, release or (moves[-1].id if moves else ""))
        rules = "" if found.rules == NO_RULES else releases.text(found.rules)
        policy = releases.text(found.policy)
    output.show(f"{found.id}: model {found.model}, {found.how} by {found.by} at {orders.when(found.at)} {found.note}")
    text, files = parted(rules)
    for name, body in {f"rules {found.rules}": text, **files, f"policy {found.policy}": policy}.items():
        output.show(f"--- {name}\n{body.rstrip()}")
    output.last_line(msgspec.to_builtins(found) | {"text": {"rules": text, "lists": files, "policy": policy}})


@app.command("activate")
def activate(
    release: Annotated[str, typer.Argument(help="A release of before, as fraud release list shows it.")] = "",
    model: Annotated[str | None, typer.Option(help="A model's name, or NAME@VERSION.")] = None,
    rules: Annotated[
        str | None, typer.Option(help="A file of rules, its list files beside it; 'default': the shipped one; 'none'.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="A TOML file with a table [policy].")] = None,
    note: Note = "",
    by: By = "",
    store: options.Store = None,
    folder: Folder = None,
    models: options.Models = None,
    settings: options.SettingsFile = None,
) -> None:
    """Put a release in force: one of before, or a new one, which has what you name and the rest of the one in force.

    Where none is in force the rest is what the settings say. What cannot be loaded is refused, and nothing changes.
    """
    from streaming.releasing import Wanted

    if release and (model or rules or policy):
        msg = f"release {release} has a model, rules and a policy: name either it, or --model, --rules and --policy"
        raise SettingsError(msg)
    with releasing(settings, store, folder, models) as put:
        if release:
            made = put.again(release, move_of(by, note))
        else:
            made = put.activate(Wanted(model, rules_in(rules, settings), policy_in(policy)), move_of(by, note))
    told(made)


@app.command("rollback")
def rollback(
    note: Note = "",
    by: By = "",
    store: options.Store = None,
    folder: Folder = None,
    models: options.Models = None,
    settings: options.SettingsFile = None,
) -> None:
    """Go back to the release before the one in force; a second call goes one further back."""
    with releasing(settings, store, folder, models) as put:
        made = put.rollback(move_of(by, note))
    told(made)


@contextmanager
def opened(settings: Any, store: str | None, folder: Path | None) -> "Iterator[Releases]":
    """Yield the releases of a store, or of a folder."""
    from streaming import release_wiring
    from streaming.files.releases import FolderReleases

    found = options.service(settings, store=store)
    releases: Releases = release_wiring.open_releases(found) if folder is None else FolderReleases(folder)
    try:
        yield releases
    finally:
        releases.close()


@contextmanager
def releasing(settings: Any, store: str | None, folder: Path | None, models: Path | None) -> "Iterator[Releasing]":
    """Yield what puts releases in force, in a store or in a folder."""
    from streaming import release_wiring, service_wiring
    from streaming.files.releases import FolderReleases
    from streaming.releasing import NoHistories, Releasing

    found = options.service(settings, store=store, models=models)
    if folder is not None:
        yield Releasing(found, FolderReleases(folder), NoHistories())
        return
    releases, histories = release_wiring.open_releases(found), service_wiring.open_store(found)
    try:
        yield Releasing(found, releases, histories)
    finally:
        releases.close()
        histories.close()


def rules_in(rules: str | None, settings: Path | None) -> str | None:
    """Return the bundle of a rule file, `none` for no rules, None where nothing was said; raise RuleError."""
    from streaming.releasing import bundle_of
    from streaming.settings import card_numbers

    cards = card_numbers(options.settings(settings))
    return None if rules is None else bundle_of("" if rules == "none" else rules, cards)


def policy_in(file: Path | None) -> str | None:
    """Return the text of a policy, None where nothing was said; raise SettingsError when it cannot be read."""
    try:
        return None if file is None else file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        msg = f"--policy {file} cannot be read ({error}): expected TOML with a table [policy]; see fraud settings"
        raise SettingsError(msg) from error


def move_of(by: str, note: str) -> "Move":
    """Return who puts a release in force now."""
    from streaming import clock
    from streaming.releasing import Move

    return Move(orders.who(by), clock.now_ns(), note)


def told(made: "Release") -> None:
    """Show what is in force."""
    output.say("workers take it up within seconds; see fraud_build_info in their /metrics, and 'release' in decisions")
    output.say("workers whose command line names another --model or --rules would refuse to be started again by hand")
    output.last_line(msgspec.to_builtins(made))


def live_release(settings: Any, store: str | None = None) -> "Release | None":
    """Return the release in force, in the folder of the settings or in their store; None where no store answers.

    Raises:
        StoreUnavailableError: when a store that was named on the command line does not answer.
    """
    from fraud.core.errors import StoreUnavailableError
    from streaming import release_wiring
    from streaming.files.releases import FolderReleases

    found = options.service(settings, store=store)
    if (live := FolderReleases(Path(found.paths.releases)).live()) is not None:
        return live
    try:
        releases = release_wiring.open_releases(found)
    except StoreUnavailableError:
        if store is not None:
            raise
        return None
    try:
        return releases.live()
    finally:
        releases.close()
