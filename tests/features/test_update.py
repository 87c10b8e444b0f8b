"""Rows depend on the set of what they took in, not on its order."""

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from features.extractor import OnlineExtractor
from features.state import layout as at
from features.state.update import EVERY_ROW, absorb, apply
from features.state.windows import prepare
from features.stores.memory import MemoryStore
from fraud.core.records import Mark, Position, Transaction

PAID = 1_700_000_000_000_000
HOUR = 3_600_000_000
MONEY = re.compile("amount|.*_(sum|mean|max)_(10m|1h|1d|7d|30d)(?<!vs_mean_30d)")


def payment() -> NDArray[np.int64]:
    change = np.zeros(at.CHANGE_FIELDS, np.int64)
    change[[at.C_AT, at.C_AMOUNT, at.C_TX, at.C_CARD, at.C_MERCHANT]] = PAID, 5_000, 77, 11, 22
    change[[at.C_SIGN, at.C_COUNTED]] = 1
    prepare(change)
    return change


def verdict() -> NDArray[np.int64]:
    label = np.zeros(at.LABEL_FIELDS, np.int64)
    label[[at.L_AT, at.L_FRAUD, at.L_TX, at.L_PAID, at.L_SOURCE]] = PAID + HOUR, 1, 77, PAID, 2
    return label


def taken_in(*, verdict_first: bool) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    entities, pairs = np.zeros((3, at.ENTITY_BYTES), np.uint8), np.zeros((2, at.PAIR_BYTES), np.uint8)
    rows = np.array([1, 2, -1, 1])
    if verdict_first:
        apply(entities, pairs, rows, verdict(), EVERY_ROW)
    absorb(entities, pairs, rows, payment(), EVERY_ROW)
    if not verdict_first:
        apply(entities, pairs, rows, verdict(), EVERY_ROW)
    return entities, pairs


def test_verdict_before_its_payment_leaves_the_same_rows_as_after_it() -> None:
    for early, late in zip(taken_in(verdict_first=True), taken_in(verdict_first=False), strict=True):
        assert np.array_equal(early, late)
        assert early.any()


def paid(number: int) -> Transaction:
    """Return one of a card's payments, an hour after the one before."""
    at_ns = (PAID + number * HOUR) * 1_000
    return Transaction(
        id=f"t{number}", card="C", merchant="M", amount=100, base_amount=100, happened_at=at_ns, seen_at=at_ns
    )


@pytest.mark.parametrize(("between", "counts"), [(at.RING - 1, False), (at.RING, True)])
def test_retry_past_its_first_answer_counts_once_within_24_payments_and_twice_behind_them(
    between: int, *, counts: bool
) -> None:
    """docs/delivery.md says so: a card's row knows its newest payments, whatever the first answer is."""
    assert at.RING == 24
    store = MemoryStore()
    extractor = OnlineExtractor(store)
    extractor.open([])
    for number in range(between + 1):
        extractor.absorb(paid(number), Position("t", 0, number))
    before = store.entities.get("cC")
    marks = extractor.absorb(paid(0), Position("t", 0, 100))
    assert marks == (() if counts else (Mark.REPEATED,))
    assert (store.entities.get("cC") != before) is counts


def looked(digits: int) -> NDArray[np.float32]:
    """Return the vector of a card's third payment where the base currency has so many digits."""
    extractor = OnlineExtractor(MemoryStore(), digits)
    extractor.open([])
    for number in range(2):
        extractor.absorb(paid(number), Position("t", 0, number))
    return extractor.look(paid(2))


@pytest.mark.parametrize(("digits", "times"), [(0, 100.0), (3, 0.1)])
def test_sums_are_told_in_the_major_unit_of_the_base_and_nothing_else_changes(digits: int, times: float) -> None:
    names, usual, other = OnlineExtractor(MemoryStore()).names, looked(2), looked(digits)
    money = np.array([bool(MONEY.fullmatch(name)) for name in names])
    assert np.array_equal(other[~money], usual[~money], equal_nan=True)
    assert usual[names.index("card_sum_1d")] == 2.0
    assert np.allclose(other[money], usual[money] * times, rtol=1e-6, equal_nan=True)
