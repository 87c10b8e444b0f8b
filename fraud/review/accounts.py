"""Accounts of the console: who may come in, and invites that work once.

Of an invite's token only the SHA-256 is kept, as of a session's (`sessions.py`).
"""

import secrets
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from fraud.core.records import MINUTE
from fraud.review.attempts import count_try, take_back
from fraud.review.database import Database
from fraud.review.errors import ConflictError, ForbiddenError, GoneError, InvalidError, UnknownError
from fraud.review.page_views import InviteRow, UserRow, UsersView
from fraud.review.passwords import Passwords
from fraud.review.people import Person, Role
from fraud.review.sessions import (
    HALF,
    TOKEN_BYTES,
    Entered,
    Journal,
    Session,
    Terms,
    begin,
    digest,
    end,
    end_all,
    joined,
    person_of,
)
from fraud.review.tables import account, invite, session
from fraud.review.words import AccountState, Waits

SEEN_EVERY = MINUTE
"""A session in use is written no more often than so: a write for each request would be most of them."""
LONGEST_NAME, LONGEST_EMAIL = 80, 254
WRONG = "Email or password is wrong."


class Invited(msgspec.Struct, frozen=True):
    """An invite that is still good: the role that it gives, and the email that it was made for, if any."""

    role: Role
    email: str = ""
    expires: int = 0


class Accounts:
    """Signs people in and out; told the time."""

    def __init__(self, database: Database, passwords: Passwords, terms: Terms, journal: Journal) -> None:
        """Take where accounts lie, how passwords are compared, how long things last, and where changes are told."""
        self._database, self._passwords, self._terms, self._journal = database, passwords, terms, journal

    # --- sessions

    def sign_in(self, email: str, password: str, address: str, now: int, old: str = "") -> Entered:
        """Return the token of a new session, or of half of one; the one that came along with the request ends.

        Raises:
            TooManyError: the account or the network has tried too often.
            ForbiddenError: email or password is wrong, or the account is off; which of them is not told.
        """
        email = email.strip().lower()
        keys = self._terms.limits.keys(email, address)
        with self._database.write() as connection:
            count_try(connection, keys, self._terms.limits.window, now)
            found = connection.execute(select(account).where(account.c.email == email)).one_or_none()
        fits = self._passwords.fits(password, found.password if found is not None else None)
        if found is None or not fits or found.state != AccountState.ACTIVE:
            raise ForbiddenError(WRONG)
        renewed = self._passwords.hashed(password) if self._passwords.outdated(found.password) else found.password
        with self._database.write() as connection:
            connection.execute(update(account).where(account.c.id == found.id).values(password=renewed))
            end(connection, old)
            waits = self._terms.waits_for(found)
            if waits is not Waits.NOTHING:
                # The try is taken back with the code: who has the password alone may not try it as often as they like.
                return Entered(begin(connection, found.id, now, HALF, waits), waits)
            take_back(connection, keys)
            self._journal(connection, now, found.name, "account.sign-in", f"account/{found.id}", "", "password")
            return Entered(begin(connection, found.id, now, self._terms.session))

    def session(self, token: str, now: int, *, active: bool = True) -> Session | None:
        """Return the session of a token, None for one that has ended.

        `active`: somebody did something, so that it goes on; a page that asks by itself keeps nobody signed in.
        """
        with self._database.read() as connection:
            found = connection.execute(joined(token)).one_or_none()
        if found is None or found.state != AccountState.ACTIVE or found.waits != Waits.NOTHING:
            return None
        if now >= min(found.expires, found.seen + self._terms.idle):
            return None
        if active and now - found.seen >= SEEN_EVERY:
            with self._database.write() as connection:
                kept = update(session).where(session.c.token_sha256 == digest(token))
                connection.execute(kept.values(seen=now))
        return Session(person_of(found), found.csrf, found.theme, bool(found.compact), not found.keys_off, found.zone,
                       tuple(found.columns.split()))  # fmt: skip

    def sign_out(self, token: str, now: int) -> None:
        """End a session; one that has ended already is no error."""
        with self._database.write() as connection:
            found = connection.execute(joined(token)).one_or_none()
            if found is not None:
                end(connection, token)
                self._journal(connection, now, found.name, "account.sign-out", f"account/{found.id}", "", "")

    def show_as(self, who: Person, **wanted: Any) -> None:
        """Keep how somebody wants pages to be shown: theme, compact, keys_off, zone, columns (with spaces between)."""
        if wanted:
            with self._database.write() as connection:
                connection.execute(update(account).where(account.c.id == who.id).values(**wanted))

    # --- invites

    def invite(self, role: Role, now: int, by: Person | None = None, email: str = "") -> str:
        """Return the token of an invite, which works once; with the email of an account it sets a new password.

        Raises:
            InvalidError: the email is none.
        """
        email = email_of(email) if email else ""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        with self._database.write() as connection:
            connection.execute(delete(invite).where(invite.c.expires < now))
            connection.execute(
                invite.insert().values(
                    token_sha256=digest(token),
                    role=role,
                    email=email,
                    expires=now + self._terms.invite,
                    created=now,
                    created_by=by.id if by else None,
                )
            )
            self._journal(connection, now, _actor(by), "account.invite", f"invite/{email}", "", role.word)
        return token

    def invited(self, token: str, now: int) -> Invited:
        """Return what an invite is good for.

        Raises:
            GoneError: it was used, has expired, or never was.
        """
        with self._database.read() as connection:
            return self._good(connection, token, now)

    def accept(self, token: str, name: str, email: str, password: str, now: int) -> Entered:
        """Make the account of an invite, or give an account its new password; return the token of a session.

        An account that gets a new password begins anew: without a second factor, and without a provider that vouches
        for it.

        Raises:
            GoneError: the invite is not good any more.
            ConflictError: there is an account with this email.
            InvalidError: name, email or password cannot be taken.
        """
        self.invited(token, now)
        hashed = self._passwords.hashed(password)
        with self._database.write() as connection:
            found = self._good(connection, token, now)
            used = update(invite).where(invite.c.token_sha256 == digest(token), invite.c.used_at.is_(None))
            if not connection.execute(used.values(used_at=now)).rowcount:
                raise GoneError(USED)
            number = self._renewed(connection, found.email, hashed) if found.email else None
            action = "account.password"
            if number is None:
                number = add_account(connection, name_of(name), email_of(found.email or email), hashed, found.role, now)
                action = "account.new"
            row = connection.execute(select(account).where(account.c.id == number)).one()
            self._journal(connection, now, row.name, action, f"account/{number}", "", found.role.word)
            waits = self._terms.waits_for(row)
            lasts = self._terms.session if waits is Waits.NOTHING else HALF
            return Entered(begin(connection, number, now, lasts, waits), waits)

    # --- administration

    def nobody(self) -> bool:
        """Tell whether there is no account yet."""
        with self._database.read() as connection:
            return connection.execute(select(account.c.id).limit(1)).one_or_none() is None

    def users(self, now: int) -> UsersView:
        """Return all accounts, and the invites that are still good."""
        waiting = select(invite.c.role, invite.c.expires).where(invite.c.used_at.is_(None), invite.c.expires > now)
        whole = session.c.waits == int(Waits.NOTHING)
        last = select(session.c.account_id, func.max(session.c.seen).label("at")).where(whole)
        with self._database.read() as connection:
            seen = {row.account_id: row.at for row in connection.execute(last.group_by(session.c.account_id))}
            rows = connection.execute(select(account).order_by(account.c.name, account.c.id)).all()
            invites = connection.execute(waiting.order_by(invite.c.expires)).all()
        users = tuple(
            UserRow(
                row.id,
                row.name,
                row.email,
                Role(row.role).word,
                AccountState(row.state).word,
                seen.get(row.id, row.last_at or 0),
                "provider" if not row.password else "password and code" if row.second_factor else "password",
            )
            for row in rows
        )
        return UsersView(users, tuple(InviteRow(Role(row.role).word, row.expires) for row in invites))

    def change(self, who: Person, number: int, now: int, *, role: Role | None = None, on: bool | None = None) -> None:
        """Give an account another role, or switch it on or off; its sessions end, so that nothing old goes on.

        Raises:
            UnknownError: there is no such account.
            ForbiddenError: it is one's own: so there is always somebody who can.
        """
        if number == who.id:
            msg = "Your own role and account are changed by another administrator."
            raise ForbiddenError(msg)
        wanted: dict[str, int] = {} if role is None else {"role": role}
        if on is not None:
            wanted["state"] = AccountState.ACTIVE if on else AccountState.OFF
        with self._database.write() as connection:
            found = connection.execute(select(account).where(account.c.id == number)).one_or_none()
            if found is None:
                msg = f"There is no account {number}."
                raise UnknownError(msg)
            connection.execute(update(account).where(account.c.id == number).values(**wanted))
            end_all(connection, number)
            before = f"{Role(found.role).word}, {AccountState(found.state).word}"
            after = f"{Role(role or found.role).word}, {AccountState(wanted.get('state', found.state)).word}"
            self._journal(connection, now, who.name, "account.change", f"account/{number}", before, after)

    # --- parts

    def _good(self, connection: Connection, token: str, now: int) -> Invited:
        found = connection.execute(select(invite).where(invite.c.token_sha256 == digest(token))).one_or_none()
        if found is None or found.used_at is not None or now >= found.expires:
            raise GoneError(USED)
        return Invited(Role(found.role), found.email or "", found.expires)

    def _renewed(self, connection: Connection, email: str, hashed: str) -> int | None:
        found = connection.execute(select(account.c.id).where(account.c.email == email)).scalar_one_or_none()
        if found is not None:
            anew = {"password": hashed, "second_factor": "", "subject": None}
            connection.execute(update(account).where(account.c.id == found).values(anew))
            end_all(connection, found)
        return found


USED = "This invite was used or has expired: ask for another one; it is good for an hour."


def add_account(
    connection: Connection, name: str, email: str, hashed: str, role: Role, now: int
) -> int:  # fmt: skip
    """Make an account and return its number; raise ConflictError where the email has one."""
    values = {"name": name, "email": email, "password": hashed, "role": role, "state": AccountState.ACTIVE}
    try:
        with connection.begin_nested():
            made = connection.execute(account.insert().values(**values, created=now).returning(account.c.id))
            return int(made.scalar_one())
    except IntegrityError as error:
        msg = f"There is an account with the email {email} already: ask for an invite to that email."
        raise ConflictError(msg) from error


def _actor(who: Person | None) -> str:
    return who.name if who else "command line"


def name_of(given: str) -> str:
    """Return a name as it is kept; raise InvalidError for none."""
    name = " ".join(given.split())
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        msg = f"A name has 1 to {LONGEST_NAME} characters that can be read; this one has {len(name)}."
        raise InvalidError(msg)
    return name


def email_of(given: str) -> str:
    """Return an email as it is kept; raise InvalidError for what is none."""
    email = given.strip().lower()
    local, _, host = email.rpartition("@")
    if not local or not host or len(email) > LONGEST_EMAIL or not email.isprintable() or " " in email:
        msg = "That is no email: expected one such as name@example.org."
        raise InvalidError(msg)
    return email
