"""The learning loop: what is learned when, orders of operators, restarts, and what state is told."""

import math

import msgspec
import numpy as np
import pytest

from fraud.core.errors import StateError
from fraud.core.labels import LabelBook
from fraud.core.learning.journal import MemoryJournal
from fraud.core.pending import MemoryPending
from fraud.core.records import DAY, HOUR, Action, LabelSource, Verdict
from models.online import loop
from models.online.loop import LearningLoop
from models.online.refresher import MIXTURE, NONE, PERIOD, Pace
from models.online.snapshots import parameters_in
from tests.models.online.driven import RULES, Site, lived
from tests.models.online.grown import LEAVES, World, base


def test_labels_are_learned_once_at_the_age_and_change_what_payments_get() -> None:
    site = lived(Site(World(6_000)), range(6_000))
    figures = site.loop.figures()
    assert sum(site.learned().values()) == pytest.approx(6_000 - 360, abs=61)
    assert set(site.learned()) == {"chargeback/fraud", "chargeback/genuine"}
    assert figures["losses"]["mixture"] < 0.99 * figures["losses"]["frozen"]
    assert figures["on"]
    assert figures["live"] == figures["version"] == site.loop.version
    assert figures["counts"]["refreshed"] > 5


def test_snapshots_hold_what_is_said_after_them_and_name_each_other() -> None:
    site = lived(Site(World(6_000)), range(5_999))
    snapshots = [closed.snapshot for closed in site.closed if closed.snapshot]
    assert [one.seq for one in snapshots] == list(range(1, len(snapshots) + 1))
    assert [one.parent for one in snapshots] == ["", *(one.version for one in snapshots[:-1])]
    assert all(one.base == "grown@1" and one.spec == "spec" and one.since == HOUR for one in snapshots)
    last = parameters_in(snapshots[-1], LEAVES)
    assert last.changes[1][1] > 0.05  # above 0 in feature 0
    said = site.pay(5_999)
    assert said[MIXTURE] == pytest.approx(math.fsum(w * p for w, p in zip(last.weights, said[:3], strict=True)))
    assert said[PERIOD] == site.period


def test_analysts_verdict_is_learned_as_it_comes_and_a_chargeback_at_the_age() -> None:
    site = Site(World(10))
    site.time(HOUR)
    for row in range(3):
        site.pay(row)
    site.tell(0, HOUR, source=LabelSource.ANALYST)
    site.tell(1, HOUR)
    site.time(3 * HOUR)
    assert {name.partition("/")[0] for name in site.learned()} == {"analyst"}
    site.tell(0, 4 * HOUR)
    site.time(8 * HOUR)
    kinds = [name.partition("/")[0] for name, count in sorted(site.learned().items()) for _ in range(count)]
    # what an analyst has said of the first one is not learned once more
    assert kinds == ["analyst", "chargeback", "untold"]


def test_untold_payment_that_did_not_go_through_is_not_learned() -> None:
    site = Site(World(10))
    site.time(HOUR)
    for row, action in enumerate(Action):
        site.pay(row, action=action)
    site.time(40 * HOUR)
    assert site.learned() == {"untold/genuine": 1}


def test_what_others_tell_of_a_payment_that_did_not_go_through_is_not_learned_unless_all_is_told() -> None:
    for untold in (True, False):
        site = Site(World(10), msgspec.structs.replace(RULES, untold=untold))
        site.time(HOUR)
        for row, action in enumerate(Action):
            site.pay(row, action=action)
            site.tell(row, HOUR)
        site.time(40 * HOUR)
        assert sum(site.learned().values()) == (1 if untold else len(Action))


@pytest.mark.parametrize("mended", [True, False])
def test_frauds_told_of_refused_payments_do_not_make_all_payments_look_bad(
    mended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not mended:
        monkeypatch.setattr(loop, "one_sided", lambda item, told: False)
    world = World(9_000)
    refused = world.p > 0.02
    site = Site(world, msgspec.structs.replace(RULES, charts=(), pace=Pace(rates=(0.02, 0.1))))
    for row in range(9_000):
        site.time(int(world.at[row]))
        site.pay(row, action=Action.DECLINE if refused[row] else Action.APPROVE)
        if world.fraud[row]:
            site.tell(row, HOUR)
    last = range(7_000, 9_000)
    said = [site.loop.hear(world.decision(row), world.vector(row))[MIXTURE] for row in last]
    over = sum(said) / world.fraud[last].sum()
    # without: 2.9
    assert (over < 1.5) == mended


def test_untold_payments_are_left_out_where_all_labels_are_told_at_one_age() -> None:
    site = Site(World(10), msgspec.structs.replace(RULES, untold=False))
    site.time(HOUR)
    site.pay(0)
    site.time(40 * HOUR)
    assert site.learned() == {}


def test_told_share_is_counted_when_the_deadline_has_passed() -> None:
    world = World(400)
    world.fraud[:] = True
    site = Site(world, msgspec.structs.replace(RULES, charts=()))
    site.time(HOUR)
    for row in range(40):
        site.pay(row)
    for row in range(30):
        site.tell(row, 5 * HOUR if row < 10 else 8 * HOUR)
    site.time(9 * HOUR)
    # none is twice as old as the age of learning, so nothing is known yet
    assert site.loop.figures()["told"] == {"web": 0.5}
    site.time(30 * HOUR)
    # 10 of 30 by the age of learning, leaning on a half of twenty
    assert site.loop.figures()["told"] == {"web": pytest.approx((10 + 10) / (30 + 20))}


def test_told_share_is_of_payments_that_went_through() -> None:
    world = World(400)
    world.fraud[:] = True
    site = Site(world, msgspec.structs.replace(RULES, charts=()))
    site.time(HOUR)
    for row in range(40):
        site.pay(row, action=Action.DECLINE if row < 10 else Action.APPROVE)
    for row in range(30):  # somebody looks at once at what was refused
        site.tell(row, HOUR if row < 10 else 8 * HOUR)
    site.time(30 * HOUR)
    assert site.loop.figures()["told"] == {"web": pytest.approx(10 / (20 + 20))}


def test_fraud_at_the_age_is_learned_as_one_that_is_told_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(10)
    world.fraud[:3] = True, True, False
    site, told = Site(world), dict[str, float]()
    refresher = site.loop._refresher
    assert refresher is not None
    monkeypatch.setattr(refresher, "learn", lambda item, source, **said: told.update({item.tx_id: said["told"]}))
    site.time(HOUR)
    for row in range(4):
        site.pay(row)
    site.tell(0, HOUR)
    site.tell(1, HOUR, source=LabelSource.ANALYST)
    site.tell(2, HOUR)
    site.time(9 * HOUR)
    assert told == {"T0": 0.5, "T1": 1.0, "T2": 1.0, "T3": 0.5}


def test_word_that_is_withdrawn_in_its_period_is_not_learned() -> None:
    site = Site(World(10))
    site.time(HOUR)
    for row in range(2):
        site.pay(row)
        site.tell(row, HOUR, source=LabelSource.ANALYST)
    last = Verdict.WITHDRAWN, Verdict.FRAUD
    for row, verdict in enumerate(last):
        said = site.world.label(row, 2 * HOUR, source=LabelSource.ANALYST)
        match = site.book.match(msgspec.structs.replace(said, verdict=verdict, version=1))
        assert match is not None
        site.loop.take(match, site.period)
    site.time(3 * HOUR)
    assert site.learned() == {"analyst/fraud": 1}


def test_second_word_on_a_payment_is_learned_and_is_no_second_bet() -> None:
    site = Site(World(10))
    site.time(HOUR)
    for row in range(2):
        site.pay(row)
    site.tell(0, HOUR, source=LabelSource.ANALYST)
    site.time(3 * HOUR)
    site.tell(0, 4 * HOUR, flipped=[0])
    site.tell(1, 4 * HOUR)
    site.time(8 * HOUR)
    site.tell(1, 9 * HOUR, source=LabelSource.ANALYST)
    site.time(11 * HOUR)
    assert sum(site.learned().values()) == 4
    assert site.loop._guard._state.labels == 2


def test_payment_of_another_model_is_not_heard() -> None:
    site = Site(World(10))
    decision = site.world.decision(0, version="other@1")
    assert site.loop.hear(decision, site.world.vector(0)) == ()
    assert site.loop.hear(site.world.decision(0), None) == ()
    assert site.loop.hear(msgspec.structs.replace(decision, parts=()), site.world.vector(0)) == ()


def test_label_waits_for_the_end_of_its_period_and_then_goes_to_state() -> None:
    site = Site(World(10))
    site.time(HOUR)
    site.pay(0)
    site.tell(0, HOUR)
    site.time(2 * HOUR)
    (known,) = site.closed[-1].known
    assert (known.tx_id, known.replaces) == ("T0", None)
    assert [one.tx_id for one in site.closed[-1].labels] == ["T0"]
    with pytest.raises(ValueError, match="which is closed"):
        site.loop.take(site.book.match(site.world.label(0, HOUR, source=LabelSource.ANALYST)), 1)  # type: ignore[arg-type]


# --- lies ------------------------------------------------------------------------------------------------------------


def poisoned(*, gate: bool) -> Site:
    rules = RULES if gate else msgspec.structs.replace(RULES, charts=())
    rng = np.random.default_rng(1)
    flipped = set(np.flatnonzero((np.arange(6_000) > 3_000) & (rng.random(6_000) < 0.3)).tolist())
    return lived(Site(World(6_000), rules), range(6_000), flipped=flipped)


def test_lies_are_held_from_state_and_learner_by_the_gate_alone() -> None:
    clean, held, open_ = lived(Site(World(6_000)), range(6_000)), poisoned(gate=True), poisoned(gate=False)
    assert held.loop.held()["source/chargeback"].count > 2_000
    assert not open_.loop.held()
    assert clean.loop.held() == {}
    moved = [abs(site.pay(5_999)[MIXTURE] - clean.pay(5_999)[MIXTURE]) for site in (held, open_)]
    assert sum(site.learned()["chargeback/fraud"] for site in (held,)) < open_.learned()["chargeback/fraud"]
    assert moved[0] < moved[1]


def test_drop_gives_back_what_was_claimed_and_release_lets_it_through() -> None:
    for order in ("drop", "release"):
        site = poisoned(gate=True)
        held = site.loop.held()["source/chargeback"].count
        before = site.learned()
        closed = getattr(site.loop, order)("source/chargeback", site.period * HOUR)
        assert site.loop.held() == {}
        assert closed.events[0].details["labels"] == held
        assert (len(closed.known) == held) == (order == "release")
        site.time((site.period + 1) * HOUR)
        told = sum(site.learned().values()) - sum(before.values())
        # of what was dropped nothing is known, that nobody has told of it least of all; of the newest nobody has
        assert site.learned().get("untold/genuine", 0) < 10
        assert (told > 1_000) == (order == "release")


# --- orders ----------------------------------------------------------------------------------------------------------


def test_pin_unpin_and_rollback_say_what_payments_get() -> None:
    site = lived(Site(World(6_000)), range(6_000))
    first = next(closed.snapshot.version for closed in site.closed if closed.snapshot)
    newest, now = site.loop.version, site.period * HOUR
    assert first != newest
    live = site.loop.pin(first, now).live
    assert live is not None
    assert (live.version, live.seq, live.pinned) == (first, 1, True)
    assert site.loop.version == first
    live = site.loop.unpin(now).live
    assert live is not None
    assert (live.version, live.pinned) == (newest, False)
    live = site.loop.rollback(now).live
    assert live is not None
    assert (live.version, live.pinned) == (first, True)


def test_frozen_site_learns_on_unseen_until_it_is_thawed() -> None:
    site = lived(Site(World(6_000)), range(5_000))
    on = site.loop.figures()["on"]
    frozen = site.loop.freeze(site.period * HOUR)
    assert site.loop.version == ""
    assert [one.kind for one in frozen.events] == ["frozen"]
    begin = len(site.closed)
    lived(site, range(5_000, 6_000))
    since = site.closed[begin:]
    assert all(closed.live is None for closed in since)
    assert not any(closed.snapshot.promoted for closed in since if closed.snapshot)
    assert on
    live = site.loop.thaw(site.period * HOUR).live
    assert live is not None
    assert live.version == site.loop.figures()["version"]


def test_second_rollback_does_not_bring_back_what_the_first_one_left() -> None:
    site = lived(Site(World(6_000)), range(6_000))
    now, bad = site.period * HOUR, site.loop.version
    assert site.loop.rollback(now).live is not None
    assert site.loop.version not in ("", bad)
    live = site.loop.rollback(now).live
    assert live is not None
    assert (live.version, live.pinned) == ("", True)
    site.loop.rollback(now)
    assert site.loop.version == ""


def test_guard_that_decides_while_payments_are_frozen_does_not_say_what_they_get() -> None:
    site = Site(World(6_000))
    site.loop.freeze(0)
    lived(site, range(6_000))
    told = [event.text for closed in site.closed for event in closed.events if event.kind == "promoted"]
    assert site.loop.figures()["on"]
    assert site.loop.version == ""
    assert told
    assert all("once nothing is pinned" in text for text in told)


def test_unknown_version_and_chart_are_refused() -> None:
    site = lived(Site(World(1_500)), range(1_500))
    for version in ("", "99-abc", "1-00000000", "x"):
        with pytest.raises(ValueError, match="is no version of parameters on this model"):
            site.loop.pin(version, 0)
    with pytest.raises(ValueError, match="has no alarm"):
        site.loop.drop("source/chargeback", 0)


# --- guard and base --------------------------------------------------------------------------------------------------


def test_what_hurts_is_switched_off_and_what_proved_itself_is_gone() -> None:
    site = lived(Site(World(9_000), msgspec.structs.replace(RULES, charts=())), range(6_000))
    assert site.loop.figures()["on"]
    refresher = site.loop._refresher
    assert refresher is not None
    # what is published is turned round, and says what no label says
    bad = refresher.live._replace(weights=(0.0, 0.0, 1.0), changes=np.full_like(refresher.live.changes, -0.7))
    refresher.live = bad
    refresher._values = refresher._stacked()
    refresher.refresh = lambda alert_at: None  # type: ignore[method-assign]
    begin = len(site.closed)
    lived(site, range(6_000, 9_000))
    kinds = [event.kind for closed in site.closed[begin:] for event in closed.events]
    lives = [closed.live for closed in site.closed[begin:] if closed.live]
    assert kinds.count("reverted") == 1
    assert [live.version for live in lives] == [""]
    assert site.loop.version == ""
    assert site.pay(8_999)[4] == NONE


def test_good_parameters_are_those_of_a_day_before() -> None:
    site = lived(Site(World(9_000)), range(9_000))
    on = next(closed.live.at for closed in site.closed if closed.live)
    said = [site.pay(row) for row in (8_998, 8_999)]
    assert (said[0][4] != NONE) == (site.period * HOUR - on > 2 * DAY)
    assert said[0][4] != said[0][MIXTURE]


def test_learning_starts_anew_on_another_base() -> None:
    site = lived(Site(World(4_000)), range(3_000))
    other = Site(site.world, on=base("grown@2"), journal=site.journal, pending=site.pending)
    other.period = site.period
    assert other.loop.version == ""
    assert other.learned() == {}
    other.time((site.period + 1) * HOUR)
    closed = other.closed[-1]
    assert [event.kind for event in closed.events] == ["base-changed"]
    assert "grown@2, it was grown@1" in closed.events[0].text
    # what was heard on the other base cannot be learned, and what it published cannot be pinned
    assert other.learned() == {}
    assert other.loop.figures()["counts"]["unlearned"] > 0
    with pytest.raises(ValueError, match="is no version"):
        other.loop.pin(site.loop.figures()["version"], 0)


def test_nothing_but_the_told_share_is_taken_up_from_another_base() -> None:
    site = lived(Site(World(3_000)), range(3_000))
    told = site.loop.figures()["told"]
    assert told
    for number in range(1, 4):  # after the first period it has learned nothing yet, and is started again
        other = Site(site.world, on=base("grown@2"), journal=site.journal)
        assert other.learned() == {}
        assert other.loop.figures()["weights"] == {"frozen": 0.5, "slow": 0.25, "fast": 0.25}
        assert other.loop.figures()["told"] == told
        other.period = site.period + number - 1
        other.time((site.period + number) * HOUR)
        told = other.loop.figures()["told"]


def test_without_a_base_labels_wait_and_nothing_is_learned() -> None:
    world = World(10)
    book = LabelBook(MemoryPending())
    loop = LearningLoop(None, book, RULES, MemoryJournal())
    decision = world.decision(0)
    assert loop.hear(decision, world.vector(0)) == ()
    book.hold(decision, world.vector(0))
    match = book.match(world.label(0, HOUR))
    assert match is not None
    loop.take(match, 2)
    assert loop.close(1, 2 * HOUR).known == ()
    assert len(loop.close(2, 3 * HOUR).known) == 1
    assert loop.version == ""


# --- ahead of the end of a period ------------------------------------------------------------------------------------


def worked(site: Site, rows: range, most: int = 3) -> Site:
    """Live through some payments, and learn a few of those that are old enough after each."""
    for row in rows:
        lived(site, [row], 3 * HOUR)
        site.loop.work(most)
    return site


def ended(site: Site) -> dict[str, int]:
    """Return what was learned once the period is over."""
    site.time((site.period + 1) * HOUR)
    return site.learned()


def test_what_is_learned_ahead_is_learned_once_and_what_is_held_is_not() -> None:
    plain, ahead = lived(Site(World(2_000)), range(2_000), 3 * HOUR), worked(Site(World(2_000)), range(2_000))
    assert ended(ahead) == ended(plain)
    assert ahead.loop.work(1_000) == 0
    late = lived(Site(World(600)), range(600))
    before = late.learned()
    assert late.loop.work(1_000) > 0
    held = sum(late.loop._gate.holds(f"T{row}") for row in range(600))
    assert held > 0
    assert sum(late.learned().values()) - sum(before.values()) <= 600 - held
    assert late.loop.figures()["ripe"] > 0


def test_what_is_learned_ahead_is_kept_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "KEPT_AFTER", 10)
    first = worked(Site(World(2_000)), range(1_010))
    before, learned = Site(first.world, journal=first.journal, pending=first.pending), first.learned()
    assert 0 <= sum(learned.values()) - sum(before.learned().values()) < 10
    plain = lived(Site(World(2_000)), range(2_000), 3 * HOUR)
    before.period = first.period
    assert ended(worked(before, range(1_010, 2_000))) == ended(plain)


def test_what_was_learned_ahead_is_learned_again_after_a_kill_and_counts_once() -> None:
    plain, first = lived(Site(World(2_000)), range(2_000), 3 * HOUR), worked(Site(World(2_000)), range(1_010))
    assert first.loop.figures()["learned"] != Site(first.world, journal=first.journal, pending=first.pending).learned()
    second = Site(first.world, journal=first.journal, pending=first.pending)
    second.period = first.period
    assert ended(worked(second, range(1_010, 2_000))) == ended(plain)


# --- restarts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [361, 1_777, 3_500])
def test_loop_that_was_killed_goes_on_to_the_last_bit(cut: int) -> None:
    whole = lived(Site(World(4_000)), range(4_000))
    first = lived(Site(World(4_000)), range(cut))
    second = Site(first.world, journal=first.journal, pending=first.pending)
    second.period, second.closed = first.period, first.closed
    lived(second, range(cut, 4_000))
    assert second.loop.snapshot() == whole.loop.snapshot()
    assert second.closed == whole.closed


def test_restored_loop_goes_on_to_the_last_bit() -> None:
    one = lived(Site(World(3_000)), range(2_000))
    other = Site(one.world)
    other.loop.restore(one.loop.snapshot())
    other.pending.restore(one.pending.snapshot())
    other.period = one.period
    for site in (one, other):
        lived(site, range(2_000, 3_000))
    assert one.loop.snapshot() == other.loop.snapshot()


def test_foreign_state_is_refused() -> None:
    journal = MemoryJournal()
    journal.put("loop", 0, b"\xc1")
    with pytest.raises(StateError, match="the learning loop's state cannot be read"):
        LearningLoop(base(), LabelBook(MemoryPending()), RULES, journal)
