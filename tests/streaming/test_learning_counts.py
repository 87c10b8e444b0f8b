"""What /metrics shows of learning: drift, and figures with and without untold frauds; nothing where there is none."""

from typing import Any

import msgspec

from streaming.labels.counts import LearningCounts
from streaming.labels.learning import fitting
from streaming.messages.bounds import MOST_SENT
from streaming.observe.counts import Cells, Tally


class StubOutlet:
    """What is published, to the collector."""

    events = Tally()


class StubLearning:
    """A learning loop's process, to the collector."""

    outlet = StubOutlet()
    took = Cells([0.1])

    def __init__(self, figures: dict[str, Any]) -> None:
        self.figures = figures


def samples(figures: dict[str, Any]) -> dict[tuple[str, ...], float]:
    """Return every sample by its name and labels."""
    collector = LearningCounts(StubLearning(figures))  # type: ignore[arg-type]
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in collector.collect()
        for sample in family.samples
    }


def test_drift_and_figures_are_shown_by_name() -> None:
    known = {"ap_naive": 0.4, "ap_corrected": 0.6, "fraud_share_naive": 0.01, "fraud_share_corrected": 0.02, "rows": 9}
    found = samples({"drift": {"score": 0.3, "hour": 0.0}, "known": {"mixture": known}})
    assert found["fraud_drift_psi", "score"] == 0.3
    assert found["fraud_drift_psi", "hour"] == 0.0
    assert found["fraud_learned_ap", "mixture", "naive"] == 0.4
    assert found["fraud_learned_fraud_share", "mixture", "corrected"] == 0.02


def test_figures_that_are_undefined_are_left_out() -> None:
    none = {"ap_naive": None, "ap_corrected": None, "fraud_share_naive": 0.0, "fraud_share_corrected": 0.0}
    found = samples({"known": {"frozen": none}})
    assert not any(name[0] == "fraud_learned_ap" for name in found)
    assert found["fraud_learned_fraud_share", "frozen", "naive"] == 0.0


def test_what_the_gate_holds_is_told_as_far_as_it_fits_in_a_message() -> None:
    few = {f"merchant/{n}": {"count": n, "since": 1, "examples": ["t"]} for n in range(9)}
    assert msgspec.json.decode(fitting(few)) == few
    many = {f"merchant/{n}": {"count": n, "since": 1, "examples": ["t" * 256] * 3} for n in range(5_000)}
    told = fitting(many)
    assert len(told) < MOST_SENT
    held = msgspec.json.decode(told)
    assert 500 < len(held) < 5_000
    assert min(chart["count"] for chart in held.values()) == 5_000 - len(held)
