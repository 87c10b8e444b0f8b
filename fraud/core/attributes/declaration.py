"""A declaration of own columns: their names by kind, checked.

A mapping says which column of a file each is, `[attrs]` of the settings that messages carry it; both give the same
declaration, and a declaration has the same vector wherever its values come from.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec

from fraud.core.attributes.algebra import FUNCTIONS, Compiled, compiled
from fraud.core.attributes.values import PREFIX as PREFIX
from fraud.core.attributes.values import number_of, word_of
from fraud.core.errors import SettingsError
from fraud.core.fields import Section, setting
from fraud.core.rules.tokens import KEYWORDS

NUMBER, CATEGORY, ENTITY, EXPRESSION = "number", "category", "entity", "expression"
MOST = {NUMBER: 64, CATEGORY: 32, ENTITY: 4, EXPRESSION: 64}
"""Own columns of each kind, at most."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
TAKEN = frozenset(
    "id card merchant amount happened_at seen_at version kind device currency channel mcc text attrs base_amount hour "
    "weekday label time".split()
)
"""Names that mean something else in a message, a rule or an expression."""


class AttrsSection(Section, frozen=True):
    """Own columns that messages carry, each under its own name in `attrs` or beside the known fields."""

    number: Annotated[dict[str, str], setting('Own numbers of a payment: balance = "".')] = msgspec.field(
        default_factory=dict
    )
    category: Annotated[dict[str, str], setting('Own words of a payment: country = "".')] = msgspec.field(
        default_factory=dict
    )
    entity: Annotated[dict[str, str], setting("Own entities beside card, merchant and device.")] = msgspec.field(
        default_factory=dict
    )
    expression: Annotated[
        dict[str, str], setting('Numbers computed of them: drift = "old_balance - amount - new_balance".')
    ] = msgspec.field(default_factory=dict)

    def carried(self) -> "AttrsSection":
        """Return the same own columns as settings declare them: each under its own name."""
        plain = {kind: dict.fromkeys(names, "") for kind, names in self.sources().items()}
        return AttrsSection(**plain, expression=self.expression)

    def under(self, place: str) -> "AttrsSection":
        """Return the same own columns as a mapping declares them whose file has each under its name in a place."""
        plain = {kind: {name: place + name for name in names} for kind, names in self.sources().items()}
        return AttrsSection(**plain, expression=self.expression)

    def sources(self) -> dict[str, dict[str, str]]:
        """Return what stands behind each name, by kind; of expressions nothing does."""
        return {NUMBER: self.number, CATEGORY: self.category, ENTITY: self.entity}


class Declaration(msgspec.Struct, frozen=True):
    """Own columns by kind, each in order of names; expressions with their text."""

    numbers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    expressions: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything is declared."""
        return bool(self.numbers or self.categories or self.entities or self.expressions)

    @property
    def definitions(self) -> dict[str, str]:
        """Return each own column's kind by name, of an expression its text."""
        plain = {NUMBER: self.numbers, CATEGORY: self.categories, ENTITY: self.entities}
        named = {name: kind for kind, names in plain.items() for name in names}
        return {**named, **{name: f"= {text}" for name, text in self.expressions}}

    def compiled(self) -> tuple[Compiled, ...]:
        """Return the expressions, ready to be computed."""
        return tuple(_compiled(name, text, self, "attrs") for name, text in self.expressions)

    def wrong(self, attrs: Mapping[str, Any]) -> Iterator[str]:
        """Yield the names of own columns that a message gives a value of another type: it counts as missing."""
        for name in self.numbers:
            if (value := attrs.get(name)) is not None and math.isnan(number_of(value)):
                yield name
        for name in self.categories + self.entities:
            if (value := attrs.get(name)) is not None and value != "" and not word_of(value):
                yield name


NOTHING = Declaration()


def declaration(said: AttrsSection, where: str) -> Declaration:
    """Return what a section declares; `where` names the text that it stands in.

    Raises:
        SettingsError: for a name that cannot be, one that is declared twice, too many of a kind, a kind that this
            release does not compute, or an expression that has faults.
    """
    kinds: dict[str, Mapping[str, str]] = {**said.sources(), EXPRESSION: said.expression}
    seen: dict[str, str] = {}
    for kind, names in kinds.items():
        if len(names) > MOST[kind]:
            msg = f"{where}: [attrs.{kind}] declares {len(names)}: expected at most {MOST[kind]}; leave some out"
            raise SettingsError(msg)
        for name in names:
            _need_name(name, kind, where)
            if name in seen:
                msg = f"{where}: '{name}' is declared in [attrs.{seen[name]}] and [attrs.{kind}]: give one another name"
                raise SettingsError(msg)
            seen[name] = kind
    _need_built(said, where)
    made = Declaration(
        tuple(sorted(said.number)), tuple(sorted(said.category)), tuple(sorted(said.entity)),
        tuple(sorted((name, " ".join(text.split())) for name, text in said.expression.items())),
    )  # fmt: skip
    for name, text in made.expressions:
        _compiled(name, text, made, where)
    return made


def need_carried(said: AttrsSection) -> None:
    """Raise SettingsError where settings name a column behind an own name: a message has it under that name."""
    for kind, names in said.sources().items():
        for name, source in names.items():
            if source:
                msg = (
                    f'settings: attrs.{kind}.{name} is "{source}": expected "": a message carries it under its own '
                    "name; columns of files are named in a mapping"
                )
                raise SettingsError(msg)


def differing(first: Declaration, second: Declaration) -> str:
    """Return in words what is declared otherwise in a second declaration; "" where nothing is."""
    here, there = first.definitions, second.definitions
    said = [f"'{name}' ({text}) only here" for name, text in here.items() if name not in there]
    said += [f"'{name}' ({text}) only there" for name, text in there.items() if name not in here]
    said += [
        f"'{name}' is {text} here and {there[name]} there"
        for name, text in here.items()
        if name in there and there[name] != text
    ]
    return "; ".join(said)


def may_name(name: str) -> bool:
    """Tell whether an own column may have a name: it is one, and means nothing else."""
    return NAME.fullmatch(name) is not None and not (name in TAKEN or name in KEYWORDS or name in FUNCTIONS)


def _need_name(name: str, kind: str, where: str) -> None:
    if not NAME.fullmatch(name):
        msg = f"{where}: '{name}' cannot name an own {kind}: expected 1 to 40 of a-z, 0-9 and _, a letter first"
        raise SettingsError(msg)
    if not may_name(name):
        msg = f"{where}: '{name}' cannot name an own {kind}, for it has a meaning of its own: give it another name"
        raise SettingsError(msg)


def _need_built(said: AttrsSection, where: str) -> None:
    """Refuse what this release does not compute."""
    if said.entity:
        msg = (
            f"{where}: [attrs.entity] {next(iter(said.entity))}: this release computes own numbers, categories and "
            "expressions only; leave the table out"
        )
        raise SettingsError(msg)


def _compiled(name: str, text: str, made: Declaration, where: str) -> Compiled:
    try:
        return compiled(text, made.numbers, made.categories + made.entities)
    except ValueError as error:
        msg = f"{where}: [attrs.expression] {name} = {text!r}: {error}"
        raise SettingsError(msg) from error
