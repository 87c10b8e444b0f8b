"""The shift stream: its frauds are of other tactics from one day on, and nothing else changes."""

from dataclasses import fields

import numpy as np
import pytest

from fraud.core.errors import DataError
from fraud.core.records import DAY
from fraud.simulate import Traffic, rich
from fraud.simulate.shift import BEGINNING, ENDING, Shift, generate
from fraud.simulate.tactics import SCENARIOS
from fraud.simulate.traffic import Bools, Ints

SHIFT = Shift(cards=800, days=60, day=36, fraud_share=0.04, seed=2)
ALWAYS = ("skimmed", "bust_out")


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Return some 95,000 messages."""
    return generate(SHIFT)


@pytest.fixture(scope="module")
def whole() -> Traffic:
    """Return the rich stream that it is taken from."""
    return rich.generate(rich.Rich(**{f.name: getattr(SHIFT, f.name) for f in fields(rich.Rich)}))


def _days(traffic: Traffic) -> Ints:
    days: Ints = (traffic.happened_at - SHIFT.start) // DAY
    return days


def _of(traffic: Traffic, name: str) -> Bools:
    found: Bools = traffic.scenario == SCENARIOS.index(name)
    return found


@pytest.mark.parametrize("name", ENDING)
def test_tactic_that_ends_is_in_use_up_to_the_day_and_never_after(traffic: Traffic, name: str) -> None:
    days = _days(traffic)[_of(traffic, name)]
    assert len(days) > 20
    assert SHIFT.day - 5 <= days.max() < SHIFT.day


@pytest.mark.parametrize("name", BEGINNING)
def test_tactic_that_begins_is_in_use_from_the_day_and_never_before(traffic: Traffic, name: str) -> None:
    days = _days(traffic)[_of(traffic, name)]
    assert len(days) > 20
    assert SHIFT.day <= days.min() < SHIFT.day + 5


@pytest.mark.parametrize("name", ALWAYS)
def test_other_tactics_go_on_on_both_sides(traffic: Traffic, whole: Traffic, name: str) -> None:
    before = _days(traffic)[_of(traffic, name)] < SHIFT.day
    assert 0.2 < before.mean() < 0.9
    assert np.isin(whole.number[_of(whole, name)], traffic.number).all()


def test_tactics_of_the_two_times_are_all_there_are(traffic: Traffic) -> None:
    assert {*ENDING, *BEGINNING, *ALWAYS} == {*SCENARIOS} - {"genuine"}
    after = _days(traffic) >= SHIFT.day
    shared = np.intersect1d(traffic.scenario[after & traffic.fraud], traffic.scenario[~after & traffic.fraud])
    assert {SCENARIOS[code] for code in shared.tolist()} == set(ALWAYS)
    assert 0.005 < traffic.fraud[after].mean() < 0.05
    assert 0.005 < traffic.fraud[~after].mean() < 0.05


def test_genuine_payments_are_those_of_the_rich_stream_once_each(traffic: Traffic, whole: Traffic) -> None:
    genuine = np.unique(whole.number[_of(whole, "genuine")])
    np.testing.assert_array_equal(np.sort(traffic.number[_of(traffic, "genuine")]), genuine)
    assert len(np.unique(traffic.number)) == len(traffic) < len(whole)
    assert not traffic.version.any()
    assert (np.diff(traffic.seen_at) >= 0).all()


def test_verdicts_are_the_rich_streams_on_the_payments_that_are_left(traffic: Traffic, whole: Traffic) -> None:
    left = [label for label in whole.labels() if int(label.tx_id[1:]) in set(traffic.number.tolist())]
    assert list(traffic.labels()) == left
    assert 100 < len(left) < len(whole.verdicts())


def test_another_day_moves_the_change() -> None:
    early = generate(Shift(cards=200, days=60, day=20, fraud_share=0.05))
    assert _days(early)[np.isin(early.scenario, [SCENARIOS.index(name) for name in BEGINNING])].min() >= 20
    assert _days(early)[np.isin(early.scenario, [SCENARIOS.index(name) for name in ENDING])].max() < 20


@pytest.mark.parametrize("day", [0, 60, -3])
def test_day_outside_the_stream_is_refused(day: int) -> None:
    with pytest.raises(DataError, match=rf"cannot change on day {day} of 60: give day = 1 to 59"):
        generate(Shift(cards=200, days=60, day=day))
