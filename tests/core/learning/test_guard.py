"""The guard: bets by hand, error rates, cool-down, the step bound, snapshots."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.core.errors import StateError
from fraud.core.learning.guard import STAKES, Guard, Losses, mean_bet, restarted, step

DELAY = 1_000


def fed(guard: Guard, differences: list[float], begin: int = 0) -> Guard:
    """Feed how much more the frozen model lost than the candidate, one payment an instant."""
    for at, better in enumerate(differences, begin):
        guard.absorb(Losses(at, False, 2.0 + better, 2.0))
    return guard


def test_evidence_by_hand() -> None:
    guard = fed(Guard(DELAY), [0.5, -0.25, 3.0])
    expected = [(1 + 0.5 * s) * (1 - 0.25 * s) * (1 + s) for s in STAKES]
    assert guard.evidence[0] == pytest.approx(sum(expected) / len(STAKES))


def test_off_bet_starts_again_where_it_falls_below_one() -> None:
    assert restarted([0.0] * 5, -0.5) == [0.0] * 5
    assert restarted([1.0] * 5, 0.5) == pytest.approx([1 + math.log1p(0.5 * s) for s in STAKES])


def test_candidate_that_helps_is_switched_on_and_reverted_when_it_hurts() -> None:
    guard = fed(Guard(DELAY), [0.3] * 60)
    assert guard.decide(60)
    fed(guard, [-0.5] * 50, 60)
    assert not guard.decide(110)
    assert guard.switches == 2


def test_nothing_is_switched_on_in_the_cool_down() -> None:
    guard = fed(Guard(DELAY), [1.0] * 60)
    guard.decide(60)
    fed(guard, [-1.0] * 60, 60)
    guard.decide(120)
    fed(guard, [1.0] * 60, 120)
    assert not guard.decide(120 + 2 * DELAY - 1)
    assert guard.decide(120 + 2 * DELAY)


def test_payments_from_before_a_switch_count_no_more() -> None:
    guard = fed(Guard(DELAY), [1.0] * 60)
    assert guard.decide(60)
    fed(guard, [-1.0] * 60, 0)
    assert guard.evidence == (1, 1)
    assert guard.decide(61)


def test_worse_than_the_last_good_parameters_is_reverted_though_better_than_frozen() -> None:
    guard = fed(Guard(DELAY), [1.0] * 60)
    guard.decide(60)
    for at in range(60, 200):
        guard.absorb(Losses(at, False, 3.0, 2.5, good=2.0))
    assert not guard.decide(200)


def test_candidate_that_is_no_better_is_hardly_ever_switched_on() -> None:
    rng, on = np.random.default_rng(5), 0
    for _ in range(200):
        guard = Guard(DELAY)
        for at, better in enumerate(rng.choice([-0.4, 0.4], 600).tolist()):
            guard.absorb(Losses(at, False, 1.0 + better, 1.0))
            on += guard.decide(at) and guard.switches == 1
            if guard.on:
                break
    assert on <= 200 * 0.05 + 6


@given(st.lists(st.floats(-20, 20), max_size=300))
def test_evidence_stays_a_number(differences: list[float]) -> None:
    guard = fed(Guard(DELAY), differences)
    guard.decide(len(differences))
    assert all(0 <= each < math.inf for each in guard.evidence)
    assert mean_bet([5_000.0] * 5) < math.inf


@given(st.lists(st.floats(-2, 2), max_size=80), st.lists(st.floats(-2, 2), max_size=80))
def test_restored_guard_goes_on_to_the_bit(first: list[float], then: list[float]) -> None:
    one, other = fed(Guard(DELAY), first), Guard(DELAY)
    one.decide(len(first))
    other.restore(one.snapshot())
    for guard in (one, other):
        fed(guard, then, len(first))
        guard.decide(len(first) + len(then))
    assert one.snapshot() == other.snapshot()
    assert one.evidence == other.evidence


def test_two_guards_share_nothing() -> None:
    fed(Guard(DELAY), [1.0] * 20)
    assert Guard(DELAY).evidence == (1, 1)


def test_figures_need_enough_frauds() -> None:
    guard = Guard(DELAY)
    for at in range(150):
        assert not guard.enough
        guard.absorb(Losses(at, True, 1.0, 1.0))
    assert guard.enough


def test_foreign_state_is_refused() -> None:
    with pytest.raises(StateError, match="the guard's state cannot be read"):
        Guard(DELAY).restore(b"\xc1")


def test_short_step_is_taken_whole() -> None:
    live = np.linspace(-6, 2, 1_000)
    taken = step(live, live + 0.01, alert_at=0.0)
    assert (taken.share, taken.why) == (1, "")
    assert taken.rms == pytest.approx(0.01)


def test_long_step_is_cut_to_the_bound() -> None:
    live = np.linspace(-6, 2, 1_000)
    taken = step(live, live + 0.2, alert_at=0.0)
    assert taken.share == pytest.approx(0.25)
    assert "cut to 0.05" in taken.why


@pytest.mark.parametrize(("moved", "after"), [(0.04, 30), (-0.04, 0)])
def test_step_that_changes_alerts_too_much_is_halved(moved: float, after: int) -> None:
    live = np.concatenate([np.full(900, -5.0), np.full(20, -0.01), np.full(10, 0.01)])
    taken = step(live, live + moved * (np.abs(live) < 1), alert_at=0.0)
    assert taken.share == 0.5
    assert f"would go from 10 to {after}" in taken.why
    assert taken.alerts == after / 10


@pytest.mark.parametrize(("more", "share"), [(10, 1.0), (11, 0.5)])
def test_a_few_alerts_may_come_where_there_were_none(more: int, share: float) -> None:
    live = np.full(10_000, -0.01)
    candidate = live + 0.02 * (np.arange(10_000) < more)
    assert step(live, candidate, alert_at=0.0).share == share


def test_step_over_no_decisions_is_taken() -> None:
    assert step(np.empty(0), np.empty(0), 0.0).share == 1
