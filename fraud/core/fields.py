"""What settings are made of: sections, fields that carry their help and unit, spans of time as people write them."""

import re
from typing import Any

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


def positive(section: msgspec.Struct, *names: str) -> None:
    """Raise ValueError unless spans of time in a section are above 0: a limit on them is no business of msgspec's."""
    for name in names:
        if (value := getattr(section, name)) <= 0:
            msg = f"{name} is {value}, expected a span of time above 0, such as '15m'"
            raise ValueError(msg)
