"""Times as text: RFC 3339 with nanoseconds, exact in both directions."""

import re
from datetime import UTC, datetime
from functools import lru_cache

NS = 1_000_000_000
OLDEST = 946_684_800_000_000_000
"""2000-01-01, UTC nanoseconds; anything older is a time in another unit."""
ISO = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d(?:\.\d{1,9})?)([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def to_text(ns: int) -> str:
    """Return UTC nanoseconds as RFC 3339 with nine decimals; raise ValueError outside the years 1 to 9999."""
    seconds, rest = divmod(ns, NS)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{rest:09d}Z"
    except OverflowError as error:
        raise ValueError(str(error)) from error


def from_text(text: str) -> int:
    """Return RFC 3339 text as UTC nanoseconds; raise ValueError for anything else, a missing zone included."""
    match = RFC3339.fullmatch(text)
    if match is None:
        msg = f"'{text[:40]}' is not RFC 3339"
        raise ValueError(msg)
    moment, decimals, zone = match.groups()
    return _second(moment, zone) * NS + (int(decimals.ljust(9, "0")) if decimals else 0)


@lru_cache(maxsize=1024)
def _second(moment: str, zone: str) -> int:
    """Return a whole second since the epoch; kept, for payments come hundreds a second."""
    return int(datetime.fromisoformat(moment + ("+00:00" if zone in "Zz" else zone)).timestamp())


def from_iso(text: str) -> int:
    """Return any ISO 8601 text as UTC nanoseconds, a missing zone read as UTC; raise ValueError for anything else."""
    if (match := ISO.fullmatch(text)) is not None:
        return from_text(f"{match[1]}T{match[2]}{match[3] or 'Z'}")
    moment = datetime.fromisoformat(text)
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.fromtimestamp(0, UTC)
    return (since.days * 86_400 + since.seconds) * NS + since.microseconds * 1_000
