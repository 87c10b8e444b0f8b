"""Today beside then: what decides now, and what it would make of a payment that was decided before.

The vector that was scored is stored with each alert, so a model of its own features alone can score it again. What else
a model reads (histories) is not: then it is said why today's probability cannot be told, and none is made up.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, ScalarSelect, func, select

from fraud.core.errors import FraudError
from fraud.core.policy import decide
from fraud.core.ports import RuleOutcome
from fraud.core.records import BASE, Score, Transaction
from fraud.review.case_views import Made, Notice
from fraud.review.library import InUse, Library, Rescored
from fraud.review.stored import Stored, Vector
from fraud.review.tables import alert, live_refresh, refresh

NONE = "none"
"""What parameters and rules are called where there are none."""


class NotSaidError(FraudError):
    """Something of today cannot be told of an alert; the message completes "cannot be told: ..."."""


def deciding(used: InUse) -> tuple[ScalarSelect[str], ...]:
    """Return what is to be asked for `in_force`, as columns: model, rules and policy of the newest alert, parameters.

    Parameters are those that the learner has put in force last on the model that decides.
    """
    newest = [
        select(column).order_by(alert.c.id.desc()).limit(1).scalar_subquery()
        for column in (alert.c.model, alert.c.rules, alert.c.policy)
    ]
    said = func.coalesce(func.nullif(live_refresh.c.version, ""), NONE)
    live = select(said).where(live_refresh.c.base == (used.model or newest[0]))
    return *newest, live.order_by(live_refresh.c.at.desc(), live_refresh.c.id.desc()).limit(1).scalar_subquery()


def in_force(used: InUse, found: Sequence[str | None]) -> InUse:
    """Return what decides now: as the site says, where it says nothing as the newest alert does.

    `found` is what was found by `deciding`. Parameters stay empty where the learner has not spoken of the model.
    """
    model, rules, policy, parameters = (each or "" for each in found)
    return used._replace(
        model=used.model or model,
        rules=used.rules or rules,
        policy=used.policy or policy,
        parameters=parameters or used.parameters,
    )


def notice_of(
    connection: Connection, library: Library, now: InUse, tx: Transaction, then: Made, stored: Stored, vector: Vector
) -> Notice | None:
    """Return where what decides `now` differs from what decided then, and what it comes to; None where it does not."""
    told = Notice(
        model=_other(now.model, then.model),
        rules=_other(now.rules, then.rules or NONE),
        policy=_other(now.policy, then.policy),
        parameters=_other(now.parameters, (then.parameters or NONE) if now.model == then.model else NONE),
        release=now.release,
    )
    if not (told.model or told.rules or told.policy or told.parameters):
        return None
    try:
        of = Rescored(tx.id, vector.spec, vector.values, then.model, stored.message.parts.get(BASE))
        score = _score(connection, library, now, of)
        outcome = _outcome(library, now, tx, vector)
        policy = library.policy(now.policy)
        if policy is None:
            msg = f"policy {now.policy} is not kept here"
            raise NotSaidError(msg)
    except FraudError as error:
        return msgspec.structs.replace(told, why_not=str(error).rstrip("."))
    action, value = decide(tx, Score(tx.id, score, now.model), outcome, policy)
    return msgspec.structs.replace(told, score=value, model_score=score, took=action.value)


def _score(connection: Connection, library: Library, now: InUse, of: Rescored) -> float:
    """Return the probability that today's model and parameters give; raise where that cannot be told."""
    if not now.model:
        msg = "nobody tells which model decides"
        raise NotSaidError(msg)
    learned = b""
    if now.parameters not in ("", NONE):
        body = connection.execute(select(refresh.c.body).where(refresh.c.version == now.parameters)).scalar()
        if body is None:
            msg = f"parameters {now.parameters} are not kept here"
            raise NotSaidError(msg)
        learned = bytes(body)
    return library.score(now.model, learned, of)


def _outcome(library: Library, now: InUse, tx: Transaction, vector: Vector) -> RuleOutcome:
    """Return what today's rules say."""
    if now.rules in ("", NONE):
        return RuleOutcome()
    rules = library.rules(now.rules)
    if rules is None or not vector.by_name:
        msg = f"rules {now.rules} are not kept here, or the payment's features are of another release"
        raise NotSaidError(msg)
    return rules.judge(tx, vector.values)


def _other(now: str, then: str) -> str:
    return now if now and now != then else ""
