"""Card numbers where they enter: messages, orders, rule files, files of payments; letters of what is refused."""

import csv
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from fraud.core.actions import CaseAction
from fraud.core.card_numbers import KEYLESS, CardNumbers, CardsSection
from fraud.core.errors import CardNumberError, RuleError
from fraud.core.fields import Secret
from fraud.core.records import Arrival, KnownLabel, Position, Reject, Transaction
from fraud.core.rules.bundle import text_hash
from fraud.core.settings import Settings
from streaming.files.dead_letters import letter_of
from streaming.files.table import Table
from streaming.files.values import mapping
from streaming.files.values.rows import Row
from streaming.kafka.dead_letters import letter_in, repaired
from streaming.messages import envelope
from streaming.messages.actions import action_in, case_action_in
from streaming.messages.codec import Codec
from streaming.messages.letters import masked_message
from streaming.rule_file import ReloadingRules, compiled_bundle, read_bundle
from streaming.settings import fingerprint
from streaming.wiring import vocabulary
from tests.filled import filled

PAN, GROUPED = "4111111111111111", "4111 1111 1111 1111"
OLD, NEW = "old" * 12, "new" * 12
KEYED = CardNumbers(CardsSection(key=Secret(OLD)))
ROTATED = CardNumbers(CardsSection(key=Secret(NEW), previous=(Secret(OLD),)))
REFUSING = CardNumbers(CardsSection("refuse", Secret(OLD)))
ALLOWING = CardNumbers(CardsSection("allow"))
TOKEN = KEYED.card(PAN)
AT = Position("transactions", 3, 7)
NOW = 1_800_000_000_000_000_000
GOOD: dict[str, Any] = {"id": "t1", "card": "c", "merchant": "m", "amount": 1234, "happened_at": "2026-01-31T12:00:00Z"}
BLOCK = {"kind": "case", "id": "a1", "action": "block_card", "card": PAN, "at": "2026-01-31T12:00:00Z", "by": "anna"}


def take(cards: CardNumbers, message: bytes | None = None, **fields: Any) -> Arrival | Reject:
    body = msgspec.json.encode({**GOOD, **fields}) if message is None else message
    return Codec(cards=cards).transaction(body, AT, NOW, (("x-card", PAN.encode()), ("h", b"1")))


def taken(cards: CardNumbers, **fields: Any) -> Transaction:
    arrival = take(cards, **fields)
    assert isinstance(arrival, Arrival)
    assert isinstance(arrival.event, Transaction)
    return arrival.event


def refused(cards: CardNumbers, message: bytes | None = None, **fields: Any) -> Reject:
    reject = take(cards, message, **fields)
    assert isinstance(reject, Reject)
    return reject


def shows(*parts: object) -> bool:
    """Tell whether the number stands in something, in any of its forms."""
    text = repr(parts)
    return PAN in text.replace(" ", "").replace("-", "") or PAN[-4:] in text


# --- messages --------------------------------------------------------------------------------------------------------


def test_numbers_of_a_payment_are_tokens_from_the_first_moment() -> None:
    tx = taken(KEYED, card=GROUPED, text=f"CARD {PAN}", attrs={"pan": PAN}, other=[f"x{PAN}"])
    assert (tx.card, tx.text, tx.attrs) == (TOKEN, f"CARD {TOKEN}", {"pan": TOKEN, "other": [f"x{TOKEN}"]})
    assert not shows(tx)


def test_ids_and_merchants_are_not_looked_at() -> None:
    tx = taken(KEYED, id=PAN, merchant=PAN, device=PAN)
    assert (tx.id, tx.merchant, tx.device) == (PAN, PAN, PAN)
    assert taken(KEYLESS, id=PAN, merchant=PAN, device=PAN).id == PAN


def test_numbers_are_left_where_the_settings_allow_them() -> None:
    assert (taken(ALLOWING, card=PAN).card, taken(ALLOWING, text=PAN).text) == (PAN, PAN)


@pytest.mark.parametrize("cards", [KEYLESS, REFUSING])
@pytest.mark.parametrize("fields", [{"card": PAN}, {"text": f"x {GROUPED}"}, {"attrs": {"a": [PAN]}}, {"new": PAN}])
def test_refused_number_leaves_a_masked_letter_with_the_repair(cards: CardNumbers, fields: dict[str, Any]) -> None:
    reject = refused(cards, **fields)
    assert (reject.code, reject.masked) == ("pan", True)
    assert "holds what looks like a card number" in reject.reason
    assert dict(reject.headers) == {"x-card": b"*" * 16, "h": b"1"}
    assert not shows(reject)
    assert b'"merchant":"m"' in reject.original


@pytest.mark.parametrize(
    "message",
    [
        b'{"id":"x","card":"4111111111111111\\u0007","merchant":"m","amount":1,"happened_at":1}',
        b'{"id":"x","card":4111111111111111,"merchant":"m","amount":1,"happened_at":1}',
        b'{"id":"x","card":{"number":"4111 1111 1111 1111"}}',
        b'{"id":"x","card":"\\u0034111111111111111","amount":-1}',
        b'{"id":"x","card":"4111\\u00201111\\u002d1111 1111","text":"4111111111111111"}',
        b'{"id":"x","card":"4111111111111111"',
        b"4111-1111-1111-1111 \xff\xfe",
        b"[4111111111111111]",
    ],
)
def test_letter_of_any_fault_is_masked(message: bytes) -> None:
    for cards in (KEYED, KEYLESS):
        reject = refused(cards, message)
        assert reject.masked
        content = reject.original.decode("unicode_escape", "replace")
        assert not shows(content, reject.reason, reject.headers)


@pytest.mark.parametrize("message", [b"{", b'{"id":"4111111111111111"}', msgspec.json.encode({**GOOD, "amount": -1})])
def test_letter_without_a_number_stays_as_it_came(message: bytes) -> None:
    reject = refused(KEYLESS, message)
    assert (reject.original, reject.masked, dict(reject.headers)["x-card"]) == (message, False, PAN.encode())


def test_letter_stays_as_it_came_where_numbers_are_allowed() -> None:
    message = msgspec.json.encode({**GOOD, "card": PAN, "amount": -1})
    assert refused(ALLOWING, message).original == message


@given(st.binary())
def test_masking_takes_any_bytes(message: bytes) -> None:
    kept = masked_message(message, KEYED)
    assert kept is None or masked_message(kept, KEYED) is None


def test_known_label_of_an_earlier_key_goes_to_the_card_as_it_is_known_now() -> None:
    label = msgspec.structs.replace(filled(KnownLabel), card=TOKEN)
    assert Codec(cards=ROTATED).known(label).card == ROTATED.card(PAN)
    assert Codec(cards=KEYED).known(label) is label
    with pytest.raises(CardNumberError):
        Codec().known(msgspec.structs.replace(label, card=PAN))


# --- letters on Kafka ------------------------------------------------------------------------------------------------


def test_masked_letter_says_so_and_cannot_be_driven_in_again() -> None:
    sent = envelope.reject_out(refused(KEYLESS, card=PAN), "dead")
    assert envelope.header(sent.headers, envelope.MASKED) == b"1"
    letter = letter_in(SimpleNamespace(headers=sent.headers, value=sent.value))
    assert letter is not None
    assert letter.masked
    with pytest.raises(Exception, match=r"card numbers, which were masked: send it again"):
        repaired(letter, {"amount": "5"}, "")
    assert repaired(letter, {}, "{}") == b"{}"


# --- orders ----------------------------------------------------------------------------------------------------------


def test_order_about_a_card_names_it_as_payments_do() -> None:
    message = msgspec.json.encode({**BLOCK, "reason": f"holder of {GROUPED} called"})
    for order in (case_action_in(message, KEYED), action_in(message, AT, NOW, cards=KEYED)):
        assert isinstance(order, CaseAction)
        assert (order.card, order.reason) == (TOKEN, f"holder of {TOKEN} called")


def test_order_that_names_a_refused_number_is_none_and_leaves_a_masked_letter() -> None:
    message = msgspec.json.encode(BLOCK)
    assert case_action_in(message) is None
    reject = action_in(message, AT, NOW)
    assert isinstance(reject, Reject)
    assert (reject.code, reject.masked, shows(reject)) == ("pan", True, False)


def test_order_of_an_earlier_key_is_about_the_card_as_it_is_known_now() -> None:
    order = case_action_in(msgspec.json.encode({**BLOCK, "card": TOKEN}), ROTATED)
    assert order is not None
    assert order.card == ROTATED.card(PAN)


# --- rule files ------------------------------------------------------------------------------------------------------

RULES = f'list stolen block card {{ "{GROUPED}", "C17" }}\nlist more block card from "more.txt"\n'


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    (tmp_path / "site.fr").write_text(RULES)
    (tmp_path / "more.txt").write_text("# more\n5555 5555 5555 4444\n")
    return tmp_path / "site.fr"


def blocked(book: Any, card: str) -> bool:
    tx = msgspec.structs.replace(taken(ALLOWING), card=card)
    return any(listed.holds(tx) for listed in book.lists)


def test_numbers_in_rule_files_and_lists_are_read_as_tokens(rules: Path) -> None:
    bundle = read_bundle(rules, KEYED)
    assert not shows(bundle)
    assert "5555" not in bundle
    book = compiled_bundle(bundle, vocabulary(), KEYED)
    assert [blocked(book, card) for card in (TOKEN, KEYED.card("5555555555554444"), "C17", "C18")] == [
        True, True, True, False
    ]  # fmt: skip


def test_numbers_in_rule_files_are_refused_without_a_key(rules: Path) -> None:
    with pytest.raises(RuleError, match=r"^site\.fr holds what looks like a card number.*--make-key"):
        ReloadingRules(rules, vocabulary())
    rules.write_text('list more block card from "more.txt"\n')
    with pytest.raises(RuleError, match=r"^more\.txt holds"):
        ReloadingRules(rules, vocabulary())


def test_rules_kept_under_an_earlier_key_hold_under_the_new_one_and_keep_their_version(rules: Path) -> None:
    bundle = read_bundle(rules, KEYED)
    book = compiled_bundle(bundle, vocabulary(), ROTATED)
    assert (book.version, blocked(book, ROTATED.card(PAN))) == (text_hash(bundle), True)


def test_rules_without_numbers_keep_their_version(tmp_path: Path) -> None:
    (tmp_path / "a.fr").write_text('list a block card { "C1" }\n')
    versions = {ReloadingRules(tmp_path / "a.fr", vocabulary(), cards).version for cards in (KEYLESS, KEYED, ROTATED)}
    assert len(versions) == 1


# --- files -----------------------------------------------------------------------------------------------------------

MAPPING = mapping.parse(
    '[columns]\ntime = "time"\ncard = "card"\nmerchant = "shop"\namount = "amount"\ntext = "note"', "t"
)
CELLS = [
    ("2026-01-31T12:00:00Z", GROUPED, PAN, "1.00", f"by {PAN}"),
    ("2026-01-31T12:00:01Z", PAN, "s", "2.00", ""),
    ("2026-01-31T12:00:02Z", "C1", "s", "3.00", "plain"),
]
HEADER = ("time", "card", "shop", "amount", "note")


def write_csv(path: Path) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *CELLS])


def write_lines(path: Path) -> None:
    path.write_bytes(b"\n".join(msgspec.json.encode(dict(zip(HEADER, row, strict=True))) for row in CELLS))


def write_parquet(path: Path) -> None:
    parquet.write_table(pa.table([list(column) for column in zip(*CELLS, strict=True)], names=list(HEADER)), path)


FILES: dict[str, Callable[[Path], None]] = {"a.csv": write_csv, "a.jsonl": write_lines, "a.parquet": write_parquet}


@pytest.mark.parametrize("name", FILES)
def test_numbers_in_files_become_the_tokens_that_live_payments_have(name: str, tmp_path: Path) -> None:
    FILES[name](tmp_path / name)
    rows = list(Table(tmp_path / name, MAPPING, cards=KEYED).rows())
    assert all(isinstance(row, Row) for row in rows)
    found = [(row.tx.card, row.tx.merchant, row.tx.text) for row in rows if isinstance(row, Row)]
    assert found == [(TOKEN, PAN, f"by {TOKEN}"), (TOKEN, "s", ""), ("C1", "s", "plain")]
    assert found[0][0] == taken(KEYED, card=PAN).card


@pytest.mark.parametrize("name", FILES)
def test_rows_with_refused_numbers_are_masked_rejects(name: str, tmp_path: Path) -> None:
    FILES[name](tmp_path / name)
    first, second, third = Table(tmp_path / name, MAPPING).rows()
    assert isinstance(third, Row)
    for reject in (first, second):
        assert isinstance(reject, Reject)
        assert (reject.code, reject.masked, letter_of(reject).masked) == ("pan", True, True)
        assert not shows(reject, letter_of(reject).bytes())


def test_row_that_cannot_be_told_apart_is_masked_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{','.join(HEADER)}\n2026-01-31T12:00:00Z,{PAN},s\n2026,C1,s\n")
    first, second = Table(tmp_path / "a.csv", MAPPING, cards=KEYED).rows()
    assert isinstance(first, Reject)
    assert isinstance(second, Reject)
    assert (first.code, first.masked, shows(first)) == ("fields", True, False)
    assert (second.code, second.masked, second.original) == ("fields", False, b"2026,C1,s")


def test_vectors_of_a_file_are_those_of_a_key() -> None:
    plain, keyed = Settings(), Settings(cards=CardsSection(key=Secret(OLD)))
    rotated = Settings(cards=CardsSection(key=Secret(NEW), previous=(Secret(OLD),)))
    assert len({fingerprint(plain), fingerprint(keyed), fingerprint(rotated)}) == 3
    assert fingerprint(Settings(cards=CardsSection("refuse"))) == fingerprint(plain)
