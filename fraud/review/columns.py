"""What the console's tables are made of: columns by what they hold."""

from typing import Any

from sqlalchemy import JSON, REAL, BigInteger, Boolean, Column, Integer, MetaData, SmallInteger, Text, false, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

Id = BigInteger().with_variant(Integer, "sqlite")
"""A number that the database gives: SQLite counts only in what it calls INTEGER."""
Json: TypeEngine[Any] = JSON().with_variant(JSONB, "postgresql")
Real: TypeEngine[float] = REAL()
Ordered = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is sorted by its characters' numbers, so that a span of names can be asked for whatever the language."""


def number(name: str = "id") -> Column[int]:
    """Return the column of a number that the database gives."""
    return Column(name, Id, primary_key=True, autoincrement=True)


def time(name: str, *, optional: bool = False) -> Column[int]:
    """Return the column of a time, UTC ns."""
    return Column(name, BigInteger, nullable=optional)


def count(name: str) -> Column[int]:
    """Return the column of a count or sum that begins at 0."""
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def word(name: str, *, default: int | None = None, optional: bool = False) -> Column[int]:
    """Return the column of one of the words of `words.py`."""
    begin = None if default is None else text(str(int(default)))
    return Column(name, SmallInteger, nullable=optional, server_default=begin)


def flag(name: str) -> Column[bool]:
    """Return the column of a yes or no, no at first."""
    return Column(name, Boolean, nullable=False, server_default=false())


def named(name: str, *, optional: bool = False, default: str = "") -> Column[str]:
    """Return the column of a text; one that is not optional is empty at first, or has a default."""
    return Column(name, Text, nullable=optional, server_default=None if optional else default)
