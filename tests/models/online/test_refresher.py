"""A refresher publishes no longer a step than the bound, whatever lies between two sets of parameters."""

import numpy as np
import pytest

from fraud.core.learning.guard import ALERTS_LEAST, ALERTS_MOST, STEP_RMS
from fraud.core.learning.journal import MemoryJournal
from models.online.parameters import Parameters
from models.online.refresher import Pace, Refresher
from tests.models.online.grown import LEAVES, World, base

ALERT = -5.0


def filled() -> Refresher:
    """Return a refresher that has heard of payments."""
    world = World(3_000)
    refresher = Refresher(base(), Pace(), MemoryJournal())
    for row in range(3_000):
        refresher.hear(world.decision(row), world.vector(row), 0)
    return refresher


def of(fast: float, weight: float) -> Parameters:
    """Return parameters of the fast pace alone, the same change of every leaf."""
    changes = np.zeros((2, LEAVES), np.float32)
    changes[1] = fast
    return Parameters((1 - weight, 0.0, weight), changes)


@pytest.mark.parametrize(
    ("live", "fresh"),
    [
        (of(0.0, 1.0), of(12.0, 1.0)),  # sixteen times the clip
        (of(0.7, 1.0), of(0.0, 0.0)),
        (of(-0.7, 1.0), of(0.0, 0.5)),
        (of(0.0, 0.5), of(0.05, 0.5)),
    ],
)
def test_a_step_that_is_cut_moves_payments_by_the_bound_at_most(live: Parameters, fresh: Parameters) -> None:
    refresher = filled()
    refresher.live = live
    refresher._stack.export = lambda: fresh  # type: ignore[method-assign]
    before = refresher.recent.log_odds(live)
    step = refresher.refresh(lambda amount: ALERT)
    assert step is not None
    after = refresher.recent.log_odds(refresher.live)
    moved = float(np.sqrt(np.mean(np.square(after - before))))
    assert 0.5 * STEP_RMS < moved <= STEP_RMS
    assert step.rms * step.share == pytest.approx(moved, rel=1e-3)
    alerts = np.count_nonzero(after >= ALERT) / np.count_nonzero(before >= ALERT)
    assert ALERTS_LEAST <= alerts <= ALERTS_MOST
    assert step.alerts == pytest.approx(alerts)


def test_what_the_last_decisions_would_get_is_cut_where_payments_are() -> None:
    refresher, row, clip = filled(), 7, 0.5
    parameters = of(2.0, 1.0)._replace(clip=clip)
    base = float(refresher.recent.log_odds(of(0.0, 1.0))[row])
    assert refresher.recent.log_odds(parameters)[row] == pytest.approx(base + clip)


def grown(live: Parameters, fresh: Parameters, at: float, count: int = 3_000) -> tuple[Refresher, list[float]]:
    """Return a refresher that has refreshed until nothing is left of a step, and the shares of it that were taken."""
    refresher, shares = filled(), [1.0]
    refresher.live = live
    refresher._stack.export = lambda: fresh  # type: ignore[method-assign]
    while (step := refresher.refresh(lambda amount: at)) is not None and step.share:
        shares.append(step.share)
        assert len(shares) < count
    return refresher, shares[1:]


@pytest.mark.parametrize("moved", [0.7, -0.7])
def test_a_step_that_makes_too_many_or_few_alerts_is_taken_in_parts(moved: float) -> None:
    fresh = of(moved, 1.0)
    top = float(np.quantile(filled().recent.log_odds(of(0.0, 1.0)), 0.999))
    refresher, shares = grown(of(0.0, 1.0), fresh, top)
    assert len(shares) > 1
    assert refresher.live.changes == pytest.approx(fresh.changes, abs=1e-3)


def test_a_step_whose_every_part_makes_too_many_alerts_is_refused() -> None:
    refresher, fresh = filled(), of(0.02, 1.0)
    refresher.recent._base[:] = -2.0  # all at one score
    refresher._stack.export = lambda: fresh  # type: ignore[method-assign]
    refresher.live = of(0.0, 1.0)
    while (step := refresher.refresh(lambda amount: -1.99)) is not None and step.share:
        pass
    assert step is not None
    assert "would go from 0 to 3000" in step.why
    assert 0 < refresher.live.changes[1, 0] < 0.01


def test_one_label_that_moves_few_payments_is_published_and_next_to_nothing_is_not() -> None:
    refresher, live = filled(), of(0.0, 1.0)
    rare = of(0.0, 1.0)
    rare.changes[1, 0] = 0.01  # a leaf that no payment of the last ones ends in
    refresher.recent._leaves[:, 0] = 1
    for fresh, published in ((rare, True), (of(0.0002, 1.0), False)):
        refresher.live = live
        refresher._stack.export = lambda fresh=fresh: fresh  # type: ignore[method-assign, misc]
        step = refresher.refresh(lambda amount: ALERT)
        assert (step is not None) is published
        assert (refresher.live is fresh) is published
