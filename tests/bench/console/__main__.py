"""The console on 1,000,000 alerts, in both databases: how long the queue, a case and the next case take.

    make bench-console CONSOLE="--alerts 1000000 --times 400 --database sqlite postgresql"

What is timed is the server's part of a page: the desk's function and its view as JSON. Queues are asked for in all
orders, at pages from the first to the ten-thousandth row, some of them narrowed; cases are chosen by a seed; `next`
locks a case and lets it go again. PostgreSQL is one of this machine that syncs to disk.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np

from features.spec import spec
from fraud.core.errors import ArtifactError
from fraud.core.ports import Policy
from fraud.core.rules.ruleset import RuleSet
from fraud.core.rules.vocabulary import Vocabulary
from fraud.review.audit import Audit
from fraud.review.database import Database
from fraud.review.desk import Desk
from fraud.review.library import InUse, Rescored
from fraud.review.people import Person, Role
from fraud.review.settings import ReviewSection
from fraud.review.tools import Tools
from fraud.review.views import Order, QueueFilter, QueueQuery, Work
from streaming import wiring
from tests.bench.console.projection import databases
from tests.bench.console.seeds import NOW, OPEN_SHARE, seed
from tests.databases import POSTGRESQL, SQLITE

ANN = Person(1, "Ann", Role.ANALYST)
FILTERS = QueueFilter(), QueueFilter(channel="pos"), QueueFilter(least=20_000), QueueFilter(reason="amount")
PAGES = 4
"""Pages that are turned one after the other from each first one."""


class Shelf:
    """A library that knows the features, and no version besides."""

    def names(self, version: str) -> tuple[str, ...] | None:
        """Return the names of the features."""
        return spec().names if version == spec().version else None

    def vocabulary(self) -> Vocabulary:
        """Return what rules may name."""
        return wiring.vocabulary(2)

    def policy(self, version: str) -> Policy | None:
        """Return none."""
        del version
        return None

    def rules(self, version: str) -> RuleSet | None:
        """Return none."""
        del version
        return None

    def in_use(self) -> InUse:
        """Return that nobody knows."""
        return InUse()

    def score(self, model: str, learned: bytes, of: Rescored) -> float:
        """Refuse: no model is here."""
        del learned, of
        msg = f"{model} is not on this machine."
        raise ArtifactError(msg)


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench-console", description=__doc__)
    parser.add_argument("--alerts", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=400, help="how often each is asked for")
    parser.add_argument("--database", nargs="+", choices=[SQLITE, POSTGRESQL], default=[SQLITE, POSTGRESQL])
    return parser.parse_args(words)


def timed(asked: Callable[[], Any]) -> float:
    """Return how long an answer took with its JSON, ms."""
    began = time.perf_counter()
    msgspec.json.encode(asked())
    return 1_000 * (time.perf_counter() - began)


def queues(desk: Desk, times: int) -> list[float]:
    """Return how long pages of queues took."""
    kinds, orders = get_args(Work), get_args(Order)
    taken: list[float] = []
    for number in range(times // PAGES):
        query = QueueQuery(
            kind=kinds[number % len(kinds)],
            order=orders[number // len(kinds) % len(orders)],
            filter=FILTERS[number // 16 % len(FILTERS)],
        )
        for _ in range(PAGES):
            began = time.perf_counter()
            page = desk.queue(query, ANN, NOW)
            msgspec.json.encode(page)
            taken.append(1_000 * (time.perf_counter() - began))
            query = msgspec.structs.replace(query, after=page.after)
    return taken


def cases(desk: Desk, times: int, alerts: int) -> list[float]:
    """Return how long cases took, open and decided ones."""
    draw = np.random.default_rng(3)
    closed = alerts - round(alerts * OPEN_SHARE)
    chosen = [int(number) + 1 for number in draw.integers(0, closed, times // 2)]
    with desk.tools.database.read() as connection:
        asked = "SELECT case_id FROM alert WHERE status = 0 ORDER BY id LIMIT 100000"
        waiting = list(connection.exec_driver_sql(asked).scalars())
    chosen += [int(waiting[place]) for place in draw.integers(0, len(waiting), times - len(chosen))]
    return [timed(partial(desk.case, number, ANN, NOW)) for number in chosen]


def nexts(desk: Desk, times: int) -> list[float]:
    """Return how long it took to lock the next case; each is kept, so the queue gets shorter."""
    kinds = get_args(Work)
    return [timed(partial(desk.next, ANN, kinds[number % len(kinds)], NOW)) for number in range(times)]


def measured(database: Database, alerts: int, times: int) -> dict[str, float]:
    """Fill a database and return percentiles, ms."""
    began = time.perf_counter()
    seed(database, alerts)
    print(f"{database.dialect}: seeded in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    desk = Desk(Tools(database, Audit(b"k" * 32), ReviewSection(), Shelf()))
    told: dict[str, float] = {}
    for name, taken in {
        "queue": queues(desk, times),
        "case": cases(desk, times, alerts),
        "next": nexts(desk, times),
    }.items():
        told |= {f"{name}_p{part}_ms": round(float(np.percentile(taken, part)), 2) for part in (50, 95)}
    return told


def main() -> None:
    """Run the bench."""
    given = parse()
    told: dict[str, Any] = {"alerts": given.alerts}
    with tempfile.TemporaryDirectory(prefix="fraud-console-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for kind, database, _ in databases(given.database, folder):
            told[kind] = measured(database, given.alerts, given.times)
            print(f"{kind}: {json.dumps(told[kind])}", file=sys.stderr)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
