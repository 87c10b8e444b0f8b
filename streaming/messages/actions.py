"""What is done from outside, on topic `actions`.

A held payment went through; operators ask something of the learner; analysts order what is to be done about a payment
or a card; the console tells how far its audit log has grown. Like labels, a message that cannot be used becomes a
reject, never an exception; its code is the part at fault.
"""

from typing import Any

import msgspec
from msgspec import structs

from fraud.core.actions import AuditHead, CaseAction
from fraud.core.card_numbers import KEYLESS, CardNumbers
from fraud.core.errors import CardNumberError
from fraud.core.records import Position, Reject
from streaming.messages.bounds import Headers
from streaming.messages.codec import Limits, time_in
from streaming.messages.envelope import Outgoing
from streaming.messages.faults import ACTIONS, CASES, SIZE, BadMessage, content_of, fault_of, need_printable, shown
from streaming.messages.letters import refused
from streaming.messages.schema import (
    MOST,
    ActionMessage,
    AuditMessage,
    CaseMessage,
    Do,
    LabelsMessage,
    RefreshMessage,
    ReleaseMessage,
)
from streaming.messages.times import from_text, to_text

KIND, VERSION, AT, TX_ID = "kind", "version", "at", "tx_id"
EXPECTED = {"release": ACTIONS, "refresh": ACTIONS, "labels": ACTIONS, "case": CASES, "audit": CASES}
"""What each field of each kind is to be."""
AUDIT_KEY = b"audit"


class Release(msgspec.Struct, frozen=True):
    """A payment that was held went through at `happened_at`, ns UTC."""

    tx_id: str
    happened_at: int


Order = RefreshMessage | LabelsMessage
FromConsole = CaseAction | AuditHead
"""What the console writes, and the learner has no part in."""
_actions: msgspec.json.Decoder[ActionMessage] = msgspec.json.Decoder(ActionMessage)
_encode = msgspec.json.Encoder().encode


def of_action(action: ActionMessage) -> bytes:
    """Return an action as a message."""
    return _encode(action)


def case_out(action: CaseAction, topic: str) -> Outgoing:
    """Return the message of an analyst's order, keyed by card: those about one card keep their order."""
    fields = {**structs.asdict(action), AT: to_text(action.at)}
    return Outgoing(topic, action.card.encode(), of_action(CaseMessage(**fields)))


def release_out(tx_id: str, at: int, topic: str) -> Outgoing:
    """Return the message that a payment that was held went through at `at` (ns UTC), keyed by payment."""
    return Outgoing(topic, tx_id.encode(), of_action(ReleaseMessage(tx_id=tx_id, happened_at=to_text(at))))


def audit_out(head: AuditHead, topic: str) -> Outgoing:
    """Return the message of the audit log's head."""
    return Outgoing(topic, AUDIT_KEY, of_action(AuditMessage(seq=head.seq, mac=head.mac, at=to_text(head.at))))


def action_in(
    message: bytes,
    position: Position,
    seen_at: int,
    headers: Headers = (),
    limits: Limits | None = None,
    cards: CardNumbers = KEYLESS,
) -> Release | Order | FromConsole | Reject:
    """Return what a message of topic `actions` says, or the reject that says why it cannot be used."""
    try:
        return _read(message, seen_at, limits or Limits(), cards)
    except (BadMessage, CardNumberError) as error:
        return refused(error, message, position, headers, seen_at, cards)


def case_action_in(message: bytes, cards: CardNumbers = KEYLESS) -> CaseAction | None:
    """Return the analyst's order in a message of topic `actions`; None for one of another kind, or that is none.

    For those who have no part in the other kinds: what cannot be read is told by the learner, once.
    """
    try:
        sent = _actions.decode(message)
        return case_of(sent, cards) if isinstance(sent, CaseMessage) else None
    except (msgspec.MsgspecError, ValueError, RecursionError, BadMessage, CardNumberError):
        return None


def named(action: CaseAction, cards: CardNumbers) -> CaseAction:
    """Return an order with the card as payments name it; raise CardNumberError for a number that is refused."""
    card, reason = cards.card(action.card), cards.text(action.reason, "reason")
    same = (card, reason) == (action.card, action.reason)
    return action if same else msgspec.structs.replace(action, card=card, reason=reason)


def case_of(sent: CaseMessage, cards: CardNumbers) -> CaseAction:
    """Return the order of a message.

    Raises:
        BadMessage: when it names no payment and is not about a card.
        CardNumberError: when it holds a card number that is not taken.
    """
    for name, value in (("id", sent.id), ("card", sent.card), (TX_ID, sent.tx_id), ("case", sent.case)):
        need_printable(name, value, CASES)
    if not sent.tx_id and not sent.action.is_of_card:
        expected, repair = CASES[TX_ID]
        raise BadMessage(TX_ID, f"tx_id is missing of action '{sent.action}': expected {expected}; {repair}")
    return named(CaseAction(**{**structs.asdict(sent), AT: given_at(sent.at)}), cards)


def given_at(sent: int | str) -> int:
    """Return when an order was given, ns UTC; raise BadMessage for no time. It may lie ahead: no deadline is its."""
    expected, repair = CASES[AT]
    try:
        at = sent if isinstance(sent, int) else from_text(sent)
    except ValueError:
        raise BadMessage(AT, f"at is {shown(sent)}: expected {expected}; {repair}") from None
    if not 0 <= at <= MOST:
        raise BadMessage(AT, f"at is {shown(sent)}: expected {expected}, from 1970 to 2116; {repair}")
    return at


def _read(message: bytes, seen_at: int, limits: Limits, cards: CardNumbers) -> Release | Order | FromConsole:
    if len(message) > limits.size:
        raise BadMessage(SIZE, f"the message has {len(message)} bytes, expected at most {limits.size}")
    try:
        sent = _actions.decode(message)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _fault(content_of(message), error) from error
    match sent:
        case ReleaseMessage():
            need_printable(TX_ID, sent.tx_id)
            return Release(sent.tx_id, time_in(sent.happened_at, seen_at, limits.ahead))
        case CaseMessage():
            return case_of(sent, cards)
        case AuditMessage():
            return AuditHead(seq=sent.seq, mac=sent.mac, at=given_at(sent.at))
    _need_version(sent)
    return sent


def _need_version(sent: Order) -> None:
    """Raise BadMessage for an order to pin no version, or for a version that is not to be pinned."""
    if isinstance(sent, RefreshMessage) and (sent.do is Do.PIN) != bool(sent.version):
        _, repair = ACTIONS[VERSION]
        state = f"version is {shown(sent.version)} of order '{sent.do}'"
        raise BadMessage(VERSION, f"{state}: expected one for pin, and for no other order; {repair}")


def _fault(content: dict[str, Any], error: Exception) -> BadMessage:
    """Return what to say of a message that is none. Of a kind that is none msgspec names no place."""
    kind = content.get(KIND)
    if isinstance(kind, str) and kind in EXPECTED:
        return fault_of(content, error, EXPECTED[kind])
    expected, repair = ACTIONS[KIND]
    state = f"is {shown(content[KIND])}" if KIND in content else "is missing"
    return BadMessage(KIND, f"kind {state}: expected {expected}; {repair}")
