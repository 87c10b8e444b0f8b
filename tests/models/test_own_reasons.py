"""Own columns are told beside what is usual of them, as people write them."""

import numpy as np
import pytest

from fraud.core.attributes.values import word_hash
from models.reasons import sentences
from models.reasons.own import OwnUsual, usual_of
from models.reasons.reading import Reading

NAN = float("nan")
OWN = OwnUsual(
    {"attrs.old_balance": 31_000.0, "attrs.type": float(word_hash("PAYMENT")), "attrs.seldom": NAN},
    {"attrs.type": {word_hash(word): word for word in ("PAYMENT", "TRANSFER")}},
)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("attrs.old_balance", 0.0, "Old balance 0, usual 31,000"),
        ("attrs.old_balance", 12.5, "Old balance 12.50, usual 31,000"),
        ("attrs.old_balance", NAN, "Old balance not given, usual 31,000"),
        ("attrs.old_balance", 31_000.0, None),
        ("attrs.type", word_hash("TRANSFER"), "Type 'TRANSFER', usual 'PAYMENT'"),
        ("attrs.type", word_hash("new one"), "Type a rare word, usual 'PAYMENT'"),
        ("attrs.seldom", 3.0, "Seldom 3"),
        ("attrs.seldom", NAN, None),
    ],
)
def test_own_column_is_told_beside_what_is_usual(name: str, value: float, told: str | None) -> None:
    fact = sentences.other(Reading({name: 0}, np.array([value], np.float32), name, own=OWN))
    assert (fact.text if fact else None) == told


def test_usual_is_the_median_and_the_commonest_word() -> None:
    rows = np.array([[1, 7, NAN], [2, 7, NAN], [50, 9, 3]], np.float32)
    assert usual_of(rows, [False, True, False]).tolist()[:2] == [2.0, 7.0]
    assert np.isnan(usual_of(rows, [False, True, False])[2])
