"""A learning loop that learns nothing, notes what it is told, and says what a test wants to be published."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from fraud.core.labels import Match
from fraud.core.pending import Pending
from fraud.core.records import Decision, FeatureVector, KnownLabel
from models.online.parameters import Parameters
from models.online.snapshots import Event, Live, Snapshot, snapshot_of

BASE = "demo@1"
CHART = "source/analyst"


class Done(NamedTuple):
    """What a period's end, or an order, brings about."""

    known: Sequence[KnownLabel] = ()
    snapshot: Snapshot | None = None
    live: Live | None = None
    events: Sequence[Event] = ()


class Held(msgspec.Struct, frozen=True):
    """What is held of a chart."""

    count: int
    since: int
    examples: Sequence[Any] = ()


class StubLoop:
    """Publishes one version a period and lets through what came in it; knows one chart that holds labels."""

    def __init__(self) -> None:
        """Start with nothing told."""
        self.told: list[tuple[Any, ...]] = []
        self.waiting: list[KnownLabel] = []
        self.versions: list[str] = []
        self.charts = {CHART: Held(3, 5, ("t1", "t2"))}
        self.shown: dict[str, Any] = {}

    def hear(self, decision: Decision, vector: FeatureVector | None) -> tuple[float, ...]:
        self.told.append(("hear", decision.tx_id, vector is not None))
        return 0.5, 0.25

    def take(self, match: Match, period: int) -> None:
        self.told.append(("take", match.item.tx_id, period))
        self.waiting += match.known

    def ripen(self, item: Pending) -> None:
        self.told.append(("ripen", item.tx_id))

    def settle(self, item: Pending) -> None:
        self.told.append(("settle", item.tx_id))

    def work(self, most: int) -> int:
        self.told.append(("work", most))
        return 0

    def close(self, period: int, now: int, positions: Mapping[str, int]) -> Done:
        self.told.append(("close", period, now, dict(positions)))
        known, self.waiting = self.waiting, []
        made = snapshot_of(
            Parameters((0.5, 0.25, 0.25), np.full((2, 3), period, np.float32)),
            seq=len(self.versions) + 1, base=BASE, spec="s", at=now, positions=dict(positions), promoted=True,
        )  # fmt: skip
        self.versions.append(made.version)
        event = told(now, "refreshed", f"version {made.version}", version=made.version)
        return Done(known, made, Live(base=BASE, version=made.version, seq=made.seq, why="on", at=now), (event,))

    def move(self, by: int, now: int) -> None:
        self.told.append(("move", by, now))

    def release(self, chart: str, now: int) -> Done:
        return self._dealt("released", chart, now)

    def drop(self, chart: str, now: int) -> Done:
        return self._dealt("dropped", chart, now)

    def pin(self, version: str, now: int) -> Done:
        if version not in self.versions:
            msg = f"there is no version '{version}'"
            raise ValueError(msg)
        return self._live("pinned", version, now)

    def unpin(self, now: int) -> Done:
        return Done()

    def rollback(self, now: int) -> Done:
        return self._live("rolled-back", "", now)

    def freeze(self, now: int) -> Done:
        return self._live("frozen", "", now)

    def thaw(self, now: int) -> Done:
        return self._live("thawed", "", now)

    def held(self) -> Mapping[str, Held]:
        return self.charts

    def figures(self) -> Mapping[str, Any]:
        return self.shown

    def _dealt(self, kind: str, chart: str, now: int) -> Done:
        if self.charts.pop(chart, None) is None:
            msg = f"chart '{chart}' has no alarm"
            raise ValueError(msg)
        return Done(events=(told(now, kind, f"labels of {chart}", chart=chart),))

    def _live(self, kind: str, version: str, now: int) -> Done:
        live = Live(base=BASE, version=version, seq=0, why=kind, at=now, pinned=kind == "pinned")
        return Done(live=live, events=(told(now, kind, f"payments get {version or 'the base'}"),))


def told(at: int, kind: str, text: str, **details: str) -> Event:
    """Return an event; the process numbers it."""
    return Event(seq=0, at=at, kind=kind, text=text, details=details)
