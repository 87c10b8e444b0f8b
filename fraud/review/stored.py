"""What an alert rests on, as it was stored: the decision as published, the vector that was scored, the graph."""

import hashlib
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from sqlalchemy import Connection, Row, select

from fraud.core.records import Kind, Transaction, Values
from fraud.review.case_views import GraphView, Made
from fraud.review.tables import evidence

VECTOR_LAYOUT = 1


class Message(msgspec.Struct, frozen=True):
    """What is read of a decision's message; `versions` are those that made it."""

    versions: dict[str, str]
    level: str = ""
    explainer: str = ""
    marks: tuple[str, ...] = ()
    kind: str = "payment"
    parts: dict[str, float] = {}


class Vector(NamedTuple):
    """The numbers that were scored, by name; empty where the spec of that version is not known."""

    spec: str
    values: Values
    by_name: dict[str, float]

    def value(self, name: str) -> float | None:
        """Return a feature, None where it is missing or not known."""
        found = self.by_name.get(name)
        return None if found is None or not math.isfinite(found) else found


class Stored(NamedTuple):
    """All of it, of one alert."""

    message: Message
    sha256: str
    vector: bytes
    graph: GraphView


_read = msgspec.json.Decoder(Message).decode


def stored_of(connection: Connection, number: int) -> Stored:
    """Return what is stored under a number."""
    row = connection.execute(select(evidence).where(evidence.c.id == number)).one()
    decision = bytes(row.decision)
    graph = msgspec.convert(row.graph, GraphView)
    return Stored(_read(decision), hashlib.sha256(decision).hexdigest(), bytes(row.vector), graph)


def made_of(message: Message) -> Made:
    """Return what a decision was made by."""
    versions = message.versions
    return Made(
        model=versions.get("model", ""),
        spec=versions.get("spec", ""),
        policy=versions.get("policy", ""),
        rules=versions.get("rules", ""),
        parameters=versions.get("parameters", ""),
        level=message.level,
        explainer=message.explainer,
        marks=message.marks,
    )


def unpacked_vector(packed: bytes) -> tuple[str, Values]:
    """Return the spec version and the values, float32, of a `vector` header; no values for what is none.

    The layout is that of `streaming.messages.envelope.packed_vector`: layout, length and text of the spec version, then
    the values, little-endian.
    """
    if len(packed) < 2 or packed[0] != VECTOR_LAYOUT:
        return "", np.empty(0, np.float32)
    begin = 2 + packed[1]
    body = packed[begin:]
    return packed[2:begin].decode(), np.frombuffer(body[: len(body) // 4 * 4], "<f4").astype(np.float32)


def vector_of(packed: bytes, names_of: Callable[[str], tuple[str, ...] | None]) -> Vector:
    """Return a `vector` header by name; `names_of` gives the names of a spec version."""
    spec, values = unpacked_vector(packed)
    names = names_of(spec) or ()
    by_name = dict(zip(names, map(float, values), strict=True)) if len(names) == len(values) else {}
    return Vector(spec, values, by_name)


def transaction_of(row: Row[Any], card: str, merchant: str, device: str | None, kind: str) -> Transaction:
    """Return the payment of an alert as rules see one."""
    return Transaction(
        id=row.tx_id,
        version=row.version,
        card=card,
        merchant=merchant,
        device=device,
        amount=row.amount,
        base_amount=row.base_amount,
        currency=row.currency,
        happened_at=row.happened_at,
        seen_at=row.happened_at,
        channel=row.channel,
        mcc=row.mcc,
        text=row.text,
        kind=Kind(kind),
    )
