"""One typed door to the compiler, so that every kernel is cached on disk and runs without the interpreter lock."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` compiled to machine code on its first call and cached beside its source.

    Floating-point order is kept as written (no fast math): a row's result must not depend on its batch.
    """
    return cast(Callable[P, R], njit(cache=True, nogil=True)(function))
