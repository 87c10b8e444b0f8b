"""Accounts for tests: cheap passwords, usual terms, and somebody who has just joined."""

from typing import Any

from argon2 import PasswordHasher
from sqlalchemy import Connection

from fraud.core.fields import Duration
from fraud.core.records import HOUR, MINUTE
from fraud.review.accounts import Accounts
from fraud.review.attempts import Limits
from fraud.review.database import Database
from fraud.review.passwords import Passwords
from fraud.review.people import Role
from fraud.review.sessions import Terms

NOW = 1_790_000_000_000_000_000
TERMS = Terms(30 * MINUTE, 12 * HOUR, HOUR, Limits(5, 20, Duration(15 * MINUTE)))
PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def accounts(database: Database, told: list[tuple[Any, ...]] | None = None, hasher: PasswordHasher = CHEAP) -> Accounts:
    def journal(_: Connection, *words: object) -> None:
        if told is not None:
            told.append(words)

    return Accounts(database, Passwords(hasher), TERMS, journal)


def joined(found: Accounts, role: Role = Role.ANALYST, name: str = "Ann") -> str:
    """Return the session of somebody new."""
    return found.accept(found.invite(role, NOW), name, f"{name}@example.org", PASSWORD, NOW).token
