"""How many decisions a second the projector takes in, on each database.

    python -m tests.bench.console.projection [--decisions 50000] [--alerts 0.01] [--database sqlite|postgresql ...]

Decisions are messages as workers publish them, whole vectors beside them, one in a hundred an alert: they are decoded
and written in batches of 500, as the projector does. Told are decisions by second of the wall clock and by second of
this process's own CPU; PostgreSQL waits for the disk with each commit, and its own CPU is told apart.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from features.spec import spec
from fraud.core.records import DAY, SECOND, Action, Answer, FeatureVector, Position
from fraud.dashboard.reading import Reader
from fraud.review.database import Database
from fraud.review.intake.take import Intake
from infra.services import PostgresServer
from infra.services.postgres_server import children_of
from streaming.kafka.topics import Topics
from streaming.messages.envelope import decision_out
from streaming.messages.feed import MOST_RECORDS, Record
from tests.bench.live.machine import cpu_seconds
from tests.databases import POSTGRESQL, SQLITE
from tests.review.taken import NOW, STREAM, decision, held, intake

CARDS, MERCHANTS, DEVICES = 50_000, 2_000, 30_000
TOPICS = Topics()


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.console.projection", description=__doc__)
    parser.add_argument("--decisions", type=int, default=50_000)
    parser.add_argument("--alerts", type=float, default=0.01, help="share of alerts")
    parser.add_argument("--database", nargs="+", choices=[SQLITE, POSTGRESQL], default=[SQLITE, POSTGRESQL])
    return parser.parse_args(words)


def records(count: int, alerts: float) -> list[Record]:
    """Return decisions as they stand in their topic, 500 a second of the stream's time."""
    draw = np.random.default_rng(7)
    cards, merchants = draw.zipf(1.3, count) % CARDS, draw.zipf(1.2, count) % MERCHANTS
    amounts, raised = draw.lognormal(8, 1, count).astype(int), draw.random(count) < alerts
    values = draw.random(len(spec().names)).astype(np.float32)
    found = []
    for number in range(count):
        fields = {
            "card": f"4000{cards[number]:08}", "merchant": f"M{merchants[number]:06}",
            "device": f"D{cards[number] % DEVICES:06}", "base_amount": int(amounts[number]),
            "happened_at": STREAM + 20 * DAY + number * SECOND // 500,
        }  # fmt: skip
        made = held(number, **fields) if raised[number] else decision(number, Action.APPROVE, **fields)
        vector = FeatureVector(made.tx_id, values, spec().version, 0)
        answer = Answer(decision=made, position=Position("transactions@1", 0, number), vector=vector)
        message = decision_out(answer, TOPICS.decisions, b"decode=20 read=300 features=200 model=100 publish=50")
        found.append(Record(TOPICS.decisions, 0, number, message.key, message.value, message.headers, NOW))
    return found


def project(into: Intake, given: list[Record]) -> None:
    """Take them in as the projector does."""
    reader = Reader(TOPICS)
    for begin in range(0, len(given), MOST_RECORDS):
        piece = given[begin : begin + MOST_RECORDS]
        into.take(reader.read(piece), {(TOPICS.decisions, 0): piece[-1].offset + 1}, NOW)


def measured(database: Database, given: list[Record], server: PostgresServer | None) -> dict[str, Any]:
    """Return how fast it was; the first tenth fills caches and is not counted."""
    into, warm = intake(database, sample_share=0.001), len(given) // 10
    project(into, given[:warm])
    wall, cpu, theirs = time.perf_counter(), time.process_time(), served(server)
    project(into, given[warm:])
    took, spent = time.perf_counter() - wall, time.process_time() - cpu
    count = len(given) - warm
    told = {"a_second": round(count / took), "a_second_of_cpu": round(count / spent)}
    if server is not None:
        told["a_second_of_servers_cpu"] = round(count / max(served(server) - theirs, 1e-3))
    return told


def served(server: PostgresServer | None) -> float:
    """Return the CPU time of a server's processes that live, 0 without one."""
    return sum(cpu_seconds(pid) for pid in children_of(server.process.pid)) if server is not None else 0.0


def databases(kinds: list[str], folder: Path) -> Iterator[tuple[str, Database, PostgresServer | None]]:
    """Yield each database with its tables, and its server where there is one."""
    for kind in kinds:
        server = None
        if kind == POSTGRESQL:
            server = PostgresServer(folder / "postgres", sync=True, options={"shared_buffers": "512MB"}).start(
                tied=True
            )
        database = Database(server.url if server else f"sqlite:///{folder / 'console.db'}")
        database.migrate()
        yield kind, database, server
        database.close()
        if server is not None:
            server.kill()


def main() -> None:
    """Run the bench."""
    given = parse()
    made = records(given.decisions, given.alerts)
    told: dict[str, Any] = {"decisions": len(made)}
    with tempfile.TemporaryDirectory(prefix="fraud-console-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for kind, database, server in databases(given.database, folder):
            told[kind] = measured(database, made, server)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
