"""A mapping as the TOML that it is read from, only what is not usual in it."""

from typing import Any

import msgspec

from streaming.files.values.mapping import Mapping


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


def toml_of(mapping: Mapping, doubts: tuple[str, ...], left: tuple[str, ...], file: str) -> str:
    """Return a mapping as text, what is not certain and what is left over as comments."""
    lines = [f"# Guessed by fraud inspect from {file}: look it over. fraud simulate --mapping-example has every key."]
    lines += [f"# Not certain: {doubt}" for doubt in doubts]
    for section, keys in changed(mapping).items():
        lines += ["", f"[{section}]"]
        lines += [f"{key} = {shown(value)}" for key, value in keys.items()]
    if left:
        lines += ["", f"# Left over: {', '.join(left)}"]
    return "\n".join(lines) + "\n"


def shown(value: Any) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    # JSON's escapes are TOML's
    return msgspec.json.encode(value).decode()
