"""The pages of leads: the team's figures, the model, the rules and what is made a release."""

import pytest
from sqlalchemy import insert

from fraud.core.errors import DeliveryError
from fraud.core.records import DAY, HOUR, MINUTE, SECOND, Action, Reason, Verdict, Versions
from fraud.core.releases import Release
from fraud.core.rules.ruleset import compile_rules
from fraud.review import counters
from fraud.review.database import Database
from fraud.review.errors import ConflictError, ForbiddenError, InvalidError, UnknownError
from fraud.review.library import Order
from fraud.review.model_page import calibration, stage_rows
from fraud.review.tables import learner_event, live_refresh, refresh
from fraud.review.team import capacity_left
from tests.review.seeding import (
    NOW,
    POLICY,
    RULE_SET,
    RULES,
    VOCABULARY,
    Site,
    alerted,
    chargeback,
    decided,
    decision,
    seen,
    site_of,
    take,
)

MORE = RULES + '\nrule dear "{amount}" :\n    when amount > 900\n    then challenge\n'
FAULTY = "rule x :\n    when card_amount_vs_meidan > 4\n    then note\n"


@pytest.fixture
def site(database: Database) -> Site:
    return site_of(database)


# --- the team


def test_team_tells_supply_and_what_waits(site: Site) -> None:
    times = NOW - 2 * HOUR, NOW - HOUR, NOW - 20 * MINUTE, NOW - MINUTE
    numbers = [alerted(site, number, now=now, at_stake=number) for number, now in enumerate(times, 1)]
    decided(site, numbers[2], now=NOW - 10 * MINUTE)
    found = site.desk.team(site["lea"], NOW)
    assert (found.came, found.decided, found.waiting, found.at_stake) == (4, 1, 3, 7)
    assert [(aged.below, aged.count) for aged in found.ageing] == [(15 * MINUTE, 1), (HOUR, 0), (4 * HOUR, 2), (0, 0)]
    assert (found.near_deadline, found.oldest_at) == (2, NOW - 2 * HOUR)
    assert sum(hour.came for hour in found.hours) == 4
    begun = NOW - 10 * MINUTE - (NOW - 10 * MINUTE) % HOUR
    assert found.capacity_left == round(1 * (found.closes_at - NOW) / (NOW - begun))


def test_capacity_is_reckoned_from_the_speed_so_far() -> None:
    day = 100 * DAY
    closes = day + 18 * HOUR
    assert capacity_left(90, day, day + 9 * HOUR, closes) == 90
    assert capacity_left(40, day + 13 * HOUR, day + 17 * HOUR, closes) == 10, "nobody decides at night"
    assert capacity_left(0, day, day + 9 * HOUR, closes) is None
    assert capacity_left(10, day, day + 20 * HOUR, closes) == 0


def test_team_tells_precision_by_kind_chargebacks_above_verdicts(site: Site) -> None:
    numbers = {number: alerted(site, number, Action.REVIEW if number < 4 else Action.DECLINE) for number in range(1, 6)}
    for number, verdict in ((1, "fraud"), (2, "genuine"), (3, "genuine"), (4, "fraud")):
        decided(site, numbers[number], verdict)
    take(site, chargeback(3))
    found = site.desk.team(site["lea"], NOW + 1).precision
    assert (found["held"].part, found["held"].whole) == (2, 3)
    assert (found["declined"].part, found["declined"].whole) == (1, 1)
    assert found["held"].low is not None


def test_team_tells_of_each_person_speed_and_what_was_overturned(site: Site) -> None:
    for number, seconds in ((1, 10.0), (2, 30.0), (3, 50.0)):
        decided(site, alerted(site, number), "genuine", seconds=seconds, worth=-1 if number == 1 else 1)
    decided(site, alerted(site, 4), "fraud", by="ben")
    take(site, chargeback(2))
    found = site.desk.team(site["lea"], NOW + 1)
    members = {row.name: row for row in found.members}
    anna, ben = members["A. Novak"], members["B. Lang"]
    assert "V. Viewer" not in members
    assert (anna.decided, anna.median_seconds, anna.last_at) == (3, 30.0, NOW)
    assert (anna.overturned.part, anna.overturned.whole) == (1, 3)
    assert (ben.fraud.part, ben.fraud.whole, ben.median_seconds) == (1, 1, None)
    assert (found.not_worth.part, found.not_worth.whole) == (1, 3)
    assert [(waste.code, waste.count) for waste in found.not_worth_by] == [("amount", 1)]


def test_team_tells_agreement_of_blind_looks_and_disputes(database: Database) -> None:
    site = site_of(database, blind_share=1.0)
    said = [("fraud", "fraud"), ("genuine", "genuine"), ("genuine", "fraud")]
    for number, (first, second) in enumerate(said, 1):
        alert = alerted(site, number)
        decided(site, alert, first)
        decided(site, alert, second, by="ben")
    decided(site, alerted(site, 9), "fraud")
    found = site.desk.team(site["lea"], NOW + 1)
    anna = next(row for row in found.members if row.name == "A. Novak")
    assert (anna.agreement.part, anna.agreement.whole) == (2, 3)
    assert anna.kappa == pytest.approx(0.4)
    (dispute,) = found.disputes
    assert (dispute.first, dispute.first_verdict) == ("A. Novak", "genuine")
    assert (dispute.second, dispute.second_verdict) == ("B. Lang", "fraud")
    assert [(row.kind, row.count) for row in found.seconds] == [("blind", 1), ("dispute", 1)]


# --- the model


def test_calibration_tells_what_was_said_and_what_came() -> None:
    low, high = counters.bin_of(0.003), counters.bin_of(0.85)
    sums = {
        (counters.said(low), 1): 1_000, (counters.said_sum(low), 1): 3_000_000, (counters.known(low, "genuine"), 1): 99,
        (counters.known(low, "fraud"), 2): 1, (counters.said(high), 1): 10, (counters.said_sum(high), 1): 8_500_000,
        (counters.known(high, "fraud"), 1): 9, (counters.known(high, "genuine"), 1): 1, (counters.said(5), 1): 7,
    }  # fmt: skip
    first, second = calibration(sums)
    assert [first.said, first.came, second.said] == pytest.approx([0.003, 0.01, 0.85])
    assert (first.count, second.came, second.low, second.high) == (100, 0.9, 0.8, 0.9)


def test_stages_tell_the_upper_end_of_the_bin_of_a_quantile() -> None:
    fast, slow = counters.stage_bin(400), counters.stage_bin(9_000)
    sums = {(counters.stage("read", fast), 1): 98, (counters.stage("read", slow), 2): 2}
    (row,) = stage_rows(sums)
    assert (row.stage, row.count) == ("read", 100)
    assert 0.4 < row.p50 <= 0.4 * 1.25
    assert 9 < row.p99 <= 9 * 1.25


def test_model_page_tells_of_the_learner_what_it_has_told(site: Site) -> None:
    assert site.desk.model(site["vera"], NOW).refresh.present is False
    events = [
        ("event/1", "drift", {"text": "drift of 2", "details": {"psi": {"amount": 0.31, "hour": 0.24}}}),
        ("event/2", "drift", {"text": "ended", "details": {"ended": ["hour"]}}),
        ("event/3", "refused", {"text": "the step was refused", "details": {}}),
    ]
    with site.database.write() as connection:
        for at, (key, kind, content) in enumerate(events):
            connection.execute(insert(learner_event).values(key=key, at=NOW + at, kind=kind, content=content))
        made = {"labels": {"analyst/fraud": 200, "silence/genuine": 12}}
        connection.execute(insert(refresh).values(version="12-ab", base="blend@1", seq=12, at=NOW, promoted=True,
                                                  content=made))  # fmt: skip
        connection.execute(insert(live_refresh).values(base="blend@1", version="12-ab", seq=12, at=NOW))
    found = site.desk.model(site["vera"], NOW)
    assert [(row.feature, row.psi) for row in found.drift] == [("amount", 0.31)]
    assert (found.refresh.version, found.refresh.labels, found.refresh.refused_today) == ("12-ab", 212, 1)
    assert (found.guard, found.refresh.events[0].text) == ("passed", "the step was refused")
    assert found.refresh.events[0].labels is None, "nobody told how many"


def test_model_page_tells_what_decides_and_scores_by_day(site: Site) -> None:
    take(site, *[seen(n, decision(n, score=0.003, model_score=0.003)) for n in range(4)])
    alerted(site, 9, Action.DECLINE, score=0.93, model_score=0.93)
    found = site.desk.model(site["vera"], NOW)
    assert found.release is not None
    assert (found.release.model, found.release.id, found.release.rules) == ("blend@1", "r-1", RULE_SET.version)
    assert [(row.model, row.count) for row in found.seen] == [("blend@1", 1)]
    bars = {bar.low: (bar.today, bar.days) for bar in found.scores if bar.days}
    assert bars == {0.002: (4, 4), 0.9: (1, 1)}


def test_calibration_by_model_is_of_what_is_known_of_its_alerts(site: Site) -> None:
    other = Versions("blend@2", decision(1).versions.spec, POLICY.version, RULE_SET.version)
    for number in range(1, 5):
        decided(site, alerted(site, number, model_score=number / 10), "fraud" if number > 2 else "genuine")
    alerted(site, 5, model_score=0.9)
    decided(site, alerted(site, 6, model_score=0.5, versions=other), "fraud")
    alerted(site, 7, model_score=None, score=0.3)
    take(site, chargeback(1))
    found = site.desk.model(site["vera"], NOW).by_model
    assert [(row.model, row.came.part, row.came.whole) for row in found] == [("blend@1", 3, 4), ("blend@2", 1, 1)]
    assert [row.said for row in found] == pytest.approx([0.25, 0.5])


def test_labels_tell_share_delay_and_silence(site: Site) -> None:
    take(site, *[seen(n, decision(n)) for n in range(10)])
    take(site, chargeback(1), chargeback(2, Verdict.GENUINE))
    found = site.desk.model(site["vera"], NOW).labels
    assert (found.known.part, found.known.whole) == (2, 10)
    assert found.by_source == {"chargeback": 2}
    assert found.delay == 5 * DAY - round(1.5 * SECOND)


# --- rules


def test_fault_is_told_in_its_place_with_the_nearest_name(site: Site) -> None:
    found = site.desk.check(site["anna"], FAULTY, {})
    (fault,) = found.faults
    assert (fault.line, fault.column, fault.width) == (2, 10, len("card_amount_vs_meidan"))
    assert "card_amount_vs_median" in fault.message
    assert found.version.startswith("draft-")
    assert site.desk.check(site["anna"], RULES, {}).version == RULE_SET.version


def test_fault_of_a_list_file_names_the_file(site: Site) -> None:
    text = 'list stolen block card from "stolen.txt"\n'
    found = site.desk.check(site["anna"], text, {"stolen.txt": "4111 until someday\n"})
    assert [(fault.file, fault.line) for fault in found.faults] == [("stolen.txt", 1)]


def test_rules_page_shows_the_live_version_with_what_its_rules_have_found(site: Site) -> None:
    site.desk.keep_live_rules(RULES, {}, NOW)
    night, burst = Reason("rule:night", "3 h"), Reason("rule:burst", "6 in 10 min")
    both, alone = alerted(site, 1, reasons=(night, burst)), alerted(site, 2, reasons=(night,))
    alerted(site, 3, now=NOW - 31 * DAY, reasons=(night,))
    decided(site, both, "fraud", worth=1)
    decided(site, alone, "genuine", worth=-1)
    found = site.desk.rules(site["lea"], NOW)
    assert (found.version, found.live, found.text, found.author) == (
        RULE_SET.version,
        RULE_SET.version,
        RULES,
        "the site",
    )
    uses = {use.name: use for use in found.uses}
    one = uses["night"]
    assert (one.hits, one.cards, one.alone, one.overlap, one.overlap_count) == (2, 2, 1, "burst", 1)
    assert (one.precision.part, one.precision.whole) == (1, 2)
    assert (one.not_worth.part, one.not_worth.whole) == (1, 2)
    assert uses["burst"].alone == 0
    assert [each.name for each in found.list_uses] == ["stolen"]


def test_version_is_kept_once_and_its_difference_is_told(site: Site) -> None:
    site.desk.keep_live_rules(RULES, {}, NOW)
    saved = site.desk.save_rules(site["anna"], MORE, {}, "dear ones", NOW)
    assert site.desk.save_rules(site["ben"], MORE, {}, "again", NOW + 1) == saved
    assert (saved.author, saved.parent, saved.faulty, saved.live) == ("A. Novak", RULE_SET.version, False, False)
    lines = site.desk.difference(site["vera"], RULE_SET.version, saved.version).lines
    assert [line.text for line in lines if line.mark == "+"] == MORE.removeprefix(RULES).splitlines()
    assert [line.mark for line in lines].count("-") == 0
    assert [line.before for line in lines if line.mark == " "] == list(range(1, len(RULES.splitlines()) + 1))
    with pytest.raises(UnknownError):
        site.desk.difference(site["vera"], "nothing", saved.version)


def test_activation_needs_a_second_lead_and_is_ordered_once(site: Site) -> None:
    saved = site.desk.save_rules(site["anna"], MORE, {}, "", NOW)
    asked = site.desk.activate(site["lea"], saved.version, "dear ones", NOW)
    assert (asked.ordered, site.keeper.orders) == (False, [])
    with pytest.raises(ForbiddenError, match="another lead has to agree"):
        site.desk.confirm_activation(site["lea"], asked.pending or "", NOW)
    with pytest.raises(ConflictError, match="waits for a second person already"):
        site.desk.activate(site["max"], saved.version, "", NOW)
    (pending,) = site.desk.rules(site["max"], NOW).pending
    assert (pending.by, pending.mine, pending.rules) == ("L. Haddad", False, saved.version)
    found = site.desk.confirm_activation(site["max"], pending.id, NOW)
    assert (found.ordered, found.rules, len(site.keeper.orders)) == (True, saved.version, 1)
    with pytest.raises(UnknownError):
        site.desk.confirm_activation(site["max"], pending.id, NOW)
    page = site.desk.rules(site["lea"], NOW)
    assert (page.live, page.pending) == (saved.version, ())
    assert page.release is not None
    assert (page.release.by, page.release.id) == ("M. Berg", found.release)


def test_rollback_gives_the_earlier_release_again(database: Database) -> None:
    site = site_of(database, rules_second=False)
    first = site.desk.save_rules(site["anna"], MORE, {}, "", NOW)
    earlier = site.desk.activate(site["lea"], first.version, "", NOW)
    other = site.desk.save_rules(site["anna"], MORE + "\n# other\n", {}, "", NOW)
    site.desk.activate(site["lea"], other.version, "", NOW + 1)
    with pytest.raises(UnknownError, match="is no earlier release"):
        site.desk.rollback(site["lea"], "r-99", "", NOW)
    assert site.desk.rollback(site["lea"], earlier.release, "too many", NOW + 2).ordered
    assert site.keeper.orders[-1] == earlier.release
    assert [row.state for row in site.desk.model(site["lea"], NOW).history].count("live") == 1


def test_release_of_the_command_line_is_listed_and_gone_back_to_with_its_rules(database: Database) -> None:
    site = site_of(database, rules_second=False)
    text = RULES + "\n# by the command line\n"
    version = compile_rules(text, VOCABULARY).version
    site.shelf.rule_sets[version] = compile_rules(text, VOCABULARY)
    first = Release(id="r1-a", model="blend@1", rules=version, policy="p", at=NOW - 2, by="ops")
    site.keeper.moved += [first, Release(id="r2-b", model="blend@1", rules="none", policy="p", at=NOW - 1, by="night")]
    site.keeper.texts[version] = text, {}
    told = [(row.id, row.state, row.by) for row in site.desk.model(site["lea"], NOW).history]
    assert told == [("r2-b", "live", "night"), ("r1-a", "retired", "ops")]
    with pytest.raises(UnknownError, match="is no earlier release"):
        site.desk.rollback(site["lea"], "r2-b", "", NOW)
    assert site.desk.rollback(site["lea"], "r1-a", "too many", NOW).release == "r1-a"
    told = [(row.id, row.state, row.by) for row in site.desk.model(site["lea"], NOW).history]
    assert told == [("r1-a", "live", "L. Haddad"), ("r2-b", "retired", "night")]
    assert site.desk.rules(site["lea"], NOW, version).text == text


@pytest.mark.parametrize("made", [True, False])
def test_order_whose_giver_ended_counts_where_it_came_into_force_and_waits_again_where_not(
    site: Site, monkeypatch: pytest.MonkeyPatch, made: bool
) -> None:
    give = site.keeper.activate

    def ended(order: Order) -> str:
        if made:
            give(order)
        raise KeyboardInterrupt

    saved = site.desk.save_rules(site["anna"], MORE, {}, "", NOW)
    asked = site.desk.activate(site["lea"], saved.version, "", NOW)
    monkeypatch.setattr(site.keeper, "activate", ended)
    with pytest.raises(KeyboardInterrupt):
        site.desk.confirm_activation(site["max"], asked.pending or "", NOW + SECOND)
    monkeypatch.undo()
    site.desk.settle_releases(NOW + 2 * SECOND)
    assert site.desk.rules(site["lea"], NOW).pending == ()
    site.desk.settle_releases(NOW + 60 * SECOND)
    page = site.desk.rules(site["ada"], NOW)
    steps = [(step.action, step.actor) for step in site.desk.audit(site["ada"], NOW).rows]
    if made:
        assert (page.pending, page.live, page.release and page.release.by) == ((), saved.version, "M. Berg")
        assert steps[0] == ("release.activate", "M. Berg")
    else:
        assert [(each.id, each.rules) for each in page.pending] == [(asked.pending, saved.version)]
        assert site.desk.confirm_activation(site["lea"], asked.pending or "", NOW + 60 * SECOND).ordered


def test_activation_that_fails_waits_on(site: Site) -> None:
    saved = site.desk.save_rules(site["anna"], MORE, {}, "", NOW)
    asked = site.desk.activate(site["lea"], saved.version, "", NOW)
    site.keeper.error = DeliveryError("the store does not answer")
    with pytest.raises(DeliveryError):
        site.desk.confirm_activation(site["max"], asked.pending or "", NOW)
    site.keeper.error = None
    assert site.desk.confirm_activation(site["max"], asked.pending or "", NOW).ordered


def test_faulty_or_live_rules_are_not_activated(site: Site) -> None:
    faulty = site.desk.save_rules(site["anna"], FAULTY, {}, "", NOW)
    site.desk.keep_live_rules(RULES, {}, NOW)
    assert faulty.faulty
    for version, error in ((faulty.version, "has 1 faults, the first at 2:10"), (RULE_SET.version, "is live already")):
        with pytest.raises(InvalidError, match=error):
            site.desk.activate(site["lea"], version, "", NOW)
    with pytest.raises(UnknownError):
        site.desk.activate(site["lea"], "nothing", "", NOW)


def test_withdrawn_activation_waits_no_more(site: Site) -> None:
    saved = site.desk.save_rules(site["anna"], MORE, {}, "", NOW)
    asked = site.desk.activate(site["lea"], saved.version, "", NOW)
    site.desk.withdraw_activation(site["lea"], asked.pending or "", NOW)
    with pytest.raises(UnknownError):
        site.desk.confirm_activation(site["max"], asked.pending or "", NOW)
