"""One way to compile a loop, with types that mypy can follow."""

from collections.abc import Callable
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
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


@compiled
def signed(value: Any) -> int:
    """Return an unsigned field as a signed 64-bit integer: mixing the two would turn sums into floats."""
    return np.int64(value)  # type: ignore[return-value]
