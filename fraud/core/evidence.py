"""What an alert rests on, in numbers: the effect of every group of features, and of single events of the histories.

It travels beside the decision, in the header `evidence` of alerts, and is no part of the record: a page reads it,
nothing is decided by it. Layout 1, little-endian::

    u8      layout
    text    feature spec, model version     (u8 length, then UTF-8)
    u8      groups, each: text code, f32 effect
    u8      sides, in order card, merchant, device, each: u8 events, each: u64 hash, i64 us, f32 effect

Effects are log-odds, kept as float32: what was unpacked packs to the same bytes.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import msgspec

from fraud.core.errors import DataError

LAYOUT = 1
MOST_EVENTS = 8
"""As many events of a side as are told, at most."""
LONGEST = 255
MICROSECOND = 1_000

_BYTE, _EFFECT, _EVENT = struct.Struct("<B"), struct.Struct("<f"), struct.Struct("<Qqf")

T = TypeVar("T")


class SideEvent(NamedTuple):
    """One event of an entity's history as the model read it, and how much it raised the log-odds.

    `tx_hash` is `tx_hash(id)` of its transaction, `happened_at` its time (ns UTC, whole microseconds).
    """

    tx_hash: int
    happened_at: int
    effect: float


class Evidence(msgspec.Struct, frozen=True):
    """What an alert rests on: effects by reason code, log-odds, and the events that mattered, by side.

    Sides are card, merchant and device, as many as the model has read; none where it reads no histories, or where there
    was no time for them.
    """

    spec: str
    model: str
    effects: tuple[tuple[str, float], ...] = ()
    events: tuple[tuple[SideEvent, ...], ...] = ()


def tx_hash(tx_id: str) -> int:
    """Return the hash by which histories know a transaction, unsigned, 64 bits."""
    return int.from_bytes(hashlib.blake2b(tx_id.encode(), digest_size=8).digest(), "little")


def as_kept(effect: float) -> float:
    """Return an effect as it is kept, rounded to float32."""
    kept: float = _EFFECT.unpack(_EFFECT.pack(effect))[0]
    return kept


def packed(evidence: Evidence) -> bytes:
    """Return evidence as bytes.

    Raises:
        ValueError: for a text over 255 bytes, or more than 255 groups, sides or events of a side.
    """
    parts = [_BYTE.pack(LAYOUT), _text(evidence.spec), _text(evidence.model), _count(evidence.effects)]
    parts += [_text(code) + _EFFECT.pack(effect) for code, effect in evidence.effects]
    parts.append(_count(evidence.events))
    for side in evidence.events:
        parts.append(_count(side))
        parts += [_EVENT.pack(each.tx_hash, each.happened_at // MICROSECOND, each.effect) for each in side]
    return b"".join(parts)


def unpacked(content: bytes) -> Evidence:
    """Return evidence from bytes; raise DataError when `packed` has not written them."""
    reader = _Reader(content)
    try:
        (layout,) = reader.take(_BYTE)
        if layout != LAYOUT:
            raise _refused(content, f"layout {layout}")
        evidence = Evidence(
            reader.text(), reader.text(), tuple(reader.each(reader.effect)), tuple(reader.each(reader.side))
        )
    except (struct.error, UnicodeDecodeError) as error:
        raise _refused(content, str(error)) from error
    if reader.left:
        raise _refused(content, f"{reader.left} bytes too many")
    return evidence


class _Reader:
    """Reads one part after the other; raises struct.error where the bytes end early."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    @property
    def left(self) -> int:
        return len(self._content) - self._at

    def take(self, form: struct.Struct) -> tuple[int | float, ...]:
        values = form.unpack_from(self._content, self._at)
        self._at += form.size
        return values

    def text(self) -> str:
        size = int(self.take(_BYTE)[0])
        if size > self.left:
            msg = f"a text of {size} bytes, {self.left} left"
            raise struct.error(msg)
        begin, self._at = self._at, self._at + size
        return self._content[begin : self._at].decode()

    def each(self, read: Callable[[], T]) -> Iterator[T]:
        return (read() for _ in range(int(self.take(_BYTE)[0])))

    def effect(self) -> tuple[str, float]:
        code = self.text()
        return code, float(self.take(_EFFECT)[0])

    def side(self) -> tuple[SideEvent, ...]:
        return tuple(self.each(self.event))

    def event(self) -> SideEvent:
        tx, us, effect = self.take(_EVENT)
        return SideEvent(int(tx), int(us) * MICROSECOND, float(effect))


def _text(text: str) -> bytes:
    content = text.encode()
    if len(content) > LONGEST:
        msg = f"{text[:40]!r}... has {len(content)} bytes, expected at most {LONGEST}"
        raise ValueError(msg)
    return _BYTE.pack(len(content)) + content


def _count(items: tuple[object, ...]) -> bytes:
    if len(items) > LONGEST:
        msg = f"{len(items)} parts, expected at most {LONGEST}"
        raise ValueError(msg)
    return _BYTE.pack(len(items))


def _refused(content: bytes, why: str) -> DataError:
    return DataError(f"{len(content)} bytes are no evidence ({why}): expected what `packed` of layout {LAYOUT} wrote")
