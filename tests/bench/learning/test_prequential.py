"""The order of a refresh, and three faults put in to see that an audit names them."""

from collections.abc import Sequence

import msgspec
import numpy as np

from fraud.core.labels import Match
from fraud.core.pending import Pending
from fraud.core.records import HOUR, FeatureVector
from models.online.refresher import Refresher
from tests.bench.learning import drawn
from tests.bench.learning.prequential import (
    Prequential,
    Traced,
    audited,
    early_labels,
    early_parameters,
    late_losses,
)


def ran(kind: type[Prequential] = Prequential, count: int = 3_000) -> Prequential:
    made = kind(drawn.stream(count), HOUR)
    made.run()
    return made


class AtOnce(Traced):
    """Labels are learned when they come, and their payments are not when they are ripe."""

    def take(self, match: Match, period: int) -> None:
        super().take(match, period)
        item = self._book.item(match.item.tx_id)
        assert item is not None
        assert self._refresher is not None
        assert match.label is not None
        self._learn(self._refresher, item, "chargeback", fraud=match.label.verdict == "fraud", again=False)

    def _learn_ripe(self, refresher: Refresher, tx_id: str) -> None:
        del refresher, tx_id


class LearnsBeforeThePeriodEnds(Prequential):
    kind = AtOnce


class WeighsAfterLearning(Traced):
    """Labels are weighed by what the learner says of them now."""

    stream_of: Prequential

    def _learn(
        self, refresher: Refresher, item: Pending, source: str, *, fraud: bool, told: float = 1.0, again: bool
    ) -> None:
        of, row = self.stream_of, int(item.tx_id)
        said = refresher.hear(of.decision(row), FeatureVector("", of.stream.matrix[row], "", 0), int(item.said[-1]))
        super()._learn(refresher, msgspec.structs.replace(item, said=said), source, fraud=fraud, told=told, again=again)


class LosesAfterLearning(Prequential):
    kind = WeighsAfterLearning

    def run(self):  # type: ignore[no-untyped-def]
        assert isinstance(self.loop, WeighsAfterLearning)
        self.loop.stream_of = self
        return super().run()


class AppliesOneBatchEarly(Prequential):
    """The last payments of a period get the parameters that its end publishes."""

    def decide(self, rows: Sequence[int], n: int) -> None:
        cut = max(len(rows) - 5, 0)
        super().decide(rows[:cut], n)
        self.late = rows[cut:], n

    def boundary(self, n: int) -> None:
        super().boundary(n)
        rows, period = getattr(self, "late", ((), 0))
        super().decide(rows, period)
        self.late = (), 0


def test_run_keeps_the_order() -> None:
    made = ran()
    assert len(made.trace.published) > 5
    assert len(made.trace.taught) == 3_000
    assert audited(made) == []


def test_label_learned_before_its_period_ended_is_named() -> None:
    assert early_labels(ran(LearnsBeforeThePeriodEnds))


def test_loss_after_learning_is_named() -> None:
    assert late_losses(ran(LosesAfterLearning))


def test_parameters_applied_one_batch_early_are_named() -> None:
    assert early_parameters(ran(AppliesOneBatchEarly))


def test_runs_are_equal_to_the_bit() -> None:
    one, other = (Prequential(drawn.stream(1_500), HOUR).run() for _ in range(2))
    np.testing.assert_array_equal(one.guarded, other.guarded)
    np.testing.assert_array_equal(one.mixture, other.mixture)


def test_learner_finds_what_the_base_does_not_know() -> None:
    found, stream = Prequential(drawn.stream(20_000), HOUR).run(), drawn.stream(20_000)
    late = slice(10_000, None)
    y = stream.fraud[late]
    frozen, mixed = (-np.where(y, np.log(p[late]), np.log1p(-p[late])).mean() for p in (found.frozen, found.mixture))
    assert mixed < 0.99 * frozen
    assert found.alarms == []


def test_flipped_labels_move_nothing_with_the_gate_and_much_without() -> None:
    stream = drawn.stream(12_000)
    rng = np.random.default_rng(1)
    hit = (np.arange(12_000) > 6_000) & (rng.random(12_000) < 0.3)
    clean, moved = Prequential(stream, HOUR).run(), {}
    for name, made in (
        ("with", Prequential(stream, HOUR, verdicts=stream.fraud ^ hit)),
        ("without", Prequential(stream, HOUR, (), verdicts=stream.fraud ^ hit)),
    ):
        found = made.run()
        moved[name] = float(np.abs(found.mixture - clean.mixture)[9_000:].mean())
        assert bool(found.alarms) == (name == "with")
    assert moved["without"] > 5 * moved["with"]
