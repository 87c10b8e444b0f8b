"""The messages on the wire, one type a topic, as JSON objects; their JSON Schemas are published in `streaming/schema`.

Amounts are whole numbers of minor units of `currency`. Times go out as RFC 3339 text with nine decimals, which every
reader keeps exact (a nanosecond count does not survive a reader that has only doubles); they are taken in as such
text or as a whole number of nanoseconds since the epoch.
"""

import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from fraud.core.records import (
    Action,
    Alert,
    Decision,
    Kind,
    Label,
    LabelSource,
    Level,
    Mark,
    Reason,
    Transaction,
    Verdict,
    Versions,
)
from fraud.core.settings import MOST_MINOR
from streaming.messages.times import from_text, to_text

FOLDER = Path(__file__).parents[1] / "schema"
LONGEST_ID = 256
LONGEST_TEXT = 1024

Id = Annotated[str, Meta(min_length=1, max_length=LONGEST_ID, description="Printable characters only.")]
TimeIn = Annotated[int | str, Meta(description="RFC 3339 with a zone, or whole nanoseconds since 1970 UTC.")]
TimeOut = Annotated[str, Meta(description="RFC 3339, UTC, nine decimals.", extra_json_schema={"format": "date-time"})]
Minor = Annotated[int, Meta(ge=0, le=MOST_MINOR, description="Minor units of `currency`: 12.34 EUR is 1234.")]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]


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


class DecisionMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one transaction, on topic `decisions`."""

    tx_id: str
    version: int
    action: Action
    score: float
    reasons: tuple[Reason, ...]
    level: Level
    versions: Versions
    seen_at: TimeOut
    happened_at: TimeOut
    card: str
    merchant: str
    base_amount: int
    device: str | None
    channel: str
    unusual: bool
    parts: dict[str, float]
    marks: tuple[Mark, ...]


class AlertMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that somebody should look at, on topic `alerts`; the same alert always has the same id."""

    id: str
    tx_id: str
    version: int
    action: Action
    score: float
    expected_loss: int
    reasons: tuple[Reason, ...]
    seen_at: TimeOut
    card: str
    merchant: str
    base_amount: int


MESSAGES: dict[str, type[msgspec.Struct]] = {
    "transaction": TransactionMessage,
    "label": LabelMessage,
    "decision": DecisionMessage,
    "alert": AlertMessage,
}
_encode = msgspec.json.Encoder().encode
_decisions = msgspec.json.Decoder(DecisionMessage)


def of_transaction(tx: Transaction) -> bytes:
    """Return a transaction as a message; `base_amount` and `seen_at` are the reader's to make."""
    return _encode(
        TransactionMessage(
            id=tx.id,
            card=tx.card,
            merchant=tx.merchant,
            amount=tx.amount,
            happened_at=to_text(tx.happened_at),
            version=tx.version,
            kind=tx.kind,
            device=tx.device,
            currency=tx.currency,
            channel=tx.channel,
            mcc=tx.mcc,
            text=tx.text,
            attrs=tx.attrs,
        )
    )


def of_label(label: Label) -> bytes:
    """Return a label as a message."""
    return _encode(
        LabelMessage(
            tx_id=label.tx_id,
            verdict=label.verdict,
            happened_at=to_text(label.happened_at),
            source=label.source,
            version=label.version,
        )
    )


def of_decision(decision: Decision) -> bytes:
    """Return a decision as a message."""
    return _encode(
        DecisionMessage(
            tx_id=decision.tx_id,
            version=decision.version,
            action=decision.action,
            score=decision.score,
            reasons=decision.reasons,
            level=decision.level,
            versions=decision.versions,
            seen_at=to_text(decision.seen_at),
            happened_at=to_text(decision.happened_at),
            card=decision.card,
            merchant=decision.merchant,
            base_amount=decision.base_amount,
            device=decision.device,
            channel=decision.channel,
            unusual=decision.unusual,
            parts=dict(decision.parts),
            marks=decision.marks,
        )
    )


def of_alert(alert: Alert) -> bytes:
    """Return an alert as a message."""
    fields = msgspec.structs.asdict(alert)
    return _encode(AlertMessage(**{**fields, "seen_at": to_text(alert.seen_at)}))


def decision_in(message: bytes) -> Decision:
    """Return the decision of a message that this project wrote; raise msgspec.MsgspecError for any other."""
    fields = msgspec.structs.asdict(_decisions.decode(message))
    fields["parts"] = tuple(fields["parts"].items())
    fields["seen_at"], fields["happened_at"] = from_text(fields["seen_at"]), from_text(fields["happened_at"])
    return Decision(**fields)


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
