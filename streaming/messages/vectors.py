"""A scored vector in a message header: version of this layout, length and text of the spec version, float32 values."""

import numpy as np

from fraud.core.errors import DataError
from fraud.core.records import Values

HEADER = "vector"
_LAYOUT = 1


def pack(values: Values, spec_version: str) -> bytes:
    """Return float32 values (n,) with their spec version; raise ValueError for a version over 255 bytes."""
    spec = spec_version.encode()
    return bytes((_LAYOUT, len(spec))) + spec + values.astype("<f4", copy=False).tobytes()


def unpack(packed: bytes) -> tuple[Values, str]:
    """Return values, float32 (n,), and spec version; raise DataError when the bytes are no packed vector."""
    start = 2 + packed[1] if len(packed) > 1 else 0
    if start == 0 or packed[0] != _LAYOUT or len(packed) < start or (len(packed) - start) % 4:
        msg = f"{len(packed)} bytes are no packed vector: expected layout {_LAYOUT}, a spec version and float32 values"
        raise DataError(msg)
    try:
        spec = packed[2:start].decode()
    except UnicodeDecodeError as error:
        msg = "the spec version of a packed vector is not UTF-8: expected what `pack` wrote"
        raise DataError(msg) from error
    return np.frombuffer(packed, dtype="<f4", offset=start).astype(np.float32), spec
