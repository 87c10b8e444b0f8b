"""Why an alert was raised, as stored; what would have changed that; and where today's release differs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, func, select

from fraud.core.ports import Policy
from fraud.core.records import Action, Transaction
from fraud.review.case_views import Change, Compared, RuleRow, RulesTraced, WhyView
from fraud.review.library import InUse, Library
from fraud.review.naming import veiled
from fraud.review.rows import LIFTED, UNKNOWN
from fraud.review.stored import Stored, Vector, made_of, transaction_of
from fraud.review.tables import peer
from fraud.review.today import notice_of
from fraud.review.views import Reasoned

FEW_PEERS = 30
HALVINGS = 40
RULE = "rule:"


class About(NamedTuple):
    """An alert, of `row_query`, with all that explains it."""

    row: Row[Any]
    stored: Stored
    vector: Vector
    reasons: Sequence[Reasoned]

    @property
    def card(self) -> str:
        """Return the card's whole number."""
        return self.row.card_name or UNKNOWN


def why_of(connection: Connection, library: Library, now: InUse, about: About) -> WhyView:
    """Return why an alert was raised, and where what decides `now` would do otherwise."""
    policy, made = library.policy(about.row.policy), made_of(about.stored.message)
    return WhyView(
        stored_at=about.row.arrived_at,
        made=made,
        reasons=tuple(about.reasons),
        compared=_compared(connection, about),
        changes=_changes(about.row, about.reasons, policy),
        passes_below=passes_below(policy, about.row.base_amount),
        notice=notice_of(connection, library, now, _transaction(about), made, about.stored, about.vector),
        message_sha256=about.stored.sha256,
    )


def rules_of(library: Library, about: About) -> RulesTraced:
    """Return what came of each rule of the version that decided, asked again of what was stored."""
    rules = library.rules(about.row.rules)
    if rules is None or not about.vector.by_name:
        return RulesTraced(about.row.rules, known=False, rows=())
    tx = _transaction(about)
    described = dict(line.split(": ", 1) for line in rules.describe())
    rows = [
        RuleRow(
            name=traced.name,
            spoke=traced.spoke,
            text=veiled(traced.sentence or described.get(traced.name, ""), about.card),
            clause=traced.clause or (f"silenced by {traced.silenced_by}" if traced.silenced_by else ""),
            value=veiled(traced.value, about.card),
        )
        for traced in rules.trace(tx, about.vector.values)
    ]
    return RulesTraced(about.row.rules, known=True, rows=tuple(rows))


def _transaction(about: About) -> Transaction:
    """Return the payment as it was judged."""
    row = about.row
    device = None if row.device is None else row.device_name or UNKNOWN
    return transaction_of(row, about.card, row.merchant_name or UNKNOWN, device, about.stored.message.kind)


def passes_below(policy: Policy | None, base_amount: int) -> float | None:
    """Return the probability from which a payment of this amount is no longer approved; 1 where it always is."""
    if policy is None:
        return None
    low, high = 0.0, 1.0
    if policy.action(high, base_amount) is Action.APPROVE:
        return high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        approved = policy.action(middle, base_amount) is Action.APPROVE
        low, high = (middle, high) if approved else (low, middle)
    return high


def _changes(row: Row[Any], reasons: Sequence[Reasoned], policy: Policy | None) -> tuple[Change, ...]:
    """Return what the score would have been had a reason been usual, or the rules silent, the greatest change first."""

    def took(score: float) -> str:
        return "" if policy is None else policy.action(score, row.base_amount).value

    changes = [
        Change(reason.code, reason.code, reason.without, took(reason.without), rule=False)
        for reason in reasons
        if reason.without is not None
    ]
    changes.sort(key=lambda change: change.score)
    spoke = [reason.code for reason in reasons if reason.code.startswith(RULE)]
    if spoke and row.model_score is not None and row.score > row.model_score + LIFTED:
        label = spoke[0].removeprefix(RULE) if len(spoke) == 1 else "rules"
        changes.append(Change(spoke[0], label, row.model_score, took(row.model_score), rule=True))
    return tuple(changes)


def _compared(connection: Connection, about: About) -> Compared:
    """Return the amount beside what is usual for card, merchant and others like it."""
    row, vector = about.row, about.vector
    group, peers, below = _peers(connection, row)
    share = usual = None
    if peers:
        middle = select(peer.c.amount).where(group).order_by(peer.c.amount).offset(peers // 2).limit(1)
        share, usual = below / peers, int(connection.execute(middle).scalar_one())
    return Compared(
        amount=row.base_amount,
        card_usual=_usual(row.base_amount, vector.value("card_amount_vs_median")),
        merchant_usual=_usual(row.base_amount, vector.value("merchant_amount_vs_median")),
        peers=peers,
        peers_usual=usual,
        share_below=share,
        group=row.channel,
    )


def _peers(connection: Connection, row: Row[Any]) -> tuple[ColumnElement[bool], int, int]:
    """Return which peers an alert has, those of its merchants' code where there are enough; how many, and with less."""
    wide = peer.c.channel == row.channel
    less = func.count().filter(peer.c.amount < row.base_amount)
    for group in (wide & (peer.c.mcc == row.mcc), wide):
        count, below = connection.execute(select(func.count(), less).select_from(peer).where(group)).one()
        if count >= FEW_PEERS:
            return group, int(count), int(below)
    return wide, 0, 0


def _usual(amount: int, ratio: float | None) -> int | None:
    """Return the amount that a ratio is taken of."""
    return None if ratio is None or ratio <= 0 else round(amount / ratio)
