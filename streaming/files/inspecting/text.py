"""A mapping as the TOML that it is read from, only what is not usual in it."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from fraud.core.attributes.declaration import CATEGORY, MOST, NUMBER, may_name
from streaming.files.inspecting.survey import Promise
from streaming.files.values.mapping import Mapping

OWN = {NUMBER: ("number",), CATEGORY: ("category", "entity")}
"""What a column left over may be by the kind of own column that reads it."""


def changed(mapping: Mapping) -> dict[str, dict[str, Any]]:
    """Return what a mapping says beyond what goes without saying, by section and key."""
    found = {}
    for section in msgspec.structs.fields(Mapping):
        value = getattr(mapping, section.name)
        usual = None if section.name == "columns" else type(value)()
        said = {
            field.name: getattr(value, field.name)
            for field in msgspec.structs.fields(type(value))
            if getattr(value, field.name) != (getattr(usual, field.name) if usual is not None else field.default)
            and getattr(value, field.name) not in ("", ())
        }
        if said:
            found[section.name] = said
    return found


def toml_of(mapping: Mapping, doubts: tuple[str, ...], left: Sequence[Promise], file: str) -> str:
    """Return a mapping as text, what is not certain and what is left over as comments.

    Columns left over are written as own columns that a `#` keeps out: nobody but who knows the file can say which of
    them were known when the payment was made, and one that was not would flatter every figure.
    """
    lines = [f"# Guessed by fraud inspect from {file}: look it over. fraud simulate --mapping-example has every key."]
    lines += [f"# Not certain: {doubt}" for doubt in doubts]
    for section, keys in changed(mapping).items():
        lines += ["", f"[{section}]"]
        lines += [f"{key} = {shown(value)}" for key, value in keys.items()]
    if left:
        lines += [
            "",
            "# Left over. Own columns of payments (docs/attributes.md): take the # off what is known when one is made.",
        ]
    names: set[str] = set()
    for kind, are in OWN.items():
        if these := [one for one in left if one.kind in are][: MOST[kind]]:
            lines += [f"# [attrs.{kind}]", *(f"# {line(one, names)}" for one in these)]
    if others := [one.name for one in left if one.kind in ("time", "text")]:
        lines += [f"# Neither numbers nor words that come again: {', '.join(others)}"]
    return "\n".join(lines) + "\n"


def line(one: Promise, names: set[str]) -> str:
    """Return the line that makes a column an own one, under a name that is not in `names` yet, and what it promises."""
    name = plain = own_name(one.name)
    while name in names:
        name = f"{plain[:36]}_{len(names)}"
    names.add(name)
    alone = "" if one.ap is None else f"  # alone AP {one.ap:.3f} on later days"
    return f"{name} = {shown(one.name)}{alone}"


def own_name(column: str) -> str:
    """Return a name that an own column may have, as near to its column's as can be."""
    plain = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")[:36]
    plain = plain if plain[:1].isalpha() else f"c_{plain}".rstrip("_")
    return plain if may_name(plain) else f"own_{plain}"


def shown(value: Any) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{shown(key)} = {shown(each)}" for key, each in value.items()) + "}"
    # JSON's escapes are TOML's
    return msgspec.json.encode(value).decode()
