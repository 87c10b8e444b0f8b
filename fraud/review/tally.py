"""The desk's part of the sums in table `counter`, and reading of both parts."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite

from fraud.review.counters import ALL, DESK
from fraud.review.tables import counter


def add(connection: Connection, changes: Mapping[tuple[str, int], int]) -> None:
    """Add to sums, by name and bucket; in order of names, so that two who add never wait for each other in a ring."""
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    for (name, bucket), value in sorted(changes.items()):
        if value:
            row = make(counter).values(name=name, bucket=bucket, part=DESK, value=value)
            connection.execute(
                row.on_conflict_do_update(
                    index_elements=["name", "bucket", "part"], set_={"value": counter.c.value + value}
                )
            )


def total(connection: Connection, names: Iterable[str], bucket: int = ALL) -> dict[str, int]:
    """Return sums by name, of one bucket; what was never counted is not in it."""
    chosen = counter.c.name.in_(list(names)) & (counter.c.bucket == bucket)
    rows = connection.execute(select(counter.c.name, func.sum(counter.c.value)).where(chosen).group_by(counter.c.name))
    return {name: int(value) for name, value in rows}


def buckets(connection: Connection, names: Iterable[str], first: int, last: int) -> dict[str, dict[int, int]]:
    """Return sums by name and bucket, from bucket `first` to `last` inclusive."""
    chosen = counter.c.name.in_(list(names)) & counter.c.bucket.between(first, last)
    grouped = (counter.c.name, counter.c.bucket)
    found: dict[str, dict[int, int]] = {}
    for name, bucket, value in connection.execute(
        select(*grouped, func.sum(counter.c.value)).where(chosen).group_by(*grouped)
    ):
        found.setdefault(name, {})[bucket] = int(value)
    return found


def like(connection: Connection, begin: str, first: int, last: int) -> dict[str, int]:
    """Return the sums of all names that begin so, over buckets `first` to `last` inclusive."""
    # The next text after all that begin so: a range goes by the index, a pattern need not.
    chosen = (counter.c.name >= begin) & (counter.c.name < begin + "\U0010ffff")
    rows = connection.execute(
        select(counter.c.name, func.sum(counter.c.value))
        .where(chosen, counter.c.bucket.between(first, last))
        .group_by(counter.c.name)
    )
    return {name: int(value) for name, value in rows}
