"""What the parser makes of a rule file, before names and types are looked at."""

import msgspec

from fraud.core.rules.faults import Span


class Literal(msgspec.Struct, frozen=True):
    """A number, text, truth value or duration (seconds, `unit` set)."""

    span: Span
    value: float | str | bool
    unit: str = ""


class Name(msgspec.Struct, frozen=True):
    """A feature, a field of the transaction, or a list."""

    span: Span
    name: str


class Call(msgspec.Struct, frozen=True):
    """A function of names and durations: `count(card, 10m)`."""

    span: Span
    name: str
    at: Span
    arguments: "tuple[Expression, ...]"


class Unary(msgspec.Struct, frozen=True):
    """`not x` or `-x`."""

    span: Span
    sign: str
    operand: "Expression"


class Binary(msgspec.Struct, frozen=True):
    """Arithmetic, a comparison or `contains`; `at` is the sign's place."""

    span: Span
    sign: str
    at: Span
    left: "Expression"
    right: "Expression"


class Logic(msgspec.Struct, frozen=True):
    """Conditions joined by `and`, or by `or`."""

    span: Span
    sign: str
    parts: "tuple[Expression, ...]"


class Member(msgspec.Struct, frozen=True):
    """`x in { ... }` or `x in a_list`; `among` is the list's name or the literals."""

    span: Span
    item: "Expression"
    among: Name | tuple[Literal, ...]
    negated: bool


Expression = Literal | Name | Call | Unary | Binary | Logic | Member

DEEPEST = 40
"""How deep an expression may be. The compiler walks it by recursion, and so do the closures at every payment."""


def children(tree: Expression) -> tuple[Expression, ...]:
    """Return the expressions directly inside one."""
    match tree:
        case Call():
            return tree.arguments
        case Unary():
            return (tree.operand,)
        case Binary():
            return tree.left, tree.right
        case Logic():
            return tree.parts
        case Member():
            return (tree.item,)
    return ()


def too_deep(tree: Expression) -> bool:
    """Tell whether an expression is deeper than DEEPEST, without recursion."""
    found: list[Expression] = [tree]
    for _ in range(DEEPEST):
        found = [child for parent in found for child in children(parent)]
    return bool(found)


class Entry(msgspec.Struct, frozen=True):
    """One value of a list, valid before `until` (UTC nanoseconds); None means for good."""

    value: Literal
    until: int | None


class ListTree(msgspec.Struct, frozen=True):
    """A list: what it does (allow, block, or only a name), on which field, with its entries or its file."""

    name: str
    at: Span
    effect: str
    field: Name
    entries: tuple[Entry, ...]
    file: Literal | None


class EffectTree(msgspec.Struct, frozen=True):
    """One effect of a rule: an action, a floor, or a note."""

    span: Span
    word: str
    floor: Literal | None = None


class RuleTree(msgspec.Struct, frozen=True):
    """A rule: its name, sentence, kinds of message, condition and effects."""

    name: str
    at: Span
    sentence: Literal | None
    kinds: tuple[Name, ...]
    condition: Expression
    effects: tuple[EffectTree, ...]


class FileTree(msgspec.Struct, frozen=True):
    """Every list and rule of a file, in order; `begun` names the lists that have a fault inside too."""

    lists: tuple[ListTree, ...]
    rules: tuple[RuleTree, ...]
    begun: frozenset[str] = frozenset()
