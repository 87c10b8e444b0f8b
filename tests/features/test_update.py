"""Rows depend on the set of what they took in, not on its order."""

import numpy as np
from numpy.typing import NDArray

from features.state import layout as at
from features.state.update import EVERY_ROW, absorb, apply
from features.state.windows import prepare

PAID = 1_700_000_000_000_000
HOUR = 3_600_000_000


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
