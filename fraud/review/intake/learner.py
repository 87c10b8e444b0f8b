"""What the learner has learned, and since when a verdict is in what payments get.

An analyst's verdict is learned at the end of the period in which it came (`docs/learning.md`); so it is in the first
snapshot made at or after that, and live from when payments got that one or a later one of the same model.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from fraud.review.bulk import put
from fraud.review.intake.seen import EventSeen, LiveSeen, Seen, SnapshotSeen
from fraud.review.tables import learner_event, live_refresh, refresh
from fraud.review.words import Teller

REFRESH = "version", "base", "seq", "at", "promoted", "content", "body"
LIVE = "base", "version", "seq", "at", "why", "pinned"
EVENT = "key", "at", "kind", "content"


def take(connection: Connection, batch: Sequence[Seen]) -> None:
    """Write snapshots, which of them are live, and events; each once."""
    snapshots = {seen.version: seen for seen in batch if isinstance(seen, SnapshotSeen)}
    lives = {(seen.base, seen.since, seen.version): seen for seen in batch if isinstance(seen, LiveSeen)}
    events = {seen.key: seen for seen in batch if isinstance(seen, EventSeen)}
    rows = [
        (seen.version, seen.base, seen.seq, seen.made_at, seen.promoted, _text(seen.content), seen.body or None)
        for seen in snapshots.values()
    ]
    put(connection, refresh, REFRESH, rows, "(version) DO NOTHING")
    given = [(seen.base, seen.version, seen.seq, seen.since, seen.why, seen.pinned) for seen in lives.values()]
    put(connection, live_refresh, LIVE, given, "(base, at, version) DO NOTHING")
    told = [(seen.key, seen.happened_at, seen.kind, _text(seen.content)) for seen in events.values()]
    put(connection, learner_event, EVENT, told, "(key) DO NOTHING")


def go_live(connection: Connection) -> list[str]:
    """Mark the analysts' verdicts that payments have begun to get; return their payments.

    Called where a batch brought labels or what is live: only verdicts that were not live yet are looked at.
    """
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    newest = connection.exec_driver_sql(
        "SELECT max(made.at) FROM live_refresh AS live JOIN refresh AS made ON made.version = live.version"
    ).scalar()
    waiting = connection.exec_driver_sql(
        "SELECT tx_id, happened_at, seen_at FROM label_trace "  # noqa: S608, our own columns
        f"WHERE live_at IS NULL AND source = {int(Teller.ANALYST)} AND seen_at <= {mark} AND known_at IS NOT NULL",
        (newest or 0,),
    ).all()
    lives = _lives(connection, min(seen_at for _, _, seen_at in waiting)) if waiting else []
    rows = []
    for tx_id, happened_at, seen_at in waiting:
        first = next(((version, at) for version, at, made_at in lives if made_at >= seen_at), None)
        if first is not None:
            rows.append((*first, tx_id, int(Teller.ANALYST), happened_at))
    if rows:
        connection.exec_driver_sql(
            f"UPDATE label_trace SET live_in_model = {mark}, live_at = {mark} "  # noqa: S608
            f"WHERE tx_id = {mark} AND source = {mark} AND happened_at = {mark}",
            rows,
        )
    return [str(row[2]) for row in rows]


def _lives(connection: Connection, since: int) -> list[tuple[str, int, int]]:
    """Return what went live: version, when, and up to when it has learned (UTC ns), the oldest first."""
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    rows: Any = connection.exec_driver_sql(
        "SELECT live.version, live.at, made.at FROM live_refresh AS live "  # noqa: S608
        f"JOIN refresh AS made ON made.version = live.version WHERE made.at >= {mark} ORDER BY live.at, live.id",
        (since,),
    )
    return [tuple(row) for row in rows]


def _text(content: dict[str, Any]) -> str:
    return msgspec.json.encode(content).decode()
