"""The judge of the handbook's payments follows Bayes' rule and uses no verdict before it is known."""

import math

import numpy as np
import pytest

from fraud.core import metrics
from fraud.core.records import DAY, HOUR
from fraud.simulate.fdh import Fdh, generate
from fraud.training.dataset import Dataset, Identity, Meta
from tests.bench import handbook

DELAY = 7 * DAY
START = 1_000 * DAY
HALF = Fdh(cards=1_200, terminals=2_400, radius=6.0, days=60, seed=3)


def dataset_of(days: list[float], cards: list[int], merchants: list[int], amounts: list[float], frauds: list[int],
               delay: int = DELAY) -> Dataset:  # fmt: skip
    """Return payments, given in order of time, as a data set without features."""
    time = np.array([START + round(day * DAY) for day in days])
    codes = (np.array(cards, np.int32), np.array(merchants, np.int32))
    cents, fraud = np.array([round(amount * 100) for amount in amounts]), np.array(frauds, np.int8)
    meta = Meta(Identity("", "", delay), (), len(days))
    return Dataset(meta, np.zeros((len(days), 0), np.float32), time, *codes, cents, fraud, fraud)


def generated(delay: int) -> Dataset:
    """Return payments of the process itself."""
    made = generate(HALF)
    codes = (made.card.astype(np.int32), made.merchant.astype(np.int32))
    meta = Meta(Identity("", "", delay), (), len(made))
    fraud = made.fraud.astype(np.int8)
    matrix = np.zeros((len(made), 0), np.float32)
    return Dataset(meta, matrix, made.happened_at, *codes, made.base_amount, fraud, made.scenario.astype(np.int8))


@pytest.mark.parametrize("amount", [20.0, 52.5, 110.0, 150.0, 215.0])
def test_a_first_payment_is_judged_by_its_amount_alone(amount: float) -> None:
    chance = handbook.judged(dataset_of([0.5], [0], [0], [amount], [0]))[0]

    def normal(mean: float) -> float:
        tail = 0.02275 / (2 * mean) if amount <= 2 * mean else 0.0
        deviation = mean / 2
        return math.exp(-(((amount - mean) / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi)) + tail

    card, merchant = 14 * 3 / 5_000, 28 * 2 / 10_000
    large, genuine = card / 3 * normal(5 * 52.5), (1 - card / 3) * normal(52.5)
    of_card = large / (large + genuine)
    assert chance == pytest.approx(1 - (1 - of_card) * (1 - merchant), rel=1e-3)


def test_every_amount_above_the_limit_is_a_fraud() -> None:
    assert list(handbook.judged(dataset_of([0.5, 0.6], [0, 0], [0, 0], [220.01, 220.0], [1, 0])) == 1) == [True, False]


def test_a_merchant_is_judged_by_the_run_of_its_known_frauds() -> None:
    # Genuine on day 0, frauds on days 1, 3 and 5: looked at before one is known, in the run, and when it is known over.
    days = [0.5, 1.5, 3.5, 5.5, 7.9, 12.9, 20.5]
    chance = handbook.judged(dataset_of(days, list(range(7)), [0] * 7, [50.0] * 7, [0, 1, 1, 1, 0, 0, 0]))
    assert chance[4] < 0.02
    assert chance[5] > 0.99
    assert chance[6] < 0.02


def test_an_unknown_start_is_shared_out() -> None:
    # Frauds on days 0, 2 and 4, nothing before: of the 24 days on which it can have begun, 16 reach to day 12.
    days = [0.5, 2.5, 4.5, 12.5]
    chance = handbook.judged(dataset_of(days, list(range(4)), [0] * 4, [50.0] * 4, [1, 1, 1, 0]))
    assert chance[3] == pytest.approx(16 / 24, abs=0.01)


def test_a_compromise_whose_start_is_known_ends_after_28_days() -> None:
    # A genuine payment on day 0, frauds from day 1 on: it began on day 1 and covers days 1 to 28.
    days = [0.5, 1.5, 3.5, 10.5, 20.5, 28.5, 29.5]
    chance = handbook.judged(dataset_of(days, list(range(7)), [0] * 7, [50.0] * 7, [0, 1, 1, 1, 1, 1, 0]))
    assert chance[5] > 0.99
    assert chance[6] < 0.02


def test_large_amounts_tell_of_a_card_before_any_verdict() -> None:
    days = [float(day) for day in range(40)] + [40.0, 40.2]
    quiet = handbook.judged(dataset_of(days, [0] * 42, list(range(42)), [20.0] * 40 + [20.0, 42.0], [0] * 42))
    stolen = handbook.judged(dataset_of(days, [0] * 42, list(range(42)), [20.0] * 40 + [100.0, 42.0], [0] * 42))
    assert quiet[41] < 0.01 < 0.2 < stolen[41]


def test_no_verdict_is_used_before_it_is_known() -> None:
    data = generated(DELAY)
    before = handbook.judged(data)
    late = data.time > data.time[-1] - DELAY
    assert np.array_equal(handbook.judged(data._replace(fraud=np.where(late, 1 - data.fraud, data.fraud))), before)
    early = data.time < data.time[-1] - 2 * DELAY
    assert not np.array_equal(handbook.judged(data._replace(fraud=np.where(early, 1 - data.fraud, data.fraud))), before)


def test_the_sooner_verdicts_come_the_better_the_judge() -> None:
    found = []
    for delay in (HOUR, DAY, DELAY):
        data = generated(delay)
        late = data.day >= 40
        found.append(metrics.average_precision(data.fraud[late] == 1, handbook.judged(data)[late]))
    assert found[0] > found[1] + 0.02 > found[2] + 0.1


def test_log_odds_are_bounded_and_become_a_column() -> None:
    data = dataset_of([0.5, 1.5], [0, 0], [0, 0], [20.0, 230.0], [0, 1])
    told = handbook.told(data, np.array([0.5, 1.0]))
    assert told.names == ("judge",)
    assert told.matrix[:, 0] == pytest.approx([0.0, math.log(1e9)], rel=1e-3)
