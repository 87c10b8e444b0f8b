"""Why a rule has spoken of a payment, or which of its clauses kept it silent; for people who look afterwards.

The live path asks whether a rule speaks and no more: this asks again, clause by clause.
"""

import re

import msgspec

from fraud.core.records import Action, Transaction
from fraud.core.rules.expressions import Row, Typed
from fraud.core.rules.words import filled

QUOTED = re.compile(r'"[^"]*"')


class Traced(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one rule or list for one payment.

    `holds` says that the condition holds, or that the value is listed; `spoke` that it gave its reason, `sentence`.
    `silenced_by` is the list that had decided before it was asked. Where it does not hold, `clause` is the first part
    of its condition that failed, as it stands in the file, and `value` what that part read. `action` and `floor` are
    what it asks for; a list that only conditions name asks for nothing.
    """

    name: str
    holds: bool
    spoke: bool = False
    clause: str = ""
    value: str = ""
    action: Action | None = None
    floor: float = 0.0
    sentence: str = ""
    is_list: bool = False
    silenced_by: str = ""


class Clause(msgspec.Struct, frozen=True):
    """A part of a condition as it stands in the file, and what it read."""

    text: str
    value: str


def failed(condition: Typed, tx: Transaction, row: Row) -> Clause | None:
    """Return the first part of a condition that does not hold; None when all of it does.

    Of parts joined by `or` each has failed, so they are one clause; so is a `not` with all that it is before.
    """
    if condition.run(tx, row):
        return None
    if condition.sign == "and":
        clauses = (failed(part, tx, row) for part in condition.parts)
        return next((clause for clause in clauses if clause is not None), None)
    return Clause(bracketed(condition.label), read_by(condition, tx, row))


def read_by(clause: Typed, tx: Transaction, row: Row) -> str:
    """Return what a clause read: the value alone where that is one, otherwise each with its name."""
    values = [(part.label, filled(part, tx, row)) for part in clause.reads]
    if len(values) == 1:
        return values[0][1]
    return ", ".join(f"{name} {value}" for name, value in values)


def bracketed(text: str) -> str:
    """Return a part of a condition with the brackets at its ends, which are no part of what stands inside them.

    >>> bracketed("amount + 1) > 5"), bracketed("not (hour < 5")
    ('(amount + 1) > 5', 'not (hour < 5)')
    """
    opened = closed = 0
    for sign in QUOTED.sub("", text):
        if sign == "(":
            opened += 1
        elif sign == ")" and opened:
            opened -= 1
        elif sign == ")":
            closed += 1
    return "(" * closed + text + ")" * opened
