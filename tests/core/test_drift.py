"""Drift: found where values move, silent where only chance does, the same after a restart."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from fraud.core.drift import DRIFT, SAMPLES, SCORE, SHOWN, Drift, Finding
from fraud.core.errors import StateError
from fraud.core.fields import Duration
from fraud.core.learning.journal import MemoryJournal
from fraud.core.learning.settings import DriftSection
from fraud.core.records import DAY, HOUR
from fraud.core.stability import Bins, Thinned, chance, stability

F32 = NDArray[np.float32]
NAMES = ("amount", "count", "constant", "missing", "hour")
START = 100 * DAY
STILL: Mapping[str, float] = {}


def rows(rng: np.random.Generator, count: int, moved: Mapping[str, float] = STILL) -> F32:
    """Return vectors; `moved` tells by how much a feature's values have moved."""
    made = np.column_stack(
        [
            rng.lognormal(3, 1, count) * math.exp(moved.get("amount", 0.0)),
            rng.poisson(1.5 + moved.get("count", 0.0), count),
            rng.random(count) < moved.get("constant", 0.0),
            np.where(rng.random(count) < 0.3 + moved.get("missing", 0.0), np.nan, 1.0),
            np.arange(count) * 24 // count,
        ]
    )
    return made.astype(np.float32)


def scores(rng: np.random.Generator, count: int, moved: float = 0.0) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-rng.normal(-4 + moved, 1.5, count))))


def hear(drift: Drift, matrix: F32, said: NDArray[np.float64], day: int) -> tuple[Finding, ...]:
    """Let a day go by, an hour at a time; return what its end has to say."""
    found: list[Finding] = []
    for hour, part in enumerate(np.array_split(np.arange(len(matrix)), 24)):
        for row in part.tolist():
            drift.hear(matrix[row], float(said[row]))
        found += drift.close(START + day * DAY + hour * HOUR)
    return tuple(found)


def kept(drift: Drift) -> MemoryJournal:
    """Return a journal with what a watch for drift keeps, whatever it has kept elsewhere."""
    journal = MemoryJournal()
    drift._kept = set(), set()
    drift.keep(journal)
    return journal


def days(
    drift: Drift, number: int, *, first: int = 0, a_day: int = 1_200, moved: Mapping[str, float] = STILL
) -> list[Finding]:
    """Return what is found in days that are alike."""
    rng, found = np.random.default_rng((7, first)), list[Finding]()
    for day in range(first, first + number):
        found += hear(drift, rows(rng, a_day, moved), scores(rng, a_day, moved.get("score", 0.0)), day)
    return found


def rules(**given: object) -> DriftSection:
    """Return settings for few decisions."""
    return DriftSection(**{"reference": 1_000, "window": Duration(DAY), **given})  # type: ignore[arg-type]


@pytest.mark.parametrize("spread", [1.0, 0.2])
def test_index_without_drift_is_what_chance_gives(spread: float) -> None:
    rng, n, m = np.random.default_rng(1), 4_000, 1_000
    found = []
    for _ in range(300):
        both = [np.round(rng.normal(0, 1, (count, 8)) / spread).astype(np.float32) * spread for count in (n, m)]
        by = Bins.of(both[0], 10)
        reference, window = (by.counts(each) for each in both)
        used = ((reference + window) > 0).sum(axis=1)
        means, bounds = zip(*(chance(int(bins), n, m) for bins in used), strict=True)
        found.append(stability(reference, window) / np.array(means))
        assert (stability(reference, window) < bounds).all()
    assert float(np.mean(found)) == pytest.approx(1, abs=0.06)


def test_bound_of_chance_is_the_quantile_of_chi_squared() -> None:
    # 1 - Phi(4.5) = 3.4e-6; tables of chi-squared with 9 degrees of freedom give 43.1 there
    mean, bound = chance(10, 2_000, 2_000)
    assert mean == pytest.approx(0.009)
    assert bound == pytest.approx(43.1 / 1_000, rel=0.03)
    assert chance(1, 10, 10) == (0.0, 0.0)


def test_nothing_is_found_where_nothing_moves() -> None:
    assert days(Drift(NAMES, rules()), 20) == []


def test_small_windows_are_no_alarm_at_a_low_threshold() -> None:
    drift = Drift(NAMES, rules(least=100, reference=200, psi=0.06))
    assert days(drift, 40, a_day=120) == []


@pytest.mark.parametrize(
    ("moved", "by"), [("amount", 1.0), ("count", 1.5), ("constant", 0.1), ("missing", 0.4), (SCORE, 1.5)]
)
def test_what_has_moved_is_named_once_and_so_is_its_end(moved: str, by: float) -> None:
    drift = Drift(NAMES, rules(psi=0.2))
    assert days(drift, 3) == []
    found = days(drift, 3, first=3, moved={moved: by})
    assert [list(one.details["psi"]) for one in found] == [[moved]]
    assert found[0].text.startswith("drift of 1 at 0.2 or more")
    assert drift.figures()[moved] > 0.2
    ended = days(drift, 3, first=6)
    assert [one.details for one in ended] == [{"ended": [moved]}]


def test_reference_is_spread_over_a_whole_window() -> None:
    # 1,000 decisions are there within hours; of these alone `hour` would drift ever after
    drift = Drift(NAMES, rules())
    assert days(drift, 4, a_day=4_000) == []


def test_thinned_rows_are_evenly_spread_and_bounded() -> None:
    thinned = Thinned(100, 1)
    for number in range(12_345):
        thinned.add(np.array([number], np.float32))
    kept = thinned.matrix()[:, 0]
    assert 100 <= len(kept) < 200
    assert set(np.diff(kept).tolist()) == {float(thinned.stride)}


def test_scores_of_the_artifact_are_the_reference_from_the_first_window_on() -> None:
    kept = scores(np.random.default_rng(5), 4_001)
    assert days(Drift(NAMES, rules(), kept), 2) == []
    found = days(Drift(NAMES, rules(), kept), 2, moved={"score": 1.5})
    assert [list(one.details["psi"]) for one in found] == [[SCORE]]


def test_raise_review_tells_what_would_keep_the_share_of_alerts_and_changes_nothing() -> None:
    drift = Drift(NAMES, rules(action="raise-review"), review_at=0.1)
    days(drift, 2, a_day=20_000)
    (found,) = days(drift, 2, first=2, a_day=20_000, moved={"score": 1.0})
    review = found.details["review"]
    before = 0.5 * math.erfc((math.log(0.1 / 0.9) + 4) / 1.5 / math.sqrt(2))
    assert review["before"] == pytest.approx(before, rel=0.1)
    assert math.log(review["review_at"] / (1 - review["review_at"])) == pytest.approx(math.log(0.1 / 0.9) + 1, abs=0.1)
    assert review["now"] > 1.5 * review["before"]
    assert "would stay at" in found.text
    assert not found.hold


def test_hold_asks_for_refreshes_to_stop_and_page_does_not() -> None:
    for action in ("hold", "page"):
        drift = Drift(NAMES, rules(action=action))
        days(drift, 2)
        (found,) = days(drift, 2, first=2, moved={"amount": 1.0})
        assert found.hold is (action == "hold")
        assert ("until somebody lets refreshes go on" in found.text) is found.hold


def test_a_window_of_few_decisions_is_joined_with_the_next() -> None:
    drift = Drift(NAMES, rules())
    days(drift, 1)
    assert days(drift, 1, first=1, a_day=600, moved={"amount": 2.0}) == []
    assert len(days(drift, 2, first=2, a_day=600, moved={"amount": 2.0})) == 1


def test_decisions_without_vector_or_score_are_no_drift() -> None:
    drift = Drift(NAMES, rules())
    days(drift, 2)
    for _ in range(2_000):
        drift.hear(None, None)
    found = drift.close(START + 4 * DAY)
    assert [list(one.details["psi"]) for one in found] == [[SCORE]]  # scores are missing, which they were not


def test_ten_figures_at_most_and_the_score_among_them() -> None:
    names = [f"f{number}" for number in range(30)]
    drift, rng = Drift(names, rules()), np.random.default_rng(2)
    for day in range(3):
        hear(drift, rng.normal(0, 1, (1_200, 30)).astype(np.float32), scores(rng, 1_200), day)
    assert len(drift.figures()) == SHOWN
    assert SCORE in drift.figures()


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_restored_drift_goes_on_as_if_nothing_had_happened(cut: int) -> None:
    whole, first, again = (Drift(NAMES, rules(), review_at=0.1) for _ in range(3))
    extra = rows(np.random.default_rng(9), 1)[0]

    def day(drift: Drift, number: int) -> list[Finding]:
        return days(drift, 1, first=number, moved={"amount": float(number == 3)})

    for number in range(cut):
        assert day(first, number) == day(whole, number)
    for drift in (first, whole):
        drift.hear(extra, 0.5)
    again.take_up(kept(first))
    found = []
    for number in range(cut, 6):
        found += (same := day(again, number))
        assert same == day(whole, number)
        assert kept(again).snapshot() == kept(whole).snapshot()
    assert [next(iter(one.details)) for one in found] == ["action", "ended"]


def test_state_of_other_features_is_refused() -> None:
    saved = kept(Drift(NAMES, rules()))
    for other in (Drift(NAMES[:2], rules()), Drift(NAMES, rules(bins=5))):
        with pytest.raises(StateError, match="start it anew"):
            other.take_up(saved)
    saved.put(DRIFT, 0, b"\x00")
    with pytest.raises(StateError, match="cannot be read"):
        Drift(NAMES, rules()).take_up(saved)


def test_kept_drift_leaves_no_row_behind_of_what_was_thinned_out_or_is_a_reference() -> None:
    drift, journal = Drift(NAMES, rules(reference=100, window=Duration(3 * DAY))), MemoryJournal()
    for day, held in ((0, 150), (1, 150), (3, 0)):
        days(drift, 1, first=day)
        drift.keep(journal)
        rows_of = journal.rows(SAMPLES[0])
        assert held <= len(rows_of) < held + 50
        again = Drift(NAMES, rules(reference=100, window=Duration(3 * DAY)))
        again.take_up(journal)
        assert kept(again).snapshot() == journal.snapshot()


def test_window_is_of_the_stream() -> None:
    drift = Drift(NAMES, rules(window=Duration(2 * DAY)))
    days(drift, 4)
    assert days(drift, 1, first=4, moved={"amount": 2.0}) == []
    assert len(days(drift, 2, first=5, moved={"amount": 2.0})) == 1


def test_a_drift_near_the_threshold_is_not_told_again_and_again() -> None:
    drift = Drift(NAMES, rules(psi=0.2))
    days(drift, 3)
    assert len(days(drift, 3, first=3, moved={"amount": 1.0})) == 1
    assert days(drift, 4, first=6, moved={"amount": 0.31}) == []
    assert 0.1 < drift.figures()["amount"] < 0.2
    assert [one.details for one in days(drift, 3, first=10)] == [{"ended": ["amount"]}]
