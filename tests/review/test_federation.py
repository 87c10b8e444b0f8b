"""People whom a provider vouches for: whose account theirs is, which role they have, what they have no more."""

from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, select

from fraud.core.records import HOUR
from fraud.review.accounts import Accounts
from fraud.review.database import Database
from fraud.review.errors import ForbiddenError, GoneError
from fraud.review.federation import Federation, Identity
from fraud.review.passwords import Passwords
from fraud.review.people import Person, Role
from fraud.review.tables import account, spent
from fraud.review.words import Waits
from tests.review.members import CHEAP, NOW, PASSWORD, TERMS, joined

ANN = Identity("https://id.example.org", "u-1", "ann@example.org", "Ann of id")


class Doors:
    """Accounts and the federation of one database, with what they told."""

    def __init__(self, database: Database) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.accounts = Accounts(database, Passwords(CHEAP), TERMS, self._journal)
        self.federation = Federation(database, TERMS, self._journal)
        self.database = database
        self._tickets = iter(range(1_000))

    def _journal(self, _: Connection, *words: object) -> None:
        self.told.append(words)

    def enter(self, who: Identity = ANN, now: int = NOW, old: str = "") -> Person | None:
        """Return who is signed in by it."""
        entered = self.federation.enter(who, f"ticket {next(self._tickets)}", now, old)
        assert entered.waits is Waits.NOTHING
        session = self.accounts.session(entered.token, now)
        return None if session is None else session.person

    def rows(self) -> list[Any]:
        with self.database.read() as connection:
            return list(connection.execute(select(account).order_by(account.c.id)).all())


@pytest.fixture
def doors(database: Database) -> Doors:
    return Doors(database)


def test_invited_email_makes_an_account_without_a_password(doors: Doors) -> None:
    link = doors.accounts.invite(Role.LEAD, NOW, email="ann@example.org")
    assert doors.enter() == Person(1, "Ann of id", Role.LEAD)
    (row,) = doors.rows()
    assert (row.password, row.email) == ("", "ann@example.org")
    with pytest.raises(GoneError):
        doors.accounts.invited(link, NOW)
    with pytest.raises(ForbiddenError):
        doors.accounts.sign_in("ann@example.org", "", "192.0.2.7", NOW)
    assert [words[2:4] for words in doors.told] == [
        ("account.invite", "invite/ann@example.org"), ("account.new", "account/1"), ("account.sign-in", "account/1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("who", "why"),
    [
        (ANN, "No account of this console has the email ann@example.org"),
        (msgspec.structs.replace(ANN, email=""), "vouches for no email"),
        (msgspec.structs.replace(ANN, mapped=True), "gives you no role"),
        (msgspec.structs.replace(ANN, mapped=True, role=Role.LEAD, email=""), "vouches for no email"),
    ],
)
def test_nobody_comes_in_without_an_invite_or_a_role(doors: Doors, who: Identity, why: str) -> None:
    with pytest.raises(ForbiddenError, match=why):
        doors.enter(who)
    assert doors.rows() == []
    assert doors.told[-1][2:4] == ("account.refuse", "subject/https://id.example.org u-1")


def test_invite_of_the_past_is_none(doors: Doors) -> None:
    doors.accounts.invite(Role.LEAD, NOW, email="ann@example.org")
    with pytest.raises(ForbiddenError):
        doors.enter(now=NOW + HOUR)


def test_account_with_the_email_is_theirs_from_then_on_and_its_password_is_no_more(doors: Doors) -> None:
    before = joined(doors.accounts, Role.ADMIN)
    assert doors.enter() == Person(1, "Ann", Role.ADMIN)
    assert doors.accounts.session(before, NOW) is None
    with pytest.raises(ForbiddenError):
        doors.accounts.sign_in("ann@example.org", PASSWORD, "192.0.2.7", NOW)
    moved = msgspec.structs.replace(ANN, email="ann@elsewhere.example")
    assert doors.enter(moved) == Person(1, "Ann", Role.ADMIN)
    with pytest.raises(ForbiddenError, match="is somebody else's at the provider"):
        doors.enter(msgspec.structs.replace(ANN, subject="u-2"))


def test_provider_says_who_has_which_role_where_it_is_asked(doors: Doors) -> None:
    mapped = msgspec.structs.replace(ANN, mapped=True, role=Role.LEAD)
    assert doors.enter(mapped) == Person(1, "Ann of id", Role.LEAD)
    analyst = msgspec.structs.replace(mapped, role=Role.ANALYST)
    assert doors.enter(analyst) == Person(1, "Ann of id", Role.ANALYST)
    assert doors.told[-2][1:] == ("provider", "account.change", "account/1", "lead", "analyst")
    with pytest.raises(ForbiddenError, match="gives you no role"):
        doors.enter(msgspec.structs.replace(mapped, role=None))


def test_account_that_is_switched_off_stays_out(doors: Doors) -> None:
    joined(doors.accounts)
    doors.accounts.change(Person(9, "Ada", Role.ADMIN), 1, NOW, on=False)
    with pytest.raises(ForbiddenError, match="switched off"):
        doors.enter()


def test_ticket_is_good_for_one_session(doors: Doors) -> None:
    joined(doors.accounts)
    assert doors.federation.enter(ANN, "ticket", NOW).token
    with pytest.raises(GoneError, match="has come to an end already"):
        doors.federation.enter(ANN, "ticket", NOW)
    with doors.database.read() as connection:
        assert b"ticket" not in connection.execute(select(spent.c.key_sha256)).scalar_one()


def test_session_that_came_along_ends(doors: Doors) -> None:
    joined(doors.accounts)
    first = doors.federation.enter(ANN, "one", NOW).token
    doors.federation.enter(ANN, "two", NOW, first)
    assert doors.accounts.session(first, NOW) is None


def test_invite_gives_an_account_a_password_again(doors: Doors) -> None:
    joined(doors.accounts)
    doors.enter()
    link = doors.accounts.invite(Role.VIEWER, NOW, email="ann@example.org")
    doors.accounts.accept(link, "", "", PASSWORD, NOW)
    assert doors.accounts.sign_in("ann@example.org", PASSWORD, "192.0.2.7", NOW).token
    assert doors.rows()[0].subject is None
