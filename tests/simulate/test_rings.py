"""The rings stream: the evidence is two hops away, and whatever is nearer is clean and alike."""

import numpy as np
import pytest

from fraud.core import metrics
from fraud.core.errors import DataError
from fraud.core.records import DAY
from fraud.simulate import Traffic, stream
from fraud.simulate.grouping import ranks
from fraud.simulate.rings import DEVICE, MULE, OLD, ROBBED_DAYS, SCENARIOS, Rings, generate
from fraud.simulate.traffic import Bools, Ints

RINGS = Rings(cards=3_000, seed=4)
ALL = np.iinfo(np.int64).max
SHAPES = {"device": DEVICE, "merchant": MULE}


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Return some 100,000 payments."""
    return generate(RINGS)


@pytest.fixture(params=sorted(SHAPES))
def kind(request: pytest.FixtureRequest) -> str:
    """Return each kind of spot in turn."""
    return str(request.param)


def _spot(traffic: Traffic, kind: str) -> Ints:
    """Return the spot of each payment, by the number of the device or merchant, -1 where there is none."""
    number, first = (traffic.device, RINGS.cards) if kind == "device" else (traffic.merchant, OLD)
    return np.where(number >= first, number - first, -1)


def _used(traffic: Traffic, kind: str) -> tuple[Ints, Ints]:
    """Return the payments at spots after the first visitors, and the spot of each."""
    spot = _spot(traffic, kind)
    rows = np.flatnonzero(spot >= 0)
    used = rows[ranks(spot[rows], rows) >= SHAPES[kind].visitors]
    return used, spot[used]


def _known_at(traffic: Traffic) -> Ints:
    """Return, by card, when its first fraud became known."""
    known = np.full(RINGS.cards, ALL)
    rows = np.flatnonzero(traffic.fraud)
    np.minimum.at(known, traffic.card[rows], traffic.happened_at[rows] + int(RINGS.label_days) * DAY)
    return known


def _tainted(traffic: Traffic, kind: str) -> Ints:
    """Return, by spot, the number of visits by cards whose fraud was known when they came."""
    spot, known = _spot(traffic, kind), _known_at(traffic)
    met = (spot >= 0) & (known[traffic.card] <= traffic.happened_at)
    counts: Ints = np.bincount(spot[met], minlength=int(spot.max()) + 1)
    return counts


def _foretold(traffic: Traffic) -> Bools:
    found: Bools = traffic.scenario >= SCENARIOS.index("device_ring")
    return found


def test_frauds_follow_known_cards_at_the_same_spot(traffic: Traffic, kind: str) -> None:
    rows, spot = _used(traffic, kind)
    tainted = _tainted(traffic, kind)[spot] >= SHAPES[kind].visitors / 2
    assert 0.15 < tainted.mean() < 0.35
    assert traffic.fraud[rows][tainted].mean() > 0.8
    assert traffic.fraud[rows][~tainted].mean() < 0.05


def test_paying_cards_have_no_known_fraud_of_their_own(traffic: Traffic, kind: str) -> None:
    rows, _ = _used(traffic, kind)
    assert (_known_at(traffic)[traffic.card[rows]] <= traffic.happened_at[rows]).mean() < 0.01


def test_spots_have_no_known_fraud_of_their_own(traffic: Traffic, kind: str) -> None:
    rows, spot = _used(traffic, kind)
    frauds = np.flatnonzero((_spot(traffic, kind) >= 0) & traffic.fraud)
    first = np.full(int(spot.max()) + 1, ALL)
    np.minimum.at(first, _spot(traffic, kind)[frauds], traffic.happened_at[frauds])
    known = first[spot] < traffic.happened_at[rows] - int(RINGS.label_days) * DAY
    assert known.mean() < 0.005


def test_known_cards_own_payments_are_as_genuine_as_others(traffic: Traffic) -> None:
    late = traffic.happened_at > RINGS.start + (ROBBED_DAYS + RINGS.label_days + 1) * DAY
    known = _known_at(traffic)[traffic.card] <= traffic.happened_at
    assert traffic.fraud[late & known].mean() < traffic.fraud[late & ~known].mean()
    assert known[late].mean() > 0.02


def test_used_spots_of_rings_look_like_all_others(traffic: Traffic, kind: str) -> None:
    rows, spot = _used(traffic, kind)
    shape = SHAPES[kind]
    fraud = _foretold(traffic)[rows]
    assert 0.15 < fraud.mean() < 0.3
    size, cards = np.bincount(spot), np.bincount(np.unique(spot * 10**6 + traffic.card[rows]) // 10**6)
    assert (set(size.tolist()), set(cards.tolist())) == ({shape.followers * shape.payments}, {shape.followers})
    for column in (traffic.amount, traffic.happened_at % DAY, traffic.happened_at, traffic.mcc):
        assert abs(metrics.roc_auc(fraud, column[rows].astype(np.float64)) - 0.5) < 0.12


def test_robbed_cards_are_robbed_early_and_known_before_the_first_spot(traffic: Traffic) -> None:
    robbed = traffic.scenario == SCENARIOS.index("robbed")
    spots = (_spot(traffic, "device") >= 0) | (_spot(traffic, "merchant") >= 0)
    assert robbed.sum() == round(RINGS.robbed * RINGS.cards)
    assert traffic.happened_at[robbed].max() < RINGS.start + ROBBED_DAYS * DAY
    assert traffic.happened_at[robbed].max() + RINGS.label_days * DAY < traffic.happened_at[spots].min()


def test_optimum_is_high_and_calibrated(traffic: Traffic) -> None:
    assert traffic.optimum is not None
    late = traffic.happened_at > RINGS.start + ROBBED_DAYS * DAY
    assert metrics.average_precision(traffic.fraud, traffic.optimum) > 0.8
    assert metrics.average_precision(traffic.fraud[late], traffic.optimum[late]) > 0.85
    assert traffic.optimum.sum() == pytest.approx(traffic.fraud.sum(), rel=0.06)
    sure = traffic.optimum > 0.8
    assert traffic.fraud[sure].mean() == pytest.approx(traffic.optimum[sure].mean(), abs=0.03)


def test_later_labels_move_the_first_spots(traffic: Traffic) -> None:
    slow = generate(Rings(cards=400, days=80, label_days=20.0))
    spots = slow.device >= 400
    assert slow.happened_at[spots].min() > Rings().start + (ROBBED_DAYS + 20) * DAY


@pytest.mark.parametrize(("parameter", "value"), [("cards", 99), ("days", 37), ("robbed", 0.001)])
def test_impossible_size_is_refused(parameter: str, value: float) -> None:
    with pytest.raises(DataError, match=f"{parameter} = {value}"):
        stream("rings").make(**{parameter: value})
