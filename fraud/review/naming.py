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
    return Named(WORDS[kind], name, f"{BY_ID}{number}" if name.startswith(BY_ID) else name)


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
        return int(key[len(BY_ID) :]) if key.startswith(BY_ID) else entity_id(member, key)
    except ValueError as error:
        msg = f"there is no {kind} {key!r}: expected card, merchant or device, and its name"
        raise UnknownError(msg) from error
