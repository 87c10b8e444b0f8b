"""The team's page: what came and what was decided, what waits, who decides how, and whether it was right."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, func, literal_column, select
from sqlalchemy import case as when

from fraud.core.records import DAY, HOUR, MINUTE
from fraud.review import counters
from fraud.review.agreement import Pair, agreement, kappa, of_person, share_of
from fraud.review.page_views import Aged, Dispute, Hour, MemberRow, SecondRow, Share, TeamView, Waste
from fraud.review.people import Person, Role
from fraud.review.queue import WORKING
from fraud.review.rights import need
from fraud.review.rows import UNKNOWN, people_of
from fraud.review.tables import IS_OPEN, IS_SECOND, account, alert, case, payment, reason, verdict
from fraud.review.tools import Tools
from fraud.review.truths import OF_ALERT, contradicted, is_fraud
from fraud.review.views import QueueQuery
from fraud.review.words import AlertKind, AlertStatus, CaseState, Finding, Second

MONTH = 30 * DAY
NEAR = 15 * MINUTE
AGES = 15 * MINUTE, HOUR, 4 * HOUR, 0
SECOND_AGES = HOUR, DAY, 3 * DAY, 0
CLOSES = 18 * HOUR
"""The end of the working day, UTC, that capacity is reckoned to."""
MOST_SHOWN, MOST_READ = 20, 20_000
ENDED = int(AlertStatus.DECIDED), int(AlertStatus.TIMED_OUT)
FINAL = int(Finding.FRAUD), int(Finding.GENUINE)


class Given(NamedTuple):
    """A verdict of the last 30 days, with what a chargeback says of it."""

    by: int
    verdict: int
    at: int
    seconds: float
    worth: int | None
    alert_id: int
    contradicted: bool
    labelled: bool


def team_of(tools: Tools, who: Person, now: int) -> TeamView:
    """Return the team's day; raise ForbiddenError for anybody below a lead."""
    need(who, Role.LEAD, "see the team's page")
    day_at = now - now % DAY
    with tools.database.read() as connection:
        hours = _hours(connection, day_at, now)
        sums = counters.read(connection, "waiting/") | counters.read(connection, "at-stake/")
        waits = sum(value for (name, _), value in sums.items() if name.startswith("waiting/"))
        given = _given(connection, now)
        decided = sum(hour.decided for hour in hours)
        ageing, near, oldest = _ageing(connection, now)
        rated = [each for each in given if each.worth is not None]
        wasted = [each for each in rated if each.worth == -1]
        return TeamView(
            base=tools.base,
            asked_at=now,
            day_at=day_at,
            came=sum(hour.came for hour in hours),
            decided=decided,
            timed_out=sum(hour.timed_out for hour in hours),
            waiting=waits,
            at_stake=sum(value for (name, _), value in sums.items() if name.startswith("at-stake/")),
            capacity_left=capacity_left(decided, begun(hours, day_at), now, day_at + CLOSES),
            closes_at=day_at + CLOSES,
            ageing=ageing,
            near_deadline=near,
            oldest_at=oldest,
            precision=_precision(connection, now),
            hours=hours,
            members=_members(connection, given, now, day_at),
            seconds=_seconds(connection, now),
            lapsed=_lapsed(connection, now),
            lapses_after=int(tools.settings.blind_lapse),
            second_query=QueueQuery(shelf="second"),
            disputes=_disputes(connection),
            not_worth=share_of(len(wasted), len(rated)),
            not_worth_by=_wasted(connection, [each.alert_id for each in wasted]),
        )


def begun(hours: Sequence[Hour], day_at: int) -> int:
    """Return when somebody began to decide: the first hour with something decided, else the day's beginning."""
    return next((hour.at for hour in hours if hour.decided), day_at)


def capacity_left(decided: int, since: int, now: int, closes_at: int) -> int | None:
    """Return how many more can be decided until the day closes, at the mean speed since then; None before any."""
    spent = now - since
    if not decided or spent <= 0:
        return None
    return max(0, round(decided * (closes_at - now) / spent))


def _hours(connection: Connection, day_at: int, now: int) -> tuple[Hour, ...]:
    first, last = day_at // HOUR, now // HOUR
    found: dict[str, Counter[int]] = {}
    for begin in ("came/", "decided/", "timed-out/"):
        found[begin] = Counter()
        for (_, bucket), value in counters.read(connection, begin, first, last + 1).items():
            found[begin][bucket] += value
    return tuple(
        Hour(bucket * HOUR, found["came/"][bucket], found["decided/"][bucket], found["timed-out/"][bucket])
        for bucket in range(first, last + 1)
    )


def _ageing(connection: Connection, now: int) -> tuple[tuple[Aged, ...], int, int | None]:
    """Return held alerts by age, how many are near their deadline, and when the oldest came. They alone hurry."""
    held = and_(IS_OPEN, alert.c.kind == literal_column(str(int(AlertKind.HELD))))
    age = now - alert.c.arrived_at
    columns: list[Any] = []
    least = 0
    for below in AGES:
        within = and_(age >= least, age < below) if below else age >= least
        columns += [func.count(when((within, 1))), func.sum(when((within, alert.c.at_stake), else_=0))]
        least = below
    near = func.count(when((alert.c.due_at < now + NEAR, 1)))
    row = connection.execute(select(*columns, near, func.min(alert.c.arrived_at)).where(held)).one()
    aged = tuple(Aged(below, row[2 * at], int(row[2 * at + 1] or 0)) for at, below in enumerate(AGES))
    return aged, row[-2], row[-1]


def _given(connection: Connection, now: int) -> list[Given]:
    asked = (
        select(
            verdict.c.by, verdict.c.verdict, verdict.c.at, verdict.c.seconds_spent, verdict.c.worth_review,
            verdict.c.alert_id, contradicted().label("contradicted"), payment.c.verdict_source,
        )
        .join(alert, alert.c.id == verdict.c.alert_id)
        .outerjoin(payment, OF_ALERT)
        .where(verdict.c.at > now - MONTH)
        .order_by(verdict.c.at.desc())
        .limit(MOST_READ)
    )  # fmt: skip
    return [
        Given(by, said, at, seconds or 0.0, worth, number, bool(wrong), source is not None)
        for by, said, at, seconds, worth, number, wrong, source in connection.execute(asked)
    ]


def _members(connection: Connection, given: Sequence[Given], now: int, day_at: int) -> tuple[MemberRow, ...]:
    pairs = pairs_of(connection, now)
    by: dict[int, list[Given]] = defaultdict(list)
    for each in given:
        by[each.by].append(each)
    working = select(account).where(account.c.role >= int(Role.ANALYST), account.c.state == 1)
    people = connection.execute(working.order_by(account.c.name)).all()
    has = _has(connection, now)
    return tuple(_member(row, by[row.id], of_person(pairs, row.id), has.get(row.id, 0), day_at) for row in people)


def _member(row: Row[Any], given: Sequence[Given], pairs: Sequence[Pair], has: int, day_at: int) -> MemberRow:
    today = [each for each in given if each.at >= day_at]
    final = [each for each in given if each.verdict in FINAL]
    seconds = [each.seconds for each in today if each.seconds > 0]
    return MemberRow(
        id=row.id,
        name=row.name,
        role=Role(row.role).word,
        open=has,
        decided=len(today),
        median_seconds=median(seconds) if seconds else None,
        fraud=share_of(sum(each.verdict == Finding.FRAUD for each in final), len(final)),
        overturned=share_of(sum(each.contradicted for each in final), len(final)),
        agreement=agreement(pairs),
        kappa=kappa(pairs),
        last_at=max((each.at for each in given), default=0),
    )


def _has(connection: Connection, now: int) -> dict[int, int]:
    """Return how many cases each person has: locked now, or assigned."""
    found: Counter[int] = Counter()
    locked = select(case.c.owner, func.count()).where(case.c.lock_until > now, case.c.owner.is_not(None))
    given = select(case.c.assignee, func.count()).where(case.c.assignee.is_not(None), case.c.state.in_(WORKING))
    for number, count in connection.execute(locked.group_by(case.c.owner)):
        found[number] += count
    for number, count in connection.execute(given.group_by(case.c.assignee)):
        found[number] += count
    return found


def pairs_of(connection: Connection, now: int) -> list[Pair]:
    """Return the pairs of verdicts of 30 days in which the second person had not seen the first verdict."""
    first, second = verdict.alias("first"), verdict.alias("second")
    asked = (
        select(first.c.by, first.c.verdict, second.c.by, second.c.verdict)
        .join(second, second.c.second_of == first.c.id)
        .where(second.c.blind, second.c.at > now - MONTH)
    )
    return [Pair(*row) for row in connection.execute(asked)]


def _precision(connection: Connection, now: int) -> dict[str, Share]:
    """Return, by kind, the share of frauds among alerts ended in 30 days of which something is known by now.

    What a chargeback or silence has made known counts, else what the desk has said.
    """
    known = is_fraud()
    asked = (
        select(alert.c.kind, func.count(known), func.sum(when((known, 1), else_=0)))
        .outerjoin(payment, OF_ALERT)
        .where(
            alert.c.decided_at > now - MONTH, alert.c.status.in_([int(AlertStatus.DECIDED), int(AlertStatus.TIMED_OUT)])
        )
        .group_by(alert.c.kind)
    )
    return {AlertKind(kind).word: share_of(int(part or 0), whole) for kind, whole, part in connection.execute(asked)}


def _seconds(connection: Connection, now: int) -> tuple[SecondRow, ...]:
    """Return what waits for another person, by what for: nothing else tells that nobody comes."""
    asked = (
        select(case.c.kind_second, case.c.at_stake, func.max(verdict.c.at))
        .join(verdict, and_(verdict.c.case_id == case.c.id, verdict.c.superseded_by.is_(None)))
        .where(IS_SECOND, case.c.state == int(CaseState.PENDING_SECOND))
        .group_by(case.c.id, case.c.kind_second, case.c.at_stake)
    )
    waits: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for kind, stake, at in connection.execute(asked):
        waits[kind].append((at, stake))
    return tuple(_second(Second(kind), found, now) for kind, found in sorted(waits.items()))


def _second(kind: Second, waits: Sequence[tuple[int, int]], now: int) -> SecondRow:
    """Return what waits for one thing: when each began to, and what is at stake in it."""
    least, aged = 0, []
    for below in SECOND_AGES:
        within = [stake for at, stake in waits if least <= now - at and (not below or now - at < below)]
        aged.append(Aged(below, len(within), sum(within)))
        least = below
    stakes = sum(stake for _, stake in waits)
    word: Any = kind.word
    return SecondRow(word, len(waits), stakes, tuple(aged), min(at for at, _ in waits))


def _lapsed(connection: Connection, now: int) -> int:
    asked = select(func.count()).select_from(verdict).where(verdict.c.at > now - MONTH, verdict.c.unreviewed)
    return int(connection.execute(asked).scalar_one())


def _disputes(connection: Connection) -> tuple[Dispute, ...]:
    """Return the cases that two disagree about; of several alerts of one the first."""
    first, second = verdict.alias("first"), verdict.alias("second")
    asked = (
        select(case.c.id, case.c.at_stake, first.c.by, first.c.verdict, second.c.by, second.c.verdict, second.c.at)
        .join(second, second.c.case_id == case.c.id)
        .join(first, first.c.id == second.c.second_of)
        .where(IS_SECOND, case.c.kind_second == int(Second.DISPUTE), case.c.state == int(CaseState.PENDING_SECOND))
        .order_by(case.c.id, second.c.id)
    )
    rows: Mapping[int, Any] = {row[0]: row for row in reversed(connection.execute(asked).all())}
    people = people_of(connection, [number for row in rows.values() for number in (row[2], row[4])])
    found = [
        Dispute(
            case=number,
            first=people.get(one, UNKNOWN),
            first_verdict=Finding(said).word,
            second=people.get(two, UNKNOWN),
            second_verdict=Finding(other).word,
            at=at,
            at_stake=stake,
        )
        for number, stake, one, said, two, other, at in rows.values()
    ]
    return tuple(sorted(found, key=lambda each: -each.at_stake)[:MOST_SHOWN])


def _wasted(connection: Connection, alerts: Sequence[int]) -> tuple[Waste, ...]:
    """Return which reasons stood first in alerts that were not worth a look."""
    if not alerts:
        return ()
    asked = select(reason.c.code, func.count()).where(reason.c.alert_id.in_(alerts), reason.c.place == 0)
    rows = connection.execute(asked.group_by(reason.c.code)).all()
    found = [Waste(code, count, count / len(alerts)) for code, count in rows]
    return tuple(sorted(found, key=lambda each: (-each.count, each.code))[:MOST_SHOWN])
