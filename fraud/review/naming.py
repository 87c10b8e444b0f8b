"""How cards, merchants and devices are shown and addressed: a card's number is masked, and never in an address."""

import re
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, select

from fraud.review.bulk import among
from fraud.review.errors import UnknownError
from fraud.review.ids import entity_id
from fraud.review.tables import entity
from fraud.review.views import EntityKind as Kind
from fraud.review.views import Named
from fraud.review.words import EntityKind, of_word

SHORT, ENDS = 8, 3
BY_ID = "~"
LONGEST_KEY = 200
"""Characters that an address of a page takes as a name; one that is longer goes by its number."""
TWIN, HIGHEST = ".json", 2**63
"""The end of a path that asks for a page's twin; and the first number that no database keeps."""
WORDS: Mapping[int, Kind] = {EntityKind.CARD: "card", EntityKind.MERCHANT: "merchant", EntityKind.DEVICE: "device"}


def masked(name: str) -> str:
    """Return a card's number as it is shown: its first and last characters, of a short one the last two alone."""
    return f"···{name[-2:]}" if len(name) < SHORT else f"{name[0]}···{name[-ENDS:]}"


def veiled(text: str, card: str) -> str:
    """Return a sentence in which a card's number is masked, where it stands by itself."""
    return re.sub(rf"(?<!\w){re.escape(card)}(?!\w)", masked(card), text) if card in text else text


def named(kind: int, number: int, name: str) -> Named:
    """Return a card, merchant or device as pages show it; `number` is its entity's."""
    if kind == EntityKind.CARD:
        return Named("card", masked(name), f"{BY_ID}{number}")
    return Named(WORDS[kind], name, name if addressable(name) else f"{BY_ID}{number}")


def addressable(name: str) -> bool:
    """Tell whether a name can stand in an address: not what browsers take for a folder, nor what asks for a twin.

    >>> [name for name in ("M7", "a/b", "..", "shop.json", "~7", "x" * 201) if addressable(name)]
    ['M7', 'a/b']
    """
    return not (name in (".", "..") or name.startswith(BY_ID) or name.endswith(TWIN) or len(name) > LONGEST_KEY)


def names_of(connection: Connection, numbers: Iterable[int | None]) -> dict[int, tuple[int, str]]:
    """Return kind and name of entities by their number."""
    wanted = {number for number in numbers if number is not None}
    if not wanted:
        return {}
    asked = select(entity.c.id, entity.c.kind, entity.c.name).where(among(connection, entity.c.id, wanted))
    return {number: (kind, name) for number, kind, name in connection.execute(asked).all()}


def number_of(kind: str, key: str) -> int:
    """Return the number of the entity that an address names; raise UnknownError for none.

    A key is the entity's name, or `~NUMBER`.
    """
    try:
        member = of_word(EntityKind, kind)
        if not key.startswith(BY_ID):
            return entity_id(member, key)
        number = int(key[len(BY_ID) :])
        if not 0 <= number < HIGHEST:
            raise ValueError(number)
        return number
    except ValueError as error:
        msg = f"there is no {kind} {key!r}: expected card, merchant or device, and its name"
        raise UnknownError(msg) from error
