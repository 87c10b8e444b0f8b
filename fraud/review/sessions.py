"""Sessions that end: by themselves, and when who they belong to may something else.

Of a session's token only the SHA-256 is kept, so that a copy of the database opens no door. A session is looked up with
its account, so a role or a switched-off account holds from the next request on.
"""

import hashlib
import secrets
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, delete, select, update

from fraud.core.records import MINUTE
from fraud.review.attempts import Limits
from fraud.review.people import Person, Role
from fraud.review.tables import account, session
from fraud.review.words import Waits

TOKEN_BYTES = 32
HALF = 10 * MINUTE
"""How long a password that was right waits for the code that goes with it."""

Journal = Callable[[Connection, int, str, str, str, str, str], object]
"""Where changes are told: connection, now, actor, action, object, before, after; in the same transaction."""
SecondFactor = Literal["off", "optional", "viewer", "analyst", "lead", "admin"]
"""Who is asked for a code beside the password: nobody, who has set one up, or everybody from a role on."""


class Terms(msgspec.Struct, frozen=True):
    """How long sessions and invites last, ns, how many tries there are, and who needs a second factor."""

    idle: int
    session: int
    invite: int
    limits: Limits
    second_factor: SecondFactor = "optional"

    def waits_for(self, found: Row[Any]) -> Waits:
        """Return what an account has to give beside its password."""
        if self.second_factor == "off":
            return Waits.NOTHING
        if found.second_factor:
            return Waits.CODE
        return Waits.SET_UP if self.needs_second(Role(found.role)) else Waits.NOTHING

    def needs_second(self, role: Role) -> bool:
        """Tell whether nobody of a role comes in by a password alone."""
        return self.second_factor not in ("off", "optional") and role >= Role.of(self.second_factor)


class Session(msgspec.Struct, frozen=True):
    """Somebody who is signed in. `csrf` stands in every form; the rest is how pages are shown."""

    person: Person
    csrf: str
    theme: str = "system"
    compact: bool = False
    keys: bool = True
    zone: str = "UTC"
    columns: tuple[str, ...] = ()
    """Those of the queue that somebody wants to see; none: all."""


class Entered(NamedTuple):
    """What a right password has opened: a session, or half of one that waits for a code."""

    token: str
    waits: Waits = Waits.NOTHING


def begin(connection: Connection, number: int, now: int, lasts: int, waits: Waits = Waits.NOTHING) -> str:
    """Begin a session of account `number`, or half of one, and return its token."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    connection.execute(delete(session).where(session.c.expires < now))
    connection.execute(
        session.insert().values(
            token_sha256=digest(token),
            account_id=number,
            created=now,
            seen=now,
            expires=now + lasts,
            csrf=secrets.token_urlsafe(TOKEN_BYTES),
            waits=int(waits),
        )
    )
    if waits is Waits.NOTHING:
        connection.execute(update(account).where(account.c.id == number).values(last_at=now))
    return token


def end(connection: Connection, token: str) -> None:
    """End a session."""
    connection.execute(delete(session).where(session.c.token_sha256 == digest(token)))


def end_all(connection: Connection, number: int) -> None:
    """End all sessions of an account."""
    connection.execute(delete(session).where(session.c.account_id == number))


def joined(token: str) -> Any:
    """Return the question for a session with its account."""
    return (
        select(account, session.c.csrf, session.c.seen, session.c.expires, session.c.waits)
        .join(session, session.c.account_id == account.c.id)
        .where(session.c.token_sha256 == digest(token))
    )


def digest(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def person_of(found: Row[Any]) -> Person:
    """Return who an account belongs to."""
    return Person(found.id, found.name, Role(found.role))
