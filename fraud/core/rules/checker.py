"""Trees to typed expressions: names are looked up and types agree, or a fault says what to write instead."""

from collections.abc import Callable, Mapping
from functools import singledispatchmethod

import msgspec
import numpy as np

from fraud.core.errors import nearest
from fraud.core.rules import expressions as make
from fraud.core.rules.expressions import FOREVER, Typed
from fraud.core.rules.faults import Fault, FaultAt, Source, Span
from fraud.core.rules.tree import Binary, Call, Expression, Literal, Logic, Member, Name, Unary
from fraud.core.rules.vocabulary import WEEKDAYS, Type, Value, Vocabulary, at

QUANTITIES = (Type.NUMBER, Type.DURATION)

# Which types arithmetic takes, and what it yields.
ARITHMETIC = {
    ("+", Type.NUMBER, Type.NUMBER): Type.NUMBER,
    ("-", Type.NUMBER, Type.NUMBER): Type.NUMBER,
    ("*", Type.NUMBER, Type.NUMBER): Type.NUMBER,
    ("/", Type.NUMBER, Type.NUMBER): Type.NUMBER,
    ("+", Type.DURATION, Type.DURATION): Type.DURATION,
    ("-", Type.DURATION, Type.DURATION): Type.DURATION,
    ("*", Type.DURATION, Type.NUMBER): Type.DURATION,
    ("*", Type.NUMBER, Type.DURATION): Type.DURATION,
    ("/", Type.DURATION, Type.NUMBER): Type.DURATION,
    ("/", Type.DURATION, Type.DURATION): Type.NUMBER,
}


class Listing:
    """A list as conditions see it: the field it is of, and each value with the time it is valid before.

    One without a field has a fault of its own, and no more is said where it is used.
    """

    def __init__(self, field: str, entries: Mapping[Value, int]) -> None:
        """Keep field and entries."""
        self.field, self.entries = field, entries


class Checker:
    """Checks the expressions of one file, and gives each feature that they read a slot in the row."""

    def __init__(
        self, source: Source, vocabulary: Vocabulary, lists: Mapping[str, Listing], faults: list[Fault]
    ) -> None:
        """Take the names that may be used; faults are added to `faults`."""
        self._source, self._vocabulary, self._lists, self._faults = source, vocabulary, lists, faults
        self._slots: dict[str, int] = {}

    @property
    def places(self) -> list[int]:
        """Return the vector place of each slot of the row."""
        return [self._vocabulary.places[name] for name in self._slots]

    def condition(self, tree: Expression) -> Typed:
        """Return a checked condition; raise FaultAt for an expression of another type."""
        found = self.typed(tree)
        if found.type is not Type.CONDITION:
            raise FaultAt(tree.span, f"expected a condition, found a {found.type}; compare it: {found.label} > ...")
        return found

    @singledispatchmethod
    def typed(self, tree: Expression) -> Typed:
        """Return a checked expression; raise FaultAt when a name or a type is wrong."""
        raise NotImplementedError(type(tree).__name__)

    @typed.register
    def _(self, tree: Literal) -> Typed:
        return self._made(tree.span, type_of(tree), make.constant(tree.value), constant=tree.value)

    @typed.register
    def _(self, tree: Name) -> Typed:
        if field := self._vocabulary.fields.get(tree.name):
            return self._made(tree.span, field.type, make.field(field.read))
        if tree.name in self._vocabulary.terms:
            return self._feature(tree.span, tree.name)
        if tree.name in WEEKDAYS:
            value = float(WEEKDAYS.index(tree.name))
            return self._made(tree.span, Type.NUMBER, make.constant(value), constant=value)
        if tree.name in self._lists:
            of = self._lists[tree.name].field or "its field"
            raise FaultAt(tree.span, f"'{tree.name}' is a list: write {of} in {tree.name}")
        raise at(tree.span, tree.name, [*self._vocabulary.names, *self._lists])

    @typed.register
    def _(self, tree: Call) -> Typed:
        if tree.name != "missing":
            return self._feature(tree.span, self._vocabulary.feature(tree))
        if len(tree.arguments) != 1:
            raise FaultAt(tree.span, "'missing' takes one value: missing(device)")
        item = self.typed(tree.arguments[0])
        run = item.run
        return self._made(tree.span, Type.CONDITION, lambda tx, row: make.is_missing(run(tx, row)), parts=(item,))

    @typed.register
    def _(self, tree: Unary) -> Typed:
        if tree.sign == "not":
            operand = self.condition(tree.operand)
            run = operand.run
            return self._made(tree.span, Type.CONDITION, lambda tx, row: not run(tx, row), parts=(operand,))
        operand = self.typed(tree.operand)
        if operand.type not in QUANTITIES:
            raise FaultAt(tree.span, f"'-' takes a number or a duration, not a {operand.type}")
        run = operand.run
        return self._folded(self._made(tree.span, operand.type, lambda tx, row: -run(tx, row), parts=(operand,)))

    @typed.register
    def _(self, tree: Logic) -> Typed:
        parts = []
        for part in tree.parts:
            try:
                parts.append(self.condition(part))
            except FaultAt as fault:
                self._note(fault)
        join: Callable[[list[make.Run]], make.Run] = make.all_of if tree.sign == "and" else make.any_of
        run = join([part.run for part in parts])
        return self._made(tree.span, Type.CONDITION, run, sign=tree.sign, parts=tuple(parts))

    @typed.register
    def _(self, tree: Binary) -> Typed:
        left, right = self._both(tree.left, tree.right)
        if tree.sign in "+-*/":
            return self._arithmetic(tree, left, right)
        if left.type is not right.type:
            raise FaultAt(tree.span, _unlike(tree.sign, left, right))
        return self._made(tree.span, Type.CONDITION, _comparison(tree, left, right), parts=(left, right))

    @typed.register
    def _(self, tree: Member) -> Typed:
        item = self.typed(tree.item)
        listing = self._listing(tree.among, item)
        run = make.member(item.run, listing, negated=tree.negated)
        return self._made(tree.span, Type.CONDITION, run, parts=(item,))

    def _both(self, *trees: Expression) -> list[Typed]:
        """Return both sides checked; when both are wrong, both faults are told."""
        found, faults = [], []
        for tree in trees:
            try:
                found.append(self.typed(tree))
            except FaultAt as fault:
                faults.append(fault)
        for other in faults[1:]:
            self._note(other)
        if faults:
            raise faults[0]
        return found

    def _note(self, fault: FaultAt) -> None:
        self._faults.append(self._source.fault(fault.span, fault.message))

    def _feature(self, span: Span, name: str) -> Typed:
        slot = self._slots.setdefault(name, len(self._slots))
        kind = Type.DURATION if self._vocabulary.terms[name].seconds else Type.NUMBER
        made = self._made(span, kind, make.feature(slot), slot=slot)
        return msgspec.structs.replace(made, whole=self._vocabulary.is_estimate(name))

    def _arithmetic(self, tree: Binary, left: Typed, right: Typed) -> Typed:
        kind = ARITHMETIC.get((tree.sign, left.type, right.type))
        if kind is None:
            raise FaultAt(tree.span, f"'{tree.sign}' does not take a {left.type} and a {right.type}")
        run = make.arithmetic(tree.sign, left.run, right.run)
        return self._folded(self._made(tree.span, kind, run, parts=(left, right)))

    def _listing(self, among: Name | tuple[Literal, ...], item: Typed) -> Mapping[Value, int]:
        if isinstance(among, Name):
            return self._named_list(among, item)
        for literal in among:
            if type_of(literal) is not item.type:
                raise FaultAt(literal.span, f"expected a {item.type}, for {item.label} is one")
        rounded = item.slot is not None
        return {_as_float32(one.value) if rounded else one.value: FOREVER for one in among}

    def _named_list(self, among: Name, item: Typed) -> Mapping[Value, int]:
        if among.name not in self._lists:
            raise FaultAt(among.span, f"unknown list '{among.name}'." + _near_list(among, self._lists))
        listing = self._lists[among.name]
        if not listing.field:
            return {}
        if item.label != listing.field:
            raise FaultAt(item.span, f"'{among.name}' is a list of {listing.field}, not of {item.label}")
        return listing.entries

    def _folded(self, found: Typed) -> Typed:
        """Compute now what has only constants in it."""
        if any(part.constant is None for part in found.parts):
            return found
        value = found.run(None, [])  # type: ignore[arg-type]  # constants read no transaction
        return self._made(found.span, found.type, make.constant(value), constant=value)

    def _made(
        self,
        span: Span,
        kind: Type,
        run: make.Run,
        *,
        sign: str = "",
        parts: tuple[Typed, ...] = (),
        slot: int | None = None,
        constant: Value = None,
    ) -> Typed:
        return Typed(span, kind, run, self._source.cut(span), sign, parts, slot, constant)


def type_of(literal: Literal) -> Type:
    """Return the type of a literal."""
    if isinstance(literal.value, bool):
        return Type.CONDITION
    if isinstance(literal.value, str):
        return Type.TEXT
    return Type.DURATION if literal.unit else Type.NUMBER


def _comparison(tree: Binary, left: Typed, right: Typed) -> make.Run:
    if tree.sign == "contains":
        if left.type is not Type.TEXT:
            raise FaultAt(tree.span, f"'contains' takes texts, not a {left.type}")
        return make.contains(left.run, right.run)
    if left.type in QUANTITIES:
        return make.compare(tree.sign, left, right)
    if left.type is Type.CONDITION:
        raise FaultAt(tree.span, "conditions are not compared: write the condition itself, or 'not' before it")
    if tree.sign not in ("==", "!="):
        raise FaultAt(tree.at, f"texts have no order: expected '==', '!=', 'in' or 'contains', found '{tree.sign}'")
    return make.compare_text(tree.sign, left.run, right.run)


def _unlike(sign: str, left: Typed, right: Typed) -> str:
    """Say that two sides are of different types, and how to write it."""
    text = f"cannot compare a {left.type} with a {right.type} by '{sign}'"
    for one, other in ((left, right), (right, left)):
        if one.type is Type.DURATION and other.type is Type.NUMBER and other.constant is not None:
            return f"{text}: {one.label} is a duration; write {other.label}s, or with another unit such as 10m"
        if one.type is Type.TEXT and other.type is Type.NUMBER and other.constant is not None:
            return f'{text}: {one.label} is text; write "{other.label}"'
    return text


def _near_list(among: Name, lists: Mapping[str, Listing]) -> str:
    return nearest(among.name, lists) or ' Lists are declared: list NAME merchant { "M1" }'


def _as_float32(value: Value) -> Value:
    return float(np.float32(value)) if isinstance(value, float) else value
