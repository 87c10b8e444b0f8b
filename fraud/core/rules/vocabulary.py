"""The names that rules may use: features by place, windows in function form, fields of the transaction."""

import enum
import math
import re
from collections.abc import Callable, Iterable, Sequence

import msgspec

from fraud.core.attributes.values import PREFIX, word_of
from fraud.core.errors import nearest
from fraud.core.fields import PATTERN, Duration
from fraud.core.records import DAY, HOUR, SECOND, Transaction
from fraud.core.rules.faults import FaultAt, Span
from fraud.core.rules.tree import Call, Expression, Literal, Name

Value = float | str | bool | None
Read = Callable[[Transaction], Value]


class Type(enum.StrEnum):
    """What an expression yields. A duration is seconds."""

    NUMBER = "number"
    TEXT = "text"
    CONDITION = "condition"
    DURATION = "duration"


class Term(msgspec.Struct, frozen=True):
    """One feature as rules see it, in vector order. `seconds` makes it a duration."""

    name: str
    meaning: str = ""
    seconds: bool = False


class Field(msgspec.Struct, frozen=True):
    """One field of the transaction; `read` returns NaN or None when it is missing."""

    name: str
    type: Type
    meaning: str
    read: Read


def _weekday(tx: Transaction) -> Value:
    # Day 0 of the epoch was a Thursday.
    return float((tx.happened_at // DAY + 3) % 7)


def fields(digits: int) -> tuple[Field, ...]:
    """Return the transaction's fields; `digits` are those of the base currency's minor unit."""
    scale = 10**digits
    number, text = Type.NUMBER, Type.TEXT
    return (
        Field("amount", number, "amount in major units of the base currency", lambda tx: tx.base_amount / scale),
        Field("hour", number, "hour of the day, UTC, with fraction", lambda tx: tx.happened_at % DAY / HOUR),
        Field("weekday", number, "day of the week, UTC; monday to sunday are names for 0 to 6", _weekday),
        Field("mcc", number, "merchant category code", lambda tx: float(tx.mcc) if tx.mcc else math.nan),
        Field("card", text, "the card's token", lambda tx: tx.card or None),
        Field("merchant", text, "the merchant's id", lambda tx: tx.merchant or None),
        Field("device", text, "the device's id", lambda tx: tx.device or None),
        Field("currency", text, "currency of the payment, ISO 4217", lambda tx: tx.currency or None),
        Field("channel", text, "pos, atm, ecom, moto", lambda tx: tx.channel or None),
        Field("text", text, "the merchant's descriptor", lambda tx: tx.text or None),
    )


def own_word(name: str) -> Field:
    """Return the field of an own word, `attrs.NAME` in rules, whose vector holds but a hash."""

    def read(tx: Transaction) -> Value:
        return word_of((tx.attrs or {}).get(name)) or None

    return Field(PREFIX + name, Type.TEXT, f"own word {name}", read)


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DISTINCT = "distinct"
WINDOWED = re.compile(rf"(?P<entity>[^_.]+)_(?P<what>\w+)_(?P<window>{PATTERN.pattern})")


class Vocabulary:
    """Names by meaning.

    A feature `card_count_10m` is also `count(card, 10m)`, `card_merchants_1d` is also `distinct(card, merchants, 1d)`,
    `pair_frauds` is also `frauds(pair)`.
    """

    def __init__(self, terms: Sequence[Term], digits: int = 2, words: Sequence[str] = ()) -> None:
        """Take the features in vector order, the digits of the base currency, and the names of own words."""
        self.fields = {field.name: field for field in (*fields(digits), *map(own_word, words))}
        own = {PREFIX + word for word in words}
        self.terms = {term.name: term for term in terms if term.name not in own}
        self.places = {term.name: place for place, term in enumerate(terms)}
        self.windows = dict(_windowed(self.terms))
        self.plurals = {f"{key[0]}s" for key in self.windows} & {key[1] for key in self.windows}

    @classmethod
    def of(
        cls, names: Sequence[str], meanings: Sequence[str] = (), digits: int = 2, words: Sequence[str] = ()
    ) -> "Vocabulary":
        """Return the vocabulary of a feature list; a name with `since_` in it counts seconds."""
        texts = meanings or [""] * len(names)
        return cls(
            [Term(name, text, counts_seconds(name)) for name, text in zip(names, texts, strict=True)],
            digits,
            words,
        )

    @property
    def names(self) -> list[str]:
        """Return every name that may stand alone."""
        return [*self.fields, *self.terms, *WEEKDAYS]

    def is_estimate(self, name: str) -> bool:
        """Tell whether a feature counts different things, which is exact only for a few of them."""
        match = WINDOWED.fullmatch(name)
        return match is not None and match["what"] in self.plurals

    def form(self, name: str) -> str:
        """Return how a windowed feature is written as a call, the empty string for any other name."""
        match = WINDOWED.fullmatch(name)
        if match is None or name not in self.terms:
            return ""
        entity, what, window = match["entity"], match["what"], match["window"]
        return f"{DISTINCT}({entity}, {what}, {window})" if what in self.plurals else f"{what}({entity}, {window})"

    def feature(self, call: Call) -> str:
        """Return the feature that a call such as `count(card, 10m)` names; raise FaultAt when there is none."""
        names, window = _arguments(call)
        distinct = call.name == DISTINCT
        if len(names) != (2 if distinct else 1):
            usage = f"{DISTINCT}(card, merchants, 1h)" if distinct else f"{call.name}(card, 10m)"
            raise FaultAt(call.span, f"'{call.name}' takes other arguments: expected as in {usage}")
        entity, what = names[0], names[-1] if distinct else call.name
        if distinct and what not in self.plurals:
            raise FaultAt(call.arguments[1].span, f"'{what}' are not told apart: expected {_row(self.plurals)}")
        if window is None:
            return self._unwindowed(call, entity, what)
        return self._windowed(call, entity, what, window)

    def _unwindowed(self, call: Call, entity: str, what: str) -> str:
        name = f"{entity}_{what}"
        if name in self.terms:
            return name
        windowed = [name for key, name in self.windows.items() if key[:2] == (entity, what)]
        if windowed:
            raise FaultAt(call.span, f"'{call.name}' needs a window: {self.form(windowed[-1])}")
        raise FaultAt(call.span, f"no feature '{name}' for this call.{nearest(name, self.terms)}")

    def _windowed(self, call: Call, entity: str, what: str, window: float) -> str:
        known = {key[2]: name for key, name in self.windows.items() if key[:2] == (entity, what)}
        if window in known:
            return known[window]
        if known:
            spans = ", ".join(str(Duration(round(seconds * SECOND))) for seconds in sorted(known))
            raise FaultAt(call.arguments[-1].span, f"no such window of '{what}' of {entity}: known are {spans}")
        entities, whats = {key[0] for key in self.windows}, {key[1] for key in self.windows if key[0] == entity}
        if entity not in entities:
            hint = nearest(entity, entities)
            raise FaultAt(call.arguments[0].span, f"unknown entity '{entity}': expected one of {_row(entities)}.{hint}")
        if call.name == DISTINCT:
            apart = _row(whats & self.plurals) or "nothing"
            raise FaultAt(call.arguments[1].span, f"no count of '{what}' of one {entity}: known are {apart}")
        raise FaultAt(call.at, f"unknown function '{what}' of {entity}.{nearest(what, whats - self.plurals)}")


def counts_seconds(name: str) -> bool:
    """Tell whether a feature is a span of time: by its name, unless it is an own column, which may have any."""
    return "since_" in name and "." not in name


def _windowed(names: Iterable[str]) -> Iterable[tuple[tuple[str, str, float], str]]:
    for name in names:
        if match := WINDOWED.fullmatch(name):
            yield (match["entity"], match["what"], Duration.parse(match["window"]) / SECOND), name


def _arguments(call: Call) -> tuple[list[str], float | None]:
    """Return the names of a call and its window in seconds, which stands last; None without one."""
    words = [_word(argument) for argument in call.arguments]
    window = words.pop() if words and isinstance(words[-1], float) else None
    for word, argument in zip(words, call.arguments, strict=False):
        if not isinstance(word, str):
            raise FaultAt(argument.span, f"a window stands last: {call.name}(card, 10m)")
    return [str(word) for word in words], window if isinstance(window, float) else None


def _row(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _word(argument: Expression) -> str | float:
    """Return an argument's name, or its seconds; raise FaultAt for anything else."""
    if isinstance(argument, Name):
        return argument.name
    if isinstance(argument, Literal) and argument.unit:
        return float(argument.value)
    raise FaultAt(argument.span, "expected an entity such as card, or a window such as 10m")


def at(span: Span, name: str, known: Iterable[str]) -> FaultAt:
    """Return the fault of a name that nobody knows."""
    return FaultAt(span, f"unknown name '{name}'.{nearest(name, known)}")
