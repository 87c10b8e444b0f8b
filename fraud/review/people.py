"""Who works at the console, and how much each may do."""

from enum import IntEnum

import msgspec


class Role(IntEnum):
    """What somebody may do; a higher one may do all that a lower one may."""

    VIEWER = 1
    ANALYST = 2
    LEAD = 3
    ADMIN = 4

    @property
    def word(self) -> str:
        """Return the role as people write it."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "Role":
        """Return the role that a word means; raise KeyError for one that means none."""
        return cls[word.upper()]


class Person(msgspec.Struct, frozen=True):
    """Somebody who works at the console."""

    id: int
    name: str
    role: Role
