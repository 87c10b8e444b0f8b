"""Typed expressions: each is a Python closure over the transaction and the features that the rules read.

A number that is missing is NaN, a text that is missing is None; every comparison with either is false.
"""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from fraud.core.records import Transaction
from fraud.core.rules.faults import Span
from fraud.core.rules.vocabulary import Type, Value

Row = list[float]
Run = Callable[[Transaction, Row], Any]

FOREVER = 2**63


class Typed(msgspec.Struct, frozen=True):
    """A checked expression. `slot` is set for a feature, `constant` for a literal; `label` is what was written.

    `whole` is set for a count that is kept as an estimate: people are shown a whole number.
    """

    span: Span
    type: Type
    run: Run
    label: str
    sign: str = ""
    parts: "tuple[Typed, ...]" = ()
    slot: int | None = None
    constant: Value = None
    whole: bool = False

    @property
    def reads(self) -> "tuple[Typed, ...]":
        """Return the names that the expression reads, each once."""
        if not self.parts:
            return () if self.constant is not None else (self,)
        return tuple({part.label: part for child in self.parts for part in child.reads}.values())


# One closure per sign for the commonest comparison, a feature against a constant: no inner calls.
FEATURE_AGAINST_CONSTANT: dict[str, Callable[[int, float], Run]] = {
    "<": lambda slot, bound: lambda tx, row: row[slot] < bound,
    "<=": lambda slot, bound: lambda tx, row: row[slot] <= bound,
    ">": lambda slot, bound: lambda tx, row: row[slot] > bound,
    ">=": lambda slot, bound: lambda tx, row: row[slot] >= bound,
    "==": lambda slot, bound: lambda tx, row: row[slot] == bound,
    "!=": lambda slot, bound: lambda tx, row: row[slot] < bound or row[slot] > bound,
}
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": lambda left, right: left < right or left > right,
}


def feature(slot: int) -> Run:
    """Return the reading of one feature."""
    return lambda tx, row: row[slot]


def field(read: Callable[[Transaction], Value]) -> Run:
    """Return the reading of a field of the transaction."""
    return lambda tx, row: read(tx)


def constant(value: Value) -> Run:
    """Return a value that is always the same."""
    return lambda tx, row: value


def compare(sign: str, left: Typed, right: Typed) -> Run:
    """Return the comparison of two numbers or durations.

    Features are float32: a constant that one is compared with is rounded the same way, so that 0.1 equals 0.1.
    """
    bound, first, second = right.constant, left.run, right.run
    if left.slot is not None and isinstance(bound, float):
        return FEATURE_AGAINST_CONSTANT[sign](left.slot, float(np.float32(bound)))
    if right.slot is not None and isinstance(left.constant, float):
        first = constant(float(np.float32(left.constant)))
    order = ORDER[sign]
    return lambda tx, row: order(first(tx, row), second(tx, row))


def compare_text(sign: str, left: Run, right: Run) -> Run:
    """Return whether two texts are equal (`==`), or both known and not equal (`!=`)."""

    def equal(tx: Transaction, row: Row) -> bool:
        first = left(tx, row)
        return first is not None and first == right(tx, row)

    def unequal(tx: Transaction, row: Row) -> bool:
        first, second = left(tx, row), right(tx, row)
        return first is not None and second is not None and first != second

    return equal if sign == "==" else unequal


def contains(left: Run, right: Run) -> Run:
    """Return whether the first text holds the second, upper and lower case alike."""

    def run(tx: Transaction, row: Row) -> bool:
        first, second = left(tx, row), right(tx, row)
        return first is not None and second is not None and second.casefold() in first.casefold()

    return run


def arithmetic(sign: str, left: Run, right: Run) -> Run:
    """Return the sum, difference, product or quotient; a quotient by zero is missing."""
    if sign == "/":
        return lambda tx, row: _divided(left(tx, row), right(tx, row))
    compute = {"+": operator.add, "-": operator.sub, "*": operator.mul}[sign]
    return lambda tx, row: compute(left(tx, row), right(tx, row))


def _divided(left: float, right: float) -> float:
    return left / right if right else math.nan


def member(item: Run, entries: Mapping[Value, int], *, negated: bool) -> Run:
    """Return whether a value is listed and, at the time the payment was seen, not expired; or known and not so."""

    def listed(tx: Transaction, row: Row) -> bool:
        return bool(tx.seen_at < entries.get(item(tx, row), 0))

    def absent(tx: Transaction, row: Row) -> bool:
        value = item(tx, row)
        return not is_missing(value) and tx.seen_at >= entries.get(value, 0)

    return absent if negated else listed


def is_missing(value: Value) -> bool:
    """Tell whether a value is not known."""
    return value is None or value != value


def all_of(runs: list[Run]) -> Run:
    """Return whether every condition holds, asked in order."""
    if len(runs) == 2:
        first, second = runs
        return lambda tx, row: first(tx, row) and second(tx, row)
    if len(runs) == 3:
        one, two, three = runs
        return lambda tx, row: one(tx, row) and two(tx, row) and three(tx, row)

    def run(tx: Transaction, row: Row) -> bool:
        return all(part(tx, row) for part in runs)

    return run


def any_of(runs: list[Run]) -> Run:
    """Return whether some condition holds, asked in order."""
    if len(runs) == 2:
        first, second = runs
        return lambda tx, row: first(tx, row) or second(tx, row)

    def run(tx: Transaction, row: Row) -> bool:
        return any(part(tx, row) for part in runs)

    return run
