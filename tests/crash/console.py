"""Kill the console's projector and publisher, and their database, at random moments; then count what is there.

    python -m tests.crash.console [KILLS] [--database sqlite|postgresql]

Decisions, labels and news of learning are appended to topics while it happens; verdicts go to the outbox. In the end a
run that nobody disturbed takes in the same topics: its rows must be the same, and each verdict must have left, in
effect once.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import insert
from sqlalchemy.exc import OperationalError

from fraud.core.records import Action, Label, LabelSource, Verdict
from fraud.dashboard.projector import Projector
from fraud.dashboard.reading import topics_of
from fraud.review.database import Database
from fraud.review.tables import outbox
from fraud.review.words import Parcel
from infra.services import PostgresServer
from streaming import clock
from streaming.feeds.topic_log import TopicLog
from streaming.kafka.topics import Topics
from streaming.messages.envelope import Outgoing
from streaming.observe.logs import Log
from tests.dashboard.streams import decided, told, update
from tests.databases import POSTGRESQL, SQLITE
from tests.review.taken import NOW, STREAM, intake

TOPICS = Topics()
A_TURN = 120
"""Decisions that are appended between two kills."""
COMPARED = (
    "SELECT id, name, first_at, last_at, payments, declined, alerts, frauds FROM entity ORDER BY id",
    "SELECT tx_id, version, card, merchant, happened_at, amount, action, verdict FROM payment ORDER BY tx_id",
    "SELECT uid, tx_id, kind, seen_before, arrived_at, due_at FROM alert ORDER BY uid",
    'SELECT card_id, alerts, at_stake FROM "case" ORDER BY card_id',
    "SELECT name, bucket, value FROM counter WHERE name <> 'changes' ORDER BY name, bucket",
    "SELECT tx_id, source, happened_at, verdict, known_at, live_in_model FROM label_trace ORDER BY tx_id, happened_at",
    "SELECT slot, amount FROM peer ORDER BY slot",
    "SELECT version FROM refresh ORDER BY version",
)


class Site:
    """Topics in a folder, a database, and the process that is killed."""

    def __init__(self, folder: Path, kind: str) -> None:
        """Make them; nothing runs yet."""
        self.folder = folder / "topics"
        self.server = PostgresServer(folder / "postgres").start(tied=True) if kind == POSTGRESQL else None
        self.database = Database(self.server.url if self.server else f"sqlite:///{folder / 'console.db'}")
        self.database.migrate()
        self._outlet = TopicLog(self.folder).outlet()
        self._child: subprocess.Popen[bytes] | None = None
        self._number = 0
        self.verdicts: set[tuple[str, int]] = set()

    def start(self) -> None:
        """Start the process."""
        url = self.database.url.render_as_string(hide_password=False)
        command = [sys.executable, "-m", "tests.crash.console_process", url, str(self.folder)]
        self._child = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        """End the process as a crash does."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def kill_database(self) -> None:
        """End the database as a crash does, and start it again; nothing to do for SQLite, which is in the process."""
        if self.server is not None:
            self.server.kill()
            self.server.start(tied=True)

    def append(self, count: int) -> None:
        """Append decisions with their labels, and give a verdict on some."""
        begin, self._number = self._number, self._number + count
        messages: list[Outgoing] = []
        for number in range(begin, self._number):
            messages.append(decided(number, action=list(Action)[number % 4] if number % 9 == 0 else Action.APPROVE))
            if number % 5 == 0:
                messages.append(told(number))
        snapshot = {"base": "b@1", "seq": begin, "at": NOW + begin, "promoted": True, "version": f"v{begin}"}
        messages.append(update(f"snapshot/v{begin}", **snapshot))
        messages.append(update("live/b@1", **snapshot, why="promoted", pinned=False))
        self._outlet.send(messages)
        self._give(begin)

    def _give(self, number: int) -> None:
        """Put verdicts into the outbox, some of one payment after the other; a database that is down is asked again."""
        labels = [
            Label(
                tx_id=f"tx{number}", verdict=(Verdict.FRAUD, Verdict.GENUINE)[version % 2], seen_at=0,
                happened_at=STREAM + version, source=LabelSource.ANALYST, version=version,
            )
            for version in range(3)
        ]  # fmt: skip
        rows = [{"kind": int(Parcel.LABEL), "body": msgspec.json.encode(label), "send_after": 0} for label in labels]
        while True:
            try:
                with self.database.write() as connection:
                    connection.execute(insert(outbox), rows)
            except OperationalError:
                clock.sleep(0.05)
                continue
            self.verdicts |= {(label.tx_id, label.version) for label in labels}
            return

    def settle(self) -> None:
        """Return when all is taken in and sent."""
        ends = TopicLog(self.folder).feed(topics_of(TOPICS)).ends()
        while not self._is_settled({topic: end for (topic, _), end in ends.items()}):
            clock.sleep(0.05)

    def _is_settled(self, ends: dict[str, int]) -> bool:
        with self.database.read() as connection:
            waiting = connection.exec_driver_sql("SELECT count(*) FROM outbox WHERE sent_at IS NULL").scalar()
            marks = connection.exec_driver_sql("SELECT topic, next_offset FROM mark").all()
        reached = {topic: following for topic, following in marks}
        return waiting == 0 and all(reached.get(topic) == end for topic, end in ends.items())

    def close(self) -> None:
        """End all of it."""
        self.kill()
        self._outlet.close()
        self.database.close()
        if self.server is not None:
            self.server.kill()


@contextmanager
def site(kind: str) -> Iterator[Site]:
    """Make a site in a folder that goes with it; a server of another user than ours gets there."""
    with tempfile.TemporaryDirectory(prefix="fraud-console-") as name:
        Path(name).chmod(0o755)
        made = Site(Path(name), kind)
        try:
            yield made
        finally:
            made.close()


def rows_of(database: Database) -> list[list[tuple[Any, ...]]]:
    """Return what was taken in."""
    with database.read() as connection:
        return [[tuple(row) for row in connection.exec_driver_sql(each)] for each in COMPARED]


def undisturbed(folder: Path, target: Path) -> list[list[tuple[Any, ...]]]:
    """Return what a run makes of the same topics that is never cut off."""
    database = Database(f"sqlite:///{target}")
    database.migrate()
    feed = TopicLog(folder).feed(topics_of(TOPICS))
    made = Projector(database, intake(database, sample_share=0.01), feed, TOPICS, Log("undisturbed"))
    feed.start({})
    while made.step(0.0):
        pass
    feed.close()
    found = rows_of(database)
    database.close()
    return found


def in_effect(folder: Path) -> tuple[dict[str, int], int]:
    """Return the version that holds of each payment for a reader of topic `labels`, and how many came twice."""
    feed = TopicLog(folder / "out").feed([TOPICS.labels])
    feed.start({})
    holds: dict[str, int] = {}
    seen: set[tuple[str, int]] = set()
    twice = 0
    while records := feed.poll(0.0):
        for record in records:
            said = msgspec.json.decode(record.value)
            key = said["tx_id"], said.get("version", 0)
            twice += key in seen
            seen.add(key)
            # The label book's rule: of one source the highest version counts.
            holds[key[0]] = max(key[1], holds.get(key[0], -1))
    feed.close()
    return holds, twice


def disturb(made: Site, kills: int, seed: int) -> None:
    """Append and kill in turns, at moments that a seed chooses; every third time the database dies too."""
    draw = np.random.default_rng(seed)
    for turn in range(kills):
        made.start()
        made.append(A_TURN)
        clock.sleep(float(draw.uniform(0.7, 1.6)))
        made.append(A_TURN)
        if turn % 3 == 2:
            made.kill_database()
            clock.sleep(float(draw.uniform(0.0, 0.4)))
        made.kill()


def run(kind: str, kills: int, seed: int = 5) -> dict[str, Any]:
    """Return what differs after so many kills."""
    with site(kind) as made:
        disturb(made, kills, seed)
        made.start()
        made.settle()
        made.kill()
        found = rows_of(made.database)
        expected = undisturbed(made.folder, made.folder.parent / "undisturbed.db")
        holds, again = in_effect(made.folder)
    payments, wanted = [row[0] for row in found[1]], [row[0] for row in expected[1]]
    last = {tx_id: version for tx_id, version in sorted(made.verdicts)}
    return {
        "database": kind,
        "kills": kills,
        "decisions": len(wanted),
        "lost": len(set(wanted) - set(payments)),
        "double": len(payments) - len(set(payments)),
        "tables_differ": sum(mine != theirs for mine, theirs in zip(found, expected, strict=True)),
        "verdicts": len(made.verdicts),
        "verdicts_lost": sum(holds.get(tx_id) != version for tx_id, version in last.items()),
        "sent_again": again,
    }


def main() -> None:
    """Run it on both databases."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.console", description=__doc__)
    parser.add_argument("kills", type=int, nargs="?", default=20)
    parser.add_argument("--database", nargs="+", choices=[SQLITE, POSTGRESQL], default=[SQLITE, POSTGRESQL])
    given = parser.parse_args()
    told = [run(kind, given.kills) for kind in given.database]
    print(json.dumps(told))
    wrong = sum(each[name] for each in told for name in ("lost", "double", "tables_differ", "verdicts_lost"))
    sys.exit(min(wrong, 1))


if __name__ == "__main__":
    main()
