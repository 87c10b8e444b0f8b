"""The long-memory stream: the evidence lies as far back as claimed, and nothing nearer or plainer tells it."""

import numpy as np
import pytest

from fraud.core import metrics
from fraud.core.errors import DataError
from fraud.core.records import DAY, MINUTE
from fraud.simulate import Traffic
from fraud.simulate.catalogue import CATEGORIES
from fraud.simulate.grouping import ranks
from fraud.simulate.memory import BLOCK, BOUGHT, SCENARIOS, TINY, Memory, Plans, generate, plan
from fraud.simulate.traffic import Bools, Ints

MEMORY = Memory(cards=120, seed=1)
TINY_MCC = [CATEGORIES[kind].mcc for kind in TINY]


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Return some 120,000 payments."""
    return generate(MEMORY)


@pytest.fixture(scope="module")
def plans() -> Plans:
    """Return what its cards do."""
    return plan(np.random.default_rng(MEMORY.seed).spawn(4)[0], MEMORY)


@pytest.fixture(scope="module")
def place(traffic: Traffic) -> Ints:
    """Return the place of each payment among its card's, from 0."""
    return ranks(traffic.card, np.arange(len(traffic)))


def _tiny(traffic: Traffic) -> Bools:
    found: Bools = np.isin(traffic.mcc, TINY_MCC)
    return found


def _bought(traffic: Traffic) -> Bools:
    found: Bools = traffic.mcc == CATEGORIES[BOUGHT].mcc
    return found


def _tested(traffic: Traffic, place: Ints) -> Bools:
    """Return the cards with a block of 4 or more tiny payments, seen in the traffic alone."""
    most = np.zeros(MEMORY.cards, dtype=np.int64)
    rows = np.flatnonzero(_tiny(traffic))
    key, count = np.unique(traffic.card[rows] * 1_000 + place[rows] // BLOCK, return_counts=True)
    np.maximum.at(most, key // 1_000, count)
    return most >= 4


def test_evidence_seen_in_the_traffic_is_the_plan(traffic: Traffic, place: Ints, plans: Plans) -> None:
    assert (_tested(traffic, place) == plans.tested).all()
    assert 0.3 < plans.tested.mean() < 0.4


def test_frauds_evidence_lies_as_far_back_as_their_scenario_says(traffic: Traffic, place: Ints) -> None:
    newest = np.full(MEMORY.cards, -1)
    rows = np.flatnonzero(_tiny(traffic))
    np.maximum.at(newest, traffic.card[rows], place[rows])
    back = place - newest[traffic.card]
    far = back[traffic.scenario == SCENARIOS.index("far")]
    near = back[traffic.scenario == SCENARIOS.index("near")]
    assert 500 <= far.min() < 700
    assert 3_500 < far.max() <= 5_000
    assert (far > 1_500).mean() > 0.3
    assert near.min() >= 20
    assert near.max() <= 200


def test_evidence_is_one_run_within_a_block_and_within_minutes(traffic: Traffic, place: Ints, plans: Plans) -> None:
    for card in np.flatnonzero(plans.tested).tolist():
        mine = np.flatnonzero((traffic.card == card) & _tiny(traffic))
        assert (np.diff(place[mine]) == 1).all()
        assert place[mine[0]] // BLOCK == place[mine[-1]] // BLOCK
        assert traffic.happened_at[mine[-1]] - traffic.happened_at[mine[0]] < 15 * MINUTE


def test_totals_are_the_same_with_and_without_evidence(traffic: Traffic, plans: Plans) -> None:
    tiny, bought = _tiny(traffic), _bought(traffic)
    assert (np.bincount(traffic.card[tiny], minlength=MEMORY.cards) == plans.size).all()
    rows = np.flatnonzero(tiny | bought)
    tested = plans.tested[traffic.card[rows]]
    for kind in (tiny, bought):
        amount = traffic.amount[rows[kind[rows]]]
        mine = tested[kind[rows]]
        assert np.median(amount[mine]) == pytest.approx(np.median(amount[~mine]), rel=0.2)  # cards differ by a third
    assert np.median(plans.total[plans.tested]) == pytest.approx(np.median(plans.total[~plans.tested]), rel=0.25)
    count = np.bincount(traffic.card[bought], minlength=MEMORY.cards)
    assert count.min() >= 8
    assert count[plans.tested].mean() == pytest.approx(count[~plans.tested].mean(), rel=0.1)


def test_untested_cards_have_a_run_and_tiny_payments_but_apart(traffic: Traffic, place: Ints, plans: Plans) -> None:
    tiny = _tiny(traffic)
    quick = 0
    for card in np.flatnonzero(~plans.tested).tolist():
        mine = np.flatnonzero(traffic.card == card)
        run = mine[plans.run[card] : plans.run[card] + plans.size[card]]
        quick += int(traffic.happened_at[run[-1]] - traffic.happened_at[run[0]] < 15 * MINUTE)
        assert np.unique(place[mine][tiny[mine]] // BLOCK, return_counts=True)[1].max() <= 2
    assert quick == (~plans.tested).sum()


def test_tiny_payments_are_as_far_back_with_and_without_evidence(traffic: Traffic, place: Ints, plans: Plans) -> None:
    rows = np.flatnonzero(_tiny(traffic))
    card = traffic.card[rows]
    after = place[rows] - plans.run[card] - plans.size[card] / 2
    assert np.abs(after).max() <= 4 * BLOCK + 3
    assert (plans.spree[card] - place[rows])[plans.far[card]].min() > 400
    for group in (plans.tested, ~plans.tested):
        assert abs(after[group[card] & plans.far[card]].mean()) < 8


def test_labels_of_a_card_come_when_its_frauds_are_over(traffic: Traffic) -> None:
    foretold = np.flatnonzero(traffic.scenario >= SCENARIOS.index("near"))
    first = np.full(MEMORY.cards, np.iinfo(np.int64).max)
    np.minimum.at(first, traffic.card[foretold], traffic.happened_at[foretold])
    since = traffic.happened_at[foretold] - first[traffic.card[foretold]]
    assert (since > MEMORY.label_days * DAY).mean() < 0.02


def test_purchases_of_anyone_look_alike_and_only_the_evidence_tells(traffic: Traffic, plans: Plans) -> None:
    assert traffic.optimum is not None
    bought = _bought(traffic)
    tested = plans.tested[traffic.card]
    assert traffic.fraud[bought & tested].mean() == pytest.approx(0.92, abs=0.03)
    assert traffic.fraud[~(bought & tested)].mean() < 0.001
    assert metrics.average_precision(traffic.fraud, traffic.optimum) > 0.8
    for column in (traffic.amount, traffic.happened_at % DAY, traffic.merchant):
        rank = metrics.roc_auc(traffic.fraud[bought], column[bought].astype(np.float64))
        assert abs(rank - 0.5) < 0.1


def test_bounds_of_the_distance_are_followed() -> None:
    plans = plan(np.random.default_rng(0), Memory(cards=400, least=800, most=2_000))
    back = plans.spree - plans.run - plans.size + 1
    assert back[plans.far].min() >= 800
    assert (back + plans.lasts)[plans.far].max() <= 2_000


@pytest.mark.parametrize(("parameter", "value"), [("cards", 3), ("days", 29), ("least", 199), ("most", 1_000)])
def test_impossible_size_is_refused(parameter: str, value: int) -> None:
    with pytest.raises(DataError, match=f"{parameter} = {value}"):
        generate(Memory(**{parameter: value}))
