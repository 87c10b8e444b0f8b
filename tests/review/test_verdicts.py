"""Verdicts on both databases: what leaves, what is undone, who may, and what corrects what."""

from typing import Any

import msgspec
import pytest
from sqlalchemy import select, update

from fraud.core.actions import Remedy
from fraud.core.records import DAY, HOUR, MINUTE, SECOND, Action, LabelSource, Verdict
from fraud.review import waking
from fraud.review.database import Database
from fraud.review.errors import ConflictError, ForbiddenError, GoneError, InvalidError, UnknownError
from fraud.review.tables import alert, case, outbox
from fraud.review.views import Given
from tests.review.left import content, labels, leaving, orders, status
from tests.review.seeding import NOW, STREAM, Site, alerted, case_of, decided, decision, seen, site_of, take


@pytest.fixture
def site(database: Database) -> Site:
    return site_of(database)


def test_verdict_leaves_as_label_and_orders_when_the_time_to_undo_is_over(site: Site) -> None:
    number = alerted(site, 1)
    found = decided(site, number)
    assert (found.state, found.action, found.sent, found.undo_until) == (
        "decided",
        "block_card",
        True,
        NOW + 10 * SECOND,
    )
    assert leaving(site, NOW + 10 * SECOND - 1) == []
    label, decline, block = leaving(site, NOW + 10 * SECOND)
    assert (label.tx_id, label.verdict, label.source, label.version) == ("tx1", Verdict.FRAUD, LabelSource.ANALYST, 0)
    assert (decline.action, decline.tx_id, decline.card) == (Remedy.DECLINE, "tx1", "4000123400000001")
    assert (block.action, block.tx_id, block.by, block.at) == (Remedy.BLOCK_CARD, "", "A. Novak", NOW)
    assert decline.id != block.id
    assert status(site, number) == ("decided", "fraud")


def test_verdict_happened_at_the_streams_highest_time_never_by_the_wall_clock(site: Site) -> None:
    number = alerted(site, 1)
    take(site, seen(50, decision(50, card="5")))
    decided(site, number)
    assert [each.happened_at for each in labels(site)] == [STREAM + 50 * SECOND]


def test_verdict_on_a_payment_ahead_of_the_stream_never_happened_before_it(site: Site) -> None:
    number = alerted(site, 60)
    with site.database.write() as connection:
        connection.exec_driver_sql(f"UPDATE mark SET next_offset = {STREAM} WHERE topic = 'stream'")
    decided(site, number)
    assert [each.happened_at for each in labels(site)] == [STREAM + 60 * SECOND]


@pytest.mark.parametrize(
    ("action", "verdict", "asked", "ordered"),
    [
        (Action.REVIEW, "genuine", "", [Remedy.RELEASE]),
        (Action.REVIEW, "genuine", "step_up", [Remedy.STEP_UP]),
        (Action.REVIEW, "fraud", "decline", [Remedy.DECLINE]),
        (Action.REVIEW, "fraud", "none", []),
        (Action.DECLINE, "fraud", "", [Remedy.BLOCK_CARD]),
        (Action.DECLINE, "genuine", "", []),
        (Action.DECLINE, "genuine", "release", [Remedy.RELEASE]),
        (Action.CHALLENGE, "genuine", "", []),
    ],
)
def test_action_is_apart_from_the_verdict(
    site: Site, action: Action, verdict: str, asked: str, ordered: list[Remedy]
) -> None:
    decided(site, alerted(site, 1, action), verdict, action=asked)
    assert orders(site) == ordered


def test_action_that_the_kind_of_work_does_not_have_is_refused(site: Site) -> None:
    with pytest.raises(InvalidError, match="step_up cannot be done about declined payments: expected one of"):
        decided(site, alerted(site, 1, Action.DECLINE), "fraud", action="step_up")
    assert leaving(site) == []


def test_verdict_goes_to_all_open_alerts_of_the_card_but_those_left_out(site: Site) -> None:
    numbers = [alerted(site, number, card="4111", base_amount=1) for number in (1, 2, 3)]
    found = decided(site, numbers[0], alerts=numbers[:2])
    assert (found.alerts, found.state) == (tuple(numbers[:2]), "open")
    assert [status(site, number)[0] for number in numbers] == ["decided", "decided", "open"]
    assert orders(site) == [Remedy.DECLINE, Remedy.DECLINE, Remedy.BLOCK_CARD]
    assert decided(site, numbers[2], "genuine", by="ben").state == "decided"


def test_verdict_has_no_default() -> None:
    with pytest.raises(msgspec.ValidationError, match="verdict"):
        msgspec.convert({"action": "none"}, Given)


def test_second_to_decide_is_told_who_was_first_and_how(site: Site) -> None:
    number = alerted(site, 1)
    decided(site, number, by="ben")
    with pytest.raises(ConflictError, match=r"B\. Lang decided this 4 s ago: fraud, block card; reopen the case"):
        decided(site, number, "genuine", now=NOW + 4 * SECOND)
    assert [each.verdict for each in labels(site)] == [Verdict.FRAUD]


def test_verdict_on_a_case_that_somebody_else_has_locked_is_refused_until_the_lock_ends(site: Site) -> None:
    number = alerted(site, 1)
    site.desk.lock(site["ben"], case_of(site, number), NOW)
    with pytest.raises(ConflictError, match=r"B\. Lang works on case"):
        decided(site, number, now=NOW + 10 * MINUTE - 1)
    assert decided(site, number, now=NOW + 10 * MINUTE).state == "decided"


@pytest.mark.parametrize("action", list(Action)[1:])
def test_undo_brings_everything_back_and_nothing_leaves(site: Site, action: Action) -> None:
    numbers = [alerted(site, number, action, card="4111") for number in (1, 2)]
    before = content(site)
    found = decided(site, numbers[0], alerts=numbers[:1])
    assert content(site) != before
    undone = site.desk.undo(site["anna"], found.undo, NOW + 9 * SECOND)
    assert (undone.cases, undone.alerts) == ((found.case,), (numbers[0],))
    assert content(site) == before
    assert leaving(site) == []


def test_undo_and_another_verdict_send_that_one_alone_as_the_first_version(site: Site) -> None:
    number = alerted(site, 1)
    site.desk.undo(site["anna"], decided(site, number).undo, NOW + SECOND)
    decided(site, number, "genuine", now=NOW + 2 * SECOND)
    assert [(each.verdict, each.version) for each in labels(site)] == [(Verdict.GENUINE, 0)]
    assert orders(site) == [Remedy.RELEASE]


def test_undo_is_refused_after_its_time_to_others_and_a_second_time(site: Site) -> None:
    found = decided(site, alerted(site, 1))
    with pytest.raises(ForbiddenError, match="only who has decided"):
        site.desk.undo(site["ben"], found.undo, NOW)
    with pytest.raises(UnknownError):
        site.desk.undo(site["anna"], "another", NOW)
    with pytest.raises(GoneError, match="the time to undo it has passed"):
        site.desk.undo(site["anna"], found.undo, NOW + 10 * SECOND)
    site.desk.undo(site["anna"], found.undo, NOW)
    with pytest.raises(GoneError, match="undone already"):
        site.desk.undo(site["anna"], found.undo, NOW)


def test_undo_is_refused_once_a_row_has_left(site: Site) -> None:
    number = alerted(site, 1)
    found = decided(site, number)
    with site.database.write() as connection:
        connection.execute(update(outbox).values(sent_at=NOW))
    with pytest.raises(GoneError, match="has left already"):
        site.desk.undo(site["anna"], found.undo, NOW)
    assert status(site, number) == ("decided", "fraud")


def test_undo_after_a_new_alert_has_opened_a_case_leaves_both_open(site: Site) -> None:
    first = alerted(site, 1, card="4111")
    found = decided(site, first)
    second = alerted(site, 2, card="4111")
    site.desk.undo(site["anna"], found.undo, NOW + SECOND)
    assert case_of(site, first) != case_of(site, second)
    assert status(site, first) == ("open", None)
    with site.database.read() as connection:
        states = connection.execute(select(case.c.state).order_by(case.c.id)).scalars().all()
    assert states == [3, 0]


def test_reopened_verdict_sends_a_correction_and_lets_the_card_free(site: Site) -> None:
    number = alerted(site, 1)
    decided(site, number)
    site.desk.reopen(site["ben"], case_of(site, number), "the cardholder calls back", NOW + HOUR)
    assert status(site, number) == ("open", None)
    decided(site, number, "genuine", by="ben", now=NOW + HOUR)
    first, second = labels(site)
    assert (second.verdict, second.version) == (Verdict.GENUINE, 1)
    assert second.happened_at == first.happened_at + 1
    assert orders(site) == [Remedy.DECLINE, Remedy.BLOCK_CARD, Remedy.RELEASE, Remedy.UNBLOCK_CARD]


def test_card_that_another_case_has_blocked_stays_blocked(site: Site) -> None:
    decided(site, alerted(site, 1, card="4111"))
    decided(site, alerted(site, 2, card="4111"), "genuine")
    assert orders(site) == [Remedy.DECLINE, Remedy.BLOCK_CARD, Remedy.RELEASE]


def test_reopened_verdict_that_is_now_unsure_takes_the_label_back(site: Site) -> None:
    number = alerted(site, 1)
    decided(site, number)
    site.desk.reopen(site["anna"], case_of(site, number), "I doubt it", NOW)
    decided(site, number, "unsure")
    assert [(each.verdict, each.version) for each in labels(site)] == [(Verdict.FRAUD, 0), (Verdict.WITHDRAWN, 1)]


def test_reopened_verdict_that_stays_the_same_says_nothing_again(site: Site) -> None:
    number = alerted(site, 1)
    decided(site, number)
    site.desk.reopen(site["anna"], case_of(site, number), "look again", NOW)
    assert decided(site, number).sent is False
    assert len(labels(site)) == 1


def test_only_a_decided_case_is_reopened_and_never_without_a_reason(site: Site) -> None:
    number = alerted(site, 1)
    with pytest.raises(ConflictError, match="is open: only a decided one"):
        site.desk.reopen(site["anna"], case_of(site, number), "why not", NOW)
    decided(site, number)
    with pytest.raises(InvalidError, match="reason"):
        site.desk.reopen(site["anna"], case_of(site, number), "  ", NOW)


def test_unsure_sends_nothing_and_comes_back_after_its_time(site: Site) -> None:
    number = alerted(site, 1, Action.DECLINE)
    found = decided(site, number, "unsure")
    assert (found.state, found.action, found.sent) == ("open", "none", False)
    assert leaving(site) == []
    assert status(site, number)[0] == "locked"
    assert site.desk.next(site["ben"], "declined", NOW) is None
    for now, after in ((NOW + DAY - 1, "locked"), (NOW + DAY, "open")):
        with site.database.write() as connection:
            waking.wake(connection, now)
        assert status(site, number)[0] == after
    assert site.desk.next(site["ben"], "declined", NOW + DAY) == found.case


def test_escalated_waits_for_a_lead_whose_verdict_holds(site: Site) -> None:
    number = alerted(site, 1)
    found = site.desk.escalate(site["anna"], case_of(site, number), "a ring?", NOW)
    assert (found.state, found.needs_second, leaving(site)) == ("pending_second", True, [])
    assert site.desk.next(site["ben"], "held", NOW) is None
    with pytest.raises(ForbiddenError, match="expected at least lead"):
        decided(site, number, by="ben")
    assert site.desk.next(site["lea"], "disputes", NOW) == found.case
    assert decided(site, number, by="lea").state == "decided"
    assert [each.verdict for each in labels(site)] == [Verdict.FRAUD]


def test_decide_locks_the_next_case_of_the_kind(site: Site) -> None:
    numbers = [alerted(site, number, at_stake=number) for number in (1, 2, 3)]
    found = decided(site, numbers[2])
    assert found.next_case == case_of(site, numbers[1])
    (row,) = site.desk.row([numbers[1]], site["anna"], NOW)
    assert row.owner is not None
    assert (row.owner.mine, row.owner.until) == (True, NOW + 10 * MINUTE)


def test_sums_of_what_waits_follow_verdicts(site: Site) -> None:
    numbers = [alerted(site, number, at_stake=100 * number) for number in (1, 2, 3)]
    decided(site, numbers[2])
    decided(site, numbers[1], "unsure")
    held = site.desk.badges(site["anna"], NOW)[0]
    assert (held.kind, held.count, held.at_stake) == ("held", 2, 300)
    with site.database.read() as connection:
        assert connection.execute(select(case.c.at_stake).order_by(case.c.id)).scalars().all() == [100, 200, 0]


def test_changes_of_rows_are_told_to_screens(site: Site) -> None:
    number = alerted(site, 1)
    decided(site, number)
    with site.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT alert_id, what FROM change ORDER BY seq").all()
    assert [tuple(row) for row in rows] == [(number, 0), (number, 1)]


def test_payment_that_was_released_while_unsure_times_out_no_more(site: Site) -> None:
    number = alerted(site, 1)
    decided(site, number, "unsure", action="release")
    site.intake.expire(NOW + 2 * HOUR)
    assert status(site, number)[0] == "locked"
    assert orders(site) == [Remedy.RELEASE]


def test_failed_verdict_leaves_nothing_behind(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    number = alerted(site, 1)
    before = content(site)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(site.desk.tools.audit, "append", fail)
    with pytest.raises(RuntimeError, match="the disk is full"):
        decided(site, number)
    assert content(site) == before
    assert leaving(site) == []
    with site.database.read() as connection:
        assert connection.execute(select(alert.c.status)).scalars().all() == [0]
