"""The handbook's process against the published file, or against figures measured from it."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fraud.core.records import DAY
from fraud.simulate import Traffic, fdh
from fraud.simulate.traffic import Ints
from tests.simulate.measure_fdh import REFERENCE, Payments, Summary, distances, read, summarise

DATA = Path(os.environ.get("FRAUD_DATA", Path(__file__).parents[3] / "shared" / "data"))
SMALL = fdh.Fdh(cards=300, terminals=600, days=40, radius=10.0)

# The greatest distance over 12 seeds (0 to 11), times about 1.6. Counts are relative; `hours` is half the sum of
# differences of the 24 shares; the others are Kolmogorov-Smirnov distances, in steps of .005.
TOLERANCE = {
    **{"rows": 0.045, "days": 0.0, "cards": 0.003, "terminals": 0.001, "pairs": 0.012},
    **{"frauds_1": 0.29, "frauds_2": 0.045, "frauds_3": 0.13, "fraud_cards": 0.035, "fraud_terminals": 0.035},
    **{"most_genuine": 0.0003, "hours": 0.004, "amount": 0.035, "amount_of_card_frauds": 0.095},
    **{"amount_spread_of_a_card": 0.04, "payments_of_a_card": 0.04, "payments_of_a_terminal": 0.105},
    **{"terminals_of_a_card": 0.035, "frauds_of_a_fraud_terminal": 0.14, "frauds_of_a_fraud_card": 0.11},
}


def _payments(traffic: Traffic) -> Payments:
    return Payments(traffic.happened_at, traffic.card, traffic.merchant, traffic.amount, traffic.scenario)


def _faults(found: Summary, wanted: Summary) -> set[str]:
    """Return the figures that are further off than tolerated."""
    apart = distances(found, wanted)
    return {name for name, far in apart.items() if far > TOLERANCE[name]}


@pytest.fixture(scope="module")
def wanted() -> Summary:
    """Return the figures kept of the published file."""
    figures: Summary = json.loads(REFERENCE.read_text())
    return figures


@pytest.fixture(scope="module")
def full() -> Payments:
    """Return the process at the published size."""
    return _payments(fdh.generate(fdh.Fdh()))


def test_reference_figures_published_file_are_its_own(wanted: Summary) -> None:
    if not (file := DATA / "fdh.parquet").exists():
        pytest.skip("the published file is not here: the kept figures stand for it")
    assert summarise(read(file)) == wanted


def test_fdh_published_size_is_like_the_published_file(full: Payments, wanted: Summary) -> None:
    found = summarise(full)
    assert distances(found, wanted).keys() == TOLERANCE.keys()
    assert _faults(found, wanted) == set()


def _one_hour_later(payments: Payments) -> Payments:
    return replace(payments, at=payments.at + DAY // 24)


def _amounts_a_tenth_larger(payments: Payments) -> Payments:
    return replace(payments, cents=payments.cents * 11 // 10)


def _narrow_amounts(payments: Payments) -> Payments:
    mean = np.bincount(payments.card, payments.cents) / np.maximum(np.bincount(payments.card), 1)
    nearer = mean[payments.card] + (payments.cents - mean[payments.card]) * 0.85
    return replace(payments, cents=nearer.astype(np.int64))


def _terminals_anywhere(payments: Payments) -> Payments:
    return replace(payments, terminal=np.random.default_rng(0).permutation(payments.terminal))


def _three_weeks_of_compromise(payments: Payments) -> Payments:
    kept = (payments.scenario != 2) | (np.random.default_rng(0).random(len(payments.at)) < 0.75)
    return replace(payments, scenario=np.where(kept, payments.scenario, 0))


def _card_frauds_unmultiplied(payments: Payments) -> Payments:
    return replace(payments, cents=np.where(payments.scenario == 3, payments.cents // 5, payments.cents))


@pytest.mark.parametrize(
    ("wrong", "shows"),
    [
        (_one_hour_later, "hours"),
        (_amounts_a_tenth_larger, "amount"),
        (_narrow_amounts, "amount_spread_of_a_card"),
        (_terminals_anywhere, "terminals_of_a_card"),
        (_three_weeks_of_compromise, "frauds"),
        (_card_frauds_unmultiplied, "amount_of_card_frauds"),
    ],
)
def test_fdh_wrong_process_is_told_from_the_published_file(
    wrong: Callable[[Payments], Payments], shows: str, full: Payments, wanted: Summary
) -> None:
    assert _faults(summarise(wrong(full), [shows]), wanted)


def test_fdh_terminal_frauds_last_four_weeks() -> None:
    traffic = fdh.generate(SMALL)
    day = (traffic.happened_at - SMALL.start) // DAY
    for terminal in np.unique(traffic.merchant[traffic.scenario == 2])[:20]:
        days = day[(traffic.merchant == terminal) & (traffic.scenario == 2)]
        between = (traffic.merchant == terminal) & (day > days.min()) & (day < min(days.min() + 20, days.max()))
        assert np.isin(traffic.scenario[between], (2, 3)).all()


def test_fdh_scenarios_follow_the_order_of_application() -> None:
    traffic = fdh.generate(SMALL)
    assert (traffic.amount[traffic.scenario == 1] > 22_000).all()
    assert (traffic.amount[traffic.scenario == 0] <= 22_000).all()
    assert (traffic.fraud == (traffic.scenario > 0)).all()


def test_fdh_cards_use_terminals_of_one_neighbourhood() -> None:
    wide, narrow = (fdh.generate(replace(SMALL, radius=radius)) for radius in (20.0, 5.0))
    assert _used(narrow.card, narrow.merchant) * 4 < _used(wide.card, wide.merchant)


def _used(card: Ints, merchant: Ints) -> float:
    """Return the mean number of merchants of a card."""
    return len(np.unique(card * 10**6 + merchant)) / len(np.unique(card))


@pytest.mark.parametrize("days", [1, 2])
def test_fdh_few_days_makes_payments(days: int) -> None:
    traffic = fdh.generate(fdh.Fdh(cards=50, terminals=500, days=days))
    assert len(traffic) > 0
    assert ((traffic.happened_at - SMALL.start) // DAY < days).all()
