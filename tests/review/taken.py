"""Decisions, labels and news of learning as the projector hands them over, with fields that a test may change."""

from typing import Any

from fraud.core.actions import Remedy
from fraud.core.records import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Action,
    Decision,
    KnownLabel,
    LabelSource,
    Level,
    Position,
    Raised,
    Reason,
    Verdict,
    Versions,
    alert_id,
)  # fmt: skip
from fraud.review.database import Database
from fraud.review.intake.seen import AppliedSeen, Changes, DecisionSeen, KnownSeen, LiveSeen, Seen, SnapshotSeen
from fraud.review.intake.take import Intake
from fraud.review.intake.terms import Terms
from fraud.review.words import AlertKind

STREAM = 1_500_000_000 * SECOND // DAY * DAY
"""The stream's time of payment 0, long before `NOW`: the two never mix."""
NOW = 1_790_000_000 * SECOND // DAY * DAY + 14 * HOUR
DUE = {AlertKind.HELD: 30 * MINUTE, AlertKind.DECLINED: DAY, AlertKind.CHALLENGED: DAY, AlertKind.SAMPLE: 7 * DAY}
TERMS = Terms(DUE, Remedy.RELEASE, 0.0, 30 * DAY, 3 * DAY)
TRANSACTIONS, DECISIONS, KNOWN, APPLIED, UPDATES = "transactions@1", "decisions", "labels.known", "applied", "updates"
Journal = list[tuple[Any, ...]]


def intake(database: Database, journal: Journal | None = None, **terms: Any) -> Intake:
    """Return an intake whose audit log is a list."""
    told: Journal = [] if journal is None else journal
    fields = {name: getattr(TERMS, name) for name in Terms.__struct_fields__}
    return Intake(database, Terms(**{**fields, **terms}), lambda _, *words: told.append(words))


def decision(number: int, action: Action = Action.APPROVE, **changes: Any) -> Decision:
    """Return the decision on payment `number`, a second after the one before."""
    tx_id = changes.pop("tx_id", f"tx{number}")
    loss, stake = changes.pop("expected_loss", 400), changes.pop("at_stake", 350)
    fields: dict[str, Any] = {
        "tx_id": tx_id, "version": 0, "action": action, "score": 0.4, "model_score": 0.4, "reasons": (),
        "level": Level.FULL, "versions": Versions("blend@1", "spec", "policy", "rules"),
        "seen_at": STREAM + number * SECOND, "happened_at": STREAM + number * SECOND, "card": "4000", "merchant": "M1",
        "base_amount": 1_000, "amount": 1_100, "currency": "USD", "channel": "ecom", "mcc": 5732, "text": "ACME",
    }  # fmt: skip
    fields |= changes
    if action is not Action.APPROVE and "alert" not in changes:
        fields["alert"] = Raised(alert_id(tx_id, fields["version"], fields["versions"].policy), loss, stake)
    return Decision(**fields)


def held(number: int, **changes: Any) -> Decision:
    """Return the decision to hold payment `number`, with two reasons."""
    reasons = (Reason("amount", "is large", 1.5, 0.1), Reason("rule:night", "at night"))
    return decision(number, Action.REVIEW, **{"reasons": reasons, **changes})


def seen(number: int, what: Decision | None = None, **changes: Any) -> DecisionSeen:
    """Return a decision as it was read: the n-th of its partition, a millisecond after the one before."""
    fields: dict[str, Any] = {
        "decision": what or decision(number),
        "source": Position(TRANSACTIONS, 0, number),
        "at": Position(DECISIONS, 0, number),
        "arrived_at": NOW + number * 1_000_000,
        "message": b"message",
        "vector": b"vector",
    }
    return DecisionSeen(**{**fields, **changes})


def label(number: int, verdict: Verdict = Verdict.FRAUD, **changes: Any) -> KnownLabel:
    """Return what is known of payment `number`, an hour after it."""
    paid_at = STREAM + number * SECOND
    fields: dict[str, Any] = {
        "tx_id": f"tx{number}", "verdict": verdict, "source": LabelSource.ANALYST, "happened_at": paid_at + HOUR,
        "seen_at": NOW, "card": "4000", "merchant": "M1", "paid_at": paid_at, "base_amount": 1_000,
    }  # fmt: skip
    return KnownLabel(**{**fields, **changes})


def known(offset: int, what: KnownLabel, at: int = NOW) -> KnownSeen:
    """Return a label as it was read from `labels.known`."""
    return KnownSeen(what, Position(KNOWN, 0, offset), at)


def applied(offset: int, what: KnownLabel, at: int = NOW) -> AppliedSeen:
    """Return a label as it was read from `labels.applied`."""
    return AppliedSeen(what, Position(APPLIED, 0, offset), at)


def snapshot(offset: int, version: str, made_at: int, body: bytes = b"") -> SnapshotSeen:
    """Return a snapshot as it was read from `model-updates`."""
    place = Position(UPDATES, 0, offset)
    return SnapshotSeen(version, "blend@1", offset, made_at, True, {"seq": offset}, place, body)


def live(offset: int, version: str, since: int) -> LiveSeen:
    """Return what payments get from a time on, as it was read from `model-updates`."""
    return LiveSeen("blend@1", version, offset, since, "promoted", False, Position(UPDATES, 0, offset))


def take(into: Intake, *batch: Seen, now: int = NOW) -> Changes:
    """Take in a batch, with the marks that it leaves."""
    marks: dict[tuple[str, int], int] = {}
    for each in batch:
        place = each.at.topic, each.at.partition
        marks[place] = max(marks.get(place, 0), each.at.offset + 1)
    return into.take(batch, marks, now)
