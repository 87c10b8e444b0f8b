"""Files that hold payments are their owner's alone, whatever the process's umask, and whoever made them before."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fraud.common.files import make_private
from fraud.core.records import Answer, Decision, Position, Reject
from fraud.review.database import Database
from streaming.feeds.topic_log import TopicLog
from streaming.files.dead_letters import DeadLetterFile
from streaming.files.decisions import FileSink
from streaming.files.releases import FolderReleases
from streaming.files.spool import Spool
from streaming.labels.pending import SqlitePending
from streaming.messages.envelope import Outgoing
from streaming.replay import snapshots
from tests.filled import filled

ANSWER = Answer(decision=filled(Decision), position=Position("t", 0, 0))
REJECT = Reject("json", "no JSON", b"{", Position("t", 0, 1))


def label_book(folder: Path) -> None:
    book = SqlitePending(folder / "waiting.db")
    book.put_release("t1", 1)
    book.commit()
    book.close()


def console(folder: Path) -> None:
    database = Database(f"sqlite:///{folder / 'console.db'}")
    database.migrate()
    database.close()


def topic_log(folder: Path) -> None:
    outlet = TopicLog(folder).outlet()
    outlet.send([Outgoing("decisions", b"k", b"v")])
    outlet.close()


def snapshot(folder: Path) -> None:
    snapshots.save(folder, snapshots.Saved(1, b"", b"", ""))


def dead_letters(folder: Path) -> None:
    DeadLetterFile(folder / "dead.jsonl").write([], [REJECT])


def decisions(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        sink = FileSink(folder / name)
        sink.write([ANSWER], [])
        sink.close()
        sink.publish()

    return write


def spool(folder: Path) -> None:
    held = Spool(folder, folder / "out.jsonl")
    held.start()
    held.write([ANSWER], [])
    held.close()
    held.publish()


def release(folder: Path) -> None:
    FolderReleases(folder).put('list stolen block card { "C1" }')


WRITERS = {
    "label book": label_book,
    "console": console,
    "topic log": topic_log,
    "snapshot": snapshot,
    "dead letters": dead_letters,
    "decisions.jsonl": decisions("decisions.jsonl"),
    "decisions.parquet": decisions("decisions.parquet"),
    "spool": spool,
    "release": release,
}


@pytest.fixture(autouse=True)
def open_to_all() -> Iterator[None]:
    """Let every file be made for everybody, unless it says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
    return {path.name: f"{path.stat().st_mode & 0o777:o}" for path in files}


@pytest.mark.parametrize("what", WRITERS)
def test_file_that_holds_payments_is_its_owners_alone(what: str, tmp_path: Path) -> None:
    WRITERS[what](tmp_path)
    found = modes(tmp_path)
    assert set(found.values()) == {"600"}, found


def test_file_of_the_release_before_is_taken_from_the_others(tmp_path: Path) -> None:
    path = tmp_path / "waiting.db"
    label_book(tmp_path)
    path.chmod(0o644)
    label_book(tmp_path)
    assert modes(tmp_path)["waiting.db"] == "600"


def test_what_is_no_plain_file_stays_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o666)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    make_private(pipe)
    os.close(reader)
    assert pipe.stat().st_mode & 0o777 == 0o666
