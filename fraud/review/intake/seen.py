"""What the projector has read, as records of the core with the place where each was read."""

from typing import Any, NamedTuple

import msgspec

from fraud.core.records import Decision, KnownLabel, Position

Marks = dict[tuple[str, int], int]
"""The next offset of each partition of the feed."""


class DecisionSeen(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A decision: the message as it was published, what travelled beside it, and the position of its payment.

    `at` is the place in the feed, `arrived_at` when it was written there (UTC ns). `repeat`: a payment that was sent
    twice got its first answer again. `past`: it was decided before anybody was there to look at it. `stages` holds
    microseconds by stage.
    """

    decision: Decision
    source: Position
    at: Position
    arrived_at: int
    message: bytes
    vector: bytes = b""
    evidence: bytes = b""
    stages: bytes = b""
    repeat: bool = False
    past: bool = False


class KnownSeen(msgspec.Struct, frozen=True, gc=False):
    """A label that is known, its place in the feed, and when it was written there (UTC ns)."""

    label: KnownLabel
    at: Position
    known_at: int


class AppliedSeen(msgspec.Struct, frozen=True, gc=False):
    """A label that the state has taken in, its place in the feed, and when that was written there (UTC ns)."""

    label: KnownLabel
    at: Position
    applied_at: int


class SnapshotSeen(msgspec.Struct, frozen=True):
    """What the learner has learned up to `made_at` (UTC ns): what it says of that, and all of it as published."""

    version: str
    base: str
    seq: int
    made_at: int
    promoted: bool
    content: dict[str, Any]
    at: Position
    body: bytes = b""


class LiveSeen(msgspec.Struct, frozen=True):
    """Which version payments get on a base from `since` on (UTC ns)."""

    base: str
    version: str
    seq: int
    since: int
    why: str
    pinned: bool
    at: Position


class EventSeen(msgspec.Struct, frozen=True):
    """Something that happened to the learner, at `happened_at` (UTC ns)."""

    key: str
    happened_at: int
    kind: str
    content: dict[str, Any]
    at: Position


Seen = DecisionSeen | KnownSeen | AppliedSeen | SnapshotSeen | LiveSeen | EventSeen


class Changes(NamedTuple):
    """Alerts by number: new ones, and those whose row or label trail has changed."""

    added: tuple[int, ...] = ()
    changed: tuple[int, ...] = ()
