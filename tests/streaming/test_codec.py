"""Any bytes give a record or a reject; a reject says what to do."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.core.records import DAY, Arrival, Kind, Label, Position, Reject, Transaction, Verdict
from fraud.core.settings import MOST_MINOR
from streaming.messages import schema
from streaming.messages.codec import Codec, Limits
from streaming.messages.money import Rates
from streaming.messages.times import from_text, to_text

AT = Position("transactions", 3, 7)
NOW = 1_800_000_000_000_000_000
GOOD: dict[str, Any] = {"id": "t1", "card": "c", "merchant": "m", "amount": 1234, "happened_at": "2026-01-31T12:00:00Z"}
LABEL: dict[str, Any] = {"tx_id": "t1", "verdict": "fraud", "happened_at": NOW}

NAMES = st.sampled_from([*schema.TransactionMessage.__struct_fields__, "tx_id", "verdict", "source", "more"])
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(list(GOOD.values()))
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
NANOSECONDS = st.integers(min_value=946_684_800 * 10**9, max_value=NOW)

HEADERS = (("h", b"1"), ("traceparent", b"00"))


def take(codec: Codec | None = None, **changes: Any) -> Arrival | Reject:
    message = msgspec.json.encode({name: value for name, value in {**GOOD, **changes}.items() if value is not ...})
    return (codec or Codec()).transaction(message, AT, NOW, HEADERS)


def taken(codec: Codec | None = None, **changes: Any) -> Transaction:
    arrival = take(codec, **changes)
    assert isinstance(arrival, Arrival)
    assert isinstance(arrival.event, Transaction)
    return arrival.event


def refused(**changes: Any) -> Reject:
    reject = take(**changes)
    assert isinstance(reject, Reject)
    return reject


def test_transaction_complete_is_decoded_with_stamp_position_and_headers() -> None:
    arrival = take(kind="refund", device="d", mcc=5411, text="ACME", version=2, attrs={"a": 1})
    expected = Transaction(
        id="t1",
        card="c",
        merchant="m",
        amount=1234,
        base_amount=1234,
        happened_at=1_769_860_800 * 10**9,
        seen_at=NOW,
        kind=Kind.REFUND,
        device="d",
        mcc=5411,
        text="ACME",
        version=2,
        attrs={"a": 1},
    )
    assert arrival == Arrival(expected, AT, HEADERS[1:])


BAD: list[tuple[str, Any, str, str]] = [
    ("id", ..., "id", "id is missing: expected 1 to 256"),
    ("id", "", "id", "id is '': expected 1 to 256"),
    ("id", "x" * 257, "id", "expected 1 to 256 printable"),
    ("id", 17, "id", "id is 17"),
    ("card", "a\tb", "card", r"card is 'a\\tb', it holds U\+0009: expected 1 to 256 printable"),
    ("merchant", None, "merchant", "merchant is None"),
    ("device", "\x00", "device", "leave the field out"),
    ("amount", -5, "amount", "amount is -5: expected a whole number of minor units, 0 to .*'refund' or 'reversal'"),
    ("amount", "12.34", "amount", "send 12.34 as 1234"),
    ("amount", 12.5, "amount", "amount is 12.5"),
    ("amount", MOST_MINOR + 1, "amount", "amount is"),
    ("amount", 10**30, "amount", "amount is"),
    ("currency", "XXX", "currency", "currency is 'XXX': expected one of .*EUR"),
    ("happened_at", ..., "happened_at", "happened_at is missing: expected RFC 3339"),
    ("happened_at", "yesterday", "happened_at", "happened_at is 'yesterday'"),
    ("happened_at", "2026-01-31T12:00:00", "happened_at", "with a zone"),
    ("happened_at", "2026-02-30T12:00:00Z", "happened_at", "2026-02-30"),
    ("happened_at", 1_769_860_800_000, "happened_at", "is it in another unit"),
    ("happened_at", NOW + DAY, "future", "86400 s after it was seen .*set the sender's clock"),
    ("kind", "gift", "kind", "kind is 'gift': expected payment, refund or reversal"),
    ("version", -1, "version", "version is -1"),
    ("mcc", 12345, "mcc", "0 to 9999"),
    ("text", "x" * 1025, "text", "shorten it"),
    ("attrs", [1], "attrs", r"attrs is \[1\]: expected an object"),
]


@pytest.mark.parametrize(("name", "value", "code", "reason"), BAD)
def test_transaction_with_a_bad_field_is_rejected_with_field_value_and_repair(
    name: str, value: Any, code: str, reason: str
) -> None:
    reject = refused(**{name: value})
    assert reject.code == code
    assert re.search(reason, reject.reason), reject.reason
    assert (reject.position, reject.headers, reject.seen_at) == (AT, HEADERS, NOW)


@pytest.mark.parametrize(
    "message", [b"", b"no", b"[]", b"3", b"null", b"\xff\xfe", b"[" * 60_000, b'{"a":1e999}', b"{"]
)
def test_message_that_is_no_json_object_is_rejected_with_its_bytes(message: bytes) -> None:
    reject = Codec().transaction(message, AT, NOW)
    assert isinstance(reject, Reject)
    assert (reject.code, reject.original) == ("json", message)


def test_message_oversize_is_rejected_before_it_is_read() -> None:
    reject = Codec(limits=Limits(size=10)).transaction(b"{" * 11, AT, NOW)
    assert isinstance(reject, Reject)
    assert (reject.code, reject.reason) == ("size", "the message has 11 bytes, expected at most 10")


def test_unknown_field_is_kept_in_attrs_and_counted() -> None:
    codec = Codec()
    assert taken(codec, loyalty=7, attrs={"a": 1}).attrs == {"a": 1, "loyalty": 7}
    assert codec.unknown_fields == 1


def test_unknown_field_beside_a_bad_one_is_rejected_for_the_bad_one() -> None:
    assert refused(loyalty=7, amount=-1).code == "amount"


def test_currency_with_a_rate_is_converted_to_the_base() -> None:
    codec = Codec(Rates(base="EUR", rates={"JPY": "0.006"}))
    assert taken(codec, currency="JPY", amount=1000).base_amount == 600


def test_label_is_decoded() -> None:
    arrival = Codec().label(msgspec.json.encode(LABEL), AT, NOW)
    assert arrival == Arrival(Label(tx_id="t1", verdict=Verdict.FRAUD, happened_at=NOW, seen_at=NOW), AT)


def test_label_with_another_verdict_is_rejected() -> None:
    reject = Codec().label(msgspec.json.encode({**LABEL, "verdict": "maybe"}), AT, NOW)
    assert isinstance(reject, Reject)
    assert reject.reason == ("verdict is 'maybe': expected genuine or fraud; send no label while nothing is known")


def is_whole(outcome: Arrival | Reject, message: bytes) -> bool:
    if isinstance(outcome, Reject):
        return outcome.original == message and bool(outcome.code) and bool(outcome.reason.encode())
    event = outcome.event
    assert isinstance(event, Transaction | Label)
    return bool(schema.of_transaction(event) if isinstance(event, Transaction) else schema.of_label(event))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_codec_given_any_bytes_returns_a_record_or_a_reject(message: bytes) -> None:
    codec = Codec()
    assert is_whole(codec.transaction(message, AT, NOW), message)
    assert is_whole(codec.label(message, AT, NOW), message)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(NAMES, VALUES, max_size=6), st.booleans())
def test_codec_given_any_json_returns_a_record_or_a_reject(fields: dict[str, Any], mend: bool) -> None:
    codec = Codec()
    message = msgspec.json.encode({**(GOOD if mend else {}), **fields})
    assert is_whole(codec.transaction(message, AT, NOW), message)
    assert is_whole(
        codec.label(msgspec.json.encode({**LABEL, **fields}), AT, NOW), msgspec.json.encode({**LABEL, **fields})
    )


IDS = st.text(min_size=1, max_size=256).filter(str.isprintable)


@settings(deadline=None)
@given(
    st.builds(
        Transaction,
        id=IDS,
        card=IDS,
        merchant=IDS,
        device=st.none() | IDS,
        amount=st.integers(0, MOST_MINOR),
        base_amount=st.just(0),
        happened_at=NANOSECONDS,
        seen_at=st.just(NOW),
        version=st.integers(0, 9),
        kind=st.sampled_from(Kind),
        mcc=st.integers(0, 9999),
        text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=50),
    )
)
def test_transaction_encoded_is_decoded_to_itself(tx: Transaction) -> None:
    expected = msgspec.structs.replace(tx, base_amount=tx.amount)
    assert Codec().transaction(schema.of_transaction(tx), AT, NOW) == Arrival(expected, AT)


@given(st.integers(min_value=-62_135_596_800 * 10**9, max_value=253_402_300_799 * 10**9))
def test_time_as_text_is_read_back_to_the_nanosecond(ns: int) -> None:
    assert from_text(to_text(ns)) == ns


def test_time_with_an_offset_is_read_as_utc() -> None:
    assert from_text("2026-01-31T14:00:00.5+02:00") == 1_769_860_800_500_000_000
