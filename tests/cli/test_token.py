"""`fraud token`, and cards that are forgotten by their number: read from standard input, never shown."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from features.state.tables import card_key
from features.stores.redis import RedisStore
from fraud.cli import app
from fraud.core.card_numbers import CardNumbers, CardsSection
from fraud.core.errors import CardNumberError, SettingsError
from fraud.core.fields import Secret
from fraud.review.database import Database
from fraud.review.ids import entity_id
from fraud.review.tables import entity
from fraud.review.words import EntityKind
from tests.contract.driving import feed
from tests.features.cuts import payment, sent
from tests.review.taken import decision, intake, seen, take

PAN, GROUPED = "4111111111111111", "4111 1111 1111 1111"


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CardNumbers:
    """What becomes of numbers under the keys that the environment names, an earlier and a newer one."""
    for name in ("old", "new"):
        call("token", "--make-key", str(tmp_path / name))
    monkeypatch.setenv("FRAUD_CARDS__KEY_FILE", str(tmp_path / "new"))
    monkeypatch.setenv("FRAUD_CARDS__PREVIOUS_FILE", str(tmp_path / "old"))
    old, new = (Secret((tmp_path / name).read_text().strip()) for name in ("old", "new"))
    return CardNumbers(CardsSection(key=new, previous=(old,)))


def call(*words: str, given: str = "") -> list[str]:
    """Run a command; return the lines that it printed."""
    result = CliRunner().invoke(app, list(words), input=given, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert not given or PAN not in result.output
    return result.stdout.splitlines()


def test_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    (line,) = call("token", "--make-key", str(tmp_path / "key"))
    assert json.loads(line) == {"key": str(tmp_path / "key")}
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert len((tmp_path / "key").read_text().strip()) == 64
    with pytest.raises(SettingsError, match="name a new file"):
        call("token", "--make-key", str(tmp_path / "key"))


def test_tokens_of_numbers_on_standard_input_are_printed_a_line_each(keys: CardNumbers) -> None:
    old = keys.names(PAN)[1]
    assert call("token", "-", given=f"{GROUPED}\n\n{old}\nC17\n") == [keys.card(PAN), keys.card(PAN), "C17"]
    assert call("token", PAN) == [keys.card(PAN)]


def test_token_without_a_key_or_a_card_says_what_to_do() -> None:
    with pytest.raises(CardNumberError, match="--make-key FILE"):
        call("token", PAN)
    with pytest.raises(SettingsError, match="fraud token - reads its number from standard input"):
        call("token")


def test_file_of_a_key_that_others_may_read_is_refused(keys: CardNumbers, tmp_path: Path) -> None:
    (tmp_path / "new").chmod(0o644)
    with pytest.raises(SettingsError, match=r"can be read by others \(mode 644\): chmod 600"):
        call("token", PAN)


def test_card_is_forgotten_in_the_state_under_all_its_names(keys: CardNumbers, redis_url: str) -> None:
    store = RedisStore(redis_url)
    names = [*keys.names(PAN), PAN, "C17"]
    paid = [msgspec.structs.replace(payment(f"t{n}", n), card=name) for n, name in enumerate(names)]
    feed(store, [sent(tx, n) for n, tx in enumerate(paid)])
    # A row and a pair each, under the token in use, the one before, and the number.
    assert call("state", "forget", "-", "--store", redis_url, given=GROUPED.replace(" ", "") + "\n") == [
        '{"records":6}'
    ]
    left = {name for name in names if store._server.scan(store._keys.row(card_key(name)))}
    assert left == {"C17"}
    store.close()


def test_one_card_is_forgotten_at_a_time(keys: CardNumbers) -> None:
    with pytest.raises(SettingsError, match="2 cards stand on standard input"):
        call("state", "forget", "-", given=f"{PAN}\nC17\n")


def test_card_is_forgotten_in_the_console_under_all_its_names(keys: CardNumbers, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'console.db'}"
    database = Database(url)
    database.migrate()
    names = [*keys.names(PAN), "C17"]
    take(intake(database), *(seen(n, decision(n, card=name)) for n, name in enumerate(names, 1)))
    words: tuple[Any, ...] = ("console", "--keys", str(tmp_path), "forget", "--database", url, "-")
    (line,) = call(*words, given=f"{PAN}\n")
    assert (json.loads(line)["payment"], json.loads(line)["entity"]) == (2, 2)
    with database.read() as connection:
        left = {row.id for row in connection.execute(entity.select().where(entity.c.kind == int(EntityKind.CARD)))}
    assert left == {entity_id(EntityKind.CARD, "C17")}
    database.close()
