"""Messages that cannot be used, as they are kept: without the card numbers in them.

Where a message is a JSON object, card numbers are looked for where they are looked for in one that can be used; what is
no JSON is looked through as a whole. If there is one, all that look so are masked, in headers and reason too, and the
letter says so: it cannot be driven in again, for it is no longer what came.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import structs

from fraud.core.card_numbers import CardNumbers
from fraud.core.errors import CardNumberError
from fraud.core.records import Position, Reject
from streaming.messages.bounds import LONGEST, Headers, shortened
from streaming.messages.faults import BadMessage, content_of
from streaming.messages.schema import MESSAGES

STRADDLING = 64
"""Bytes that a card number takes at most, with what stands between its groups."""
LOOKED_AT = frozenset({"card", "text", "attrs", "reason"})
"""Fields in which card numbers are looked for, beside all that are not known."""
PASSED_OVER = frozenset(name for kind in MESSAGES.values() for name in kind.__struct_fields__) - LOOKED_AT


def refused(
    error: BadMessage | CardNumberError,
    message: bytes,
    position: Position,
    headers: Headers,
    seen_at: int,
    cards: CardNumbers,
) -> Reject:
    """Return a message that cannot be used as a reject; one that holds a card number is masked, one too long is cut."""
    cut = shortened(message)
    # Of a long message no more is looked at than is kept, and what a number at the cut needs to be seen whole.
    if (kept := masked_message(message[: LONGEST + STRADDLING], cards)) is None:
        reject = Reject(error.code, str(error), cut.original, position, headers, seen_at)
        return structs.replace(reject, length=cut.length, sha256=cut.sha256)
    hidden = tuple((name, _masked(value, cards)) for name, value in headers)
    kept = kept[:LONGEST] if cut.length else kept
    return Reject(
        error.code, cards.masked(str(error)), kept, position, hidden, seen_at, masked=True, length=cut.length
    )  # fmt: skip


def masked_message(message: bytes, cards: CardNumbers) -> bytes | None:
    """Return a message with stars for the digits of card numbers; None where there is none to be masked."""
    if not _shows(message, cards):
        return None
    masked = _masked(message, cards)
    # A digit may be written otherwise in JSON, as an escape: then what stands there is told in our words.
    return msgspec.json.encode(_in_stars(_object(message), cards)) if _shows(masked, cards) else masked


def _shows(message: bytes, cards: CardNumbers) -> bool:
    content = _object(message)
    return cards.shows(message.decode("latin-1") if content is None else list(_texts(content)))


def _object(message: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a message is, None where it is none."""
    try:
        return content_of(message)
    except BadMessage:
        return None


def _texts(content: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what a message may hold a card number in; one that is sent as a number too."""
    for name, value in content.items():
        if name not in PASSED_OVER:
            yield str(value) if name in LOOKED_AT and isinstance(value, int | float) else value


def _masked(text: bytes, cards: CardNumbers) -> bytes:
    return cards.masked(text.decode("latin-1")).encode("latin-1")


def _in_stars(value: Any, cards: CardNumbers) -> Any:
    if isinstance(value, dict):
        return {name: _in_stars(each, cards) for name, each in value.items()}
    if isinstance(value, list):
        return [_in_stars(each, cards) for each in value]
    return cards.masked(value) if isinstance(value, str) else value
