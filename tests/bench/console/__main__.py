"""The console on 1,000,000 alerts, in both databases: how long the queue, a case and the next case take.

    make bench-console CONSOLE="--alerts 1000000 --times 400 --database sqlite postgresql"

Pages are asked for as a browser asks for them, one after the other on one connection: session, database, page and
compression are in what is timed. Queues come in all orders, from the first to the fourth page, some of them narrowed;
cases are chosen by a seed; each `next` locks another case. PostgreSQL is one of this machine that syncs to disk.
`first_load_kb` is what a browser loads for its first page, compressed: queue and case of these databases, the model
page of the tests' view, which is fuller.
"""

import argparse
import html
import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np

from features.spec import spec
from fraud.core.errors import ArtifactError
from fraud.core.ports import Policy
from fraud.core.rules.ruleset import RuleSet
from fraud.core.rules.vocabulary import Vocabulary
from fraud.dashboard.addresses import case_address, queue_address
from fraud.dashboard.pages import Pages
from fraud.review.database import Database
from fraud.review.library import InUse, Rescored
from fraud.review.views import Order, QueueFilter, QueueQuery, Work
from streaming import wiring
from tests.bench.console.projection import databases
from tests.bench.console.seeds import OPEN_SHARE, seed
from tests.bench.console.visits import Answer, Visitor, visiting
from tests.dashboard.loading import KB, first_load
from tests.dashboard.shown import every_page, scene
from tests.databases import POSTGRESQL, SQLITE

FILTERS = QueueFilter(), QueueFilter(channel="pos"), QueueFilter(least=20_000), QueueFilter(reason="amount")
PAGES = 4
"""Pages that are turned one after the other from each first one."""
OLDER = re.compile(r'href="([^"]*)" rel="next"')


class Shelf:
    """A library that knows the features, and no version besides."""

    def names(self, version: str) -> tuple[str, ...] | None:
        """Return the names of the features."""
        return spec().names if version == spec().version else None

    def vocabulary(self) -> Vocabulary:
        """Return what rules may name."""
        return wiring.vocabulary()

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


def queues(visitor: Visitor, times: int) -> list[Answer]:
    """Return pages of queues."""
    kinds, orders = get_args(Work), get_args(Order)
    found: list[Answer] = []
    for number in range(times // PAGES):
        query = QueueQuery(
            kind=kinds[number % len(kinds)],
            order=orders[number // len(kinds) % len(orders)],
            filter=FILTERS[number // 16 % len(FILTERS)],
        )
        path = queue_address(query)
        for _ in range(PAGES):
            found.append(visitor.get(path))
            older = OLDER.search(found[-1].text)
            path = html.unescape(older[1]) if older is not None else queue_address(query)
    return found


def cases(visitor: Visitor, database: Database, times: int, alerts: int) -> list[Answer]:
    """Return cases, open and decided ones."""
    draw = np.random.default_rng(3)
    closed = alerts - round(alerts * OPEN_SHARE)
    chosen = [int(number) + 1 for number in draw.integers(0, closed, times // 2)]
    with database.read() as connection:
        asked = "SELECT case_id FROM alert WHERE status = 0 ORDER BY id LIMIT 100000"
        waiting = list(connection.exec_driver_sql(asked).scalars())
    chosen += [int(waiting[place]) for place in draw.integers(0, len(waiting), times - len(chosen))]
    return [visitor.get(case_address(number)) for number in chosen]


def nexts(visitor: Visitor, times: int) -> list[Answer]:
    """Return what locked the next case; each is kept, so the queue gets shorter."""
    kinds = get_args(Work)
    found = [visitor.post("/next", kind=kinds[number % len(kinds)]) for number in range(times)]
    assert all(answer.goes_to.startswith("/cases/") for answer in found), "nothing waits any more: more --alerts"
    return found


def measured(database: Database, alerts: int, times: int) -> tuple[dict[str, float], dict[str, float]]:
    """Fill a database; return percentiles, ms, and what first pages load, KB."""
    began = time.perf_counter()
    seed(database, alerts)
    print(f"{database.dialect}: seeded in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    told: dict[str, float] = {}
    with visiting(database, Shelf()) as visitor:
        answers = {"queue": queues(visitor, times), "case": cases(visitor, database, times, alerts)}
        answers["next"] = nexts(visitor, times)
    for name, found in answers.items():
        taken = [answer.took for answer in found]
        told |= {f"{name}_p{part}_ms": round(float(np.percentile(taken, part)), 2) for part in (50, 95)}
    loaded = {name: max((answer.text for answer in answers[name]), key=len) for name in ("queue", "case")}
    loaded["model"] = next(
        Pages().render(shown.name, shown.view, scene(shown)) for shown in every_page() if shown.name == "model"
    )
    return told, {name: round(first_load(text) / KB, 1) for name, text in loaded.items()}


def main() -> None:
    """Run the bench."""
    given = parse()
    told: dict[str, Any] = {"alerts": given.alerts}
    with tempfile.TemporaryDirectory(prefix="fraud-console-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for kind, database, _ in databases(given.database, folder):
            told[kind], first_load_kb = measured(database, given.alerts, given.times)
            print(f"{kind}: {json.dumps(told[kind])}", file=sys.stderr)
    print(json.dumps({**told, "first_load_kb": first_load_kb}))


if __name__ == "__main__":
    main()
