"""The watched loop: drift is told once, hold keeps what payments have, figures come with and without untold frauds."""

import msgspec
import numpy as np
import pytest

from fraud.core.drift import DRIFT, SAMPLES, SCORE, Drift
from fraud.core.learning.journal import MemoryJournal
from fraud.core.learning.settings import DriftSection
from fraud.core.records import HOUR
from models.online import loop
from models.online.watched import WatchedLoop
from tests.models.online.driven import AGE, RULES, Site
from tests.models.online.grown import World, base
from tests.models.online.watching import NAMES, WINDOW, watched


def moved(count: int = 6_000) -> World:
    """Return a world in which feature 1 moves halfway."""
    world = World(count)
    world.values[count // 2 :, 1] += 2
    return world


def go(site: Site, rows: range) -> None:
    """Decide payments in order of time, and tell of each after the age of learning."""
    for row in rows:
        site.time(int(site.world.at[row]))
        site.pay(row)
        if row >= AGE // (HOUR // 60):
            site.tell(row - AGE // (HOUR // 60))


def kinds(site: Site) -> list[str]:
    return [event.kind for closed in site.closed for event in closed.events]


def test_drift_is_told_once_and_learning_goes_on() -> None:
    site = watched(moved())
    go(site, range(6_000))
    told = [event for closed in site.closed for event in closed.events if event.kind == DRIFT]
    assert [list(event.details["psi"]) for event in told] == [["f1"]]
    assert told[0].at == pytest.approx(int(site.world.at[3_000]), abs=2 * WINDOW)
    assert kinds(site).count("refreshed") > 0
    assert site.loop.figures()["drift"]["f1"] > 1
    assert SCORE in site.loop.figures()["drift"]


def test_hold_keeps_what_payments_have_until_somebody_lets_go() -> None:
    site = watched(moved(), "hold")
    go(site, range(6_000))
    told = kinds(site)
    assert told[told.index(DRIFT) :].count("pinned") + told[told.index(DRIFT) :].count("frozen") == 1
    assert site.loop.figures()["pinned"]
    kept = site.loop.version
    go(site, range(0))
    assert site.loop.version == kept
    site.loop.unpin(int(site.world.at[-1]))
    assert not site.loop.figures()["pinned"]


def test_without_drift_nothing_is_told_and_nothing_pinned() -> None:
    site = watched(World(4_000), "hold")
    go(site, range(4_000))
    assert DRIFT not in kinds(site)
    assert not site.loop.figures()["pinned"]


def test_restart_keeps_the_reference() -> None:
    world, journal = moved(), MemoryJournal()
    go(first := watched(world, journal=journal), range(2_000))
    assert journal.get(DRIFT, 0) is not None
    again = watched(world, journal=journal)
    again.period = first.period
    for row in range(3_000, 5_000):
        again.time(int(world.at[row]))
        again.loop.hear(world.decision(row), world.vector(row))
    assert DRIFT in kinds(again)


@pytest.mark.parametrize("hours", [5, 40])
def test_loop_that_is_restarted_all_the_time_tells_what_one_tells_that_is_not(hours: int) -> None:
    world = moved()
    whole, cut = watched(world), watched(world)
    go(whole, range(5_000))
    begin = 0
    for end in range(60, 5_001, hours * 60):
        go(cut, range(begin, end))
        cut.time(int(world.at[end]))  # behind the end of an hour: nothing was heard since
        assert isinstance(cut.loop, WatchedLoop)
        cut.loop, begin = WatchedLoop(base(), cut.book, RULES, cut.journal, cut.loop._new_drift), end
    go(cut, range(begin, 5_000))
    assert DRIFT in kinds(cut)
    assert kinds(cut) == kinds(whole)
    assert cut.loop.figures()["drift"] == whole.loop.figures()["drift"]


def test_state_of_other_features_begins_anew() -> None:
    journal = MemoryJournal()
    other = Drift(["other"], DriftSection())
    other.hear(np.zeros(1, np.float32), 0.5)
    other.keep(journal)
    assert journal.rows(SAMPLES[0])
    site = watched(World(10), journal=journal)
    site.pay(0)
    assert not [kind for kind in (DRIFT, *SAMPLES) if journal.rows(kind)]


def test_other_base_is_compared_with_scores_of_its_own() -> None:
    world, journal = moved(), MemoryJournal()
    go(first := watched(world, journal=journal), range(2_000))
    assert journal.get(DRIFT, 0) is not None
    first.loop = WatchedLoop(base("grown@2"), first.book, RULES, journal, lambda: Drift(NAMES, DriftSection()))
    assert not [kind for kind in (DRIFT, *SAMPLES) if journal.rows(kind)]


def test_drift_is_of_what_the_model_has_decided() -> None:
    world = World(400)
    site = watched(world)
    for row in range(400):
        by_rules = msgspec.structs.replace(world.decision(row), parts=())
        site.loop.hear(by_rules, world.vector(row))
        site.loop.hear(world.decision(row, version="other@1"), world.vector(row))
    for hour in range(1, 14):
        site.time(hour * HOUR)
    assert site.loop._drift._heard == 0  # type: ignore[attr-defined]


def test_drift_holds_a_version_that_was_pinned_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "PINNABLE", 2)
    site = watched(moved(), "hold")
    go(site, range(2_500))
    pinned = site.loop.figures()["version"]
    site.loop.pin(pinned, int(site.world.at[2_500]))
    go(site, range(2_500, 6_000))
    assert DRIFT in kinds(site)
    with pytest.raises(ValueError, match="is no version"):
        site.loop.pin(pinned, 0)
    assert site.loop.version == pinned
    assert site.loop.figures()["pinned"]


def test_figures_are_shown_with_and_without_untold_frauds() -> None:
    world = World(4_000)
    site, later = watched(world), np.random.default_rng(1).random(4_000) < 0.5
    for row in range(4_000):
        site.time(int(world.at[row]))
        site.pay(row)
        if world.fraud[row]:  # half of the frauds are told within the age of learning, half after it
            site.tell(row, AGE * 2 if later[row] else HOUR)
        elif row == 100:
            assert site.loop.figures()["known"]["frozen"]["rows"] == 0
    known = site.loop.figures()["known"]
    for name in ("frozen", "mixture"):
        assert known[name]["rows"] > 3_000
        assert known[name]["fraud_share_corrected"] > 1.3 * known[name]["fraud_share_naive"]
