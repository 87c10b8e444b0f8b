"""The text stream: fronts are told by the names of known fronts, and by nothing else."""

import numpy as np
import pytest

from fraud.core import metrics
from fraud.core.errors import DataError
from fraud.core.records import DAY
from fraud.simulate import Traffic
from fraud.simulate.fronts import FRAUDS, LIFE_DAYS, OLD, SCENARIOS, Fronts, generate, is_front, variant
from fraud.simulate.staged import CHANCE
from fraud.simulate.traffic import Bools, Ints
from fraud.simulate.world import Floats

FRONTS = Fronts(cards=600, seed=2)
ALL = np.iinfo(np.int64).max


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Return some 70,000 payments."""
    return generate(FRONTS)


def _grams(text: str) -> set[str]:
    return {text[at : at + size] for size in (3, 4, 5) for at in range(len(text) - size + 1)}


def _likeness(one: str, other: str) -> float:
    """Return the share of n-grams of names (their first word) that two texts have in common."""
    a, b = _grams(one.split()[0]), _grams(other.split()[0])
    return len(a & b) / len(a | b)


def _new(traffic: Traffic) -> Bools:
    found: Bools = traffic.merchant >= OLD
    return found


def _shops(traffic: Traffic) -> tuple[Ints, Bools]:
    """Return the new shops in the order in which they open, and which of them took a foretold fraud."""
    shops, first = np.unique(traffic.merchant, return_index=True)
    shops = shops[np.argsort(first)]
    shops = shops[shops >= OLD]
    fronts = np.unique(traffic.merchant[traffic.scenario == SCENARIOS.index("front")])
    return shops, np.isin(shops, fronts)


def test_fronts_names_resemble_known_fronts_and_others_do_not(traffic: Traffic) -> None:
    shops, front = _shops(traffic)
    texts = [traffic.words.texts[shop] for shop in shops.tolist()]
    right = total = 0
    for late in range(len(shops) // 2, len(shops), 8):
        like = [_likeness(texts[late], texts[early]) for early in range(late)]
        total += 1
        right += int(front[int(np.argmax(like))] == front[late])
    assert total > 50
    assert right / total > 0.93


def test_names_of_a_chain_are_variants_and_never_the_same(traffic: Traffic) -> None:
    assert len(set(traffic.words.texts)) == len(traffic.words.texts)
    written = {variant("VOKARELUN", [place, 0, form, 0]) for place in range(8) for form in range(5)}
    assert {"VOKARELUN", "VKARELUN", "VVOKARELUN", "OVKARELUN", "V0KARELUN"} <= written
    assert variant("VOKARELUN", [0, 1, 0, 0]) == "VOKARELUN LTD"
    likeness = [_likeness("VOKARELUN", name) for name in written]
    assert np.median(likeness) > 0.25


def test_shops_are_gone_before_their_first_label(traffic: Traffic) -> None:
    new = _new(traffic)
    first, last = np.full(traffic.merchant.max() + 1, ALL), np.zeros(traffic.merchant.max() + 1, dtype=np.int64)
    np.minimum.at(first, traffic.merchant[new], traffic.happened_at[new])
    np.maximum.at(last, traffic.merchant[new], traffic.happened_at[new])
    open_ = first < ALL
    assert (last - first)[open_].max() < LIFE_DAYS * DAY < FRONTS.label_days * DAY


def test_shops_of_fronts_are_like_all_new_shops_in_all_but_name(traffic: Traffic) -> None:
    new = _new(traffic)
    front = traffic.scenario[new] == SCENARIOS.index("front")
    assert 0.18 < front.mean() < 0.27
    size = np.bincount(traffic.merchant)
    columns = (traffic.amount, traffic.happened_at % DAY, traffic.mcc, traffic.device, traffic.card)
    for column in (*columns, size[traffic.merchant], traffic.happened_at):
        assert abs(metrics.roc_auc(front, column[new].astype(np.float64)) - 0.5) < 0.06
    for mcc in np.unique(traffic.mcc[new]).tolist():
        assert 0.12 < front[traffic.mcc[new] == mcc].mean() < 0.33


def test_optimum_is_high_and_calibrated(traffic: Traffic) -> None:
    assert traffic.optimum is not None
    late = traffic.happened_at > np.quantile(traffic.happened_at, 0.3)
    assert metrics.average_precision(traffic.fraud, traffic.optimum) > 0.8
    assert metrics.average_precision(traffic.fraud[late], traffic.optimum[late]) > 0.85
    assert traffic.optimum.sum() == pytest.approx(traffic.fraud.sum(), rel=0.06)
    sure = traffic.optimum > 0.8
    assert traffic.fraud[sure].mean() == pytest.approx(traffic.optimum[sure].mean(), abs=0.03)


def test_optimum_is_what_the_known_labels_of_the_chain_say(traffic: Traffic) -> None:
    assert traffic.optimum is not None
    rng = np.random.default_rng(0)
    chain = _chains(traffic)
    for row in rng.choice(np.flatnonzero(_new(traffic)), 60, replace=False).tolist():
        same = chain == chain[row]
        known = same & (traffic.happened_at + FRONTS.label_days * DAY <= traffic.happened_at[row])
        assert traffic.optimum[row] == pytest.approx(_bayes(traffic.fraud[known]))


def _chains(traffic: Traffic) -> Ints:
    """Return the chain of each payment, from the plan."""
    from fraud.simulate.fronts import openings

    opened = openings(np.random.default_rng(FRONTS.seed).spawn(4)[1], FRONTS)
    chains: Ints = np.concatenate([np.full(OLD, -1), opened.chain])[traffic.merchant]
    return chains


def _bayes(labels: Bools) -> float:
    """Return the chance of fraud after some labels of a chain, a quarter of chains being fronts."""
    like: Floats = np.array([0.25, 0.75])
    for fraud in labels.tolist():
        like = like * (np.array([FRAUDS, CHANCE]) if fraud else np.array([1 - FRAUDS, 1 - CHANCE]))
        like = like / like.sum()
    return float(like @ np.array([FRAUDS, CHANCE]))


def test_every_fourth_chain_is_a_front() -> None:
    assert is_front(np.array([-1, 0, 1, 2, 3, 4])).tolist() == [False, True, False, False, False, True]


@pytest.mark.parametrize(("parameter", "value"), [("cards", 3), ("days", 29), ("chains", 3)])
def test_impossible_size_is_refused(parameter: str, value: int) -> None:
    with pytest.raises(DataError, match=f"{parameter} = {value}"):
        generate(Fronts(**{parameter: value}))
