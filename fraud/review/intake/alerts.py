"""Alerts: each once by its id, with its reasons, what it rests on as it was then, and its place in the card's case."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from fraud.core.errors import DataError
from fraud.core.evidence import SideEvent, unpacked
from fraud.core.identity import name_of, own_name
from fraud.core.records import DAY, HOUR, Action, Decision, Kind, Raised, alert_id
from fraud.review import counters
from fraud.review.bulk import least, one_of, put, put_new, put_numbered
from fraud.review.counters import Sums
from fraud.review.intake.entities import add_to, alerts_before
from fraud.review.intake.payments import DEEDS, Told
from fraud.review.intake.terms import Terms
from fraud.review.neighbourhood import Centre, around_all
from fraud.review.tables import alert, case, evidence, reason
from fraud.review.words import AlertKind, AlertStatus, CaseState

KINDS = {Action.REVIEW: AlertKind.HELD, Action.DECLINE: AlertKind.DECLINED, Action.CHALLENGE: AlertKind.CHALLENGED}
TOO_LATE = DAY
"""An alert that has been due for so long when it is read is history: nobody waits for an answer any more."""
WHOLE = 1 << 64
CASE_IS_OPEN = f"state IN ({int(CaseState.OPEN)}, {int(CaseState.PENDING_SECOND)})"
"""The condition of the index that keeps one open case a card, in its own words."""

EVIDENCE = "decision", "vector", "effects", "graph"
REASON = "alert_id", "place", "code", "text", "effect", "without"
CASE = "card_id", "state", "opened_at", "decided_at", "due_at", "at_stake", "alerts"
ALERT = (
    "uid", "tx_id", "version", "case_id", "kind", "status", "card", "merchant", "device", "action", "score",
    "model_score", "amount", "currency", "base_amount", "channel", "mcc", "text", "expected_loss", "at_stake",
    "arrived_at", "due_at", "happened_at", "decided_at", "model", "rules", "policy", "release_id", "seen_before",
    "evidence_id",
)  # fmt: skip


class Raise(NamedTuple):
    """An alert that is to be written."""

    told: Told
    kind: AlertKind
    raised: Raised
    due_at: int
    closed: bool

    @property
    def decision(self) -> Decision:
        """Return the decision that it is about."""
        return self.told.seen.decision


def raised(told: Iterable[Told], terms: Terms, now: int) -> list[Raise]:
    """Return the alerts among decisions, a sample of approvals with them; `now` is the wall clock, UTC ns."""
    found: dict[str, Raise] = {}
    for each in told:
        kind = kind_of(each.seen.decision, terms.sample_share)
        if kind is None:
            continue
        short = raised_of(each.seen.decision)
        due_at = each.seen.arrived_at + terms.due[kind]
        found.setdefault(short.id, Raise(each, kind, short, due_at, each.seen.past or due_at + TOO_LATE <= now))
    return list(found.values())


def kind_of(decision: Decision, sample_share: float) -> AlertKind | None:
    """Return what kind of work a decision is, None for none."""
    if decision.action is not Action.APPROVE:
        return KINDS[decision.action]
    return AlertKind.SAMPLE if decision.kind is Kind.PAYMENT and is_sampled(name_of(decision), sample_share) else None


def is_sampled(tx_id: str, share: float) -> bool:
    """Tell whether a payment is among a share of all that is chosen by a hash of its id."""
    digest = hashlib.blake2b(tx_id.encode(), digest_size=8, person=b"sample").digest()
    return int.from_bytes(digest, "big") < share * WHOLE


def raised_of(decision: Decision) -> Raised:
    """Return the alert of a decision in short; one that has raised none has what an approval may lose at stake."""
    if decision.alert is not None:
        return decision.alert
    loss = round((decision.score if decision.model_score is None else decision.model_score) * decision.base_amount)
    return Raised(alert_id(own_name(decision), decision.version, decision.versions.policy), loss, loss)


def write(connection: Connection, found: Sequence[Raise], now: int) -> tuple[list[int], Sums]:
    """Write the alerts that are not there yet; return their numbers, and the sums that they add to.

    Their payments and entities are in the database already: the graph of each is drawn from there.
    """
    new = _absent(connection, found)
    if not new:
        return [], {}
    before = alerts_before(connection, {each.told.parties.card for each in new})
    rests = _rests(connection, new)
    cases = _cases(connection, new, now)
    rows, more = [], Counter[int]()
    for each, rest in zip(new, rests, strict=True):
        card = each.told.parties.card
        rows.append(_row(each, cases[card, each.closed], before.get(card, 0) + more[card], rest))
        more.update(each.told.parties.present)
    add_to(connection, "alerts", more)
    numbers = {uid: number for number, uid in put_new(connection, alert, ALERT, rows, "id, uid")}
    put(connection, reason, REASON, [row for each in new for row in _reasons(numbers[each.raised.id], each.decision)])
    return [numbers[each.raised.id] for each in new], _sums(new)


def _absent(connection: Connection, found: Sequence[Raise]) -> list[Raise]:
    """Return those whose id is not there yet: a payment that was decided again may raise its alert again."""
    if not found:
        return []
    condition, value = one_of("uid", connection, [each.raised.id for each in found], "text")
    there = set(connection.exec_driver_sql(f"SELECT uid FROM alert WHERE {condition}", (value,)).scalars())  # noqa: S608
    return [each for each in found if each.raised.id not in there]


def _rests(connection: Connection, new: Sequence[Raise]) -> list[int]:
    """Write what each alert rests on; return the numbers in order."""
    centres = [
        Centre(
            each.told.parties.card, each.decision.happened_at, name_of(each.decision), _events(each.told.seen.evidence)
        )
        for each in new
    ]
    rows = [
        (each.told.seen.message, each.told.seen.vector, each.told.seen.evidence, msgspec.json.encode(graph).decode())
        for each, graph in zip(new, around_all(connection, centres), strict=True)
    ]
    return put_numbered(connection, evidence, EVIDENCE, rows)


def _events(packed: bytes) -> tuple[tuple[SideEvent, ...], ...]:
    """Return the events that mattered; what cannot be read, from another release, leaves the graph without weights."""
    try:
        return unpacked(packed).events if packed else ()
    except DataError:
        return ()


def _cases(connection: Connection, new: Sequence[Raise], now: int) -> dict[tuple[int, bool], int]:
    """Return the case of each card, by whether its alert is closed; one that is open takes in what comes.

    An open case's row is locked from here on, so nobody decides it before the new alert is seen.
    """
    by_card: dict[tuple[int, bool], list[Raise]] = defaultdict(list)
    for each in new:
        by_card[each.told.parties.card, each.closed].append(each)
    conflict = (
        f"(card_id) WHERE {CASE_IS_OPEN} DO UPDATE SET "
        'at_stake = "case".at_stake + excluded.at_stake, alerts = "case".alerts + excluded.alerts, '
        f'due_at = {least(connection)}("case".due_at, excluded.due_at)'
    )
    found: dict[tuple[int, bool], int] = {}
    for closed in (False, True):
        rows = [_case(card, group, now) for (card, shut), group in sorted(by_card.items()) if shut is closed]
        given = put_new(connection, case, CASE, rows, "id, card_id", "" if closed else conflict)
        found |= {(card, closed): number for number, card in given}
    return found


def _case(card: int, group: Sequence[Raise], now: int) -> tuple[object, ...]:
    closed = group[0].closed
    return (
        card,
        int(CaseState.DECIDED if closed else CaseState.OPEN),
        min(each.told.seen.arrived_at for each in group),
        now if closed else None,
        min(each.due_at for each in group),
        0 if closed else sum(each.raised.at_stake for each in group),
        len(group),
    )


def _row(each: Raise, case_id: int, seen_before: int, evidence_id: int) -> tuple[object, ...]:
    decision, versions = each.decision, each.decision.versions
    return (
        each.raised.id,
        name_of(decision),
        decision.version,
        case_id,
        int(each.kind),
        int(AlertStatus.TIMED_OUT if each.closed else AlertStatus.OPEN),
        *each.told.parties,
        int(DEEDS[decision.action]),
        decision.score,
        decision.model_score,
        decision.amount,
        decision.currency,
        decision.base_amount,
        decision.channel,
        decision.mcc,
        decision.text,
        each.raised.expected_loss,
        each.raised.at_stake,
        each.told.seen.arrived_at,
        each.due_at,
        decision.happened_at,
        each.due_at if each.closed else None,
        versions.model,
        versions.rules,
        versions.policy,
        versions.release,
        seen_before,
        evidence_id,
    )


def _reasons(number: int, decision: Decision) -> list[tuple[object, ...]]:
    return [
        (number, place, each.code, each.text, each.effect, each.without) for place, each in enumerate(decision.reasons)
    ]


def _sums(new: Sequence[Raise]) -> Sums:
    sums: Sums = defaultdict(int)
    for each in new:
        sums[counters.came(each.kind), each.told.seen.arrived_at // HOUR] += 1
        if not each.closed:
            sums[counters.waiting(each.kind), counters.ALL] += 1
            sums[counters.at_stake(each.kind), counters.ALL] += each.raised.at_stake
    return sums
