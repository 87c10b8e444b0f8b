"""How large things may be: what is read of a message, what is kept of one that cannot be used, what travels on.

A broker takes records of 1 MiB, and what is packed may be many times that. A message of ours has some hundred bytes,
so one that is longer than `LONGEST` is refused, and its dead letter keeps the beginning, its length and its hash; of
headers a letter keeps some, and a decision carries those that belong to a trace. So whatever comes in, what goes out
is far below the size that clients and topics take.
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from fraud.core.records import Reject

Header = tuple[str, bytes]
Headers = tuple[Header, ...]

LONGEST = 65_536
"""Bytes of a message, its CloudEvent included. A dead letter keeps as many of its original."""
LONGEST_REASON = 1_000
"""Characters of a dead letter's reason."""
MOST_KEPT, KEPT_BYTES = 32, 8_192
"""Headers of a sender that a dead letter keeps, and their bytes, names included."""
CARRIED = ("traceparent", "tracestate")
CARRIED_BYTES = 1_024
"""Bytes of a trace that a decision carries; W3C Trace Context asks for 512 of `tracestate`."""
MOST_SENT = 1_000_000
"""Bytes of a message that leaves: confluent-kafka's own limit, below kafka-python's and that of the topics."""


class Cut(NamedTuple):
    """The beginning of a message, with length and SHA-256 of the whole; 0 and `""` where it is the whole."""

    original: bytes
    length: int = 0
    sha256: str = ""


class Kept(NamedTuple):
    """Headers that are kept, and how many were left out."""

    headers: Headers
    left_out: int


def taken(headers: Iterable[tuple[str, bytes | None]]) -> Headers:
    """Return the headers of a record as ours: what is null is empty."""
    return tuple((name, value or b"") for name, value in headers)


def carried(headers: Headers) -> Headers:
    """Return the headers that go through from transaction to decision: those of its trace.

    There is one `traceparent`, the first. A header that makes them longer than `CARRIED_BYTES` stays behind whole, for
    a part of it would say something else.
    """
    found: list[Header] = []
    room = CARRIED_BYTES
    for name, value in headers:
        if name in CARRIED and len(value) <= room and (name != CARRIED[0] or all(each[0] != name for each in found)):
            found.append((name, value))
            room -= len(value)
    return tuple(found)


def kept(headers: Headers) -> Kept:
    """Return the headers of a sender that its dead letter keeps: the first ones, as far as there is room."""
    found: list[Header] = []
    room = KEPT_BYTES
    for name, value in headers:
        room -= len(name.encode(errors="replace")) + len(value)
        if room < 0 or len(found) == MOST_KEPT:
            break
        found.append((name, value))
    return Kept(tuple(found), len(headers) - len(found))


def shortened(original: bytes) -> Cut:
    """Return what a dead letter keeps of its original."""
    if len(original) <= LONGEST:
        return Cut(original)
    return Cut(original[:LONGEST], len(original), hashlib.sha256(original).hexdigest())


def fitting(reject: Reject) -> Reject:
    """Return a reject whose original is no longer than a dead letter keeps."""
    if reject.length or len(reject.original) <= LONGEST:
        return reject
    cut = shortened(reject.original)
    return msgspec.structs.replace(reject, original=cut.original, length=cut.length, sha256=cut.sha256)
