"""One-time codes against the vectors of their standards, and accounts that are asked for one, on both databases."""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
import pytest
from sqlalchemy import Connection, select

from fraud.core.records import MINUTE, SECOND
from fraud.review import second_factor
from fraud.review.accounts import Accounts
from fraud.review.codes import Codes
from fraud.review.database import Database
from fraud.review.errors import ConflictError, ForbiddenError, GoneError, TooManyError
from fraud.review.passwords import Passwords
from fraud.review.people import Person, Role
from fraud.review.second_factor import STEP, code_of, secret_of, step_of
from fraud.review.sessions import Entered, SecondFactor
from fraud.review.tables import account
from fraud.review.words import Waits
from tests.review.members import CHEAP, NOW, PASSWORD, TERMS, joined

KEY = bytes(range(32))
RFC = b"12345678901234567890"
HOME = "192.0.2.7"


class Doors:
    """Passwords and codes of one database, with what they told."""

    def __init__(self, database: Database, rule: SecondFactor = "optional") -> None:
        self.told: list[tuple[Any, ...]] = []
        terms = msgspec.structs.replace(TERMS, second_factor=rule)
        self.accounts = Accounts(database, Passwords(CHEAP), terms, self._journal)
        self.codes = Codes(database, terms, self._journal, KEY)
        self.database = database

    def _journal(self, _: Connection, *words: object) -> None:
        self.told.append(words)

    def sign_in(self, now: int, password: str = PASSWORD) -> Entered:
        return self.accounts.sign_in("ann@example.org", password, HOME, now)

    def row(self) -> Any:
        with self.database.read() as connection:
            return connection.execute(select(account)).one()

    def code(self, now: int) -> str:
        """Return what the app of the only account shows."""
        row = self.row()
        return code_of(secret_of(KEY, row.id, row.second_factor), now // STEP)

    def offered_code(self, token: str, now: int) -> str:
        """Return what an app shows that was told what this session offers."""
        secret = self.codes.offered(token, now).secret
        return code_of(_decoded(secret), now // STEP)


def _decoded(secret: str) -> bytes:
    import base64

    return base64.b32decode(secret.replace(" ", ""))


@pytest.fixture
def doors(database: Database) -> Doors:
    return Doors(database)


def with_code(doors: Doors, now: int = NOW) -> str:
    """Make an account that has a second factor, and return its session."""
    token = joined(doors.accounts)
    doors.codes.set_up(token, doors.offered_code(token, now), HOME, now)
    return token


# --- the algorithm


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"), (1_111_111_109, "07081804"), (1_111_111_111, "14050471"), (1_234_567_890, "89005924"),
        (2_000_000_000, "69279037"), (20_000_000_000, "65353130"),
    ],
)  # fmt: skip
def test_codes_are_those_of_rfc_6238(seconds: int, code: str) -> None:
    assert code_of(RFC, seconds // 30, digits=8) == code


def test_codes_are_those_of_rfc_4226() -> None:
    wanted = "755224 287082 359152 969429 338314 254676 287922 162583 399871 520489"
    assert [code_of(RFC, step) for step in range(10)] == wanted.split()


def test_code_is_good_a_step_either_way_and_never_twice() -> None:
    now = 1_000 * STEP + 7 * SECOND
    assert [step_of(RFC, code_of(RFC, step), now, 0) for step in range(998, 1_003)] == [None, 999, 1_000, 1_001, None]
    assert step_of(RFC, code_of(RFC, 1_000), now, 1_000) is None
    assert step_of(RFC, f" {code_of(RFC, 1_000)[:3]} {code_of(RFC, 1_000)[3:]} ", now, 999) == 1_000
    assert step_of(RFC, "\ud800", now, 0) is None


def test_app_reads_the_secret_that_people_type() -> None:
    address = urlsplit(second_factor.address_of(RFC, "ann+1@example.org"))
    fields = parse_qs(address.query)
    assert (address.scheme, address.netloc, unquote(address.path)) == (
        "otpauth", "totp", "/fraud console:ann+1@example.org",
    )  # fmt: skip
    assert fields["secret"] == [second_factor.shown(RFC).replace(" ", "")]
    assert _decoded(fields["secret"][0]) == RFC


# --- accounts


def test_password_of_an_account_without_a_code_is_enough(doors: Doors) -> None:
    joined(doors.accounts)
    assert doors.sign_in(NOW).waits is Waits.NOTHING


def test_password_alone_opens_half_a_session_that_a_code_makes_whole(doors: Doors) -> None:
    with_code(doors)
    later = NOW + MINUTE
    half = doors.sign_in(later)
    assert half.waits is Waits.CODE
    assert doors.codes.waits(half.token, later) is Waits.CODE
    assert doors.accounts.session(half.token, later) is None
    whole = doors.codes.confirm(half.token, doors.code(later), HOME, later)
    assert doors.accounts.session(whole.token, later) is not None
    assert whole.token != half.token
    assert doors.codes.waits(half.token, later) is Waits.NOTHING
    assert doors.told[-1][1:] == ("Ann", "account.sign-in", "account/1", "", "password and code")


def test_wrong_used_and_late_codes_open_nothing(doors: Doors) -> None:
    with_code(doors)
    now = NOW + MINUTE
    half = doors.sign_in(now).token
    with pytest.raises(ForbiddenError, match="This code is wrong"):
        doors.codes.confirm(half, "000000", HOME, now)
    code = doors.code(now)
    doors.codes.confirm(half, code, HOME, now)
    again = doors.sign_in(now).token
    with pytest.raises(ForbiddenError, match="was used already"):
        doors.codes.confirm(again, code, HOME, now)
    with pytest.raises(GoneError, match="sign in again"):
        doors.codes.confirm(again, doors.code(now + 11 * MINUTE), HOME, now + 11 * MINUTE)
    with pytest.raises(GoneError):
        doors.codes.confirm("no such session", code, HOME, now)


def test_codes_are_tried_five_times_however_often_the_password_is_given(doors: Doors) -> None:
    with_code(doors)
    now = NOW + MINUTE
    for turn in range(5):
        half = doors.accounts.sign_in("ann@example.org", PASSWORD, f"198.51.{turn}.1", now).token
        with pytest.raises(ForbiddenError):
            doors.codes.confirm(half, "000000", f"198.51.{turn}.1", now)
    with pytest.raises(TooManyError):
        doors.codes.confirm(half, doors.code(now), HOME, now)
    with pytest.raises(TooManyError):
        doors.sign_in(now)
    later = now + 20 * MINUTE
    assert doors.codes.confirm(doors.sign_in(later).token, doors.code(later), HOME, later).token


def test_sign_in_with_its_code_takes_all_its_tries_back(doors: Doors) -> None:
    with_code(doors)
    for turn in range(1, 9):
        now = NOW + turn * STEP
        with pytest.raises(ForbiddenError):
            doors.sign_in(now, "wrong password too")
        half = doors.sign_in(now).token
        with pytest.raises(ForbiddenError):
            doors.codes.confirm(half, "000000", HOME, now)
        doors.codes.confirm(half, doors.code(now), HOME, now)


def test_role_that_needs_a_second_factor_sets_one_up_before_anything_else(database: Database) -> None:
    doors = Doors(database, "lead")
    link = doors.accounts.invite(Role.ADMIN, NOW)
    entered = doors.accounts.accept(link, "Ann", "ann@example.org", PASSWORD, NOW)
    assert entered.waits is Waits.SET_UP
    assert doors.accounts.session(entered.token, NOW) is None
    whole = doors.codes.confirm(entered.token, doors.offered_code(entered.token, NOW), HOME, NOW)
    assert doors.accounts.session(whole.token, NOW) is not None
    assert doors.sign_in(NOW).waits is Waits.CODE
    assert [words[2] for words in doors.told][-2:] == ["account.second-factor", "account.sign-in"]
    with pytest.raises(ForbiddenError, match="Your role needs"):
        doors.codes.remove(whole.token, doors.code(NOW + MINUTE), HOME, NOW + MINUTE)


def test_roles_below_choose_and_nobody_is_asked_where_it_is_off(database: Database) -> None:
    doors = Doors(database, "lead")
    joined(doors.accounts, Role.ANALYST)
    assert doors.sign_in(NOW).waits is Waits.NOTHING
    assert not doors.codes.needed(Person(1, "Ann", Role.ANALYST))
    off = Doors(database, "off")
    assert off.codes.state(Person(1, "Ann", Role.ANALYST)) == "off"


def test_second_factor_is_taken_away_by_a_code_of_it(doors: Doors) -> None:
    token, who = with_code(doors), Person(1, "Ann", Role.ANALYST)
    before = doors.codes.offered(token, NOW)
    assert doors.codes.state(who) == "set"
    with pytest.raises(ConflictError, match="has a second factor already"):
        doors.codes.set_up(token, "000000", HOME, NOW)
    with pytest.raises(ForbiddenError):
        doors.codes.remove(token, "000000", HOME, NOW)
    doors.codes.remove(token, doors.code(NOW + MINUTE), HOME, NOW + MINUTE)
    assert doors.codes.state(who) == "none"
    assert doors.sign_in(NOW + MINUTE).waits is Waits.NOTHING
    assert doors.codes.offered(token, NOW + MINUTE) != before, "a secret that was used is offered again"


def test_invite_to_the_account_begins_without_the_lost_app(doors: Doors) -> None:
    with_code(doors)
    link = doors.accounts.invite(Role.VIEWER, NOW, email="ann@example.org")
    assert doors.accounts.accept(link, "", "", PASSWORD, NOW).waits is Waits.NOTHING
    assert doors.sign_in(NOW).waits is Waits.NOTHING


def test_database_makes_no_codes_without_the_key(doors: Doors) -> None:
    token = with_code(doors)
    row, secret = doors.row(), doors.codes.offered(token, NOW).secret
    assert row.second_factor not in secret
    assert secret_of(KEY, 1, row.second_factor) != secret_of(bytes(32), 1, row.second_factor)
    assert secret_of(KEY, 1, row.second_factor) != secret_of(KEY, 2, row.second_factor)
