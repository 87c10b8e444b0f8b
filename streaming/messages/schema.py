"""The messages on the wire, one type a topic, as JSON objects; their JSON Schemas are published in `streaming/schema`.

What others send has a type of its own; decisions and alerts are made from the fields of their records, so a new field
is in the message as soon as it is in the record. The published schema is made again by `python -m
streaming.messages.schema`.

Amounts are whole numbers of minor units of `currency`. Times go out as RFC 3339 text with nine decimals, which every
reader keeps exact (a nanosecond count does not survive a reader that has only doubles); they are taken in as such
text or as a whole number of nanoseconds since the epoch.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, structs
from msgspec.structs import FieldInfo

from fraud.core.actions import Remedy
from fraud.core.records import Alert, Decision, Kind, KnownLabel, Label, LabelSource, Parts, Transaction, Verdict
from streaming.messages.times import from_text, to_text

FOLDER = Path(__file__).parents[1] / "schema"
LONGEST_ID = 256
LONGEST_TEXT = 1024
LONGEST_CHART = 512
MOST = 2**62
"""No number of ours is larger, times included, which end in 2116: what is added up then stays within 64 bits."""

Id = Annotated[str, Meta(min_length=1, max_length=LONGEST_ID, description="Printable characters only.")]
TimeIn = Annotated[int | str, Meta(description="RFC 3339 with a zone, or whole nanoseconds since 1970 UTC.")]
TimeOut = Annotated[str, Meta(description="RFC 3339, UTC, nine decimals.", extra_json_schema={"format": "date-time"})]
Minor = Annotated[int, Meta(ge=0, le=MOST, description="Minor units of `currency`: 12.34 EUR is 1234.")]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Name = Annotated[str, Meta(max_length=LONGEST_ID)]
Base = Annotated[str, Meta(max_length=LONGEST_ID, description="NAME@VERSION; left out: the model in use.")]


class TransactionMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One card message on topic `transactions`, keyed by card. Money that flows back is a kind, not a negative amount.

    A field that is not listed is kept in `attrs`.
    """

    id: Id
    card: Id
    merchant: Id
    amount: Minor
    happened_at: TimeIn
    version: Count = 0
    kind: Kind = Kind.PAYMENT
    device: Id | None = None
    currency: Annotated[str, Meta(max_length=8, description="ISO 4217 code; left out: the base currency.")] = ""
    channel: Annotated[str, Meta(max_length=LONGEST_ID)] = ""
    mcc: Annotated[int, Meta(ge=0, le=9999)] = 0
    text: Annotated[str, Meta(max_length=LONGEST_TEXT, description="The merchant's descriptor.")] = ""
    attrs: dict[str, Any] | None = None


class LabelMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A verdict on one transaction, on topic `labels`; `happened_at` is when the verdict was given."""

    tx_id: Id
    verdict: Verdict
    happened_at: TimeIn
    source: LabelSource = LabelSource.CHARGEBACK
    version: Count = 0


class Do(StrEnum):
    """What an operator can order of what was learned: which version payments get, whether anything is learned."""

    PIN = "pin"
    UNPIN = "unpin"
    ROLLBACK = "rollback"
    FREEZE = "freeze"
    THAW = "thaw"


class Deal(StrEnum):
    """What an operator can order of labels that the gate holds."""

    RELEASE = "release"
    DROP = "drop"


class ReleaseMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="release"):
    """A payment that was held went through after all, so that its holder could complain; keyed by `tx_id`.

    The system that let it through says so, whoever told it to: an analyst's order alone (kind `case`) moves no money.
    """

    tx_id: Id
    happened_at: TimeIn


class RefreshMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="refresh"):
    """An operator's order about what was learned, keyed by `base`; only `pin` has a `version`."""

    do: Do
    version: Name = ""
    base: Base = ""
    by: Name = ""


class LabelsMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="labels"):
    """An operator's order about labels that the gate holds, keyed by `base`; `chart` is the one that alarmed."""

    do: Deal
    chart: Annotated[str, Meta(min_length=1, max_length=LONGEST_CHART, description="KIND/KEY.")]
    base: Base = ""
    by: Name = ""


class CaseMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="case"):
    """What an analyst orders to be done about a payment or its card, keyed by `card`; the same `id` is the same order.

    `release`, `decline` and `step_up` are for the site's own systems and name the payment; the workers obey
    `block_card` and `unblock_card`. `at` is when the order was given.
    """

    id: Id
    action: Remedy
    card: Id
    at: TimeIn
    by: Name
    tx_id: Name = ""
    version: Count = 0
    case: Name = ""
    reason: Annotated[str, Meta(max_length=LONGEST_TEXT)] = ""


class AuditMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="audit"):
    """The last row of the console's audit log and that row's seal, once a day, so that a log that was cut is found."""

    seq: Annotated[int, Meta(ge=0, le=MOST)]
    mac: Annotated[str, Meta(pattern="^[0-9a-f]{1,128}$", description="Hexadecimal.")]
    at: TimeIn


ActionMessage = ReleaseMessage | RefreshMessage | LabelsMessage | CaseMessage | AuditMessage


_Number = Annotated[int, Meta(ge=-MOST, le=MOST)]
_Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]
BOUNDED: dict[Any, Any] = {int: _Number, str: _Text, str | None: _Text | None}
"""Types of fields, and what they are where a record is read."""


def written(record: type[msgspec.Struct], text: str) -> type[msgspec.Struct]:
    """Return the message that a record is written as, every field in it; `text` describes it in its schema."""
    fields = [(field.name, wire_type(field)) for field in structs.fields(record)]
    return _message(record, fields, {"__doc__": text})


def readable(record: type[msgspec.Struct], type_of: Callable[[FieldInfo], Any]) -> type[msgspec.Struct]:
    """Return the message that a record is read from; what an earlier release did not write has its default.

    `type_of` gives the type of each field there. Numbers and texts are bounded: whoever wrote others is none of us.
    """
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for field in structs.fields(record):
        default = {} if is_parts(field) else field.default
        kind = BOUNDED.get(type_of(field), type_of(field))
        fields.append((field.name, kind) if field.default is msgspec.NODEFAULT else (field.name, kind, default))
    return _message(record, fields, {})


def wire_type(field: FieldInfo) -> Any:
    """Return the type that a record's field has in its message: times as text, parts as an object."""
    if is_time(field):
        return TimeOut
    return dict[str, float] if is_parts(field) else field.type


def is_time(field: FieldInfo) -> bool:
    """Tell whether a field is a time: a record's times, and nothing else, have names that end in `_at`."""
    return field.name.endswith("_at")


def is_parts(field: FieldInfo) -> bool:
    """Tell whether a field holds shares of a score by name."""
    return bool(field.type == Parts)


def _message(record: type[msgspec.Struct], fields: list[Any], namespace: dict[str, Any]) -> type[msgspec.Struct]:
    name = f"{record.__name__}Message"
    return msgspec.defstruct(name, fields, namespace=namespace, module=__name__, frozen=True, kw_only=True)


MESSAGES: dict[str, type[msgspec.Struct]] = {
    "transaction": TransactionMessage,
    "label": LabelMessage,
    "action-release": ReleaseMessage,
    "action-refresh": RefreshMessage,
    "action-labels": LabelsMessage,
    "action-case": CaseMessage,
    "action-audit": AuditMessage,
    "decision": written(Decision, "The answer to one transaction, on topic `decisions`."),
    "alert": written(
        Alert, "A decision that somebody should look at, on topic `alerts`; the same alert always has the same id."
    ),
}
TIMES = {kind: [field.name for field in structs.fields(kind) if is_time(field)] for kind in (Decision, Alert)}
PARTS = {kind: [field.name for field in structs.fields(kind) if is_parts(field)] for kind in (Decision, Alert)}

_encode = msgspec.json.Encoder().encode
_decisions = msgspec.json.Decoder(readable(Decision, wire_type))
_known = msgspec.json.Decoder(readable(KnownLabel, lambda field: field.type))


def of_transaction(tx: Transaction) -> bytes:
    """Return a transaction as a message; `base_amount` and `seen_at` are the reader's to make."""
    return _encode(_sent(TransactionMessage, tx))


def of_label(label: Label) -> bytes:
    """Return a label as a message."""
    return _encode(_sent(LabelMessage, label))


def of_decision(decision: Decision) -> bytes:
    """Return a decision as a message, every field of the record in it."""
    return _encode(_told(decision))


def of_alert(alert: Alert) -> bytes:
    """Return an alert as a message, every field of the record in it."""
    return _encode(_told(alert))


def decision_in(message: bytes) -> Decision:
    """Return the decision of a message that this project wrote.

    Raises:
        msgspec.MsgspecError, ValueError: for any other.
        RecursionError: for one whose parts lie too deep in each other.
    """
    fields = structs.asdict(_decisions.decode(message))
    for name in TIMES[Decision]:
        fields[name] = from_text(fields[name])
    for name in PARTS[Decision]:
        fields[name] = tuple(fields[name].items())
    decision = Decision(**fields)
    numbers = decision.happened_at, decision.seen_at, *(structs.astuple(decision.alert)[1:] if decision.alert else ())
    if any(abs(number) > MOST for number in numbers):
        msg = f"a time or an amount of {decision.tx_id[:60]!r} is none of ours: expected 64 bits, times to 2116"
        raise ValueError(msg)
    return decision


def known_in(message: bytes) -> KnownLabel:
    """Return the known label of a message that this project wrote; raise as `decision_in` for any other."""
    return KnownLabel(**structs.asdict(_known.decode(message)))


def _sent(kind: type[msgspec.Struct], record: Transaction | Label) -> msgspec.Struct:
    """Return the message of a record that others send us: the fields that they know of."""
    fields = {name: getattr(record, name) for name in kind.__struct_fields__}
    return kind(**{**fields, "happened_at": to_text(record.happened_at)})


def _told(record: Decision | Alert) -> dict[str, Any]:
    """Return the content of the message of a record that we send to others."""
    fields = structs.asdict(record)
    for name in TIMES[type(record)]:
        fields[name] = to_text(fields[name])
    for name in PARTS[type(record)]:
        fields[name] = dict(fields[name])
    return fields


def schemas() -> dict[str, bytes]:
    """Return the JSON Schema of each message, by file name."""
    return {f"{name}.json": _schema(message) for name, message in MESSAGES.items()}


def publish(folder: Path = FOLDER) -> None:
    """Write the schemas. After a change: `python -m streaming.messages.schema`."""
    for name, content in schemas().items():
        (folder / name).write_bytes(content)


def _schema(message: type[msgspec.Struct]) -> bytes:
    """Return one schema; unknown fields are no fault, so it allows them."""
    (schema,), definitions = msgspec.json.schema_components([message], ref_template="#/$defs/{name}")
    top = definitions.pop(schema["$ref"].rsplit("/", 1)[1])
    top.pop("additionalProperties", None)
    top["description"] = re.sub(r"\s+", " ", message.__doc__ or "").strip()
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **top, "$defs": definitions}
    return msgspec.json.format(msgspec.json.encode(whole, order="sorted"), indent=2) + b"\n"


if __name__ == "__main__":
    publish()
