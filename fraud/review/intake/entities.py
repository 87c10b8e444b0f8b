"""Cards, merchants and devices: when they were seen, and what was counted of them, added up over a batch first."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

import msgspec
from sqlalchemy import Connection

from fraud.core.records import Action, Decision
from fraud.review.bulk import greatest, least, one_of, put
from fraud.review.ids import entity_id
from fraud.review.tables import entity
from fraud.review.words import EntityKind

COUNTS = "payments", "declined", "frauds"
COLUMNS = "id", "kind", "name", "first_at", "last_at", *COUNTS


class Parties(NamedTuple):
    """The numbers of a payment's card, merchant and device."""

    card: int
    merchant: int
    device: int | None

    @property
    def present(self) -> Iterator[int]:
        """Return those that there are."""
        return (number for number in self if number is not None)


class Sighting(msgspec.Struct, gc=False):
    """What a batch adds to one entity."""

    kind: int
    name: str
    first_at: int
    last_at: int
    payments: int = 0
    declined: int = 0
    frauds: int = 0


class Entities:
    """What a batch adds to the entities that it names."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._seen: dict[int, Sighting] = {}

    def see(self, decision: Decision, *, counts: bool) -> Parties:
        """Note who takes part; a payment `counts` once, whatever its corrections and repeats."""
        device = decision.device
        return Parties(
            self._note(EntityKind.CARD, decision.card, decision, counts),
            self._note(EntityKind.MERCHANT, decision.merchant, decision, counts),
            None if device is None else self._note(EntityKind.DEVICE, device, decision, counts),
        )

    def add_fraud(self, parties: Parties) -> None:
        """Count a payment of parties that were seen as a known fraud."""
        for number in parties.present:
            self._seen[number].frauds += 1

    def write(self, connection: Connection) -> None:
        """Add it to the table; in order of the numbers, so that writers never wait for each other in a ring."""
        most, fewest = greatest(connection), least(connection)
        counts = ", ".join(f"{name} = entity.{name} + excluded.{name}" for name in COUNTS)
        conflict = (
            f"(id) DO UPDATE SET first_at = {fewest}(entity.first_at, excluded.first_at), "
            f"last_at = {most}(entity.last_at, excluded.last_at), {counts}"
        )
        rows = [(number, *msgspec.structs.astuple(self._seen[number])) for number in sorted(self._seen)]
        put(connection, entity, COLUMNS, rows, conflict)

    def _note(self, kind: EntityKind, name: str, decision: Decision, counts: bool) -> int:
        number, at = entity_id(kind, name), decision.happened_at
        seen = self._seen.get(number)
        if seen is None:
            self._seen[number] = seen = Sighting(int(kind), name, at, at)
        if at > seen.last_at:
            seen.last_at = at
        elif at < seen.first_at:
            seen.first_at = at
        seen.payments += counts
        seen.declined += counts and decision.action is Action.DECLINE
        return number


def alerts_before(connection: Connection, cards: Iterable[int]) -> dict[int, int]:
    """Return how many alerts cards have had, by number."""
    condition, value = one_of("id", connection, set(cards), "bigint")
    found = connection.exec_driver_sql(f"SELECT id, alerts FROM entity WHERE {condition}", (value,))  # noqa: S608
    return {number: int(alerts) for number, alerts in found}


def add_to(connection: Connection, column: Literal["alerts", "frauds"], more: Mapping[int, int]) -> None:
    """Add to the alerts or known frauds of entities that are in the table, by number."""
    rows = [(number, value) for number, value in sorted(more.items()) if value]
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        given = [(value, number) for number, value in rows]
        connection.exec_driver_sql(f"UPDATE entity SET {column} = {column} + ? WHERE id = ?", given)  # noqa: S608
        return
    connection.exec_driver_sql(
        f"UPDATE entity SET {column} = entity.{column} + given.more "  # noqa: S608, our own column
        "FROM unnest(%s::bigint[], %s::bigint[]) AS given(id, more) WHERE entity.id = given.id",
        tuple(map(list, zip(*rows, strict=True))),
    )
