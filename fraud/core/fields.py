"""What settings are made of: sections, fields that carry help and unit, spans of time, and what is not to be shown."""

import re
from types import UnionType
from typing import Any, Self, get_args, get_origin

import msgspec
from msgspec import Meta

from fraud.core.records import DAY, HOUR, MINUTE, SECOND

UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
PATTERN = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def setting(description: str, unit: str = "", **limits: Any) -> Meta:
    """Return the annotation of a setting: its help, its unit and, as in `msgspec.Meta`, its limits."""
    return Meta(description=description, extra={"unit": unit}, **limits)


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every section; unknown keys are refused."""


class Duration(int):
    """Nanoseconds, read from and shown as a number with a unit of s, m, h or d.

    >>> Duration.parse("15m"), str(Duration.parse("36h")), str(Duration.parse("1d"))
    (900000000000, '36h', '1d')
    """

    @classmethod
    def parse(cls, text: object) -> "Duration":
        """Return the span that `text` names; raise ValueError for anything that is no duration."""
        match = PATTERN.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            msg = f"{text!r} is no duration: expected text with a number and a unit of s, m, h, d, such as '15m'"
            raise ValueError(msg)
        return cls(round(float(match[1]) * UNITS[match[2]]))

    def __str__(self) -> str:
        """Return the span in its largest whole unit."""
        unit = next((name for name in reversed(UNITS) if self and self % UNITS[name] == 0), "s")
        return f"{self / UNITS[unit]:g}{unit}"


HIDDEN = "***"
"""What is shown in place of a secret."""
_NAMED = re.compile(r"(?i)(?<=[?&])([^=&#]*(?:password|passwd|secret)[^=&#]*=)[^&#]*")


class Secret(str):
    """A text that is not shown: printed, or put into a sentence, it is three stars. `plain` is the text itself.

    >>> f"{Secret('hunter2')} {Secret('')}".split(), Secret("hunter2").plain
    (['***'], 'hunter2')

    Made of another one it is the same text: settings that are copied with a change keep their secrets.
    """

    __slots__ = ()

    def __new__(cls, text: str = "") -> Self:
        """Take the text; of another secret its own text, which `str` would ask for as it is shown."""
        return super().__new__(cls, text.plain if isinstance(text, Secret) else text)

    @property
    def plain(self) -> str:
        """Return the text itself, for whoever needs it."""
        return str.__str__(self)

    def __str__(self) -> str:
        """Return three stars, nothing where there is nothing."""
        return HIDDEN if self.plain else ""

    def __repr__(self) -> str:
        """Return what is shown, quoted."""
        return repr(str(self))

    def __format__(self, form: str) -> str:
        """Return what is shown in a sentence."""
        return format(str(self), form)


class Address(Secret):
    """A URL, shown without the password that it may hold.

    >>> str(Address("redis://:hunter2@host:6379/0"))
    'redis://***@host:6379/0'
    """

    __slots__ = ()

    def __str__(self) -> str:
        """Return the URL without its password."""
        return without_password(self.plain)


def is_secret(kind: Any, name: str = "") -> bool:
    """Tell whether a setting of a type is a secret, or several; where a table takes any value, its `name` says so."""
    if isinstance(kind, type):
        return issubclass(kind, Secret)
    if get_origin(kind) is tuple:
        return is_secret(get_args(kind)[0])
    return isinstance(kind, UnionType) and named_secret(name)


def named_secret(name: str) -> bool:
    """Tell whether an option of somebody else's is a secret by its name, as `sasl_plain_password` is."""
    return bool(re.search(r"password|secret|_token$", name, re.IGNORECASE))


def plain(value: Any) -> Any:
    """Return a value as whoever needs it takes it: a secret as the text that it is."""
    return value.plain if isinstance(value, Secret) else value


def without_password(url: str) -> str:
    """Return an address as it may be shown: without who signs in there, and without passwords behind a `?`."""
    start, at, rest = str.__str__(url).rpartition("@")
    scheme, mark, _ = start.partition("://")
    shown = f"{scheme + mark if mark else ''}{HIDDEN}@{rest}" if at else rest
    return _NAMED.sub(rf"\1{HIDDEN}", shown)


def positive(section: msgspec.Struct, *names: str) -> None:
    """Raise ValueError unless spans of time in a section are above 0: a limit on them is no business of msgspec's."""
    for name in names:
        if (value := getattr(section, name)) <= 0:
            msg = f"{name} is {value}, expected a span of time above 0, such as '15m'"
            raise ValueError(msg)
