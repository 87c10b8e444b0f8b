"""Kill the console, its database and its brokers at random moments; then count what is there.

    python -m tests.crash.console [KILLS] [--database sqlite|postgresql] [--feed folder|kafka]

Decisions, labels and news of learning are appended to topics while it happens; verdicts go to the outbox. In the end a
run that nobody disturbed takes in the same topics: its rows must be the same, and each verdict must have left. What a
label book makes of all that has left must be what it makes of each verdict once. Over a folder the process that is
killed is projector and publisher alone; over Kafka it is `fraud console`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import insert
from sqlalchemy.exc import OperationalError

from fraud.core.labels import LabelBook
from fraud.core.pending import MemoryPending
from fraud.core.records import Action, KnownLabel, Label, LabelSource, Position, Verdict
from fraud.dashboard.projector import Projector
from fraud.dashboard.reading import topics_of
from fraud.review.database import Database
from fraud.review.tables import outbox
from fraud.review.words import Parcel
from infra.services import PostgresServer
from streaming import clock
from streaming.kafka.topics import Topics
from streaming.messages.codec import Codec
from streaming.messages.envelope import Outgoing
from streaming.messages.feed import Record
from streaming.observe.logs import Log
from tests.crash.console_lines import FOLDER, KAFKA, lines_of
from tests.dashboard.streams import decided, told, update
from tests.databases import POSTGRESQL, SQLITE
from tests.review.taken import NOW, STREAM, decision, intake
from tests.site import until

TOPICS = Topics()
CARDS = 7
A_TURN = 120
"""Decisions that are appended between two kills."""
DIE_TOGETHER, BROKERS_DIE = 3, 4
"""Every third time the database dies too, every fourth the brokers."""
WORKS_SECONDS = 120.0
COMPARED = {
    "entity": "SELECT id, name, first_at, last_at, payments, declined, alerts, frauds FROM entity ORDER BY id",
    "payment": (
        "SELECT tx_id, version, card, merchant, happened_at, amount, action, verdict FROM payment ORDER BY tx_id"
    ),
    "alert": "SELECT uid, tx_id, kind, seen_before, arrived_at, due_at FROM alert ORDER BY uid",
    "case": 'SELECT card_id, alerts, at_stake FROM "case" ORDER BY card_id',
    "counter": "SELECT name, bucket, value FROM counter WHERE name <> 'changes' ORDER BY name, bucket",
    "label_trace": (
        "SELECT tx_id, source, happened_at, verdict, known_at, live_in_model FROM label_trace "
        "ORDER BY tx_id, happened_at"
    ),
    "peer": "SELECT slot, amount FROM peer ORDER BY slot",
    "refresh": "SELECT version FROM refresh ORDER BY version",
}
OF_ORDER = {"peer"}
"""What depends on the order in which partitions are read: it is compared where there is one."""


class Site:
    """Topics, a database, and the process that is killed."""

    def __init__(self, folder: Path, kind: str, feed: str) -> None:
        """Make them; nothing runs yet."""
        self._keys = folder / "keys"
        self.server = PostgresServer(folder / "postgres").start(tied=True) if kind == POSTGRESQL else None
        self.database = Database(self.server.url if self.server else f"sqlite:///{folder / 'console.db'}")
        self.database.migrate()
        self.lines = lines_of(feed, folder)
        self._child: subprocess.Popen[bytes] | None = None
        self._number = 0
        self.verdicts: list[Label] = []

    def start(self) -> None:
        """Start the process."""
        self._child = self.lines.start(self.database.url.render_as_string(hide_password=False), self._keys)

    def await_work(self) -> None:
        """Return when something was taken in or sent: before that a kill hits nothing."""
        before = self._done()
        until(lambda: self._done() != before, "anything taken in or sent", WORKS_SECONDS)

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
            action = list(Action)[number % 4] if number % 9 == 0 else Action.APPROVE
            # A card's payments are in one partition, as on a site.
            messages.append(decided(number, action=action, partition=number % CARDS % self.lines.partitions))
            if number % 5 == 0:
                messages.append(told(number))
        snapshot = {"base": "b@1", "seq": begin, "at": NOW + begin, "promoted": True, "version": f"v{begin}"}
        messages.append(update(f"snapshot/v{begin}", **snapshot))
        messages.append(update("live/b@1", **snapshot, why="promoted", pinned=False))
        self.lines.send(messages)
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
            self.verdicts += labels
            return

    def settle(self) -> None:
        """Return when all is taken in and sent."""
        feed = self.lines.feed(topics_of(TOPICS))
        feed.start({})
        ends = dict(feed.ends())
        feed.close()
        until(lambda: self._is_settled(ends), lambda: f"{self._marks()} of {ends}", WORKS_SECONDS)

    def _is_settled(self, ends: dict[tuple[str, int], int]) -> bool:
        with self.database.read() as connection:
            waiting = connection.exec_driver_sql("SELECT count(*) FROM outbox WHERE sent_at IS NULL").scalar()
        reached = self._marks()
        return waiting == 0 and all(reached.get(place, 0) == end for place, end in ends.items())

    def _marks(self) -> dict[tuple[str, int], int]:
        with self.database.read() as connection:
            marks = connection.exec_driver_sql("SELECT topic, partition, next_offset FROM mark").all()
        # in Kafka a mark names its topic's id beside the name
        return {(topic.partition("@")[0], partition): following for topic, partition, following in marks}

    def _done(self) -> object:
        with self.database.read() as connection:
            return connection.exec_driver_sql(
                "SELECT (SELECT sum(next_offset) FROM mark), (SELECT count(*) FROM outbox WHERE sent_at IS NOT NULL)"
            ).all()

    def close(self) -> None:
        """End all of it."""
        self.kill()
        self.lines.close()
        self.database.close()
        if self.server is not None:
            self.server.kill()


@contextmanager
def site(kind: str, feed: str) -> Iterator[Site]:
    """Make a site in a folder that goes with it; a server of another user than ours gets there."""
    with tempfile.TemporaryDirectory(prefix="fraud-console-") as name:
        Path(name).chmod(0o755)
        made = Site(Path(name), kind, feed)
        try:
            yield made
        finally:
            made.close()


def rows_of(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Return what was taken in, by table."""
    with database.read() as connection:
        return {name: [tuple(row) for row in connection.exec_driver_sql(asked)] for name, asked in COMPARED.items()}


def undisturbed(made: Site, target: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return what a run makes of the same topics that is never cut off."""
    database = Database(f"sqlite:///{target}")
    database.migrate()
    feed = made.lines.feed(topics_of(TOPICS))
    taken = intake(database, **msgspec.structs.asdict(made.lines.terms))
    projector = Projector(database, taken, feed, TOPICS, Log("undisturbed"))
    feed.start({})
    ends = sum(feed.ends().values())
    until(lambda: projector.step(0.2) >= 0 and projector.figures.records == ends, "all that there is", WORKS_SECONDS)
    feed.close()
    found = rows_of(database)
    database.close()
    return found


def known_by(labels: Sequence[Label], decisions: int) -> list[KnownLabel]:
    """Return what a label book that knows the payments makes of labels: what the state would take in, in order."""
    book = LabelBook(MemoryPending())
    for number in range(decisions):
        book.hold(decision(number))
    matches = [book.match(msgspec.structs.replace(label, seen_at=NOW)) for label in labels]
    return [known for match in matches if match is not None for known in match.known]


def read_labels(records: Sequence[Record]) -> list[Label]:
    """Return the labels of records, as the label book reads them."""
    codec, found = Codec(), []
    for record in records:
        arrival = codec.label(record.value, Position(record.topic, record.partition, record.offset), NOW)
        assert isinstance(arrival.event, Label)  # type: ignore[union-attr]
        found.append(arrival.event)  # type: ignore[union-attr]
    return found


def disturb(made: Site, kills: int, seed: int) -> int:
    """Append and kill in turns, at moments that a seed chooses; return how often a database or a broker died too."""
    draw, others = np.random.default_rng(seed), 0
    for turn in range(kills):
        made.start()
        made.append(A_TURN)
        made.await_work()
        clock.sleep(float(draw.uniform(0.0, 0.6)))
        made.append(A_TURN)
        if turn % BROKERS_DIE == BROKERS_DIE - 1:
            others += made.lines.kill()
        if turn % DIE_TOGETHER == DIE_TOGETHER - 1:
            made.kill_database()
            others += made.server is not None
        clock.sleep(float(draw.uniform(0.0, 0.3)))
        made.kill()
    return others


def run(kind: str, kills: int, feed: str = FOLDER, seed: int = 5) -> dict[str, Any]:
    """Return what differs after so many kills."""
    with site(kind, feed) as made:
        others = disturb(made, kills, seed)
        made.start()
        made.settle()
        made.kill()
        found = rows_of(made.database)
        with tempfile.TemporaryDirectory() as calm:
            expected = undisturbed(made, Path(calm) / "console.db")
        sent = read_labels(made.lines.labels())
        once = made.verdicts
        is_one_order = made.lines.partitions == 1
    payments, wanted = [row[0] for row in found["payment"]], [row[0] for row in expected["payment"]]
    compared = [name for name in COMPARED if is_one_order or name not in OF_ORDER]
    keys = [(label.tx_id, label.version) for label in sent]
    return {
        "database": kind,
        "feed": feed,
        "kills": kills,
        "others_killed": others,
        "decisions": len(wanted),
        "lost": len(set(wanted) - set(payments)),
        "double": len(payments) - len(set(payments)),
        "tables_differ": [name for name in compared if found[name] != expected[name]],
        "verdicts": len(once),
        "verdicts_lost": len({(label.tx_id, label.version) for label in once} - set(keys)),
        "effects_differ": effects_differ(sent, once, len(wanted)),
        "sent_again": len(keys) - len(set(keys)),
    }


def effects_differ(sent: Sequence[Label], once: Sequence[Label], decisions: int) -> int:
    """Return for how many payments a label book makes other things of what was sent than of each verdict once."""
    had: dict[str, list[tuple[Verdict, int]]] = {}
    wanted: dict[str, list[tuple[Verdict, int]]] = {}
    for labels, by in ((sent, had), (once, wanted)):
        for known in known_by(labels, decisions):
            by.setdefault(known.tx_id, []).append((known.verdict, known.happened_at))
    return sum(had.get(name) != wanted.get(name) for name in had.keys() | wanted.keys())


WRONG = "lost", "double", "tables_differ", "verdicts_lost", "effects_differ"


def main() -> None:
    """Run it on both databases, over a folder and over Kafka."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash.console", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kills", type=int, nargs="?", default=20)
    parser.add_argument("--database", nargs="+", choices=[SQLITE, POSTGRESQL], default=[SQLITE, POSTGRESQL])
    parser.add_argument("--feed", nargs="+", choices=[FOLDER, KAFKA], default=[FOLDER, KAFKA])
    parser.add_argument("--seed", type=int, default=5)
    given = parser.parse_args()
    told = [run(kind, given.kills, feed, given.seed) for feed in given.feed for kind in given.database]
    print(json.dumps(told))
    sys.exit(int(any(each[name] for each in told for name in WRONG)))


if __name__ == "__main__":
    main()
