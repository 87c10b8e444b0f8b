"""Find, in the sources, every class that implements a port, whether or not anything imports it."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGES = ("fraud", "streaming", "features", "models")


class Found(NamedTuple):
    """One class as it stands in the sources: its public methods and attributes, and the names of its bases."""

    path: str
    name: str
    members: frozenset[str]
    bases: tuple[str, ...]

    @property
    def is_port(self) -> bool:
        """Tell whether the class only declares what others implement."""
        return "Protocol" in self.bases


def implementations(port: type) -> set[str]:
    """Return `module.Class` of every class that has all public members of `port`."""
    asked = {name for name in vars(port) if not name.startswith("_") or name == "__len__"}
    found = classes()
    return {each.path for each in found if not each.is_port and asked <= members_of(each, found)}


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
            yield Found(f"{module}.{node.name}", node.name, frozenset(members(node)), bases)


def members(node: ast.ClassDef) -> Iterator[str]:
    """Yield the names of a class's methods and of attributes given in its body."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef):
            yield item.name
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            yield item.target.id
        elif isinstance(item, ast.Assign):
            yield from (target.id for target in item.targets if isinstance(target, ast.Name))


def members_of(one: Found, found: tuple[Found, ...]) -> frozenset[str]:
    """Return a class's members with those it inherits from classes that are not ports."""
    inherited = [other for other in found if other.name in one.bases and not other.is_port and other != one]
    return one.members.union(*(members_of(other, found) for other in inherited))


def name_of(base: ast.expr) -> str:
    """Return the last part of a base class's name."""
    while isinstance(base, ast.Subscript):
        base = base.value
    return base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
