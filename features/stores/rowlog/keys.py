"""The names of everything in one namespace of a server."""

import re

from features.state.history import HISTORY_VERSION
from features.state.layout import LAYOUT_VERSION
from features.state.tables import SEPARATOR, card_key
from features.stores.rowlog.frames import FORMAT
from fraud.core.records import Position

BRACES = re.compile("[%{}]")
LIBRARY = f"fraudlog{FORMAT}"
"""What the names of the functions begin with."""
LOG, BASE = "l", "b"
"""The last letter of a row's two keys."""


class Keys:
    """The names in a namespace. The layout's version is part of each, the format of rows of theirs."""

    def __init__(self, namespace: str) -> None:
        """Take the namespace, which lets several services share a server."""
        self.prefix = f"{namespace}:{LAYOUT_VERSION}:"
        self.marks = self.prefix + "marks"
        self.birth = self.prefix + "born"
        self.site = self.prefix + "site"
        self.pointer = self.prefix + "pointer"
        self.release = release_key(namespace)
        self.building = self.prefix + "building:"
        self.answers = self.prefix + "a:"
        self.rows = f"{namespace}:{LAYOUT_VERSION}.{FORMAT}:{{"
        self.old_birth = self.prefix + "birth"
        self.old_rows = self.prefix + "{"

    def row(self, entity: str) -> str:
        """Return the name of an entity's row without its last letter; the braces choose the slot."""
        return f"{self.rows}{plain(entity)}}}"

    def history(self, entity: str, encoder: str) -> str:
        """Return the name of an entity's history for an encoder: in the slot of its row."""
        return f"{self.row(entity)}{history_end(encoder)}"

    def pair(self, key: str) -> str:
        """Return the name of a pair's row: in the slot of its card."""
        card, _, merchant = key.partition(SEPARATOR)
        return f"{self.row(card_key(card))}:{plain(merchant)}"

    def answer(self, tx_id: str, version: int) -> str:
        """Return where a first answer is kept."""
        return f"{self.answers}{tx_id}:{version}"

    def old(self, row: str) -> str:
        """Return where format 1 kept a row."""
        return self.old_rows + row[len(self.rows) :]

    def of_old(self, name: str) -> str:
        """Return the name of a row by where format 1 kept it."""
        return self.rows + name[len(self.old_rows) :]


def release_key(namespace: str) -> str:
    """Return where the release in force stands: whatever the layout of the state, and in a slot of its own."""
    return f"{namespace}:{{release}}"


def history_end(encoder: str) -> str:
    """Return how the names of an encoder's histories end."""
    return f"#{HISTORY_VERSION}:{plain(encoder)}"


def plain(name: str) -> str:
    """Return an id without braces, which mean something in a key."""
    return name.replace("%", "%25").replace("{", "%7B").replace("}", "%7D") if BRACES.search(name) else name


def mark_field(position: Position) -> str:
    """Return the field of the mark that a position moves."""
    return f"{position.topic}:{position.partition}"
