"""Accounts of people whom a provider of identities vouches for: found, made, given the role that they have there.

They have no password here. Whoever had one, and comes by the provider once, has it no more: it would be a second door
that stays open when they are switched off there. An invite to their email gives an account a password again.
"""

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, select, update
from sqlalchemy.exc import IntegrityError

from fraud.core.records import DAY
from fraud.review.accounts import add_account, email_of, name_of
from fraud.review.database import Database
from fraud.review.errors import ForbiddenError, GoneError
from fraud.review.people import Role
from fraud.review.sessions import Entered, Journal, Terms, begin, digest, end, end_all
from fraud.review.tables import account, invite, spent
from fraud.review.words import AccountState

BY = "provider"
KEPT = DAY
"""A sign-in that has come to an end is remembered for so long; a provider's word is good for minutes."""
AGAIN = "This sign-in has come to an end already: begin another one."
NO_ROLE = "Your organisation gives you no role in this console: ask whoever keeps your groups there."
SWITCHED_OFF = "This account is switched off: an administrator of the console can switch it on."


class Identity(msgspec.Struct, frozen=True):
    """Somebody whom a provider vouches for.

    `subject` is what the provider calls them, for ever; `email` is empty where it does not vouch for that. With
    `mapped` the provider says who has which role: `role` is None for somebody who has none.
    """

    issuer: str
    subject: str
    email: str = ""
    name: str = ""
    mapped: bool = False
    role: Role | None = None

    @property
    def key(self) -> str:
        """Return what an account keeps of it."""
        return f"{self.issuer} {self.subject}"


class Federation:
    """Signs people in whom a provider vouches for; told the time."""

    def __init__(self, database: Database, terms: Terms, journal: Journal) -> None:
        """Take where accounts lie, how long sessions last, and where changes are told."""
        self._database, self._terms, self._journal = database, terms, journal

    def enter(self, who: Identity, ticket: str, now: int, old: str = "") -> Entered:
        """Return the token of a new session; `ticket` is good for one of them. The session that came along ends.

        Raises:
            GoneError: the ticket was used.
            ForbiddenError: there is no account for them, no role, or the account is off.
        """
        try:
            return self._enter(who, ticket, now, old)
        except ForbiddenError as error:
            with self._database.write() as connection:
                self._journal(connection, now, BY, "account.refuse", f"subject/{who.key}", "", str(error))
            raise

    def _enter(self, who: Identity, ticket: str, now: int, old: str) -> Entered:
        with self._database.write() as connection:
            _spend(connection, ticket, now)
            found = self._bound(connection, who, now) or self._made(connection, who, now)
            if found.state != AccountState.ACTIVE:
                raise ForbiddenError(SWITCHED_OFF)
            self._give_role(connection, found, who, now)
            end(connection, old)
            self._journal(connection, now, found.name, "account.sign-in", f"account/{found.id}", "", BY)
            return Entered(begin(connection, found.id, now, self._terms.session))

    def _bound(self, connection: Connection, who: Identity, now: int) -> Row[Any] | None:
        """Return the account of somebody; one with their email is theirs from now on."""
        found = connection.execute(select(account).where(account.c.subject == who.key)).one_or_none()
        if found is not None or not who.email:
            return found
        same = select(account).where(account.c.email == email_of(who.email))
        found = connection.execute(same).one_or_none()
        if found is None:
            return None
        if found.subject is not None:
            msg = f"The account with the email {found.email} is somebody else's at the provider: ask for an invite."
            raise ForbiddenError(msg)
        bound = {"subject": who.key, "password": "", "second_factor": ""}
        connection.execute(update(account).where(account.c.id == found.id).values(bound))
        end_all(connection, found.id)
        self._journal(connection, now, BY, "account.bind", f"account/{found.id}", "password", who.issuer)
        return found

    def _made(self, connection: Connection, who: Identity, now: int) -> Row[Any]:
        """Return a new account: of an invite to their email, or by the role that they have at the provider."""
        asked = select(invite).where(invite.c.email == who.email, invite.c.used_at.is_(None), invite.c.expires > now)
        good = connection.execute(asked.order_by(invite.c.created.desc()).limit(1)).first() if who.email else None
        role = who.role if who.mapped or good is None else Role(good.role)
        if role is None or not who.email:
            raise ForbiddenError(NO_ROLE if who.mapped and role is None else _nobody(who))
        if good is not None:
            used = update(invite).where(invite.c.token_sha256 == good.token_sha256)
            connection.execute(used.values(used_at=now))
        name = name_of(who.name or who.email.partition("@")[0])
        number = add_account(connection, name, email_of(who.email), "", role, now)
        connection.execute(update(account).where(account.c.id == number).values(subject=who.key))
        self._journal(connection, now, BY, "account.new", f"account/{number}", "", f"{role.word}, of {who.issuer}")
        return connection.execute(select(account).where(account.c.id == number)).one()

    def _give_role(self, connection: Connection, found: Row[Any], who: Identity, now: int) -> None:
        """Give an account the role that the provider says, where it says so; old sessions end with another role."""
        if not who.mapped:
            return
        if who.role is None:
            raise ForbiddenError(NO_ROLE)
        if who.role != found.role:
            connection.execute(update(account).where(account.c.id == found.id).values(role=int(who.role)))
            end_all(connection, found.id)
            before = Role(found.role).word
            self._journal(connection, now, BY, "account.change", f"account/{found.id}", before, who.role.word)


def _spend(connection: Connection, ticket: str, now: int) -> None:
    """Use a ticket up; raise GoneError for one that was used."""
    connection.execute(delete(spent).where(spent.c.at < now - KEPT))
    try:
        with connection.begin_nested():
            connection.execute(spent.insert().values(key_sha256=digest(ticket), at=now))
    except IntegrityError as error:
        raise GoneError(AGAIN) from error


def _nobody(who: Identity) -> str:
    if not who.email:
        return "The provider vouches for no email of yours, so nobody can be found: ask whoever keeps it."
    return f"No account of this console has the email {who.email}: ask an administrator for an invite to it."
