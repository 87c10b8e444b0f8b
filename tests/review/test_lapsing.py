"""A second look that nobody takes: the sample's label leaves late, and what was not decided stays to be decided."""

import pytest

from fraud.core.actions import Remedy
from fraud.core.records import DAY, HOUR, MINUTE, Verdict
from fraud.review.database import Database
from fraud.review.errors import ConflictError, GoneError
from fraud.review.views import QueueQuery
from tests.review.left import labels, leaving, orders, status
from tests.review.seeding import NOW, Site, alerted, case_of, decided, site_of
from tests.review.taken import TERMS

LAPSES = NOW + TERMS.blind_lapse
LATE = NOW + 31 * MINUTE


@pytest.fixture
def site(database: Database) -> Site:
    return site_of(database, blind_share=1.0)


@pytest.mark.parametrize("verdict", ["fraud", "genuine"])
def test_verdict_holds_unreviewed_when_nobody_has_looked_in_time(site: Site, verdict: str) -> None:
    number = alerted(site, 1)
    decided(site, number, verdict)
    ordered = orders(site)
    assert site.intake.lapse(LAPSES - 1) == 0
    assert labels(site) == []
    assert site.intake.lapse(LAPSES) == 1
    assert site.intake.lapse(LAPSES + DAY) == 0
    assert [each.verdict for each in labels(site, LAPSES)] == [Verdict(verdict)]
    assert orders(site) == ordered
    view = site.desk.case(case_of(site, number), site["ben"], LAPSES)
    assert (view.state, status(site, number)) == ("decided", ("decided", verdict))
    assert [(each.by, each.verdict, each.unreviewed) for each in view.verdicts] == [("A. Novak", verdict, True)]
    (trail,) = view.trails
    assert (trail.decided_at, trail.send_at) == (LAPSES, LAPSES)


def test_lapse_stands_in_the_audit_log_and_can_not_be_undone(site: Site) -> None:
    number = alerted(site, 1)
    found = decided(site, number)
    site.intake.lapse(LAPSES)
    step = site.desk.audit(site["ada"], LAPSES).rows[0]
    assert (step.actor, step.action, step.object) == ("lapse", "verdict.lapse", f"case/{found.case}")
    assert '"by":"A. Novak"' in step.after
    with pytest.raises(GoneError):
        site.desk.undo(site["anna"], found.undo, LAPSES)


def test_case_that_somebody_looks_at_does_not_lapse_meanwhile(site: Site) -> None:
    number = alerted(site, 1)
    decided(site, number)
    site.desk.lock(site["ben"], case_of(site, number), LAPSES - MINUTE)
    assert site.intake.lapse(LAPSES) == 0
    assert decided(site, number, "genuine", by="ben", now=LAPSES + MINUTE).state == "pending_second"
    assert site.intake.lapse(LAPSES + DAY) == 0, "a disagreement does not lapse"
    assert labels(site) == []


def test_second_verdict_after_the_lapse_is_refused_and_a_reopened_case_corrects_it(site: Site) -> None:
    number = alerted(site, 1)
    decided(site, number)
    site.intake.lapse(LAPSES)
    with pytest.raises(ConflictError, match=r"A\. Novak decided this"):
        decided(site, number, "genuine", by="ben", now=LAPSES + MINUTE)
    site.desk.reopen(site["ben"], case_of(site, number), "the bank called", LAPSES + HOUR)


def test_alert_that_came_meanwhile_is_open_after_the_lapse(site: Site) -> None:
    first = alerted(site, 1, card="4111")
    decided(site, first)
    later = alerted(site, 2, card="4111", now=LAPSES - MINUTE)
    site.intake.lapse(LAPSES)
    assert [status(site, number)[0] for number in (first, later)] == ["decided", "open"]
    assert site.desk.next(site["ben"], "held", LAPSES) == case_of(site, later)


def test_four_eyes_never_lapse_and_age_on_the_page_of_the_team(database: Database) -> None:
    site = site_of(database, four_eyes_from=1)
    decided(site, alerted(site, 1))
    assert site.intake.lapse(NOW + 90 * DAY) == 0
    assert leaving(site, NOW + 90 * DAY) == []
    (row,) = site.desk.team(site["lea"], NOW + 4 * DAY).seconds
    assert (row.kind, row.count, row.oldest_at, [aged.count for aged in row.ageing]) == (
        "four_eyes",
        1,
        NOW,
        [0, 0, 0, 1],
    )


def test_team_counts_what_has_lapsed(site: Site) -> None:
    decided(site, alerted(site, 1))
    before = site.desk.team(site["lea"], LAPSES)
    assert ([row.kind for row in before.seconds], before.lapsed) == (["blind"], 0)
    site.intake.lapse(LAPSES)
    after = site.desk.team(site["lea"], LAPSES)
    assert (after.seconds, after.lapsed, after.lapses_after) == ((), 1, TERMS.blind_lapse)


@pytest.mark.parametrize("settings", [{"four_eyes_from": 1}, {"blind_share": 1.0}])
def test_held_payment_is_let_go_in_time_and_the_second_look_at_it_stays(
    database: Database, settings: dict[str, float]
) -> None:
    site = site_of(database, **settings)
    number = alerted(site, 1)
    decided(site, number, action="none")
    assert site.intake.expire(LATE).changed == (number,)
    assert site.intake.expire(LATE + HOUR).changed == ()
    assert orders(site) == [Remedy.RELEASE]
    assert [row.alert for row in site.desk.queue(QueueQuery(shelf="second"), site["ben"], LATE).rows] == [number]
    assert decided(site, number, by="ben", action="none", now=LATE).state == "decided"
    assert [each.verdict for each in labels(site)] == [Verdict.FRAUD]


def test_card_whose_case_waits_for_a_lead_goes_on_after_the_payment_was_let_go(database: Database) -> None:
    site = site_of(database)
    number = alerted(site, 1)
    site.desk.escalate(site["anna"], case_of(site, number), "a ring?", NOW)
    site.intake.expire(LATE)
    assert decided(site, number, "fraud", by="lea", now=LATE).state == "decided"
    assert [each.verdict for each in labels(site)] == [Verdict.FRAUD]


def test_payment_held_and_called_unsure_times_out_as_before(database: Database) -> None:
    site = site_of(database)
    number = alerted(site, 1)
    decided(site, number, "unsure")
    site.intake.expire(LATE)
    assert status(site, number) == ("timed_out", None)
