"""Messages on topic `actions`: what is read, and what each fault is called."""

import msgspec
import pytest

from fraud.core.records import SECOND, Position, Reject
from streaming.messages.actions import Order, Release, action_in, of_action
from streaming.messages.codec import Limits
from streaming.messages.schema import Deal, Do, LabelsMessage, RefreshMessage, ReleaseMessage
from streaming.messages.times import from_text

NOW = from_text("2026-01-31T12:00:00Z")
PLACE = Position("actions@x", 1, 7)
VERSION = "12-1a2b3c4d"


def read(text: str | bytes) -> Release | Order | Reject:
    return action_in(text if isinstance(text, bytes) else text.encode(), PLACE, NOW)


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
        ("{}", "kind", "kind is missing: expected release, refresh or labels"),
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


@pytest.mark.parametrize("kind", [ReleaseMessage, RefreshMessage, LabelsMessage])
def test_published_schema_holds_the_kind(kind: type[msgspec.Struct]) -> None:
    (schema,), definitions = msgspec.json.schema_components([kind])
    del schema
    assert definitions[kind.__name__]["properties"]["kind"]["enum"] == [kind.__struct_config__.tag]
