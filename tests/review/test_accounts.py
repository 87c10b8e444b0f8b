"""Accounts over a real database: what is kept of secrets, invites that work once, tries that are counted."""

from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Table, select

from fraud.core.records import DAY, MINUTE
from fraud.review.database import Database
from fraud.review.errors import ConflictError, ForbiddenError, GoneError, InvalidError, TooManyError, UnknownError
from fraud.review.people import Person, Role
from fraud.review.tables import account, attempt, invite, session
from tests.review.members import NOW, PASSWORD, accounts, joined


def rows(database: Database, table: Table) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(select(table)).all())


def test_database_holds_no_token_and_no_password(database: Database) -> None:
    found = accounts(database)
    link = found.invite(Role.LEAD, NOW)
    token = joined(found)
    kept = repr([rows(database, table) for table in (account, session, invite)])
    assert token not in kept
    assert link not in kept
    assert PASSWORD not in kept
    assert "$argon2id$" in kept


def test_tries_are_counted_without_the_email_that_was_typed(database: Database) -> None:
    with pytest.raises(ForbiddenError):
        accounts(database).sign_in("my password by mistake", "x", "192.0.2.7", NOW)
    assert "mistake" not in repr(rows(database, attempt))


def test_invite_works_once_also_when_two_use_it_at_the_same_moment(database: Database) -> None:
    found = accounts(database)
    link = found.invite(Role.ANALYST, NOW)
    found.accept(link, "Ann", "ann@example.org", PASSWORD, NOW)
    with pytest.raises(GoneError):
        found.accept(link, "Bob", "bob@example.org", PASSWORD, NOW)
    assert [row.name for row in rows(database, account)] == ["Ann"]


@pytest.mark.parametrize(
    ("name", "email", "password"),
    [("", "a@b.c", PASSWORD), ("A", "a.b.c", PASSWORD), ("A", "a@b.c", "short"), ("A\x07", "a@b.c", PASSWORD)],
)
def test_what_cannot_be_taken_leaves_the_invite_good(
    database: Database, name: str, email: str, password: str
) -> None:  # fmt: skip
    found = accounts(database)
    link = found.invite(Role.ANALYST, NOW)
    with pytest.raises(InvalidError):
        found.accept(link, name, email, password, NOW)
    assert found.invited(link, NOW).role is Role.ANALYST


def test_email_has_one_account(database: Database) -> None:
    found = accounts(database)
    joined(found)
    with pytest.raises(ConflictError):
        found.accept(found.invite(Role.ADMIN, NOW), "Eve", " ANN@example.org ", PASSWORD, NOW)


def test_invite_to_an_account_gives_it_a_new_password_and_no_other_role(database: Database) -> None:
    found = accounts(database)
    before = joined(found)
    link = found.invite(Role.ADMIN, NOW, email="ann@example.org")
    session_after = found.session(found.accept(link, "", "", "another long password", NOW).token, NOW)
    assert session_after is not None
    assert session_after.person.role is Role.ANALYST
    assert found.session(before, NOW) is None
    with pytest.raises(ForbiddenError):
        found.sign_in("ann@example.org", PASSWORD, "192.0.2.7", NOW)
    assert found.sign_in("ann@example.org", "another long password", "192.0.2.7", NOW)


def test_tries_of_a_window_slide_with_the_time(database: Database) -> None:
    found = accounts(database)
    joined(found)
    for minute in (0, 1, 2, 13, 14):
        with pytest.raises(ForbiddenError):
            found.sign_in("ann@example.org", "wrong", f"198.51.{minute}.1", NOW + minute * MINUTE)
    with pytest.raises(TooManyError) as refused:
        found.sign_in("ann@example.org", PASSWORD, "192.0.2.7", NOW + 14 * MINUTE)
    assert 60 <= refused.value.seconds <= 180
    assert found.sign_in("ann@example.org", PASSWORD, "192.0.2.7", NOW + 17 * MINUTE)


def test_sign_in_takes_its_own_tries_back(database: Database) -> None:
    found = accounts(database)
    joined(found)
    for minute in range(8):
        for _ in range(4):
            with pytest.raises(ForbiddenError):
                found.sign_in("ann@example.org", "wrong", f"198.51.{minute}.1", NOW)
        found.sign_in("ann@example.org", PASSWORD, f"198.51.{minute}.1", NOW)


def test_password_of_an_older_cost_is_hashed_anew(database: Database) -> None:
    joined(accounts(database))
    before = rows(database, account)[0].password
    dearer = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    accounts(database, hasher=dearer).sign_in("ann@example.org", PASSWORD, "192.0.2.7", NOW)
    after = rows(database, account)[0].password
    assert before != after
    assert not dearer.check_needs_rehash(after)


class Counted(PasswordHasher):
    """Counts how often a password was compared with a hash of the same cost."""

    calls = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Any:
        self.calls += not self.check_needs_rehash(hash)
        return super().verify(hash, password)


def test_unknown_account_costs_as_much_as_a_known_one(database: Database) -> None:
    hasher = Counted(time_cost=1, memory_cost=8, parallelism=1)
    found = accounts(database, hasher=hasher)
    joined(found)
    for name in ("ann", "nobody"):
        with pytest.raises(ForbiddenError):
            found.sign_in(f"{name}@example.org", "wrong", "192.0.2.7", NOW)
    assert hasher.calls == 2


def test_nobody_changes_the_own_role_and_others_must_exist(database: Database) -> None:
    found = accounts(database)
    admin = found.session(joined(found, Role.ADMIN, "Ada"), NOW)
    assert admin is not None
    with pytest.raises(ForbiddenError):
        found.change(admin.person, admin.person.id, NOW, role=Role.VIEWER)
    with pytest.raises(UnknownError):
        found.change(admin.person, 99, NOW, on=False)


def test_changes_are_told_with_what_was_before(database: Database) -> None:
    told: list[tuple[Any, ...]] = []
    found = accounts(database, told)
    joined(found)
    found.change(Person(99, "Ada", Role.ADMIN), 1, NOW, role=Role.LEAD)
    assert (NOW, "Ada", "account.change", "account/1", "analyst, active", "lead, active") in told
    assert [words[2] for words in told] == ["account.invite", "account.new", "account.change"]


def test_sessions_and_invites_of_the_past_are_not_kept(database: Database) -> None:
    found = accounts(database)
    joined(found)
    found.invite(Role.VIEWER, NOW + DAY)
    found.sign_in("ann@example.org", PASSWORD, "192.0.2.7", NOW + DAY)
    assert len(rows(database, session)) == 1
    assert len(rows(database, invite)) == 1
