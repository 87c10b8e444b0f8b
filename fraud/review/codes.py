"""The second factor of accounts: set up, asked for after the password, taken away again."""

from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Row, select, update

from fraud.review import second_factor
from fraud.review.attempts import count_try, take_back
from fraud.review.database import Database
from fraud.review.errors import ConflictError, ForbiddenError, GoneError
from fraud.review.people import Person, Role
from fraud.review.sessions import Entered, Journal, Terms, begin, digest, end, joined
from fraud.review.tables import account
from fraud.review.words import AccountState, Waits

WRONG = "This code is wrong, or was used already: type the one that the app shows now."
TOO_LATE = "The password was given too long ago: sign in again."


class Offer(NamedTuple):
    """What an app is told to make codes from: as people type it, and as an app reads it from a picture."""

    secret: str
    address: str


class Codes:
    """Asks for codes; told the time. `key` is not in the database."""

    def __init__(self, database: Database, terms: Terms, journal: Journal, key: bytes) -> None:
        """Take where accounts lie, how long things last, where changes are told, and what secrets are made with."""
        self._database, self._terms, self._journal, self._key = database, terms, journal, key

    # --- after the password

    def waits(self, token: str, now: int) -> Waits:
        """Return what half of a session waits for; nothing for what is none."""
        with self._database.read() as connection:
            found = connection.execute(joined(token)).one_or_none()
        return Waits.NOTHING if found is None or now >= found.expires else Waits(found.waits)

    def offered(self, token: str, now: int) -> Offer:
        """Return what the app of whoever has to set one up, or wants to, is to be told.

        Raises:
            GoneError: the session has ended.
        """
        with self._database.read() as connection:
            found = self._need(connection.execute(joined(token)).one_or_none(), now)
        secret = self._secret(found, _salt(found, token))
        return Offer(second_factor.shown(secret), second_factor.address_of(secret, found.email))

    def confirm(self, token: str, code: str, address: str, now: int) -> Entered:
        """Make a session of half of one by a code; return its token, which is another one.

        Raises:
            GoneError: the password was given too long ago.
            TooManyError: the account or the network has tried too often.
            ForbiddenError: the code is wrong, or was used already.
        """
        found = self._try(token, address, now)
        if found.waits == Waits.NOTHING:
            raise GoneError(TOO_LATE)
        sets = found.waits == Waits.SET_UP
        salt = _salt(found, token) if sets else found.second_factor
        with self._database.write() as connection:
            self._take(connection, found, code, now, used=salt, kept=salt)
            end(connection, token)
            self._forgive(connection, found, address)
            if sets:
                self._tell(connection, now, found, "account.second-factor", "", "set up")
            self._tell(connection, now, found, "account.sign-in", "", "password and code")
            return Entered(begin(connection, found.id, now, self._terms.session))

    # --- as one likes

    def state(self, who: Person) -> Literal["set", "none", "provider", "off"]:
        """Return where somebody stands: set up, none, vouched for by a provider, or nobody is asked here."""
        if self._terms.second_factor == "off":
            return "off"
        asked = select(account.c.second_factor, account.c.password).where(account.c.id == who.id)
        with self._database.read() as connection:
            salt, password = connection.execute(asked).one()
        if not password:
            return "provider"
        return "set" if salt else "none"

    def needed(self, who: Person) -> bool:
        """Tell whether somebody's role needs one."""
        return self._terms.needs_second(who.role)

    def set_up(self, token: str, code: str, address: str, now: int) -> None:
        """Set the second factor up of whoever is signed in; raise as `confirm`, and ConflictError where there is one.

        Raises:
            ConflictError: there is one, or the account is vouched for by a provider.
        """
        found = self._try(token, address, now)
        if found.second_factor or not found.password:
            msg = "This account has a second factor already, or signs in by a provider, which asks for its own."
            raise ConflictError(msg)
        with self._database.write() as connection:
            salt = _salt(found, token)
            self._take(connection, found, code, now, used=salt, kept=salt)
            self._forgive(connection, found, address)
            self._tell(connection, now, found, "account.second-factor", "", "set up")

    def remove(self, token: str, code: str, address: str, now: int) -> None:
        """Take the second factor away of whoever is signed in; raise as `confirm`.

        Raises:
            ForbiddenError: the role needs one.
        """
        found = self._try(token, address, now)
        if self._terms.needs_second(Role(found.role)):
            msg = "Your role needs a second factor; an administrator's invite to your email begins with a new one."
            raise ForbiddenError(msg)
        with self._database.write() as connection:
            self._take(connection, found, code, now, used=found.second_factor, kept="")
            self._forgive(connection, found, address)
            self._tell(connection, now, found, "account.second-factor", "set up", "taken away")

    # --- parts

    def _need(self, found: Row[Any] | None, now: int) -> Row[Any]:
        if found is None or now >= found.expires or found.state != AccountState.ACTIVE:
            raise GoneError(TOO_LATE)
        return found

    def _try(self, token: str, address: str, now: int) -> Row[Any]:
        """Count a try, before the code is looked at; return the session with its account."""
        with self._database.write() as connection:
            found = self._need(connection.execute(joined(token)).one_or_none(), now)
            count_try(connection, self._terms.limits.keys_of_code(found.id, address), self._terms.limits.window, now)
        return found

    def _take(self, connection: Connection, found: Row[Any], code: str, now: int, *, used: str, kept: str) -> None:
        """Use a code of the salt `used` up, and keep the salt `kept`; raise ForbiddenError for a wrong one."""
        step = second_factor.step_of(self._secret(found, used), code, now, found.second_step)
        if step is None:
            raise ForbiddenError(WRONG)
        unused = (account.c.id == found.id) & (account.c.second_step < step)
        taken = connection.execute(update(account).where(unused).values(second_step=step, second_factor=kept))
        if not taken.rowcount:  # somebody else was quicker, with the same code
            raise ForbiddenError(WRONG)

    def _forgive(self, connection: Connection, found: Row[Any], address: str) -> None:
        """Forget the tries that led here: that of the code, and that of the password before it."""
        take_back(connection, self._terms.limits.keys_of_code(found.id, address))
        if found.waits != Waits.NOTHING:
            take_back(connection, self._terms.limits.keys(found.email, address))

    def _secret(self, found: Row[Any], salt: str) -> bytes:
        return second_factor.secret_of(self._key, found.id, salt)

    def _tell(self, connection: Connection, now: int, found: Row[Any], action: str, before: str, after: str) -> None:
        self._journal(connection, now, found.name, action, f"account/{found.id}", before, after)


def _salt(found: Row[Any], token: str) -> str:
    """Return the salt that a session offers: the same each time that it is shown, another one once it was used."""
    return digest(f"{token}\0{found.second_step}").hex()
