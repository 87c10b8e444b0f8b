"""The order of a refresh, and three faults put in to see that an audit names them."""

from collections.abc import Sequence

import numpy as np
import pytest

from fraud.core.learning.gate import Gate
from fraud.core.records import HOUR, KnownLabel
from tests.bench.learning import drawn
from tests.bench.learning.prequential import (
    Prequential,
    audited,
    early_labels,
    early_parameters,
    late_losses,
)


def ran(kind: type[Prequential] = Prequential, count: int = 1_500) -> Prequential:
    made = kind(drawn.stream(count), HOUR, Gate())
    made.run()
    return made


class LearnsBeforeThePeriodEnds(Prequential):
    """Labels are learned when they come, beside the gate."""

    def tell(self, rows: Sequence[int], n: int) -> None:
        for row in rows:
            self.learn(row, bool(self.verdicts[row]), n)

    def released(self, n: int) -> Sequence[KnownLabel]:
        super().released(n)
        return ()


class LosesAfterLearning(Prequential):
    """Labels are weighed by what the learner says of them now."""

    def said(self, row: int) -> tuple[float, ...]:
        one = slice(row, row + 1)
        from models.online.parameters import corrections, experts

        now = self.stack.export()
        return tuple(experts(self.stream.base[one], corrections(now, self.stream.leaves[one]))[0].tolist())


class AppliesOneBatchEarly(Prequential):
    """The last payments of a period get the parameters that its end publishes."""

    def boundary(self, n: int) -> None:
        super().boundary(n)
        if self.trace.scored and self.trace.published[-1][0] == n:
            last = self.trace.scored.pop()
            cut = max(last.begin, last.end - 5)
            self.trace.scored.append(last._replace(end=cut))
            super().decide(cut, last.end, last.period)


def test_run_keeps_the_order() -> None:
    made = ran()
    assert len(made.trace.published) > 5
    assert len(made.trace.taught) == 1_500
    assert audited(made) == []


def test_label_learned_before_its_period_ended_is_named() -> None:
    assert early_labels(ran(LearnsBeforeThePeriodEnds))


def test_loss_after_learning_is_named() -> None:
    assert late_losses(ran(LosesAfterLearning))


def test_parameters_applied_one_batch_early_are_named() -> None:
    assert early_parameters(ran(AppliesOneBatchEarly))


def test_gate_itself_refuses_a_label_behind_its_period() -> None:
    gate = Gate()
    gate.close(3)
    with pytest.raises(ValueError, match="which is closed"):
        gate.take(Prequential(drawn.stream(10), HOUR, None).label(0), 0.1, 3)


def test_runs_are_equal_to_the_bit() -> None:
    one, other = (Prequential(drawn.stream(1_500), HOUR, Gate()).run() for _ in range(2))
    np.testing.assert_array_equal(one.guarded, other.guarded)
    np.testing.assert_array_equal(one.mixture, other.mixture)


def test_learner_finds_what_the_base_does_not_know() -> None:
    found, stream = Prequential(drawn.stream(20_000), HOUR, Gate()).run(), drawn.stream(20_000)
    late = slice(10_000, None)
    y = stream.fraud[late]
    frozen, mixed = (-np.where(y, np.log(p[late]), np.log1p(-p[late])).mean() for p in (found.frozen, found.mixture))
    assert mixed < 0.99 * frozen
    assert found.alarms == []


def test_flipped_labels_move_nothing_with_the_gate_and_much_without() -> None:
    stream = drawn.stream(12_000)
    rng = np.random.default_rng(1)
    hit = (np.arange(12_000) > 6_000) & (rng.random(12_000) < 0.3)
    clean, moved = Prequential(stream, HOUR, Gate()).run(), {}
    for name, gate in (("with", Gate()), ("without", None)):
        found = Prequential(stream, HOUR, gate, verdicts=stream.fraud ^ hit).run()
        moved[name] = float(np.abs(found.mixture - clean.mixture)[9_000:].mean())
        assert bool(found.alarms) == (name == "with")
    assert moved["without"] > 5 * moved["with"]
