"""A case on one screen: all that somebody needs to decide it, and what has become of it.

What was known when the alert was raised is shown as stored; what is known by now stands beside it and says so. Who is
to look a second time does not see the first verdict, its note, nor who gave it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, exists, func, select

from fraud.core.records import Label
from fraud.review.bulk import among
from fraud.review.case_views import (
    AlertView,
    Blind,
    CaseView,
    Dossier,
    GraphView,
    NoteView,
    Step,
    TrailView,
)
from fraud.review.counters import ALL, waiting
from fraud.review.errors import UnknownError
from fraud.review.history import HIDES, MOST_VERDICTS, open_to_all, past, payments_of, verdict_rows, verdicts_where
from fraud.review.leaving import alerts_of
from fraud.review.library import InUse
from fraud.review.naming import named
from fraud.review.neighbourhood import Centre, around
from fraud.review.people import Person, Role
from fraud.review.picking import ahead, case_row, no_case, work_of
from fraud.review.remedies import possible_words, usual_words
from fraud.review.rights import need
from fraud.review.rows import PEOPLE, UNDECIDED, UNKNOWN, beside, colleagues, owner_of, row_query, rows_from
from fraud.review.stored import stored_of, vector_of
from fraud.review.tables import account, audit, case, counter, entity, label_trace, note, outbox, refresh, step, verdict
from fraud.review.tables import alert as alert_table
from fraud.review.today import deciding, in_force
from fraud.review.tools import STREAM, Tools, marked
from fraud.review.velocity import Sight, first_seen, shop_of, velocity_of
from fraud.review.verdicts import second_for
from fraud.review.views import PastVerdict, QueueQuery, QueueRow, Timeline
from fraud.review.why import About, rules_of, why_of
from fraud.review.words import AlertKind, CaseState, EntityKind, Finding, Known, Parcel, Second, Teller

VERDICT_STEPS = "verdict."


class Seen(NamedTuple):
    """A case as somebody sees it: its row, its alerts, the one in focus, all verdicts and what of them is hidden."""

    row: Row[Any]
    alerts: Sequence[Row[Any]]
    focus: Row[Any]
    who: Person
    now: int
    said: Sequence[Row[Any]]

    @property
    def given(self) -> list[Row[Any]]:
        """Return the verdicts that stand."""
        return [each for each in self.said if each.superseded_by is None]

    @property
    def hidden(self) -> bool:
        """Tell whether what was said is hidden: it waits for a second look, and who asks has not given one."""
        waits = self.row.state == CaseState.PENDING_SECOND and self.row.kind_second in HIDES
        return waits and not any(each.by == self.who.id for each in self.given)


def case_of(
    tools: Tools, who: Person, number: int, now: int, alert: int | None = None, queue: QueueQuery | None = None
) -> CaseView:
    """Return a case with one of its alerts in focus, the dearest undecided one unless another is asked for.

    `queue` is where the next case will be taken from, that of its kind of work unless another is named.

    Raises:
        UnknownError: when there is no such case, or no such alert in it.
    """
    with tools.database.read() as connection:
        return _view(tools, connection, _seen(connection, who, number, now, alert), queue)


def graph_of(
    tools: Tools, who: Person, number: int, at: str, hops: int, now: int, alert: int | None = None
) -> GraphView:
    """Return the graph of a case, frozen at its alert or as of `now`; `hops` 1 leaves other cards out."""
    with tools.database.read() as connection:
        focus = _seen(connection, who, number, now, alert).focus
        if at != "now":
            return narrowed(stored_of(connection, focus.evidence_id).graph, hops)
        until = max(marked(connection, STREAM), focus.happened_at)
        return around(connection, Centre(focus.card, until, focus.tx_id), hops=hops, at="now")


def narrowed(graph: GraphView, hops: int) -> GraphView:
    """Return a graph without what lies further from the card than so many hops."""
    nodes = tuple(node for node in graph.nodes if node.ring <= hops)
    kept = {node.id for node in nodes}
    edges = tuple(edge for edge in graph.edges if edge.source in kept and edge.target in kept)
    return msgspec.structs.replace(graph, hops=min(hops, graph.hops), nodes=nodes, edges=edges)


def timeline_of(tools: Tools, number: int, after: str) -> Timeline:
    """Return more payments of a case's card; raise UnknownError when there is no such case."""
    with tools.database.read() as connection:
        row = case_row(connection, number)
        focus = _focus(alerts_of(connection, number), None)
        return payments_of(connection, "card", row.card_id, after=after, this=focus.tx_id, here=focus.merchant)


def dossier_of(tools: Tools, who: Person, number: int, now: int) -> Dossier:
    """Return a case for print, with all that was done to it; that it was printed is in the audit log.

    Raises:
        ForbiddenError: for the role.
        UnknownError: when there is no such case.
    """
    need(who, Role.ANALYST, "print a case")
    with tools.database.write() as connection:
        seen = _seen(connection, who, number, now, None)
        view = _view(tools, connection, seen)
        asked = select(audit).where(audit.c.object == f"case/{number}").order_by(audit.c.seq)
        rows = [row for row in connection.execute(asked) if not (seen.hidden and row.action.startswith(VERDICT_STEPS))]
        tools.audit.append(connection, now, who.name, "case.print", f"case/{number}")
        head = tools.audit.head(connection)
    return Dossier(view, tuple(step_of(row) for row in rows), now, who.name, f"{head.seq}:{head.mac}")


def step_of(row: Row[Any]) -> Step:
    """Return a row of the audit log as pages show it."""
    return Step(row.seq, row.at, row.actor, row.action, row.object, row.before or "", row.after or "",
                bytes(row.mac).hex())  # fmt: skip


def _seen(connection: Connection, who: Person, number: int, now: int, alert: int | None) -> Seen:
    """Return a case with all its alerts, the dearest first, and all verdicts on it."""
    asked = select(case, entity.c.name.label("card_name"), entity.c.payments, entity.c.first_at, *PEOPLE)
    asked = asked.outerjoin(entity, entity.c.id == case.c.card_id).where(case.c.id == number)
    row = connection.execute(asked).first()
    if row is None:
        raise no_case(number)
    mine = row_query().where(alert_table.c.case_id == number)
    alerts = connection.execute(mine.order_by(alert_table.c.at_stake.desc(), alert_table.c.id)).all()
    said = verdict_rows(connection, verdict.c.case_id == number)
    return Seen(row, alerts, _focus(alerts, alert), who, now, said)


def _focus(alerts: Sequence[Row[Any]], number: int | None) -> Row[Any]:
    chosen = [each for each in alerts if number is None or each.id == number]
    if not chosen:
        msg = f"there is no alert {number} in this case" if alerts else "the case has no alert any more"
        raise UnknownError(msg)
    return next((each for each in chosen if each.status in UNDECIDED), chosen[0])


def _view(tools: Tools, connection: Connection, seen: Seen, queue: QueueQuery | None = None) -> CaseView:
    row, focus = seen.row, seen.focus
    stored = stored_of(connection, focus.evidence_id)
    vector = vector_of(stored.vector, tools.library.names)
    views = _alerts(connection, seen, stored.message.kind)
    view = next(view for view in views if view.row.alert == focus.id)
    about = About(focus, stored, vector, view.row.why)
    payments = payments_of(connection, "card", row.card_id, this=focus.tx_id, here=focus.merchant)
    kind = AlertKind(focus.kind)
    open_kinds = [AlertKind(each.kind) for each in seen.alerts if each.status in UNDECIDED] or [kind]
    facts = _facts(connection, kind, tools.library.in_use())
    return CaseView(
        case=row.id,
        state=CaseState(row.state).word,
        base=tools.base,
        card=named(EntityKind.CARD, row.card_id, row.card_name or UNKNOWN),
        opened_at=row.opened_at,
        due_at=view.row.due_at,
        at_stake=row.at_stake,
        owner=owner_of(row, seen.who, seen.now),
        waiting=facts.waiting,
        alert=view,
        alerts=views,
        why=why_of(connection, tools.library, facts.now, about),
        graph=stored.graph,
        velocity=velocity_of(connection, focus, vector, Sight(row.payments or 0, row.first_at or 0, facts.since)),
        payments=payments.payments,
        payments_after=payments.after,
        shop=shop_of(focus, vector),
        rules=rules_of(tools.library, about),
        trails=_trails(connection, seen, learns=facts.learns),
        notes=_notes(connection, seen),
        tags=view.row.tags,
        verdicts=_verdicts(seen),
        card_verdicts=_card_verdicts(connection, seen),
        then=usual_words(kind),
        actions=possible_words(open_kinds),
        second=_second(seen),
        needs_second=_needs_second(tools, seen),
        can=_can(seen),
        colleagues=colleagues(connection),
        asked_at=seen.now,
        next=_next(connection, seen, queue),
        reopened=row.state == CaseState.REOPENED,
        queue=queue,
    )


def _next(connection: Connection, seen: Seen, queue: QueueQuery | None) -> int | None:
    """Return which case would come next for who asks."""
    if seen.who.role < Role.ANALYST:
        return None
    return ahead(connection, seen.who, queue or work_of(seen.row, seen.focus.kind), seen.now, seen.row.id)


def _alerts(connection: Connection, seen: Seen, kind: str) -> tuple[AlertView, ...]:
    rows: Sequence[QueueRow] = rows_from(connection, seen.alerts, seen.who, seen.now)
    return tuple(
        AlertView(row, each.tx_id, each.version, each.mcc, each.text, kind, each.status in UNDECIDED)
        for row, each in zip(rows, seen.alerts, strict=True)
    )


def _notes(connection: Connection, seen: Seen) -> tuple[NoteView, ...]:
    asked = select(note, beside(account, note.c.by, "by_name")).where(note.c.case_id == seen.row.id)
    rows = connection.execute(asked.order_by(note.c.id)).all()
    hidden = {each.by for each in seen.given} if seen.hidden else set()
    return tuple(NoteView(row.id, row.by_name or UNKNOWN, row.at, row.text) for row in rows if row.by not in hidden)


def _verdicts(seen: Seen) -> tuple[PastVerdict, ...]:
    """Return what was said of the case; while a second look is due, of what held before it alone."""
    shown = [each for each in seen.said if not seen.hidden or each.superseded_by is not None]
    return tuple(past(each) for each in shown[:MOST_VERDICTS])


def _card_verdicts(connection: Connection, seen: Seen) -> tuple[PastVerdict, ...]:
    """Return verdicts on the card in its other cases."""
    others = select(alert_table.c.id).where(
        alert_table.c.card == seen.row.card_id, alert_table.c.case_id != seen.row.id
    )
    return verdicts_where(connection, verdict.c.alert_id.in_(others) & open_to_all())


def _second(seen: Seen) -> Blind | None:
    """Return what a second person is asked for, with what was said before where that may be seen."""
    if seen.row.state != CaseState.PENDING_SECOND or seen.row.kind_second == Second.NONE:
        return None
    word: Any = Second(seen.row.kind_second).word
    if seen.hidden:
        # Which of the two it is would tell of the amount alone, so it may be said.
        return Blind(word, blind=True)
    return Blind(word, blind=False, first=tuple(past(each) for each in seen.given[:MOST_VERDICTS]))


def _needs_second(tools: Tools, seen: Seen) -> bool:
    """Tell whether a verdict now has to wait for a second person, as far as one may know: not of the blind sample."""
    waits = [each for each in seen.alerts if each.status in UNDECIDED]
    if not waits or seen.row.state == CaseState.PENDING_SECOND:
        return False
    return second_for(tools, waits, Finding.FRAUD) is Second.FOUR_EYES


def _can(seen: Seen) -> tuple[str, ...]:
    """Return what who asks may do with the case now."""
    if seen.who.role < Role.ANALYST:
        return ()
    row, waits = seen.row, any(each.status in UNDECIDED for each in seen.alerts)
    mine = any(each.by == seen.who.id for each in seen.given)
    second = row.state == CaseState.PENDING_SECOND
    leads = second and row.kind_second in (Second.DISPUTE, Second.ESCALATED)
    free = row.owner in (None, seen.who.id) or (row.lock_until or 0) <= seen.now
    barred = (second and not leads and mine) or (row.kind_second == Second.DISPUTE and mine)
    allowed = waits and free and not barred and not (leads and seen.who.role < Role.LEAD)
    always = ("note", "tag", "reveal", "print", "assign")
    return (
        *(("decide", "lock", "skip") if allowed else ()),
        *(("escalate",) if allowed and not leads else ()),
        *(("reopen",) if row.state == CaseState.DECIDED else ()),
        *always,
    )


class Facts(NamedTuple):
    """What a case shows of the whole: what waits of its kind, since when it is read, who learns, what decides now."""

    waiting: int
    since: int
    learns: bool
    now: InUse


def _facts(connection: Connection, kind: AlertKind, used: InUse) -> Facts:
    mine = (counter.c.name == waiting(kind)) & (counter.c.bucket == ALL)
    waits = select(func.sum(counter.c.value)).where(mine).scalar_subquery()
    count, since, learns, *found = connection.execute(
        select(waits, first_seen().scalar_subquery(), exists(select(refresh.c.version)), *deciding(used))
    ).one()
    return Facts(int(count or 0), since or 0, bool(learns), in_force(used, found))


def _trails(connection: Connection, seen: Seen, *, learns: bool) -> tuple[TrailView, ...]:
    """Return what became of the desk's labels on the payments of the case, the oldest first."""
    payments = {each.tx_id for each in seen.alerts}
    mine = among(connection, label_trace.c.tx_id, payments) & (label_trace.c.source == int(Teller.ANALYST))
    asked = select(label_trace).where(mine, label_trace.c.version.is_not(None))
    rows = connection.execute(asked.order_by(label_trace.c.tx_id, label_trace.c.version)).all()
    due = _due(connection, seen.row.id) if rows else {}
    return tuple(_trail(row, due.get((row.tx_id, row.version)), learns=learns) for row in rows)


def _trail(row: Row[Any], sending: tuple[int, int] | None, *, learns: bool) -> TrailView:
    decided_at, send_at = sending or (0, 0)
    live = row.live_at or 0
    why_not = "" if live or not row.known_at or learns else "no learner has told this console anything"
    return TrailView(
        tx_id=row.tx_id,
        version=row.version,
        verdict=Known(row.verdict).word,
        decided_at=decided_at,
        send_at=send_at,
        sent_at=row.sent_at or 0,
        known_at=row.known_at or 0,
        applied_at=row.applied_at or 0,
        live_at=live,
        live_in=row.live_in_model or "",
        why_not=why_not,
    )


def _due(connection: Connection, number: int) -> dict[tuple[str, int], tuple[int, int]]:
    """Return when each label of a case was decided and was to be sent, by payment and version."""
    mine = (outbox.c.case_id == number) & (outbox.c.kind == int(Parcel.LABEL)) & ~outbox.c.undone
    asked = select(outbox.c.body, outbox.c.send_after, step.c.at).join(step, step.c.token == outbox.c.token)
    found = {}
    for body, send_after, at in connection.execute(asked.where(mine)):
        label = msgspec.json.decode(body, type=Label)
        found[label.tx_id, label.version] = at, send_after
    return found
