"""Settings as written: a TOML text and the environment become one tree of values, unknown names refused.

A secret may lie in a file of its own; its content takes the place of the file's name here.
"""

import tomllib
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from fraud.core.errors import SettingsError, nearest
from fraud.core.fields import Duration, is_secret

PREFIX = "FRAUD_"
FILE, FILE_SUFFIX = "file", "_FILE"
ReadSecret = Callable[[str], str]
"""Returns the text of a secret's file by its path; raises SettingsError where it cannot, or others may read it."""


def no_files(path: str) -> str:
    """Refuse to read a secret's file, where there is nobody who reads files."""
    msg = f"settings: a secret lies in {path}, and files are not read here"
    raise SettingsError(msg)


def parsed(text: str) -> dict[str, Any]:
    """Return what a TOML text says; raise SettingsError when it is none."""
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as fault:
        msg = f"settings: not TOML: {fault}"
        raise SettingsError(msg) from fault


def bare(kind: Any) -> Any:
    """Return a type without its annotations."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def children(kind: Any) -> dict[str, Any] | None:
    """Return the fields of a struct by name with their types, or None for anything that is no struct."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {field.name: bare(field.type) for field in msgspec.structs.fields(kind)}
    return None


def _child(kind: Any, name: str, place: str) -> Any:
    """Return the type of a key; raise SettingsError for one that does not exist."""
    if get_origin(kind) is dict:
        return bare(get_args(kind)[1])
    known = children(kind)
    if known is None:
        msg = f"settings: '{place}' has nothing below it: expected a single value"
        raise SettingsError(msg)
    if name not in known:
        msg = f"settings: unknown {'key' if '.' in place else 'section'} '{place}'.{nearest(name, known)}"
        raise SettingsError(msg)
    return known[name]


def check_keys(tree: dict[str, Any], kind: Any, place: str, read: ReadSecret) -> None:
    """Refuse unknown keys; put the content of its file in the place of each secret that lies in one."""
    for name, value in tree.items():
        path = f"{place}.{name}" if place else name
        child = _child(kind, name, path)
        if not isinstance(value, dict):
            continue
        if is_secret(child, name) and set(value) == {FILE}:
            tree[name] = _from_file(str(value[FILE]), child, read)
        else:
            check_keys(value, child, path, read)


def _from_file(path: str, kind: Any, read: ReadSecret) -> Any:
    """Return the secret that lies in a file; of several there is one a line."""
    text = read(path)
    return text.split() if get_origin(kind) is tuple else text


def override(tree: dict[str, Any], name: str, env: Mapping[str, str], kind: Any, read: ReadSecret) -> None:
    """Put the value of an environment variable in its place, read as the type that the place has."""
    plain_name = name.removesuffix(FILE_SUFFIX)
    secret = name != plain_name and _place_of_secret(plain_name, kind)
    if secret and plain_name in env:
        msg = f"environment variables {plain_name} and {name} are both set: unset one"
        raise SettingsError(msg)
    path, found = secret or _place(name, kind)
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    if secret:
        tree[path[-1]] = _from_file(env[name], found, read)
    elif is_secret(found, path[-1]) and get_origin(found) is not tuple:
        tree[path[-1]] = env[name]
    else:
        held = {path[-1]: _from_text(name, env[name], found)}
        check_keys(held, dict[str, found], ".".join(path[:-1]), read)  # type: ignore[valid-type]
        tree.update(held)


def _place_of_secret(name: str, kind: Any) -> tuple[list[str], Any] | None:
    """Return the place of a variable and its type, None where it is no secret's."""
    try:
        path, found = _place(name, kind)
    except SettingsError:
        return None
    return (path, found) if is_secret(found, path[-1]) else None


def _place(name: str, kind: Any) -> tuple[list[str], Any]:
    """Return the place of a variable and its type; raise SettingsError where there is none."""
    path: list[str] = []
    for key in name.removeprefix(PREFIX).split("__"):
        known = children(kind)
        path.append(key.lower() if known is not None else key)
        try:
            kind = _child(kind, path[-1], ".".join(path))
        except SettingsError as fault:
            msg = f"environment variable {name}: {fault}"
            raise SettingsError(msg) from fault
    return path, kind


def _from_text(name: str, value: str, kind: Any) -> Any:
    """Return the value of a variable; a table or list is written as in TOML."""
    if children(kind) is not None or get_origin(kind) in (dict, list, tuple):
        return parsed(f"value = {value}")["value"]
    if kind in (str, Duration) or get_origin(kind) is Literal:
        return value
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as fault:
        msg = f"environment variable {name}: '{value}': {readable(str(fault))}"
        raise SettingsError(msg) from fault


def readable(fault: str) -> str:
    """Turn msgspec's sentence into one that begins with the setting's name."""
    sentence, _, place = fault.partition(" - at `$")
    return f"{place.strip('.`')}: {sentence}" if place else sentence
