"""F, the share of frauds that is told by the age of learning: of what is settled, and before that of what is told."""

import msgspec
import numpy as np
import pytest

from fraud.core.fields import Duration
from fraud.core.learning.told import MOST_DAYS, ToldShare
from fraud.core.records import DAY

M, DEADLINE = 7 * DAY, 45 * DAY


def lived(days: int, median: float, spread: float = 0.6, each: int = 20) -> ToldShare:
    """Return what is known after so many days of frauds that are told log-normally late."""
    rng, shares = np.random.default_rng(1), ToldShare()
    paid = np.arange(days * each) * DAY // each
    delay = (np.exp(rng.normal(np.log(median), spread, len(paid))) * DAY).astype(np.int64)
    told = [(int(at + late), 1, int(at), int(late)) for at, late in zip(paid, delay, strict=True) if late <= DEADLINE]
    settled = [(int(at) + DEADLINE, 0, int(at), late) for _, _, at, late in told]
    for at, young, paid_at, late in sorted(told + settled):
        if at > days * DAY:
            break
        if young:
            shares.seen("web", paid_at, late, M)
        else:
            shares.closed("web", late, M, paid_at)
    return shares


@pytest.mark.parametrize(("median", "told"), [(1.0, 1.0), (3.0, 0.92), (7.0, 0.5), (14.0, 0.12)])
def test_share_is_near_the_truth_a_month_before_the_first_deadline_has_passed(median: float, told: float) -> None:
    assert lived(14, median).share("web") == pytest.approx(0.5, abs=0.05)
    early, late = lived(30, median).share("web"), lived(90, median).share("web")
    assert early == pytest.approx(told, abs=0.1)
    assert late == pytest.approx(told, abs=0.06)
    # of a channel of which nothing was told nothing is known
    assert lived(30, median).share("pos") == 0.5


def test_fraud_is_counted_once_whether_its_deadline_has_passed_or_not() -> None:
    shares = ToldShare()
    for number in range(40):
        shares.seen("web", number % 2 * DAY, 5, M)
    assert shares.share("web") == 0.5
    shares.seen("web", 20 * DAY, 5, M)
    before = shares.share("web")
    for number in range(40):
        shares.closed("web", 5, M, number // 20 * DAY)
    assert before == shares.share("web") == pytest.approx((40 + 10) / (40 + 20))


def test_only_so_many_days_are_kept_and_all_survives_a_snapshot() -> None:
    shares, other = ToldShare(), ToldShare()
    for day in range(2 * MOST_DAYS):
        shares.seen("web", day * DAY, DAY if day % 2 else 9 * DAY, M)
    assert len(shares._state.young["web"]) == MOST_DAYS
    other.restore(shares.snapshot())
    assert other.shares() == shares.shares()
    for one in (shares, other):
        one.closed("web", DAY, M, 2 * MOST_DAYS * DAY - 40 * DAY)
        one.seen("web", 2 * MOST_DAYS * DAY, DAY, Duration(M))
    assert other.snapshot() == shares.snapshot()
    assert other.shares() == shares.shares()


def test_counts_of_the_release_before_are_read() -> None:
    shares = ToldShare()
    shares.restore(msgspec.msgpack.encode({"web": (60, 80)}))
    assert shares.share("web") == pytest.approx(70 / 100)
