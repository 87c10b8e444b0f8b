"""The learning loop's journal, in memory and in the book's file: equal promises, one transaction with the book."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fraud.core.errors import StateError
from fraud.core.learning.journal import Journal, MemoryJournal
from models.online.loop import LearningLoop
from streaming.labels.journal import SqliteJournal
from streaming.labels.pending import SqlitePending
from tests.models.online.driven import RULES, Site, lived
from tests.models.online.grown import World, base

Made = Callable[[], Journal]


@pytest.fixture(params=["memory", "disk"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    numbers = iter(range(10))

    def make() -> Journal:
        if request.param == "memory":
            return MemoryJournal()
        return SqliteJournal(SqlitePending(tmp_path / f"{next(numbers)}.db"))

    return make


def test_rows_are_found_by_kind_and_number_in_order(made: Made) -> None:
    journal = made()
    for number in (7, 2, 300):
        journal.put("a", number, bytes([number % 256]))
    journal.put("b", 2, b"other")
    journal.put("a", 7, b"newer")
    journal.remove("a", 300)
    journal.remove("a", 301)
    assert journal.rows("a") == [(2, b"\x02"), (7, b"newer")]
    assert journal.rows("none") == []
    assert (journal.get("a", 7), journal.get("a", 8)) == (b"newer", None)


def test_snapshot_holds_all_and_takes_the_place_of_all(made: Made) -> None:
    one, other = made(), made()
    one.put("a", 1, b"x")
    one.put("gone", 1, b"x")
    one.remove("gone", 1)
    other.put("c", 9, b"y")
    other.restore(one.snapshot())
    assert other.snapshot() == one.snapshot()
    assert other.rows("c") == []
    with pytest.raises(StateError, match="the learning loop's state cannot be read"):
        other.restore(b"\xc1")


def test_kinds_of_journals_have_equal_snapshots(tmp_path: Path) -> None:
    memory, disk = MemoryJournal(), SqliteJournal(SqlitePending(tmp_path / "book.db"))
    for journal in (memory, disk):
        journal.put("b", 2, b"x")
        journal.put("a", 1, b"y")
    assert memory.snapshot() == disk.snapshot()


def test_loop_on_a_file_says_what_one_in_memory_says_and_a_kill_takes_it_back_to_the_commit(tmp_path: Path) -> None:
    world, path = World(1_400), tmp_path / "book.db"
    whole = lived(Site(world), range(1_400))
    store = SqlitePending(path)
    site = lived(Site(world, journal=SqliteJournal(store), pending=store), range(1_000))
    store.commit()
    period, closed = site.period, list(site.closed)
    lived(site, range(1_000, 1_200))
    store.close()  # killed before the commit: book and loop are where they were
    store = SqlitePending(path)
    again = Site(world, journal=SqliteJournal(store), pending=store)
    again.period, again.closed = period, closed
    lived(again, range(1_000, 1_400))
    assert again.closed == whole.closed
    assert again.loop.snapshot() == whole.loop.snapshot()
    assert LearningLoop(base(), again.book, RULES, SqliteJournal(store)).snapshot() == whole.loop.snapshot()
