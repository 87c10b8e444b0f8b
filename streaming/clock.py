"""The only file that may read the wall clock."""

import time


def now_ns() -> int:
    """Return the wall clock, UTC nanoseconds since the epoch."""
    return time.time_ns()


def monotonic_ns() -> int:
    """Return a clock that never goes back, nanoseconds from an arbitrary origin."""
    return time.monotonic_ns()


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)
