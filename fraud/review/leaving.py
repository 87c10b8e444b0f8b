"""What leaves the desk: labels for the label book and orders for the systems of the site, as rows of the outbox.

They are written in the transaction of the verdict and sent when they are due. A label's `happened_at` is the stream's
time, never the wall clock: a verdict stamped by it, in a replay of older payments, would end every payment that waits.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, insert, select

from fraud.core.actions import CaseAction, Remedy
from fraud.core.records import Label, LabelSource, Verdict
from fraud.review.people import Person
from fraud.review.tables import action_log, alert, entity, label_trace, outbox
from fraud.review.tools import STREAM, marked
from fraud.review.words import AlertKind, Finding, Known, Order, Parcel, Sending, Teller

KNOWN = {Finding.FRAUD: Known.FRAUD, Finding.GENUINE: Known.GENUINE}
VERDICTS = {Known.FRAUD: Verdict.FRAUD, Known.GENUINE: Verdict.GENUINE, Known.WITHDRAWN: Verdict.WITHDRAWN}
REMEDIES = {
    Order.RELEASE: Remedy.RELEASE,
    Order.DECLINE: Remedy.DECLINE,
    Order.STEP_UP: Remedy.STEP_UP,
    Order.BLOCK_CARD: Remedy.BLOCK_CARD,
    Order.UNBLOCK_CARD: Remedy.UNBLOCK_CARD,
}


class Letter(NamedTuple):
    """What all that one confirmation sends has in common: by whom, when, the step's token, and when it is due."""

    who: Person
    at: int
    token: str
    due_at: int


def send_labels(
    connection: Connection, alerts: Sequence[Row[Any]], finding: Finding, letter: Letter
) -> dict[str, tuple[int, int]]:
    """Write what the verdict says of each payment, where it is news; return version and time of labels, by payment.

    Unsure and escalated say nothing, and take back what was said before.
    """
    stream = marked(connection, STREAM)
    told: dict[str, tuple[int, int]] = {}
    for each in sorted(alerts, key=lambda row: -row.version):
        if each.tx_id in told:
            continue
        last = last_label(connection, each.tx_id)
        says = KNOWN.get(finding, Known.WITHDRAWN)
        said = Known.WITHDRAWN if last is None else Known(last.verdict)
        if says is said:
            continue
        version, after = (0, 0) if last is None else (last.version + 1, last.happened_at + 1)
        told[each.tx_id] = version, max(stream, each.happened_at, after)
        _send_label(connection, each, says, told[each.tx_id], letter)
    return told


def last_label(connection: Connection, tx_id: str) -> Row[Any] | None:
    """Return the newest label of the desk on a payment, on its way or sent; None without any."""
    mine = (label_trace.c.tx_id == tx_id) & (label_trace.c.source == int(Teller.ANALYST))
    asked = select(label_trace).where(mine, label_trace.c.version.is_not(None))
    return connection.execute(asked.order_by(label_trace.c.version.desc()).limit(1)).first()


def send_orders(
    connection: Connection, alerts: Sequence[Row[Any]], orders: Sequence[Order], letter: Letter, why: str
) -> None:
    """Write what is to be done about each payment, and once about the card; `why` is told with it.

    What was ordered last of a payment is not ordered again.
    """
    stands = _ordered(connection, {each.case_id for each in alerts})
    for each, order in zip(alerts, orders, strict=True):
        if order is Order.BLOCK_CARD:
            of_payment = Order.DECLINE if each.kind == AlertKind.HELD else Order.NONE
        else:
            of_payment = order
        if of_payment not in (Order.NONE, stands.get(each.id)):
            _send_order(connection, each, of_payment, letter, why)
    blocks = [each for each, order in zip(alerts, orders, strict=True) if order is Order.BLOCK_CARD]
    if blocks and not is_blocked(connection, blocks[0].card):
        _send_order(connection, blocks[0], Order.BLOCK_CARD, letter, why)


def unblock(connection: Connection, alerts: Sequence[Row[Any]], letter: Letter, why: str) -> bool:
    """Let a card free that an order of the same case has blocked; tell whether there was one."""
    first = alerts[0]
    blocked = _last_block(connection, first.card)
    if blocked is None or blocked.kind != Order.BLOCK_CARD or blocked.case_id != first.case_id:
        return False
    _send_order(connection, first, Order.UNBLOCK_CARD, letter, why)
    return True


def is_blocked(connection: Connection, card: int) -> bool:
    """Tell whether the newest order about a card blocks it."""
    last = _last_block(connection, card)
    return last is not None and last.kind == Order.BLOCK_CARD


def alerts_of(connection: Connection, case_id: int) -> list[Row[Any]]:
    """Return all alerts of a case, the dearest first."""
    asked = select(alert).where(alert.c.case_id == case_id).order_by(alert.c.at_stake.desc(), alert.c.id)
    return list(connection.execute(asked))


def _ordered(connection: Connection, cases: Collection[int]) -> dict[int, int]:
    """Return the newest order about each payment of some cases, by alert."""
    mine = action_log.c.case_id.in_(cases) & (action_log.c.state != int(Sending.UNDONE))
    asked = select(action_log.c.alert_id, action_log.c.kind).where(mine, action_log.c.alert_id.is_not(None))
    return {number: kind for number, kind in connection.execute(asked.order_by(action_log.c.id))}


def _last_block(connection: Connection, card: int) -> Row[Any] | None:
    kinds = action_log.c.kind.in_([int(Order.BLOCK_CARD), int(Order.UNBLOCK_CARD)])
    stands = action_log.c.state != int(Sending.UNDONE)
    asked = select(action_log).where(action_log.c.card_id == card, kinds, stands)
    return connection.execute(asked.order_by(action_log.c.id.desc()).limit(1)).first()


def _send_label(connection: Connection, each: Row[Any], says: Known, of: tuple[int, int], letter: Letter) -> None:
    version, happened_at = of
    label = Label(
        tx_id=each.tx_id,
        verdict=VERDICTS[says],
        happened_at=happened_at,
        seen_at=happened_at,
        source=LabelSource.ANALYST,
        version=version,
    )
    connection.execute(
        insert(label_trace).values(
            tx_id=each.tx_id, source=int(Teller.ANALYST), happened_at=happened_at, version=version, verdict=int(says)
        )
    )
    _put(connection, Parcel.LABEL, msgspec.json.encode(label), letter, {"case_id": each.case_id, "alert_id": each.id})


def _send_order(connection: Connection, each: Row[Any], order: Order, letter: Letter, why: str) -> None:
    of_card = REMEDIES[order].is_of_card
    places: Mapping[str, Any] = {"case_id": each.case_id, "alert_id": None if of_card else each.id}
    logged = {"card_id": each.card, "kind": int(order), "state": int(Sending.WAITING), "by": letter.who.id}
    number = connection.execute(
        insert(action_log).values(**places, **logged, at=letter.at, token=letter.token).returning(action_log.c.id)
    ).scalar_one()
    card = connection.execute(select(entity.c.name).where(entity.c.id == each.card)).scalar_one()
    action = CaseAction(
        id=order_id(each.case_id, order, number),
        action=REMEDIES[order],
        card=card,
        at=letter.at,
        by=letter.who.name,
        tx_id="" if of_card else each.tx_id,
        version=0 if of_card else each.version,
        case=str(each.case_id),
        reason=why,
    )
    _put(connection, Parcel.ORDER, msgspec.json.encode(action), letter, {**places, "action_id": number})


def order_id(case_id: int, order: Order, number: int) -> str:
    """Return an order's id: a hash of case, action and its number, so that who gets it twice sees that."""
    text = f"{case_id}\0{order.word}\0{number}"
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _put(connection: Connection, kind: Parcel, body: bytes, letter: Letter, places: Mapping[str, Any]) -> None:
    row = {"kind": int(kind), "body": body, "send_after": letter.due_at, "token": letter.token}
    connection.execute(insert(outbox).values(**row, **places))
