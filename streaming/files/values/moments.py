"""Times as people write them, to UTC nanoseconds: ISO 8601, counts since an origin, patterns, zones."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache, partial
from typing import Any
from zoneinfo import ZoneInfo

from fraud.core.errors import MappingError
from streaming.files.values.amounts import BEYOND, exactly
from streaming.files.values.faulty import RowError, shown
from streaming.files.values.mapping import UNIT_NS, Time
from streaming.messages.times import NS, OLDEST, from_iso, to_text

TIME = "time"
EARLIEST, LATEST = 1, 4_102_444_800_000_000_000
"""From 1970, of which the first nanosecond stands for "never" in the state's rows, to 2100."""
EPOCH = datetime.fromtimestamp(0, UTC)


class Nanoseconds(int):
    """A time that is one already, UTC, from a column of timestamps; maybe beyond 64 bits."""


class Days(Nanoseconds):
    """The midnight that a date without a time of day begins with."""


Clock = Callable[[Any], int]


def time_reader(said: Time, role: str = TIME, least: int | None = None) -> Clock:
    """Return the function from a value to UTC nanoseconds that a mapping's [time] asks for.

    It raises RowError for a value that is no such time, or out of range. `least` is the earliest that is taken, in
    place of what the mapping says.
    """
    origin, unit = origin_of(said), UNIT_NS.get(said.unit)
    zone = zone_of(said)
    of_text = partial(by_pattern, said.pattern, zone) if said.pattern else partial(by_iso, zone)
    text = lru_cache(1 << 16)(of_text)
    first = earliest_of(said) if least is None else least

    def read(value: Any) -> int:
        if isinstance(value, Nanoseconds):
            number = int(value)
        elif unit:
            number = origin + counted(value, unit, role)
        else:
            number = moment(value, text, role, said)
        if not first <= number < LATEST:
            told = shown(moment_text(value) if isinstance(value, Nanoseconds) else value)
            raise RowError(TIME, f"{role} {told} is out of range: {expected(number, first, said)}")
        return number

    return read


def moment_text(value: Any) -> str:
    """Return a time as people read it: one out of a column of timestamps as a date, any other as it is written."""
    if not isinstance(value, Nanoseconds):
        return str(value).strip()
    try:
        return to_text(value)[:19]
    except ValueError:
        return f"{int(value)} ns"


def expected(number: int, first: int, said: Time) -> str:
    """Return what to do about a time that is out of range."""
    if number >= LATEST or said.unit == "iso" or said.pattern:
        years = f"expected {1970 + first // (365 * 86_400 * NS)} to 2100"
        return years if number >= LATEST else f"{years}; where the file is older, say [time] earliest"
    return (
        f"it would be of {to_text(max(number, 0))[:10]}; check [time] unit = '{said.unit}', and where the file counts "
        "from a day of its own, say [time] origin"
    )


def moment(value: Any, read: Callable[[str], int], role: str, said: Time) -> int:
    """Return a text, a timestamp or a date as UTC nanoseconds."""
    try:
        return read(value.isoformat() if isinstance(value, date) else value.strip())
    except (ValueError, TypeError, AttributeError, OverflowError):
        wanted = f"[time] pattern = '{said.pattern}'" if said.pattern else "2026-01-31T12:00:00Z, or set [time] pattern"
        form = "read by its pattern" if said.pattern else "ISO 8601"
        how = f"{wanted} or unit" if not said.pattern else wanted
        raise RowError(TIME, f"{role} {shown(value)} is not {form}: expected {how}") from None


def by_iso(zone: ZoneInfo | None, text: str) -> int:
    """Return ISO 8601 text as UTC nanoseconds, in a zone where it names none."""
    if zone is None:
        return from_iso(text)
    naive = datetime.fromisoformat(text)
    return from_iso(text) if naive.tzinfo else in_zone(naive, zone)


def by_pattern(pattern: str, zone: ZoneInfo | None, text: str) -> int:
    """Return text of a pattern (strptime's) as UTC nanoseconds, in a zone where it names none."""
    return in_zone(datetime.strptime(text, pattern), zone)  # noqa: DTZ007 (the zone follows)


def in_zone(moment: datetime, zone: ZoneInfo | None) -> int:
    """Return a time as UTC nanoseconds; of an hour that a clock runs through twice, the first."""
    since = (moment if moment.tzinfo else moment.replace(tzinfo=zone or UTC)).astimezone(UTC) - EPOCH
    return (since.days * 86_400 + since.seconds) * NS + since.microseconds * 1_000


def counted(value: Any, unit: int, role: str = TIME) -> int:
    """Return a number of units as nanoseconds; raise RowError when it is none."""
    if type(value) is int:
        return value * unit
    try:
        return int(min(max(exactly(value) * unit, -BEYOND), BEYOND))
    except (ArithmeticError, ValueError, TypeError):
        message = f"{role} {shown(value)} is not a number: expected one, or [time] unit = 'iso' or a pattern"
        raise RowError(TIME, message) from None


def origin_of(said: Time) -> int:
    """Return what 0 means in a file, UTC nanoseconds; raise MappingError when that is no time."""
    return stated(said, "origin", said.origin) if said.origin else 0


def earliest_of(said: Time) -> int:
    """Return the earliest time that is taken: what is said; else a stated origin before 2000, or 2000 as on the wire.

    Raises:
        MappingError: when it is no time, or none from 1970 on.
    """
    first = stated(said, "earliest", said.earliest) if said.earliest else min(origin_of(said) or OLDEST, OLDEST)
    if not 0 <= first < LATEST:
        name = "earliest" if said.earliest else "origin"
        msg = f"mapping: [time] {name} is {to_text(first)[:10]}: expected 1970 to 2100, where times are kept"
        raise MappingError(msg)
    return max(first, EARLIEST)


def stated(said: Time, key: str, text: str) -> int:
    """Return a time that a mapping states; raise MappingError when it is none."""
    try:
        return by_iso(zone_of(said), text)
    except (ValueError, OverflowError) as error:
        msg = f"mapping: [time] {key}: {text!r} is not ISO 8601: expected 2026-01-31 or 2026-01-31T12:00:00Z"
        raise MappingError(msg) from error


def zone_of(said: Time) -> ZoneInfo | None:
    """Return the zone of times that name none, None for UTC; raise MappingError for one that is not known."""
    if said.zone in ("", "UTC"):
        return None
    try:
        return ZoneInfo(said.zone)
    except (KeyError, OSError, ValueError) as error:
        msg = f"mapping: [time] zone '{said.zone}' is not known: expected a name such as Europe/Berlin"
        raise MappingError(msg) from error
