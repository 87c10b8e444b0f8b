"""Alerts as rows of a queue: what one page needs, in a handful of questions whatever its length."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from fraud.review.naming import named, names_of, veiled
from fraud.review.people import Person, Role
from fraud.review.tables import account, alert, case, reason, tag
from fraud.review.views import Colleague, Owner, QueueRow, Reasoned
from fraud.review.words import AlertKind, AlertStatus, Deed, Finding

UNDECIDED = (int(AlertStatus.OPEN), int(AlertStatus.LOCKED))
"""An alert that is open, or waits: unsure, or for a second person."""
LIFTED = 1e-6
"""By how much a score must lie above the model's own to have been lifted by a rule: it is kept in 32 bits."""
NEVER = 2**62
"""The deadline of what can time out no more: in the year 2116."""
UNKNOWN = "?"
"""The name of an entity or account that is kept no more."""

CASE_COLUMNS = (
    case.c.owner, case.c.assignee, case.c.lock_until, case.c.state.label("case_state"), case.c.kind_second,
)  # fmt: skip


class Beside(NamedTuple):
    """What stands beside alerts in other tables."""

    names: Mapping[int, tuple[int, str]]
    reasons: Mapping[int, Sequence[Any]]
    on_card: Mapping[int, int]
    tags: Mapping[int, Sequence[str]]
    people: Mapping[int, str]


def rows_of(connection: Connection, ids: Sequence[int], who: Person, now: int) -> tuple[QueueRow, ...]:
    """Return the rows of alerts in the order given; those that are not there are left out."""
    if not ids:
        return ()
    found = connection.execute(
        select(alert, *CASE_COLUMNS).join(case, case.c.id == alert.c.case_id).where(alert.c.id.in_(ids))
    )
    return rows_from(connection, sorted(found, key=lambda row: ids.index(row.id)), who, now)


def rows_from(connection: Connection, alerts: Sequence[Any], who: Person, now: int) -> tuple[QueueRow, ...]:
    """Return rows of alerts that were read together with `CASE_COLUMNS`."""
    beside = _beside(connection, alerts)
    return tuple(_row(each, beside, who, now) for each in alerts)


def people_of(connection: Connection, ids: Iterable[int | None]) -> dict[int, str]:
    """Return the names of accounts by their number."""
    wanted = {each for each in ids if each is not None}
    if not wanted:
        return {}
    return {number: name for number, name in connection.execute(
        select(account.c.id, account.c.name).where(account.c.id.in_(wanted)))}  # fmt: skip


def colleagues(connection: Connection) -> tuple[Colleague, ...]:
    """Return who can be given cases: active accounts from analyst on, by name."""
    chosen = (account.c.state == 1) & (account.c.role >= int(Role.ANALYST))
    found = connection.execute(select(account.c.id, account.c.name, account.c.role).where(chosen))
    return tuple(Colleague(row.id, row.name, Role(row.role).word) for row in sorted(found, key=lambda row: row.name))


def owner_of(row: Any, people: Mapping[int, str], who: Person, now: int) -> Owner | None:
    """Return who has the case of a row: whoever has locked it, else whom it was assigned to."""
    if row.owner is not None and (row.lock_until or 0) > now:
        return Owner(row.owner, people.get(row.owner, UNKNOWN), row.lock_until, row.owner == who.id)
    if row.assignee is not None:
        return Owner(row.assignee, people.get(row.assignee, UNKNOWN), 0, row.assignee == who.id)
    return None


def reasons_of(connection: Connection, ids: Collection[int]) -> dict[int, list[Any]]:
    """Return the stored reasons of alerts, in order."""
    found: dict[int, list[Any]] = {}
    chosen = select(reason).where(reason.c.alert_id.in_(ids)).order_by(reason.c.alert_id, reason.c.place)
    for row in connection.execute(chosen):
        found.setdefault(row.alert_id, []).append(row)
    return found


def reasoned(row: Any, card: str) -> Reasoned:
    """Return a stored reason as it is shown; sentences of block lists name the card."""
    rule = row.code.startswith(("rule:", "list:"))
    return Reasoned(row.code, veiled(row.text, card), row.effect, row.without, rule)


def tags_of(connection: Connection, cases: Collection[int]) -> dict[int, list[str]]:
    """Return the tags of cases, in order of their names."""
    found: dict[int, list[str]] = {}
    chosen = select(tag.c.case_id, tag.c.name).where(tag.c.case_id.in_(cases)).order_by(tag.c.case_id, tag.c.name)
    for number, name in connection.execute(chosen):
        found.setdefault(number, []).append(name)
    return found


def _beside(connection: Connection, alerts: Sequence[Any]) -> Beside:
    cards = {row.card for row in alerts}
    waiting = select(alert.c.card, func.count()).where(alert.c.card.in_(cards), alert.c.status.in_(UNDECIDED))
    return Beside(
        names=names_of(connection, [number for row in alerts for number in (row.card, row.merchant, row.device)]),
        reasons=reasons_of(connection, [row.id for row in alerts]),
        on_card={card: count for card, count in connection.execute(waiting.group_by(alert.c.card))},
        tags=tags_of(connection, {row.case_id for row in alerts}),
        people=people_of(connection, [number for row in alerts for number in (row.owner, row.assignee)]),
    )


def _row(row: Any, beside: Beside, who: Person, now: int) -> QueueRow:
    card = beside.names.get(row.card, (0, UNKNOWN))[1]
    shown = {number: named(*_kind_and_name(beside, number, kind)) for number, kind in _sides(row)}
    return QueueRow(
        alert=row.id,
        case=row.case_id,
        uid=row.uid,
        kind=AlertKind(row.kind).word,  # type: ignore[arg-type]
        status=AlertStatus(row.status).word,
        took=Deed(row.action).word,
        score=row.score,
        model_score=row.model_score,
        rule_floor=row.model_score is not None and row.score > row.model_score + LIFTED,
        at_stake=row.at_stake,
        expected_loss=row.expected_loss,
        amount=row.amount,
        currency=row.currency,
        base_amount=row.base_amount,
        card=shown[row.card],
        merchant=shown[row.merchant],
        device=shown.get(row.device),
        channel=row.channel,
        why=tuple(reasoned(each, card) for each in beside.reasons.get(row.id, ())),
        alerts_on_card=beside.on_card.get(row.card, 0),
        seen_before=row.seen_before,
        arrived_at=row.arrived_at,
        happened_at=row.happened_at,
        due_at=0 if row.due_at >= NEVER else row.due_at,
        model=row.model,
        owner=owner_of(row, beside.people, who, now),
        verdict=None if row.verdict is None else Finding(row.verdict).word,  # type: ignore[arg-type]
        tags=tuple(beside.tags.get(row.case_id, ())),
    )


def _sides(row: Any) -> list[tuple[int, int]]:
    """Return the entities of an alert with their kinds."""
    return [(number, kind) for kind, number in enumerate((row.card, row.merchant, row.device)) if number is not None]


def _kind_and_name(beside: Beside, number: int, kind: int) -> tuple[int, int, str]:
    return kind, number, beside.names.get(number, (kind, UNKNOWN))[1]
