"""Faults of messages in words: the field, its value, what was expected, the repair."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import msgspec

from fraud.core.actions import Remedy
from streaming.messages.schema import LONGEST_CHART, LONGEST_ID, LONGEST_TEXT, MOST

SIZE, JSON, FUTURE = "size", "json", "future"
AMOUNT, CURRENCY, HAPPENED_AT = "amount", "currency", "happened_at"

_PATH = re.compile(r"`\$\.(\w+)|field `(\w+)`")
UNKNOWN_FIELD = "Object contains unknown field"
_ID = f"1 to {LONGEST_ID} printable characters"
_TIME = "RFC 3339 text with a zone, such as 2026-01-31T12:00:00Z, or whole nanoseconds since 1970"
EXPECTED = {
    "id": (_ID, "give each transaction an id of its own"),
    "tx_id": (_ID, "name the transaction that the verdict is about"),
    "card": (_ID, "name the card or account, as a token"),
    "merchant": (_ID, "name who is paid"),
    "device": (_ID + ", or null", "leave the field out when there is no device"),
    "amount": (
        f"a whole number of minor units, 0 to {MOST}",
        "send 12.34 as 1234, and money that flows back as kind 'refund' or 'reversal'",
    ),
    "happened_at": (_TIME, "say when the payment was made"),
    "version": ("a whole number from 0", "leave the field out for a first version"),
    "kind": ("payment, refund or reversal", "leave the field out for a payment"),
    "verdict": ("genuine or fraud", "send no label while nothing is known"),
    "source": ("chargeback, analyst or silence", "leave the field out for a chargeback"),
    "currency": ("an ISO 4217 code", "leave the field out for the base currency"),
    "channel": (f"text of at most {LONGEST_ID} characters", "shorten it"),
    "mcc": ("a whole number, 0 to 9999", "leave the field out when it is not known"),
    "text": (f"text of at most {LONGEST_TEXT} characters", "shorten it"),
    "attrs": ("an object", "put other fields beside the known ones or in this object"),
}
ACTIONS = {
    "kind": ("release, refresh, labels, case or audit", "say what is done; see the published JSON Schemas"),
    "tx_id": (_ID, "name the payment that went through"),
    "happened_at": (_TIME, "say when the payment went through"),
    "do": (
        "pin, unpin, rollback, freeze or thaw of kind refresh, release or drop of kind labels",
        "say what is to be done",
    ),
    "version": (f"text of at most {LONGEST_ID} characters", "take it from 'fraud refresh history'"),
    "chart": (f"text of 1 to {LONGEST_CHART} characters", "take it from 'fraud labels held'"),
    "base": (f"text of at most {LONGEST_ID} characters", "leave the field out for the model in use"),
    "by": (f"text of at most {LONGEST_ID} characters", "shorten it"),
}
"""The same of messages on topic `actions`."""
CASES = {
    "id": (_ID, "give each order an id of its own, and a repeat the same"),
    "action": (", ".join(Remedy), "say what is to be done"),
    "card": (_ID, "name the card or account, as payments do"),
    "at": (_TIME, "say when the order was given"),
    "by": (f"text of at most {LONGEST_ID} characters", "say who gave the order"),
    "tx_id": (_ID, "name the payment; only orders about a card have none"),
    "version": ("a whole number from 0", "leave the field out for a first version"),
    "case": (f"text of at most {LONGEST_ID} characters", "shorten it"),
    "reason": (f"text of at most {LONGEST_TEXT} characters", "shorten it"),
    "seq": ("a whole number from 0", "name the last row of the audit log"),
    "mac": ("1 to 128 hexadecimal digits", "send the seal of that row"),
}
"""The same of what the console writes there: orders of analysts, and the head of its audit log."""


class BadMessage(Exception):
    """A message cannot be used: the code and the sentence of its reject."""

    def __init__(self, code: str, reason: str) -> None:
        """Keep the code beside the sentence."""
        super().__init__(reason)
        self.code = code


def unprintable(text: str) -> str:
    """Return the name of the first control character, unpaired surrogate or character without a meaning; '' for none.

    Blanks of every width, and marks that join or part letters, are parts of names in many languages.
    """
    if text.isprintable():
        return ""
    for mark in text:
        if unicodedata.category(mark) in ("Cc", "Cs", "Cn", "Co", "Zl", "Zp"):
            return f"U+{ord(mark):04X} {unicodedata.name(mark, '')}".rstrip()
    return ""


def need_printable(name: str, value: str | None, expected_of: Mapping[str, tuple[str, str]] = EXPECTED) -> None:
    """Raise BadMessage when an id holds characters that do not print."""
    if value is not None and (bad := unprintable(value)):
        expected, repair = expected_of[name]
        raise BadMessage(name, f"{name} is {shown(value)}, it holds {bad}: expected {expected}; {repair}")


def content_of(message: bytes) -> dict[str, Any]:
    """Return the JSON object in a message; raise BadMessage when there is none."""
    try:
        content = msgspec.json.decode(message)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadMessage(JSON, f"the message is not JSON ({error}): expected one JSON object") from error
    if not isinstance(content, dict):
        raise BadMessage(JSON, f"the message is {shown(content)}: expected one JSON object")
    return content


def fault_of(
    content: dict[str, Any], error: Exception, expected_of: Mapping[str, tuple[str, str]] = EXPECTED
) -> BadMessage:
    """Return what to say of a field that does not fit; `expected_of` says what each is to be, and the repair."""
    match = _PATH.search(str(error))
    name = (match[1] or match[2]) if match else "json"
    expected, repair = expected_of.get(name, (str(error), "see the published JSON Schema"))
    state = f"is {shown(content[name])}" if name in content else "is missing"
    return BadMessage(name, f"{name} {state}: expected {expected}; {repair}")


def shown(value: object) -> str:
    """Return a value as it may stand in a sentence."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
