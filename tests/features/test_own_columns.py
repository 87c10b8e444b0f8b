"""Own columns follow the base's: as sent, NaN where nothing usable was; without a declaration nothing changes."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.extractor import OnlineExtractor
from features.spec import base, spec
from features.stores.memory import MemoryStore
from fraud.core.attributes.declaration import NOTHING, Declaration
from fraud.core.attributes.values import word_hash
from fraud.core.records import Arrival, Position, Transaction

DECLARED = Declaration(("new", "old"), ("word",), (), (("drift", "old - amount - new"), ("late", "hour - 12")))
NAMES = ("attrs.new", "attrs.old", "attrs.drift", "attrs.late", "attrs.word")
BASE_VERSION = "f991c0bb6e3c"
ANY = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers()))


def payment(attrs: dict[str, Any] | None, number: int = 0) -> Transaction:
    at = (1_700_000_000 + 3_600 * number) * 10**9
    return Transaction(
        id=f"t{number}", card="c", merchant="m", amount=1234, base_amount=1234, happened_at=at, seen_at=at, attrs=attrs
    )


def vector(tx: Transaction, extractor: OnlineExtractor | None = None) -> np.ndarray[Any, Any]:
    made, arrival = extractor or OnlineExtractor(MemoryStore(), 2, DECLARED), Arrival(tx, Position("t", 0, 0))
    made.open([arrival])
    values = made.look(tx)
    made.close([])
    return values


def test_spec_without_a_declaration_is_the_base() -> None:
    assert spec() is base()
    assert spec(NOTHING).version == OnlineExtractor(MemoryStore()).version == BASE_VERSION


def test_spec_of_a_declaration_appends_its_columns_and_has_another_version() -> None:
    made = spec(DECLARED)
    assert made.names == (*base().names, *NAMES)
    others = {spec(Declaration(numbers=("new",))).version, spec(Declaration(numbers=("old",))).version}
    assert len(others | {made.version, base().version}) == 4


def test_own_columns_are_as_sent_and_computed() -> None:
    tx = payment({"old": 31_000, "new": 0.0, "more": "x", "word": "A"})
    assert vector(tx)[-5:].tolist() == pytest.approx(
        [0.0, 31_000.0, 31_000 - 12.34, 22.2222 - 12, word_hash("A")], rel=1e-4
    )


def test_message_without_own_values_is_taken_with_missing_ones() -> None:
    assert np.isnan(vector(payment(None))[-5:-2]).all()


@given(st.dictionaries(st.sampled_from(["old", "new", "other"]), ANY))
def test_any_values_leave_the_base_alone_and_give_numbers_or_nothing(attrs: dict[str, Any]) -> None:
    found = vector(payment(attrs))
    plain = vector(payment(attrs), OnlineExtractor(MemoryStore()))
    assert found[:-5].tobytes() == plain.tobytes()
    assert not np.isinf(found[-5:]).any()
    for place, name in ((-5, "new"), (-4, "old")):
        value = attrs.get(name)
        usable = isinstance(value, int | float) and value is not True and value is not False and abs(value) <= 3e38
        assert math.isnan(found[place]) != usable


def test_own_values_are_no_state() -> None:
    with_values, without = OnlineExtractor(MemoryStore(), 2, DECLARED), OnlineExtractor(MemoryStore())
    for number in range(20):
        tx = payment({"old": number, "new": "x"}, number)
        arrival = Arrival(tx, Position("t", 0, number))
        vectors = []
        for extractor in (with_values, without):
            extractor.open([arrival])
            vectors.append(extractor.look(tx))
            extractor.absorb(tx, arrival.position)
            extractor.close([])
        assert vectors[0][:-5].tobytes() == vectors[1].tobytes()
