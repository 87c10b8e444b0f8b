"""Bring the console's database to another shape: all steps in one transaction, by one process at a time."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

if TYPE_CHECKING:
    from fraud.review.database import Database

FOLDER = Path(__file__).parent / "migrations"
HEAD, BASE = "head", "base"
ONE_AT_A_TIME = 0x66726175_6D696772
"""The key of PostgreSQL's lock; SQLite's writers are one at a time anyway."""


def upgrade(database: "Database", revision: str = HEAD) -> None:
    """Take the steps up to a revision; none where the database is there already."""
    _run(database, lambda config: command.upgrade(config, revision))


def downgrade(database: "Database", revision: str) -> None:
    """Take the steps back to a revision, `BASE` for an empty database. What only later tables hold is lost."""
    _run(database, lambda config: command.downgrade(config, revision))


def current(connection: Connection) -> str | None:
    """Return the revision of a database, None for one that was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def head() -> str:
    """Return the revision that this program expects."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        msg = f"there are no migrations in {FOLDER}: the installation is incomplete, install the package again"
        raise RuntimeError(msg)
    return revision


def _run(database: "Database", order: Callable[[Config], None]) -> None:
    with database.write() as connection:
        if database.dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ONE_AT_A_TIME})
        config = _config()
        config.attributes["connection"] = connection
        order(config)


def _config() -> Config:
    config = Config()
    # Alembic reads a percent sign as the beginning of a name of another option.
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return config
