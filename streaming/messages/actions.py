"""What is done from outside, on topic `actions`: a held payment went through, and what operators ask of the learner.

Like labels, a message that cannot be used becomes a reject, never an exception; its code is the part at fault.
"""

from typing import Any

import msgspec

from fraud.core.records import Position, Reject
from streaming.messages.codec import Headers, Limits, time_in
from streaming.messages.faults import ACTIONS, SIZE, BadMessage, content_of, fault_of, need_printable, shown
from streaming.messages.schema import ActionMessage, Do, LabelsMessage, RefreshMessage, ReleaseMessage

KIND, VERSION = "kind", "version"
KINDS = "release", "refresh", "labels"


class Release(msgspec.Struct, frozen=True):
    """A payment that was held went through at `happened_at`, ns UTC."""

    tx_id: str
    happened_at: int


Order = RefreshMessage | LabelsMessage
_actions: msgspec.json.Decoder[ActionMessage] = msgspec.json.Decoder(ActionMessage)
_encode = msgspec.json.Encoder().encode


def of_action(action: ActionMessage) -> bytes:
    """Return an action as a message."""
    return _encode(action)


def action_in(
    message: bytes, position: Position, seen_at: int, headers: Headers = (), limits: Limits | None = None
) -> Release | Order | Reject:
    """Return what a message of topic `actions` says, or the reject that says why it cannot be used."""
    try:
        return _read(message, seen_at, limits or Limits())
    except BadMessage as error:
        return Reject(error.code, str(error), message, position, headers, seen_at)


def _read(message: bytes, seen_at: int, limits: Limits) -> Release | Order:
    if len(message) > limits.size:
        raise BadMessage(SIZE, f"the message has {len(message)} bytes, expected at most {limits.size}")
    try:
        sent = _actions.decode(message)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _fault(content_of(message), error) from error
    if isinstance(sent, ReleaseMessage):
        need_printable("tx_id", sent.tx_id)
        return Release(sent.tx_id, time_in(sent.happened_at, seen_at, limits.ahead))
    if isinstance(sent, RefreshMessage) and (sent.do is Do.PIN) != bool(sent.version):
        _, repair = ACTIONS[VERSION]
        state = f"version is {shown(sent.version)} of order '{sent.do}'"
        raise BadMessage(VERSION, f"{state}: expected one for pin, and for no other order; {repair}")
    return sent


def _fault(content: dict[str, Any], error: Exception) -> BadMessage:
    """Return what to say of a message that is none. Of a kind that is none msgspec names no place."""
    if content.get(KIND) in KINDS:
        return fault_of(content, error, ACTIONS)
    expected, repair = ACTIONS[KIND]
    state = f"is {shown(content[KIND])}" if KIND in content else "is missing"
    return BadMessage(KIND, f"kind {state}: expected {expected}; {repair}")
