"""The learning loop where things changed under it: another model, a clock set right, learning switched off and on."""

from pathlib import Path

import pytest

from fraud.core.drift import Drift
from fraud.core.learning import gate
from fraud.core.learning.guard import Losses
from fraud.core.learning.settings import DriftSection
from fraud.core.records import DAY, HOUR
from models.online.loop import LEARNED, SETTLED, VERSION, LearningLoop
from models.online.parameters import neutral
from models.online.snapshots import MOST_BYTES, encoded, size_for, snapshot_of
from models.online.watched import WatchedLoop
from streaming.labels.journal import SqliteJournal
from streaming.labels.pending import SqlitePending
from tests.models.online.driven import RULES, Site, lived
from tests.models.online.grown import World, base


def learned() -> Site:
    return lived(Site(World(900)), range(900))


def test_what_was_learned_on_another_model_is_not_taken_up_by_the_second_start_on_this_one() -> None:
    site = learned()
    assert site.journal.get(LEARNED, 0) is not None
    for _ in range(2):
        loop = LearningLoop(base("grown@2"), site.book, RULES, site.journal)
        assert loop.figures()["learned"] == {}
        loop.close(site.period, (site.period + 1) * HOUR)


def test_model_that_comes_back_begins_as_it_was_trained_and_that_is_said() -> None:
    site = learned()
    for version in ("grown@2", "grown@1"):
        loop = LearningLoop(base(version), site.book, RULES, site.journal)
        site.period += 1
        live = loop.close(site.period, (site.period + 1) * HOUR).live
        assert live is not None
        assert (live.base, live.version) == (version, "")
        assert loop.close(site.period + 1, (site.period + 2) * HOUR).live is None


def test_number_that_no_journal_takes_is_no_version(tmp_path: Path) -> None:
    pending = SqlitePending(tmp_path / "book.db")
    loop = LearningLoop(base(), Site(World(1)).book, RULES, SqliteJournal(pending))
    with pytest.raises(ValueError, match="is no version of parameters"):
        loop.pin("9" * 25 + "-aa", 1)
    pending.close()


def test_guard_knows_what_it_knew_where_refreshes_were_off_for_a_while() -> None:
    site = learned()
    site.loop._guard.absorb(Losses(DAY * 900, True, 0.9, 0.1))
    site.loop.close(site.period, (site.period + 1) * HOUR)
    knew = site.loop._guard.snapshot()
    without = LearningLoop(None, site.book, RULES, site.journal)
    without.close(site.period + 1, (site.period + 2) * HOUR)
    assert LearningLoop(base(), site.book, RULES, site.journal)._guard.snapshot() == knew


def test_label_that_waits_goes_through_after_a_clock_has_gone_back() -> None:
    site = Site(World(10))
    site.loop = LearningLoop(base(), site.book, RULES, site.journal)
    site.time(HOUR)
    site.pay(0)
    site.period = 900
    site.loop.close(899, 900 * HOUR)
    site.tell(0, HOUR)
    site.loop.move(2 - 900, 2 * HOUR)
    again = LearningLoop(base(), site.book, RULES, site.journal)
    assert [known.tx_id for known in again.close(2, 3 * HOUR).known] == ["T0"]


def test_charts_of_merchants_are_forgotten_beyond_a_number_and_those_of_sources_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gate, "MOST_STANDING", 4)
    site, world = Site(World(40)), World(40)
    site.loop = LearningLoop(base(), site.book, RULES, site.journal)
    site.world.logit[:], site.world.fraud[:] = 6.0, False
    site.world.merchant[:] = range(40)
    site.time(HOUR)
    for row in range(len(world.at)):
        site.pay(row)
        site.tell(row, HOUR)
        site.loop.close(site.period, (site.period + 1) * HOUR)
        site.period += 1
    names = list(site.loop._gate._state.standing)
    assert len(names) == 4
    assert {"source/chargeback", "merchant/M39"} < set(names)


def test_drift_holds_what_is_in_force_however_old_that_version_is() -> None:
    site = learned()
    rules = DriftSection()
    loop = WatchedLoop(base(), site.book, RULES, site.journal, lambda: Drift([f"f{n}" for n in range(4)], rules))
    loop._state.served.version = loop._state.served.pinned = "1-old"
    site.journal.remove(VERSION, 1)
    closed = loop.close(site.period, (site.period + 1) * HOUR)
    assert loop._kept(closed._replace(live=None), HOUR).events[-1].kind == "pinned"


def test_told_frauds_ease_silence_at_their_deadline_once_and_where_nobody_learns_too() -> None:
    world = World(40)
    world.fraud[:] = False
    world.fraud[3] = True
    for on in (base(), None):
        site = Site(world)
        site.loop = LearningLoop(on, site.book, RULES, site.journal)
        lived(site, range(40))
        site.tell(3)
        site.time((site.period + 1) * HOUR)  # what waits in the gate is not told yet
        for item in site.book.expire(int(world.at[3]) + 30 * HOUR).settled:
            site.loop.settle(item)
        assert site.loop._told() == [pytest.approx(world.p[3])]
        site.time((site.period + 1) * HOUR)
        assert site.loop._told() == []
        assert not site.journal.rows(SETTLED)


def test_size_that_is_asked_before_learning_is_that_of_what_is_published() -> None:
    leaves = 90_000
    made = snapshot_of(neutral(leaves), seq=1, base="b@1", spec="s", at=1)
    assert 0 < size_for(leaves) - len(encoded(made)) < 20_000
    assert size_for(leaves) < MOST_BYTES < size_for(leaves + 5_000)
