"""Messages on topic `actions`: what is read, and what each fault is called."""

import msgspec
import pytest

from fraud.core.actions import AuditHead, CaseAction, Remedy
from fraud.core.records import SECOND, Position, Reject
from streaming.messages.actions import (
    FromConsole,
    Order,
    Release,
    action_in,
    audit_out,
    case_action_in,
    case_out,
    of_action,
)
from streaming.messages.codec import Limits
from streaming.messages.schema import (
    ActionMessage,
    AuditMessage,
    CaseMessage,
    Deal,
    Do,
    LabelsMessage,
    RefreshMessage,
    ReleaseMessage,
)
from streaming.messages.times import from_text
from tests.edges import Edge, of_any_topic

NOW = from_text("2026-01-31T12:00:00Z")
PLACE = Position("actions@x", 1, 7)
VERSION = "12-1a2b3c4d"
BLOCK = CaseAction(id="a1", action=Remedy.BLOCK_CARD, card="C1", at=NOW + 7, by="anna", case="12", reason="stolen")
LET_GO = CaseAction(id="a2", action=Remedy.RELEASE, card="C1", at=NOW, by="anna", tx_id="t1", version=2, case="12")


def read(text: str | bytes) -> Release | Order | FromConsole | Reject:
    return action_in(text if isinstance(text, bytes) else text.encode(), PLACE, NOW)


def case(**fields: object) -> str:
    """Return an analyst's order with some fields of another kind, or wrong ones."""
    right = {"kind": "case", "id": "a2", "action": "release", "card": "C1", "at": "2026-01-31T12:00:00Z", "by": "anna"}
    return msgspec.json.encode({**right, "tx_id": "t1", **fields}).decode()


@pytest.mark.parametrize("at", [10**30, -1, "9999-12-31T23:59:59Z", "1969-01-01T00:00:00Z"])
def test_order_of_no_time_that_can_be_kept_is_refused_and_blocks_nobody(at: object) -> None:
    """The list of blocked cards is packed in 64 bits, by every worker that hears of one."""
    message = case(action="block_card", at=at)
    refused = read(message)
    assert isinstance(refused, Reject)
    assert (refused.code, "at is" in refused.reason) == ("at", True)
    assert case_action_in(message.encode()) is None


@pytest.mark.parametrize("edge", of_any_topic(), ids=lambda edge: edge.name)
def test_edge_is_no_action_and_says_so(edge: Edge) -> None:
    assert isinstance(read(edge.value or b""), Reject)
    assert case_action_in(edge.value or b"") is None


def test_payment_that_went_through_is_read_with_its_time() -> None:
    told = '{"kind":"release","tx_id":"t1","happened_at":"2026-01-31T11:59:59Z","terminal":"unknown to us"}'
    assert read(told) == Release("t1", NOW - SECOND)


@pytest.mark.parametrize(
    "order",
    [
        RefreshMessage(do=Do.PIN, version=VERSION, base="demo@1", by="anna"),
        RefreshMessage(do=Do.FREEZE),
        LabelsMessage(do=Deal.DROP, chart="source/analyst", by="anna"),
        LabelsMessage(do=Deal.RELEASE, chart="merchant/M 7"),
    ],
    ids=lambda order: f"{order.do}",
)
def test_order_is_read_as_it_was_given(order: RefreshMessage | LabelsMessage) -> None:
    assert read(of_action(order)) == order


def test_release_of_ours_is_read() -> None:
    assert read(of_action(ReleaseMessage(tx_id="t1", happened_at=NOW))) == Release("t1", NOW)


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("{", "json", "is not JSON"),
        ("[]", "json", "expected one JSON object"),
        ("{}", "kind", "kind is missing: expected release, refresh, labels, case or audit"),
        ('{"kind":"relase"}', "kind", "kind is 'relase': expected release"),
        ('{"kind":["release"]}', "kind", "kind is ['release']"),
        ('{"kind":"release","happened_at":1700000000000000000}', "tx_id", "tx_id is missing"),
        ('{"kind":"release","tx_id":"a\\u0007","happened_at":1700000000000000000}', "tx_id", "printable"),
        ('{"kind":"release","tx_id":"a"}', "happened_at", "happened_at is missing: expected RFC 3339"),
        ('{"kind":"release","tx_id":"a","happened_at":"soon"}', "happened_at", "happened_at is 'soon'"),
        ('{"kind":"release","tx_id":"a","happened_at":1700000000}', "happened_at", "is it in another unit?"),
        ('{"kind":"release","tx_id":"a","happened_at":"2026-01-31T13:00:00Z"}', "future", "3600 s after it was seen"),
        ('{"kind":"refresh","do":"pinn"}', "do", "do is 'pinn': expected pin, unpin, rollback"),
        ('{"kind":"refresh"}', "do", "do is missing"),
        ('{"kind":"refresh","do":"pin"}', "version", "version is '' of order 'pin': expected one for pin"),
        (f'{{"kind":"refresh","do":"thaw","version":"{VERSION}"}}', "version", "for no other order"),
        ('{"kind":"refresh","do":"drop"}', "do", "do is 'drop'"),
        ('{"kind":"labels","do":"drop"}', "chart", "chart is missing: expected text of 1 to 512"),
        ('{"kind":"labels","do":"drop","chart":""}', "chart", "take it from 'fraud labels held'"),
        ('{"kind":"labels","do":"drop","chart":"a","by":7}', "by", "by is 7"),
        (case(action="relase"), "action", "action is 'relase': expected release, decline, step_up, block_card"),
        (case(tx_id=""), "tx_id", "tx_id is missing of action 'release': expected 1 to 256 printable"),
        (case(card="a\u0007"), "card", "card is 'a\\x07', it holds U+0007: expected 1 to 256 printable"),
        (case(at="soon"), "at", "at is 'soon': expected RFC 3339"),
        (case(version=-1), "version", "version is -1: expected a whole number from 0"),
        ('{"kind":"audit","seq":1,"mac":"no","at":"2026-01-31T12:00:00Z"}', "mac", "hexadecimal digits"),
    ],
)
def test_message_that_cannot_be_used_is_a_reject_that_names_the_fault(text: str, code: str, told: str) -> None:
    found = read(text)
    assert isinstance(found, Reject)
    assert found.code == code
    assert told in found.reason
    assert (found.original, found.position, found.seen_at) == (text.encode(), PLACE, NOW)


def test_message_over_the_limit_is_not_read() -> None:
    found = action_in(b" " * 100, PLACE, NOW, limits=Limits(size=99))
    assert isinstance(found, Reject)
    assert found.code == "size"


@pytest.mark.parametrize("order", [BLOCK, LET_GO], ids=lambda order: f"{order.action}")
def test_order_of_an_analyst_goes_out_keyed_by_card_and_is_read_as_it_was_given(order: CaseAction) -> None:
    sent = case_out(order, "actions")
    assert (sent.topic, sent.key) == ("actions", b"C1")
    assert read(sent.value) == order
    assert case_action_in(sent.value) == order


def test_head_of_the_audit_log_goes_out_under_one_key_and_is_read_as_it_was() -> None:
    head = AuditHead(seq=7, mac="0a1b", at=NOW + 5)
    sent = audit_out(head, "actions")
    assert (sent.topic, sent.key) == ("actions", b"audit")
    assert read(sent.value) == head


@pytest.mark.parametrize(
    "other",
    [
        ReleaseMessage(tx_id="t1", happened_at=NOW),
        RefreshMessage(do=Do.FREEZE),
        AuditMessage(seq=1, mac="0a", at=NOW),
    ],
    ids=lambda other: type(other).__name__,
)
def test_whoever_obeys_analysts_hears_nothing_of_another_kind(other: ActionMessage) -> None:
    assert case_action_in(of_action(other)) is None


@pytest.mark.parametrize("text", ["{", "[]", case(action="relase"), case(tx_id=""), case(at="soon")])
def test_whoever_obeys_analysts_hears_nothing_of_what_cannot_be_read(text: str) -> None:
    assert case_action_in(text.encode()) is None


def test_order_whose_clock_is_ahead_is_taken() -> None:
    ahead = case_out(msgspec.structs.replace(BLOCK, at=NOW + 86_400 * SECOND), "actions")
    assert isinstance(read(ahead.value), CaseAction)


@pytest.mark.parametrize("kind", [ReleaseMessage, RefreshMessage, LabelsMessage, CaseMessage, AuditMessage])
def test_published_schema_holds_the_kind(kind: type[msgspec.Struct]) -> None:
    (schema,), definitions = msgspec.json.schema_components([kind])
    del schema
    assert definitions[kind.__name__]["properties"]["kind"]["enum"] == [kind.__struct_config__.tag]
