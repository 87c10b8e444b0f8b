"""Levels by the time left."""

from fraud.core.records import Level, Mark
from streaming.worker.deadlines import LevelChooser

MS = 1_000_000


def taught(full: int, scored: int, published: int) -> LevelChooser:
    """Return a chooser that has seen many batches of one cost (ms)."""
    levels = LevelChooser(50 * MS)
    for _ in range(400):
        levels.learn(Level.FULL, full * MS, scored * MS, published * MS)
    return levels


def test_level_with_time_enough_is_full() -> None:
    assert taught(10, 8, 5).choose(30 * MS) == (Level.FULL, ())


def test_level_without_time_for_the_model_is_rules() -> None:
    assert taught(10, 8, 5).choose(40 * MS) == (Level.RULES, ())


def test_level_when_nothing_is_quick_enough_is_full() -> None:
    assert taught(10, 8, 5).choose(49 * MS) == (Level.FULL, ())


def test_level_of_an_overdue_batch_is_full_and_marked() -> None:
    assert taught(10, 8, 5).choose(50 * MS) == (Level.FULL, (Mark.OVERDUE,))


def test_level_of_a_cheap_model_never_steps_down() -> None:
    levels = taught(2, 0, 5)
    assert {levels.choose(age * MS)[0] for age in range(60)} == {Level.FULL}
