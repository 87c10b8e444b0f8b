"""The sums in table `counter`: their names, their buckets of time, and how they are added to and read.

Each has one bucket a span of time, or `ALL` alone. `part` says who wrote it, so that the projector and the desk never
wait for each other; a reader adds the parts.
"""

from bisect import bisect_right
from collections.abc import Collection, Mapping

from sqlalchemy import Connection, func, select

from fraud.review.bulk import among, put
from fraud.review.tables import counter
from fraud.review.words import AlertKind

PROJECTOR, DESK = 0, 1
ALL = 0
"""The bucket of a sum without a span of time."""
BIN_EDGES = 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.08, 0.15, 0.3, 0.5, 0.65, 0.8, 0.9, 0.95, 0.99
"""Where bins of probabilities end: bin 0 is below the first, the last is from the last on."""
STAGE_EDGES = tuple(round(10 * 1.25**step) for step in range(62))
"""Where bins of stage times end, microseconds: a quarter apart, from 10 us to 8 s."""

Sums = dict[tuple[str, int], int]
"""What is to be added, by name and bucket."""


def waiting(kind: AlertKind) -> str:
    """Return the badge of a kind: alerts that are open or locked."""
    return f"waiting/{kind.word}"


def at_stake(kind: AlertKind) -> str:
    """Return the badge of money at stake in alerts that are open or locked, minor units."""
    return f"at-stake/{kind.word}"


def came(kind: AlertKind) -> str:
    """Return alerts that arrived, by hour of the wall clock (hours since the epoch)."""
    return f"came/{kind.word}"


def decided(kind: AlertKind) -> str:
    """Return alerts on which a verdict was given, by hour of the wall clock; written by the desk."""
    return f"decided/{kind.word}"


def timed_out(kind: AlertKind) -> str:
    """Return alerts that nobody looked at in time, by hour of the wall clock."""
    return f"timed-out/{kind.word}"


def payments(action: str) -> str:
    """Return decisions by action, by hour of the stream (hours since the epoch)."""
    return f"payments/{action}"


def said(bin_: int) -> str:
    """Return payments whose model score was in a bin, by day of the payment."""
    return f"calibration/{bin_:02}"


def said_sum(bin_: int) -> str:
    """Return the sum of these scores in millionths, by day of the payment."""
    return f"calibration/{bin_:02}/sum"


def known(bin_: int, verdict: str) -> str:
    """Return those of a bin that are known to be `fraud` or `genuine`, by day of the payment."""
    return f"calibration/{bin_:02}/{verdict}"


def stage(name: str, bin_: int) -> str:
    """Return decisions whose batch spent a time of a bin in a stage, by minute of the wall clock."""
    return f"stage/{name}/{bin_:02}"


def bin_of(probability: float) -> int:
    """Return the bin of a probability."""
    return bisect_right(BIN_EDGES, probability)


def stage_bin(microseconds: int) -> int:
    """Return the bin of a stage's time."""
    return bisect_right(STAGE_EDGES, microseconds)


def add(connection: Connection, name: str, bucket: int, delta: int, part: int = DESK) -> None:
    """Add to one sum."""
    add_all(connection, {(name, bucket): delta}, part)


def add_all(connection: Connection, sums: Mapping[tuple[str, int], int], part: int) -> None:
    """Add to sums by name and bucket, in one statement; always in the same order, so that writers never deadlock."""
    rows = [(name, bucket, part, value) for (name, bucket), value in sorted(sums.items()) if value]
    conflict = "(name, bucket, part) DO UPDATE SET value = counter.value + excluded.value"
    put(connection, counter, ("name", "bucket", "part", "value"), rows, conflict)


def read_some(connection: Connection, names: Collection[str]) -> dict[str, int]:
    """Return sums without a span of time by their names, parts added; those that nothing was added to are left out."""
    value = func.sum(counter.c.value)
    asked = select(counter.c.name, value).where(among(connection, counter.c.name, names), counter.c.bucket == ALL)
    return {name: int(total) for name, total in connection.execute(asked.group_by(counter.c.name))}


def read(connection: Connection, prefix: str, since: int = 0, until: int | None = None) -> Sums:
    """Return sums whose names begin with a text, from a bucket on up to before another, parts added."""
    value = func.sum(counter.c.value)
    found = (
        select(counter.c.name, counter.c.bucket, value)
        .where(counter.c.name >= prefix, counter.c.name < prefix + "\U0010ffff", counter.c.bucket >= since)
        .group_by(counter.c.name, counter.c.bucket)
    )
    if until is not None:
        found = found.where(counter.c.bucket < until)
    return {(name, bucket): int(total) for name, bucket, total in connection.execute(found)}
