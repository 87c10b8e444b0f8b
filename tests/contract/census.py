"""Find, in the sources, every class that implements a port, whether or not anything imports it."""

import ast
from collections.abc import Iterator, Set
from functools import cache
from inspect import isfunction
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGES = ("fraud", "streaming", "features", "models")


class Found(NamedTuple):
    """One class as it stands in the sources: its methods, its other attributes, and the names of its bases."""

    path: str
    name: str
    methods: frozenset[str]
    attributes: frozenset[str]
    bases: tuple[str, ...]

    @property
    def is_port(self) -> bool:
        """Tell whether the class only declares what others implement."""
        return "Protocol" in self.bases


def implementations(port: type) -> set[str]:
    """Return `module.Class` of every class that has all public methods and properties of `port`.

    A property may be any attribute; a method must be one, so that a record with fields of those names is none.
    """
    asked = {name: value for name, value in vars(port).items() if not name.startswith("_") or name == "__len__"}
    methods = {name for name, value in asked.items() if isfunction(value)}
    found = classes()
    return {each.path for each in found if not each.is_port and has(each, methods, asked.keys() - methods, found)}


def has(one: Found, methods: Set[str], properties: Set[str], found: tuple[Found, ...]) -> bool:
    """Tell whether a class has methods and properties, of its own or inherited from classes that are not ports."""
    family = [one, *inherited(one, found)]
    known = frozenset().union(*(each.methods for each in family))
    return methods <= known and properties <= known.union(*(each.attributes for each in family))


def qualified(implementation: type) -> str:
    """Return `module.Class`."""
    return f"{implementation.__module__}.{implementation.__qualname__}"


@cache
def classes() -> tuple[Found, ...]:
    """Return every class of the four packages."""
    return tuple(found for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")) for found in of(path))


def of(path: Path) -> Iterator[Found]:
    """Yield the top-level classes of one file."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            bases = tuple(name_of(base) for base in node.bases)
            methods = frozenset(item.name for item in node.body if isinstance(item, ast.FunctionDef))
            yield Found(f"{module}.{node.name}", node.name, methods, frozenset(attributes(node)), bases)


def attributes(node: ast.ClassDef) -> Iterator[str]:
    """Yield the names of attributes given in a class's body."""
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            yield item.target.id
        elif isinstance(item, ast.Assign):
            yield from (target.id for target in item.targets if isinstance(target, ast.Name))


def inherited(one: Found, found: tuple[Found, ...]) -> Iterator[Found]:
    """Yield the classes that a class inherits from, ports left out."""
    for other in found:
        if other.name in one.bases and not other.is_port and other != one:
            yield other
            yield from inherited(other, found)


def name_of(base: ast.expr) -> str:
    """Return the last part of a base class's name."""
    while isinstance(base, ast.Subscript):
        base = base.value
    return base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
