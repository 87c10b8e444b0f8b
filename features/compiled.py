"""One way to compile a loop, with types that mypy can follow."""

import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.uint8]
Ints = NDArray[np.int64]
Words = NDArray[np.uint32]
Floats = NDArray[np.float32]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile with numba on first use and keep the result on disk; division by zero gives inf or NaN, as in numpy."""
    dispatcher = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    stamp_with_package(dispatcher)
    return cast(F, dispatcher)


def stamp_with_package(dispatcher: Any) -> None:
    """Tie a loop's kept code to every source of this package.

    numba ties it to the loop's own file, although the code of all it calls is compiled into it: after a change in
    `windows.py` the loops of `writing.py` would go on running the old one.
    """
    if hasattr(dispatcher, "_cache"):  # not so with NUMBA_DISABLE_JIT
        kept = dispatcher._cache._cache_file
        kept._source_stamp = (kept._source_stamp, package_hash())


@cache
def package_hash() -> str:
    """Return a hash of this package's sources."""
    return sources_hash([Path(__file__).parent])


def sources_hash(folders: Iterable[Path]) -> str:
    """Return a hash of the Python sources of some folders, names included."""
    digest = hashlib.sha256()
    for path in (path for folder in folders for path in sorted(folder.rglob("*.py"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@compiled
def signed(value: Any) -> int:
    """Return an unsigned field as a signed 64-bit integer: mixing the two would turn sums into floats."""
    return np.int64(value)  # type: ignore[return-value]
