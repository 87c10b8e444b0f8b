"""Waiting items as few bytes: fields without their names, vectors without what most of them hold.

A vector is mostly zeros and missing values, and some small counts; each of these costs a bit or a byte, all others
their four bytes. Nothing is rounded: what is unpacked is what was packed, bit by bit. General compression gains 4 % on
top of that, or less, for 100 us an item, so there is none.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraud.core.labels import Pending
from fraud.core.records import Values

AS_IT_IS, SPARSE = 0, 1
MISSING = int(np.float32(np.nan).view(np.uint32))
HEAD = 3
MOST = 65_535


class Packed(Pending, frozen=True, gc=False, kw_only=True, array_like=True):
    """A pending item at rest: its fields in order, so that new ones are added at the end, with defaults."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Packed).decode


def packed_item(item: Pending) -> bytes:
    """Return an item as it is kept."""
    return _encode(Packed(**{**msgspec.structs.asdict(item), "vector": packed(item.vector)}))


def item_in(body: bytes) -> Pending:
    """Return a kept item."""
    fields = msgspec.structs.asdict(_decode(body))
    return Pending(**{**fields, "vector": unpacked(fields["vector"])})


def packed(vector: bytes) -> bytes:
    """Return the bytes of a float32 vector in fewer: which are not zero, which others miss, which are small counts."""
    if not vector or len(vector) % 4 or len(vector) > 4 * MOST:
        return bytes((AS_IT_IS,)) + vector if vector else b""
    bits = np.frombuffer(vector, "<u4")
    told = (bits != 0) & (bits != MISSING)
    values = bits[told].view("<f4")
    small = counts(values)
    return b"".join((
        bytes((SPARSE, len(bits) & 0xFF, len(bits) >> 8)),
        np.packbits(told).tobytes(),
        np.packbits(bits[~told] != 0).tobytes(),
        np.packbits(small).tobytes(),
        values[small].astype(np.uint8).tobytes(),
        values[~small].tobytes(),
    ))  # fmt: skip


def unpacked(body: bytes) -> bytes:
    """Return what `packed` was given."""
    if not body or body[0] == AS_IT_IS:
        return body[1:]
    size, at = body[1] | body[2] << 8, HEAD
    told, at = mask(body, at, size)
    missing, at = mask(body, at, size - int(told.sum()))
    small, at = mask(body, at, int(told.sum()))
    values, end = np.empty(len(small), "<f4"), at + int(small.sum())
    values[small] = np.frombuffer(body[at:end], np.uint8)
    values[~small] = np.frombuffer(body[end:], "<f4")
    bits = np.zeros(size, "<u4")
    bits[told] = values.view("<u4")
    bits[~told] = np.where(missing, np.uint32(MISSING), np.uint32(0))
    return bits.tobytes()


def counts(values: Values) -> NDArray[np.bool_]:
    """Return which of some values, none of them zero, are whole numbers that one byte holds."""
    with np.errstate(invalid="ignore"):
        found: NDArray[np.bool_] = (values > 0) & (values <= np.float32(255)) & (values == np.floor(values))
    return found


def mask(body: bytes, at: int, size: int) -> tuple[NDArray[np.bool_], int]:
    """Return a mask of so many bits that begins at a byte, and where it ends."""
    end = at + (size + 7) // 8
    return np.unpackbits(np.frombuffer(body[at:end], np.uint8), count=size).astype(np.bool_), end
