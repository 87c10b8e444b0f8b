"""Ends of validity as analysts write them."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from fraud.core.records import SECOND


@lru_cache(maxsize=1_024)
def end_of(text: str) -> int:
    """Return the time something is valid before, UTC ns; a date includes its whole day.

    Raises:
        ValueError: when the text is no date in UTC, or one beyond what 64 bits of nanoseconds hold.
    """
    when = datetime.fromisoformat(text.removesuffix("Z"))
    if when.tzinfo is not None:
        msg = "times are in UTC: expected 2026-12-31T18:00Z"
        raise ValueError(msg)
    when = when.replace(tzinfo=UTC)
    if not 1970 <= when.year < 2200:
        msg = "expected a year from 1970 to 2199"
        raise ValueError(msg)
    end = when if "T" in text else when + timedelta(days=1)
    return int(end.timestamp()) * SECOND
