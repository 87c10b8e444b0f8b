"""Ends of validity as analysts write them."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from fraud.core.records import SECOND

PATTERN = re.compile(r"\d{4}-\d\d-\d\d(?P<time>T\d\d:\d\d(:\d\d)?Z?)?")


@lru_cache(maxsize=1_024)
def end_of(text: str) -> int:
    """Return the time something is valid before, UTC ns; a date includes its whole day.

    Raises:
        ValueError: when the text is no date or time in UTC, or one beyond what 64 bits of nanoseconds hold.
    """
    match = PATTERN.fullmatch(text)
    if match is None:
        msg = f"'{text}' is no end: expected 2026-12-31, or 2026-12-31T18:00Z, in UTC"
        raise ValueError(msg)
    when = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    if not 1970 <= when.year < 2200:
        msg = "expected a year from 1970 to 2199"
        raise ValueError(msg)
    end = when if match["time"] else when + timedelta(days=1)
    return int(end.timestamp()) * SECOND
