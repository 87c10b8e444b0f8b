"""Levels by the queue: calm is in full, an overload is worked off, and what is late says so, nothing else does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.core.records import Level
from streaming.kafka.source import Waiting
from streaming.worker.costs import BatchCost, Recent
from streaming.worker.deadlines import FORGOTTEN, KNOWN, RETRIED, LatencyBudget, LevelChooser, Spent
from tests.streaming.queueing import (
    ALIKE,
    BATCH,
    BEGAN,
    BLEND,
    BUDGET,
    MS,
    SECOND,
    Costs,
    Decided,
    Site,
    recovered,
    share,
    unmarked,
    wronged,
)

LADDER = Level.FULL, Level.EARLY, Level.RULES
UNMARKED, WRONGED = 0.001, 0.01


def taught(**cost: int) -> LevelChooser:
    """Return a chooser that knows what an event costs at each level (ms)."""
    levels = tuple(Level(name) for name in cost)
    chooser = LevelChooser(BUDGET, BATCH, levels)
    for _ in range(2 * KNOWN):
        for level in levels:
            chooser.learn(level, Spent(1, cost[level.value] * MS))
            chooser.learn(level, Spent(BATCH, cost[level.value] * MS * BATCH))
    return chooser


def waiting(count: int = 1, oldest: int = 0, behind: int = 0) -> Waiting:
    return Waiting(count, count == BATCH, oldest * MS, 0, behind)


# --- one batch -------------------------------------------------------------------------------------------------------


def test_level_with_time_enough_is_full() -> None:
    assert taught(full=10, rules=1).choose(waiting(oldest=30), 5 * MS) is Level.FULL


def test_level_without_time_for_the_model_is_the_next_that_has() -> None:
    assert taught(full=10, early=4, rules=1).choose(waiting(oldest=40), 5 * MS) is Level.EARLY
    assert taught(full=10, early=9, rules=1).choose(waiting(oldest=40), 5 * MS) is Level.RULES


def test_level_of_a_batch_that_nothing_saves_is_full_when_nobody_waits_behind_it() -> None:
    assert taught(full=10, rules=1).choose(waiting(oldest=60), 5 * MS) is Level.FULL


def test_level_of_a_late_batch_spares_those_behind_it() -> None:
    assert taught(full=10, rules=1).choose(waiting(oldest=60, behind=4), 5 * MS) is Level.RULES


def test_queue_that_a_level_gets_through_in_time_keeps_it() -> None:
    assert taught(full=2, rules=1).choose(waiting(behind=10), 5 * MS) is Level.FULL
    assert taught(full=2, rules=1).choose(waiting(behind=15), 5 * MS) is Level.RULES


def test_fuller_level_is_taken_up_again_only_when_the_queue_is_well_below_the_budget() -> None:
    chooser = taught(full=2, rules=1)
    assert chooser.choose(waiting(behind=15), 5 * MS) is Level.RULES
    assert chooser.choose(waiting(behind=9), 5 * MS) is Level.RULES
    assert chooser.choose(waiting(behind=5), 5 * MS) is Level.FULL


def test_backlog_beyond_every_level_is_worked_off_at_the_quickest() -> None:
    assert taught(full=10, early=5, rules=1).choose(waiting(oldest=900, behind=5_000), 5 * MS) is Level.RULES


def test_level_that_saves_next_to_nothing_is_not_gone_down_to() -> None:
    assert taught(full=100, early=99, rules=95).choose(waiting(oldest=900, behind=5_000), 5 * MS) is Level.FULL
    assert taught(full=100, early=50, rules=48).choose(waiting(oldest=900, behind=5_000), 5 * MS) is Level.EARLY


def in_overload(chooser: LevelChooser, batches: int, **cost: int) -> list[Level]:
    """Return the levels of so many batches of an overload, each learned from."""
    found = []
    for _ in range(batches):
        found.append(chooser.choose(waiting(BATCH, oldest=900, behind=5_000), 5 * MS))
        chooser.learn(found[-1], Spent(BATCH, cost[found[-1].value] * MS * BATCH))
    return found


def test_every_level_is_tried_in_an_overload_before_the_quickest_is_kept() -> None:
    levels = in_overload(LevelChooser(BUDGET, BATCH, LADDER), 100, full=100, early=50, rules=48)
    assert levels == [level for level in LADDER for _ in range(KNOWN)] + [Level.EARLY] * (100 - 3 * KNOWN)


def test_fuller_level_is_tried_again_in_calm_however_costly_it_was() -> None:
    chooser = taught(full=60, rules=1)
    assert chooser.choose(waiting(), 5 * MS) is Level.RULES
    levels = []
    for _ in range(20 * RETRIED):
        levels.append(chooser.choose(waiting(), 5 * MS))
        chooser.learn(levels[-1], Spent(1, MS))
    assert levels[: RETRIED - 2] == [Level.RULES] * (RETRIED - 2)
    assert set(levels[-100:]) == {Level.FULL}


def test_level_that_became_quick_is_found_again() -> None:
    chooser = LevelChooser(BUDGET, BATCH, LADDER)
    in_overload(chooser, 100, full=100, early=50, rules=90)
    assert in_overload(chooser, 2 * FORGOTTEN, full=100, early=50, rules=20)[-1] is Level.RULES


def test_slow_broker_is_no_overload() -> None:
    assert taught(full=2, rules=1).choose(waiting(oldest=1, behind=3), 80 * MS) is Level.FULL


def test_queue_behind_a_full_batch_is_told_by_its_own_pace_when_the_client_has_not_heard_of_it() -> None:
    assert Waiting(32, True, oldest=1_000 * MS, newest=900 * MS).queue == 288
    assert Waiting(31, False, oldest=1_000 * MS, newest=900 * MS, behind=3).queue == 3
    assert Waiting(32, True, oldest=1_000 * MS, newest=900 * MS, behind=5_000).queue == 5_000


# --- reasons ---------------------------------------------------------------------------------------------------------


def budget(now: list[int]) -> LatencyBudget:
    """Return a budget on a clock that a test sets, to which a decision's reasons cost 5 ms, and publishing 5 ms."""
    made = LatencyBudget(BUDGET, BATCH, LADDER, now=lambda: now[0])
    for _ in range(30):
        made.learn(Level.FULL, Spent(1, 12 * MS, reasons=10 * MS, explained=2, publishing=5 * MS))
    return made


@pytest.mark.parametrize(
    ("age", "spent", "there_is"), [(0, 0, True), (0, 18, True), (0, 22, False), (30, 8, True), (30, 12, False)]
)
def test_reasons_take_what_time_the_batch_has_left(age: int, spent: int, there_is: bool) -> None:
    now = [BEGAN]
    made = budget(now)
    made.choose(waiting(oldest=age))
    now[0] += spent * MS
    assert made.explains() is there_is


def test_reasons_take_no_time_from_those_who_wait_behind() -> None:
    made = budget([BEGAN])
    made.choose(waiting(behind=22))
    assert not made.explains()


def test_levels_of_another_model_take_the_place_of_those_there_were() -> None:
    made = budget([BEGAN])
    made.take_levels((Level.FULL, Level.RULES))
    tried = set()
    for _ in range(3 * KNOWN):
        tried.add(level := made.choose(waiting(BATCH, oldest=900, behind=5_000)))
        made.learn(level, Spent(BATCH, BATCH * MS))
    assert tried == {Level.FULL, Level.RULES}


def test_what_is_late_counts_the_time_of_publishing() -> None:
    now = [BEGAN]
    assert budget(now).late_before() == BEGAN - 45 * MS


# --- costs -----------------------------------------------------------------------------------------------------------


@given(st.floats(0.0, 5.0), st.floats(0.05, 3.0), st.integers(0, 10_000))
@settings(max_examples=50)
def test_cost_of_a_batch_is_found_in_spite_of_stalls(fixed: float, each: float, seed: int) -> None:
    rng, cost = np.random.default_rng(seed), BatchCost()
    for size in rng.integers(1, BATCH, 400, endpoint=True).tolist():
        stall = 80.0 if rng.random() < 0.03 else 0.0
        cost.learn(size, (fixed + each * size) * rng.uniform(0.9, 1.1) + stall)
    for size in (1, 8, BATCH):
        assert cost.of(size) == pytest.approx(fixed + each * size, rel=0.2, abs=0.6)


def test_cost_of_small_batches_is_remembered_through_an_overload() -> None:
    cost = BatchCost()
    for _ in range(20):
        cost.learn(1, 3.0)
    for _ in range(1_000):
        cost.learn(BATCH, 34.0)
    assert cost.of(1) == pytest.approx(3.0)
    assert cost.of(BATCH) == pytest.approx(34.0)


def test_cost_follows_a_machine_that_became_slower() -> None:
    cost = BatchCost()
    for spent in (10.0,) * 30 + (20.0,) * 10:
        cost.learn(4, spent)
    assert cost.of(4) == pytest.approx(20.0)


def test_recent_is_moved_by_no_single_stall() -> None:
    recent = Recent(5.0)
    for spent in (2.0, 2.0, 900.0, 2.0, 2.0):
        recent.add(spent)
    assert recent.value == 2.0


# --- a queue, on a clock of its own ----------------------------------------------------------------------------------

OVERLOAD = (400, 10.0), (2_000, 20.0), (300, 30.0)
END_OF_OVERLOAD = 30 * SECOND


def honest(decided: list[Decided]) -> bool:
    """Tell whether the marks keep their promise."""
    return unmarked(decided) <= UNMARKED and wronged(decided) <= WRONGED


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from((BLEND, ALIKE)), st.integers(20, 550))
def test_calm_is_always_in_full_and_explained_in_full(seed: int, costs: Costs, rate: int) -> None:
    decided = Site(costs, seed=seed).run((rate, 5.0))
    assert share(decided, Level.FULL) == 1.0
    assert not any(each.brief or each.marked for each in decided)


@settings(max_examples=8)
@given(st.integers(0, 10_000), st.sampled_from((BLEND, ALIKE)), st.sampled_from((0, SECOND, 3 * SECOND)))
def test_overload_recovers_in_its_own_time_and_marks_what_is_late(seed: int, costs: Costs, heard: int) -> None:
    decided = Site(costs, seed=seed, heard=heard).run((400, 5.0), (2_000, 10.0), (300, 20.0))
    assert honest(decided)
    # ALIKE cannot go faster: 2,000 a second come and 960 go, so 10 s leave 10,400 behind, and 660 a second are gained.
    assert recovered(decided, 15 * SECOND) <= (10.0 if costs is BLEND else 17.0)
    assert share(decided[-500:], Level.FULL) == 1.0
    assert not any(each.marked for each in decided[-500:])


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.integers(600, 1_700))
def test_rate_between_two_levels_is_kept_in_time_and_marks_nothing_that_is(seed: int, rate: int) -> None:
    decided = Site(BLEND, seed=seed).run((rate, 10.0))
    assert honest(decided)
    # The first seconds go into trying the levels.
    later = [each for each in decided if each.sent > BEGAN + 4 * SECOND]
    assert sum(each.late for each in later) / len(later) <= 0.04


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(60, 900))
def test_stall_in_calm_leaves_no_trace_behind_it(seed: int, length: int) -> None:
    site = Site(BLEND, seed=seed, stalls=((2 * SECOND, length * MS),))
    decided = site.run((300, 6.0))
    assert honest(decided)
    assert recovered(decided, 2 * SECOND) <= 2.5 * length / 1_000
    after = [each for each in decided if each.sent > BEGAN + (2_000 + 3 * length) * MS]
    assert share(after, Level.FULL) == 1.0
    assert not any(each.marked for each in after)


def test_reasons_of_an_overload_are_brief_and_nobody_waits_for_them() -> None:
    site = Site(ALIKE, alerts=0.2)
    decided = site.run((200, 3.0), (2_000, 5.0), (200, 15.0))
    in_overload = [each for each in decided if BEGAN + 4 * SECOND < each.sent < BEGAN + 8 * SECOND]
    assert sum(each.brief for each in in_overload) > 0.15 * sum(each.level is Level.FULL for each in in_overload)
    assert recovered(decided, 8 * SECOND) < 12.0
