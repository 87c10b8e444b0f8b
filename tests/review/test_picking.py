"""Who works on what: the next case, locks and their end, two at once, cases assigned and put back."""

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from fraud.core.records import MINUTE, Action
from fraud.review.database import Database
from fraud.review.errors import ConflictError, ForbiddenError, InvalidError, UnknownError
from fraud.review.people import Person, Role
from fraud.review.views import Given, QueueFilter, QueueQuery
from tests.review.seeding import NOW, Site, alerted, case_of, decided, site_of


@pytest.fixture
def site(database: Database) -> Site:
    return site_of(database)


def test_next_is_what_is_most_at_stake_of_its_kind_and_each_case_once(site: Site) -> None:
    cases = [case_of(site, alerted(site, number, at_stake=number)) for number in (1, 2, 3)]
    alerted(site, 4, Action.DECLINE, at_stake=9)
    taken = [site.desk.next(site[who], "held", NOW) for who in ("anna", "ben", "anna")]
    assert taken == [cases[2], cases[1], cases[0]]
    assert site.desk.next(site["cleo"], "held", NOW) is None


def test_equal_stakes_are_taken_from_the_newest_on(site: Site) -> None:
    cases = [case_of(site, alerted(site, number, at_stake=5)) for number in (1, 2, 3)]
    assert [site.desk.next(site["anna"], "held", NOW) for _ in cases] == cases[::-1]


def test_lock_that_has_ended_is_taken_over_and_a_renewed_one_is_not(site: Site) -> None:
    case = case_of(site, alerted(site, 1))
    site.desk.next(site["anna"], "held", NOW)
    assert site.desk.renew(site["anna"], case, NOW + 9 * MINUTE).until == NOW + 19 * MINUTE
    assert site.desk.next(site["ben"], "held", NOW + 19 * MINUTE - 1) is None
    with pytest.raises(ConflictError, match=r"A\. Novak works on case"):
        site.desk.lock(site["ben"], case, NOW + 11 * MINUTE)
    assert site.desk.next(site["ben"], "held", NOW + 19 * MINUTE) == case
    with pytest.raises(ConflictError, match=r"B\. Lang works on case"):
        site.desk.renew(site["anna"], case, NOW + 20 * MINUTE)


def test_case_let_go_is_free_at_once_and_somebody_elses_is_left_alone(site: Site) -> None:
    case = site.desk.next(site["anna"], "held", NOW) or case_of(site, alerted(site, 1))
    site.desk.lock(site["anna"], case, NOW)
    site.desk.let_go(site["ben"], case, NOW)
    assert site.desk.next(site["ben"], "held", NOW) is None
    site.desk.let_go(site["anna"], case, NOW)
    assert site.desk.next(site["ben"], "held", NOW) == case


def test_skipped_case_comes_to_others_first_and_back_when_nothing_else_waits(site: Site) -> None:
    dear, cheap = (case_of(site, alerted(site, number, at_stake=stake)) for number, stake in ((1, 9), (2, 1)))
    assert site.desk.next(site["anna"], "held", NOW) == dear
    assert site.desk.skip(site["anna"], dear, "I know the cardholder", NOW) == cheap
    assert site.desk.next(site["anna"], "held", NOW) == dear
    site.desk.skip(site["anna"], dear, "I know the cardholder", NOW)
    assert site.desk.next(site["ben"], "held", NOW) == dear
    with pytest.raises(InvalidError, match="the reason has 0 characters"):
        site.desk.skip(site["ben"], dear, " ", NOW)


def test_assigned_case_comes_to_nobody_else(site: Site) -> None:
    number = alerted(site, 1)
    assert site.desk.assign(site["lea"], [number], site["ben"].id, NOW) == 1
    assert site.desk.next(site["anna"], "held", NOW) is None
    (row,) = site.desk.queue(QueueQuery(shelf="mine"), site["ben"], NOW).rows
    assert row.alert == number
    assert site.desk.next(site["ben"], "held", NOW) == row.case
    with pytest.raises(ForbiddenError, match="may not assign cases to somebody else"):
        site.desk.assign(site["anna"], [number], site["ben"].id, NOW)
    with pytest.raises(InvalidError, match="cannot decide cases"):
        site.desk.assign(site["lea"], [number], site["vera"].id, NOW)


def test_many_who_take_the_next_at_once_get_different_cases(site: Site) -> None:
    cases = {case_of(site, alerted(site, number)) for number in range(24)}

    def take(worker: int) -> list[int | None]:
        who = Person(100 + worker, f"worker {worker}", Role.ANALYST)
        return [site.desk.next(who, "held", NOW) for _ in range(6)]

    with ThreadPoolExecutor(4) as pool:
        taken = [case for found in pool.map(take, range(4)) for case in found]
    assert None not in taken
    assert set(taken) == cases


def test_what_is_not_there_is_said(site: Site) -> None:
    with pytest.raises(InvalidError, match="'hold' is no kind of work: expected one of held, declined"):
        site.desk.next(site["anna"], "hold", NOW)
    with pytest.raises(UnknownError, match="there is no case 999"):
        site.desk.lock(site["anna"], 999, NOW)


def test_next_follows_order_and_filter_of_the_queue_that_one_looks_at(site: Site) -> None:
    near, dear, small = (
        case_of(site, alerted(site, number, at_stake=stake, now=NOW - ago * MINUTE, base_amount=amount))
        for number, stake, ago, amount in ((1, 5, 20, 9_000), (2, 9, 1, 9_000), (3, 1, 25, 10))
    )
    filtered = QueueFilter(least=1_000)
    for order, narrowed, wanted in (
        ("at_stake", QueueFilter(), dear), ("due", QueueFilter(), small), ("due", filtered, near),
        ("newest", filtered, dear), ("at_stake", QueueFilter(tag="ring"), None),
    ):  # fmt: skip
        query = msgspec.convert({"order": order}, QueueQuery)
        found = site.desk.next(site["anna"], msgspec.structs.replace(query, filter=narrowed), NOW)
        assert found == wanted, order
        if found is not None:
            site.desk.let_go(site["anna"], found, NOW)


def test_case_after_a_verdict_is_of_the_queue_that_the_first_was_taken_from(site: Site) -> None:
    cases = [
        case_of(site, alerted(site, number, at_stake=9 - number, merchant="M7" if number % 2 else "M1"))
        for number in range(4)
    ]
    queue = QueueQuery(filter=QueueFilter(merchant="M7"))
    first = site.desk.next(site["anna"], queue, NOW)
    assert first == cases[1]
    view = site.desk.case(first, site["anna"], NOW, queue=queue)
    assert (view.next, view.queue) == (cases[3], queue)
    assert site.desk.case(first, site["anna"], NOW).next == cases[0]
    decided = site.desk.decide(site["anna"], first, Given(verdict="genuine"), NOW, queue)
    assert decided.next_case == cases[3]
    assert site.desk.decide(site["anna"], cases[3], Given(verdict="genuine"), NOW, queue).next_case is None


def test_skip_locks_the_next_case_of_the_same_work(site: Site) -> None:
    dear, cheap = (case_of(site, alerted(site, number, at_stake=stake)) for number, stake in ((1, 9), (2, 1)))
    other = case_of(site, alerted(site, 3, Action.DECLINE, at_stake=99))
    assert site.desk.skip(site["anna"], dear, "I know the cardholder", NOW) == cheap
    rows = site.desk.queue(QueueQuery(), site["ben"], NOW).rows
    assert {row.case: row.owner and row.owner.name for row in rows} == {dear: None, cheap: "A. Novak"}
    assert site.desk.next(site["ben"], "held", NOW) == dear
    assert site.desk.skip(site["anna"], cheap, "me again", NOW) is None
    assert site.desk.skip(site["anna"], other, "and that", NOW) is None


def test_escalated_case_is_followed_by_one_of_its_kind(site: Site) -> None:
    dear, cheap = (case_of(site, alerted(site, number, at_stake=stake)) for number, stake in ((1, 9), (2, 1)))
    assert site.desk.escalate(site["anna"], dear, "a ring?", NOW).next_case == cheap


def test_next_of_ones_own_shelf_is_what_one_has(site: Site) -> None:
    numbers = [alerted(site, number, at_stake=number) for number in (1, 2, 3)]
    site.desk.assign(site["anna"], numbers[:2], site["anna"].id, NOW)
    assert site.desk.next(site["anna"], QueueQuery(shelf="mine"), NOW) == case_of(site, numbers[1])
    assert site.desk.next(site["ben"], QueueQuery(shelf="mine"), NOW) is None


def test_decided_case_is_locked_by_nobody_until_it_is_opened_again(site: Site) -> None:
    number = alerted(site, 1)
    case = case_of(site, number)
    decided(site, number)
    with pytest.raises(ConflictError, match="is decided: reopen it"):
        site.desk.renew(site["anna"], case, NOW + MINUTE)
    site.desk.reopen(site["ben"], case, "he called", NOW + MINUTE)
    assert site.desk.renew(site["ben"], case, NOW + MINUTE).mine


def test_case_that_a_lead_has_given_is_taken_away_by_leads_alone(site: Site) -> None:
    number = alerted(site, 1)
    site.desk.assign(site["lea"], [number], site["ben"].id, NOW)
    for whom in (None, site["anna"].id):
        with pytest.raises(ForbiddenError, match="is given to somebody else"):
            site.desk.assign(site["anna"], [number], whom, NOW)
    assert site.desk.assign(site["ben"], [number], None, NOW) == 1
    assert site.desk.assign(site["anna"], [number], site["anna"].id, NOW) == 1
    assert site.desk.assign(site["lea"], [number], None, NOW) == 1
