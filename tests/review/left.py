"""What has left, and what there is: what tests of verdicts look at."""

from typing import Any

import msgspec
from sqlalchemy import select

from fraud.core.actions import CaseAction, Remedy
from fraud.core.records import DAY, Label
from fraud.review.columns import metadata
from fraud.review.tables import counter, outbox
from fraud.review.words import Parcel
from tests.review.seeding import NOW, Site

PARCELS = {Parcel.LABEL: Label, Parcel.ORDER: CaseAction}
KEPT = "audit", "step", "change", "outbox", "counter", "action_log"
"""What an undo leaves: notes of what was done, rows that are marked, sums of which some are 0."""


def leaving(site: Site, until: int = NOW + DAY) -> list[Any]:
    """Return what leaves by a time, in order."""
    asked = select(outbox.c.kind, outbox.c.body).where(outbox.c.send_after <= until, ~outbox.c.undone)
    with site.database.read() as connection:
        rows = connection.execute(asked.order_by(outbox.c.seq)).all()
    return [msgspec.json.decode(body, type=PARCELS[Parcel(kind)]) for kind, body in rows if kind in PARCELS]


def labels(site: Site, until: int = NOW + DAY) -> list[Label]:
    return [each for each in leaving(site, until) if isinstance(each, Label)]


def orders(site: Site) -> list[Remedy]:
    return [each.action for each in leaving(site) if isinstance(each, CaseAction)]


def content(site: Site) -> dict[str, list[tuple[Any, ...]]]:
    """Return all that an undo has to bring back."""
    found = {}
    with site.database.read() as connection:
        for table in metadata.sorted_tables:
            if table.name not in KEPT:
                found[table.name] = sorted(tuple(map(str, row)) for row in connection.execute(select(table)))
        sums = connection.execute(select(counter.c.name, counter.c.bucket, counter.c.value, counter.c.part)).all()
    totals: dict[Any, int] = {}
    for name, bucket, value, _ in sums:
        if name != "changes":
            totals[name, bucket] = totals.get((name, bucket), 0) + value
    return found | {"sums": sorted((*key, value) for key, value in totals.items() if value)}


def status(site: Site, number: int) -> tuple[str, str | None]:
    (row,) = site.desk.row([number], site["anna"], NOW)
    return row.status, row.verdict
