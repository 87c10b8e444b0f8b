"""`fraud console`: the analyst console, its tables, its accounts, and forgetting a card."""

import os
import signal
import sys
import threading
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from fraud.cli import options, output
from fraud.cli.token import CARD, names_of
from fraud.core.errors import SettingsError

if TYPE_CHECKING:
    from fraud.dashboard.process import Opened
    from streaming.settings import ServiceSettings

HELP = """Serve the analyst console: alerts by what is at stake, cases on one screen, verdicts that teach the model.

Without a subcommand it serves, until SIGTERM or Ctrl-C; the line on standard output has its address and, while there
is no account, a link for the first one, good once and for an hour. It reads decisions and labels from Kafka, or from
the folder of an embedded engine (--feed), into its database, and writes verdicts back. Killed at any moment it goes on
where it was.

It takes the settings of fraud run: TLS and SASL of Kafka stand in table kafka.client of the settings file. More:
docs/console.md.
"""

LIBRARIES = (
    "fastapi", "uvicorn", "jinja2", "multipart", "sqlalchemy", "alembic", "argon2", "httpx", "jwt", "cryptography",
    "segno",
)  # fmt: skip
"""What the extra `console` installs, by the names that are imported; the console does not start without any of them."""

app = typer.Typer(help=HELP, invoke_without_command=True)

Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        help="sqlite:///FILE or postgresql://USER@HOST:PORT/NAME. With a password set FRAUD_CONSOLE__DATABASE or "
        "FRAUD_CONSOLE__DATABASE_FILE instead: what is typed here stands in the list of processes.",
    ),
]
KeysFolder = Annotated[Path | None, typer.Option("--keys", help="Folder of the audit log's key.")]
RoleName = Annotated[str, typer.Option("--role", help="viewer, analyst, lead or admin.")]
Email = Annotated[str, typer.Option("--email", help="For whom; with the email of an account it sets a new password.")]


@app.callback()
def console(
    context: typer.Context,
    database: Database = None,
    feed: Annotated[
        Path | None, typer.Option("--feed", help="Topics of an embedded engine, a folder, in place of Kafka.")
    ] = None,
    bootstrap: options.Bootstrap = None,
    store: options.Store = None,
    prefix: options.Prefix = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on; default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port; 0 takes any free one; default 8600.")] = None,
    keys: KeysFolder = None,
    settings: options.SettingsFile = None,
    tied: Annotated[bool, typer.Option("--tied", help="End when standard input is closed.")] = False,
) -> None:
    """Serve the analyst console, or do what a subcommand says."""
    found = console_settings(
        settings, bootstrap=bootstrap, store=store, prefix=prefix, database=database, host=host, port=port, keys=keys
    )
    context.obj = found
    if context.invoked_subcommand is None:
        need_console()
        from fraud.dashboard.process import serve

        if tied:
            threading.Thread(target=end_with_input, daemon=True).start()
        serve(found, feed, told)


@app.command("migrate")
def migrate(context: typer.Context, database: Database = None) -> None:
    """Make the console's tables, or bring them up to date; SQLite's are by themselves at every start."""
    need_console()
    from fraud.review.database import Database as Opened

    found = with_database(context, database)
    opened = Opened(found.console.database)
    try:
        opened.migrate()
    finally:
        opened.close()
    output.last_line({"database": opened.name, "migrated": True})


@app.command("invite")
def invite(context: typer.Context, role: RoleName = "analyst", email: Email = "", database: Database = None) -> None:
    """Print a link that makes an account, or sets a new password: good once, for an hour."""
    need_console()
    from fraud.dashboard.keys import audit_key
    from fraud.dashboard.process import accounts_of, database_of, link_of
    from fraud.review.audit import Audit
    from fraud.review.people import Role
    from streaming import clock

    section = with_database(context, database).console
    try:
        wanted = Role.of(role)
    except KeyError as error:
        msg = f"--role {role}: expected viewer, analyst, lead or admin"
        raise SettingsError(msg) from error
    with database_of(section) as opened:
        accounts = accounts_of(section, opened, Audit(audit_key(Path(section.keys))))
        token = accounts.invite(wanted, clock.now_ns(), email=email)
    output.last_line({"link": link_of(section, section.port, token), "role": wanted.word, "email": email})


@app.command("forget")
def forget(
    context: typer.Context,
    card: Annotated[str, typer.Argument(help=CARD)],
    database: Database = None,
) -> None:
    """Forget a card here: its payments, what alerts rest on, notes; the audit log keeps that it was done.

    The state of the workers forgets it by fraud state forget.
    """
    need_console()
    from fraud.dashboard.keys import audit_key
    from fraud.dashboard.process import database_of
    from fraud.review.audit import Audit
    from fraud.review.forgetting import forget as forgotten
    from streaming import clock

    found = with_database(context, database)
    names, section, counts = names_of(card, found), found.console, Counter[str]()
    with database_of(section) as opened:
        audit = Audit(audit_key(Path(section.keys)))
        for name in names:
            counts.update(forgotten(opened, audit, name, clock.now_ns()))
    output.last_line(counts)


# --- parts


def console_settings(
    file: Path | None, *, database: str | None, host: str | None, port: int | None, keys: Path | None,
    **others: str | None,
) -> "ServiceSettings":  # fmt: skip
    """Return the settings of the console: command line, environment, file."""
    from streaming.settings import changed

    found = options.service(file, **others)  # type: ignore[arg-type]
    return changed(found, "console", database=database, host=host, port=port, keys=keys)


def with_database(context: typer.Context, database: str | None) -> "ServiceSettings":
    """Return the settings of a subcommand, which may name the database too."""
    from streaming.settings import changed

    found: ServiceSettings = context.obj
    return changed(found, "console", database=database)


def need_console() -> None:
    """Raise SettingsError where the console's libraries are not installed."""
    if absent := absent_libraries():
        msg = f"the console needs {', '.join(absent)}: install the extra 'console' (pip install 'fraud[console]')"
        raise SettingsError(msg)


def absent_libraries() -> list[str]:
    """Return which of the console's libraries are not installed, none of them imported for that."""
    return [name for name in LIBRARIES if find_spec(name) is None]


def told(opened: "Opened") -> None:
    """Print where the console listens, for programs; for people too where somebody looks, for the link is a secret."""
    if sys.stdout.isatty():
        output.say(f"The console listens on {opened.address}")
        if opened.set_up:
            output.say("There is no account yet. Make the first, once, within an hour:")
            output.err.print(opened.set_up, soft_wrap=True)
    sys.stdout.write(msgspec.json.encode(opened).decode() + "\n")
    sys.stdout.flush()


def end_with_input() -> None:
    """Ask this process to end when whoever started it is gone."""
    while os.read(0, 65_536):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
