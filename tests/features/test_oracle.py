"""The compiled `look` equals the definition of every feature, on random streams."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.records import Arrival, Transaction, Values
from tests.contract.driving import take
from tests.contract.traffic import FULL, PLAIN, Step, arrivals, steps
from tests.features.drawn import drawn_at_random
from tests.features.oracle import Oracle

RELATIVE, ABSOLUTE = 1e-5, 1e-6
COUNTED = ("count", "labels", "frauds", "weekday", "mcc", "money_back")
# Shrinking a counterexample of this size takes minutes; the first one found names feature and event.
quick = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


def differences(stream: list[Arrival]) -> list[str]:
    """Return, for each feature that is not as defined, where and what it is."""
    extractor, oracle = OnlineExtractor(MemoryStore()), Oracle()
    found = []
    for number, arrival in enumerate(stream):
        extractor.open([arrival])
        vector, expected = take(extractor, arrival), oracle.take(arrival)
        extractor.close([])
        if vector is not None and expected is not None:
            assert tuple(expected) == extractor.names
            found += [f"event {number}: {text}" for text in unequal(expected, vector.astype(float).tolist())]
    return found


def unequal(expected: dict[str, float], values: list[float]) -> list[str]:
    return [
        f"{name} is {value}, defined as {wanted}"
        for (name, wanted), value in zip(expected.items(), values, strict=True)
        if not (is_exact(wanted, value) if name_is_counted(name) else is_close(wanted, value))
    ]


def name_is_counted(name: str) -> bool:
    last = name.removeprefix("card_").removeprefix("merchant_").removeprefix("device_").removeprefix("pair_")
    return last.split("_")[0] in COUNTED or last in ("fraud_run", "ordinary_fraud_run", "last_verdict", "card_present")


def is_exact(wanted: float, value: float) -> bool:
    return wanted == value or (np.isnan(wanted) and np.isnan(value))


def is_close(wanted: float, value: float) -> bool:
    return bool(np.isclose(value, wanted, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True))


@quick
@given(steps(FULL, most=50))
def test_every_feature_equals_its_definition_on_a_stream_of_everything(drawn: list[Step]) -> None:
    assert differences(arrivals(drawn)) == []


@quick
@given(steps(PLAIN, most=120, cards=1))
def test_every_feature_equals_its_definition_when_rings_overflow(drawn: list[Step]) -> None:
    assert differences(arrivals(drawn)) == []


@quick
@given(steps(("pay", "pay", "label", "label"), most=120, cards=1))
def test_every_feature_equals_its_definition_when_verdicts_overflow(drawn: list[Step]) -> None:
    assert differences(arrivals(drawn)) == []


@pytest.mark.parametrize("seed", range(3))
def test_every_feature_equals_its_definition_on_a_long_stream(seed: int) -> None:
    assert differences(arrivals(drawn_at_random(seed, 350))) == []


def step(verb: str, device: int, amount: int) -> Step:
    return Step(verb, 0, 0, device, amount, 1, 0, 0, fraud=False)


def test_a_correction_that_returns_to_a_device_takes_nothing_of_another_version_from_it() -> None:
    there_and_back = [step("pay", 1, 3), step("correct", 0, 4), step("correct", 1, 5), step("pay", 1, 6)]
    assert differences(arrivals(there_and_back)) == []


def test_the_comparison_reports_an_extractor_that_absorbs_before_it_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    look = OnlineExtractor.look

    def sees_itself(self: OnlineExtractor, tx: Transaction) -> Values:
        self.absorb(tx, None)
        return look(self, tx)

    monkeypatch.setattr(OnlineExtractor, "look", sees_itself)
    assert any("card_count_10m is 1.0, defined as 0" in text for text in differences(arrivals([step("pay", 1, 3)])))
