"""Expressions over own numbers: a closed algebra without state, `+ - * / log abs min max distance_km missing`.

They are written as rules are, and parsed by the same parser. A number that is not there is NaN, and so is what is
computed of one, a quotient by zero, and a logarithm of what is not above 0.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fraud.core.attributes.values import word_of
from fraud.core.errors import nearest
from fraud.core.rules.faults import FaultAt, Source
from fraud.core.rules.parser import Parser
from fraud.core.rules.tree import Binary, Call, Expression, Literal, Name, Unary

EARTH_KM = 6371.0088
"""Mean radius of the Earth, IUGG 1980."""
Numbers = Mapping[str, float]
Run = Callable[[Numbers, Mapping[str, Any]], float]
"""Computes a number of a payment's numbers by name and its raw values by name."""
AMOUNT, HOUR, WEEKDAY = "amount", "hour", "weekday"
FIELDS = (AMOUNT, HOUR, WEEKDAY)
"""Numbers of every payment that expressions may use, as rules know them: the amount in major units of the base."""


class Compiled(NamedTuple):
    """An expression, ready to be computed."""

    text: str
    run: Run


def log(value: float) -> float:
    """Return the natural logarithm, NaN where there is none."""
    return math.log(value) if value > 0 else math.nan


def least(*values: float) -> float:
    """Return the smallest of some numbers, NaN where one is not there."""
    return math.nan if any(map(math.isnan, values)) else min(values)


def largest(*values: float) -> float:
    """Return the largest of some numbers, NaN where one is not there."""
    return math.nan if any(map(math.isnan, values)) else max(values)


def distance_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Return the distance on a sphere, km, of two places in degrees (haversine); NaN where one is no place."""
    places = ((latitude, 90), (other_latitude, 90), (longitude, 360), (other_longitude, 360))
    if not all(abs(degrees) <= most for degrees, most in places):
        return math.nan
    here, there = math.radians(latitude), math.radians(other_latitude)
    east = math.radians(other_longitude - longitude)
    half = math.sin((there - here) / 2) ** 2 + math.cos(here) * math.cos(there) * math.sin(east / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


MISSING = "missing"
FUNCTIONS: dict[str, tuple[Callable[..., float], tuple[int, ...]]] = {
    "log": (log, (1,)),
    "abs": (abs, (1,)),
    "min": (least, tuple(range(2, 9))),
    "max": (largest, tuple(range(2, 9))),
    "distance_km": (distance_km, (4,)),
    MISSING: (math.isnan, (1,)),
}
"""Functions, and how many arguments each takes."""


def compiled(text: str, numbers: Sequence[str], words: Sequence[str] = ()) -> Compiled:
    """Return an expression over numbers by name; of own words only `missing` can be asked.

    Raises:
        ValueError: when it has a fault; the message has the place.
    """
    source = Source(text, "expression")
    try:
        return Compiled(text, _Compiler(numbers, words).run(Parser(source).expression()))
    except FaultAt as fault:
        raise ValueError(str(source.fault(fault.span, fault.message))) from fault


class _Compiler:
    """Makes closures of an expression's tree."""

    def __init__(self, numbers: Sequence[str], words: Sequence[str]) -> None:
        self._numbers, self._words = frozenset((*numbers, *FIELDS)), frozenset(words)

    def run(self, tree: Expression) -> Run:
        """Return what computes a tree; raise FaultAt for what is no number."""
        match tree:
            case Literal(value=bool() | str()) | Literal(unit="s"):
                raise FaultAt(tree.span, "expected a number such as 12.5")
            case Literal(value=value):
                return _constant(float(value))
            case Name():
                return self._name(tree)
            case Unary(sign="-"):
                return _negative(self.run(tree.operand))
            case Binary(sign="+" | "-" | "*" | "/"):
                return _arithmetic(tree.sign, self.run(tree.left), self.run(tree.right))
            case Call():
                return self._call(tree)
            case _:
                raise FaultAt(tree.span, f"expected a number: + - * /, {', '.join(FUNCTIONS)}")

    def _name(self, tree: Name) -> Run:
        name = tree.name.removeprefix("attrs.")
        if name in self._words:
            raise FaultAt(tree.span, f"'{name}' is a word, no number: only missing({name}) can be asked of it")
        if name not in self._numbers:
            raise FaultAt(tree.span, f"unknown name '{name}'.{nearest(name, self._numbers)}")
        return lambda numbers, attrs: numbers[name]

    def _call(self, tree: Call) -> Run:
        if tree.name not in FUNCTIONS:
            raise FaultAt(tree.at, f"unknown function '{tree.name}'.{nearest(tree.name, FUNCTIONS)}")
        function, counts = FUNCTIONS[tree.name]
        if len(tree.arguments) not in counts:
            takes = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
            raise FaultAt(tree.span, f"'{tree.name}' takes {takes} numbers, here are {len(tree.arguments)}")
        inner = tree.arguments[0]
        if tree.name == MISSING and isinstance(inner, Name) and inner.name.removeprefix("attrs.") in self._words:
            word = inner.name.removeprefix("attrs.")
            return lambda numbers, attrs: float(not word_of(attrs.get(word)))
        return _applied(function, [self.run(each) for each in tree.arguments])


def _constant(value: float) -> Run:
    return lambda numbers, attrs: value


def _negative(run: Run) -> Run:
    return lambda numbers, attrs: -run(numbers, attrs)


def _arithmetic(sign: str, left: Run, right: Run) -> Run:
    if sign == "+":
        return lambda numbers, attrs: left(numbers, attrs) + right(numbers, attrs)
    if sign == "-":
        return lambda numbers, attrs: left(numbers, attrs) - right(numbers, attrs)
    if sign == "*":
        return lambda numbers, attrs: left(numbers, attrs) * right(numbers, attrs)
    return lambda numbers, attrs: _divided(left(numbers, attrs), right(numbers, attrs))


def _divided(left: float, right: float) -> float:
    return left / right if right else math.nan


def _applied(function: Callable[..., float], runs: list[Run]) -> Run:
    if len(runs) == 1:
        (only,) = runs
        return lambda numbers, attrs: float(function(only(numbers, attrs)))
    return lambda numbers, attrs: float(function(*[run(numbers, attrs) for run in runs]))
