"""Payments old enough to be learned, in their queue: each once, in order, and again after a kill."""

from fraud.core.learning.journal import MemoryJournal
from models.online.ripe import Ripe


def nothing(tx_id: str) -> bool:
    return False


def filled(journal: MemoryJournal, count: int = 5) -> Ripe:
    ripe = Ripe(journal)
    for number in range(count):
        ripe.add(f"t{number}")
    return ripe


def test_each_is_taken_once_in_order_a_few_at_a_time() -> None:
    ripe = filled(MemoryJournal())
    assert ripe.take(nothing, 2) == (2, ["t0", "t1"])
    assert ripe.take(nothing, 2) == (2, ["t2", "t3"])
    assert ripe.take(nothing) == (1, ["t4"])
    assert (ripe.take(nothing, 9), ripe.take(nothing), len(ripe)) == ((0, []), (0, []), 0)


def test_what_is_held_is_looked_at_once_and_again_at_the_end_in_its_place() -> None:
    ripe = filled(MemoryJournal())
    assert ripe.take(lambda tx_id: tx_id in ("t0", "t2"), 3) == (3, ["t1"])
    assert ripe.take(nothing, 1) == (1, ["t3"])
    assert len(ripe) == 3
    assert ripe.take(lambda tx_id: tx_id == "t2") == (3, ["t0", "t4"])
    assert ripe.take(nothing) == (1, ["t2"])


def test_what_was_taken_comes_back_after_a_kill_unless_it_was_settled() -> None:
    journal = MemoryJournal()
    ripe = filled(journal)
    ripe.take(nothing, 2)
    assert Ripe(journal).take(nothing)[1] == ["t0", "t1", "t2", "t3", "t4"]
    ripe.settle()
    ripe.take(nothing, 1)
    assert Ripe(journal).take(nothing)[1] == ["t2", "t3", "t4"]


def test_numbers_go_on_as_those_of_a_queue_that_was_read_anew() -> None:
    journal, killed = MemoryJournal(), MemoryJournal()
    ripe, other = filled(journal), filled(killed)
    for one in (ripe, other):
        one.take(nothing)
        one.settle()
    other = Ripe(killed)
    for one in (ripe, other):
        one.add("t9")
    assert journal.snapshot() == killed.snapshot()


def test_row_that_was_taken_is_not_written_over_before_it_is_settled() -> None:
    journal = MemoryJournal()
    ripe = filled(journal, 2)
    ripe.take(nothing)
    ripe.add("t2")
    ripe.settle()
    assert Ripe(journal).take(nothing)[1] == ["t2"]
