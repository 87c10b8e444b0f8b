"""Whom a card paid, and who else paid there: the graph of a case, as of a time, from the payments that are kept.

An alert stores its own at arrival, so that what an analyst sees is what there was; the same code draws it as of now.
Which nodes are taken depends on the payments alone, so the same case always looks the same.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from sqlalchemy import BigInteger, Connection, Select, bindparam, select, union_all

from fraud.core.evidence import SideEvent, tx_hash
from fraud.core.records import DAY
from fraud.review.case_views import GraphEdge, GraphNode, GraphView
from fraud.review.naming import named, names_of
from fraud.review.tables import payment
from fraud.review.views import Named
from fraud.review.words import EntityKind, Known

SPAN = 30 * DAY
MERCHANTS, DEVICES, OTHERS = 12, 4, 5
"""How many have a place: merchants and devices of the card, other cards of each of those merchants."""
OWN, THERE = 200, 40
"""How many payments are read, the newest: of the card, and of each merchant."""
FRAUD = int(Known.FRAUD)


class Centre(NamedTuple):
    """What a graph is drawn around: a card (its entity's number) up to a time of the stream, that time included.

    `this` is the payment that it is about, `effects` the events of its alert's evidence by side.
    """

    card: int
    until: int
    this: str = ""
    effects: Sequence[Sequence[SideEvent]] = ()

    @property
    def since(self) -> int:
        """Return the first time that is shown."""
        return self.until - SPAN


class Paid(NamedTuple):
    """What the graph reads of a payment."""

    tx_id: str
    card: int
    merchant: int
    device: int | None
    happened_at: int
    amount: int
    score: float
    verdict: int | None


COLUMNS = [payment.c[name] for name in Paid._fields]
CARD, MERCHANT, DEVICE = attrgetter("card"), attrgetter("merchant"), attrgetter("device")


def around(
    connection: Connection, centre: Centre, *, hops: int = 2, at: Literal["alert", "now"] = "alert"
) -> GraphView:
    """Return the neighbourhood of a card."""
    (found,) = around_all(connection, [centre], hops=hops, at=at)
    return found


def around_all(
    connection: Connection, centres: Sequence[Centre], *, hops: int = 2, at: Literal["alert", "now"] = "alert"
) -> list[GraphView]:
    """Return the neighbourhoods of cards, in order; names are looked up once for all of them."""
    drawings = [_drawn(connection, centre, hops) for centre in centres]
    names = names_of(connection, {number for drawing in drawings for number in drawing.places})
    return [
        GraphView(at, hops, centre.since, centre.until, drawing.nodes(names), drawing.edges(), drawing.left_out)
        for centre, drawing in zip(centres, drawings, strict=True)
    ]


def _drawn(connection: Connection, centre: Centre, hops: int) -> "Drawing":
    span = {"since": centre.since, "until": centre.until}
    drawing = Drawing(centre, _rows(connection, _of_card(), {"card": centre.card, **span}))
    shops = drawing.shops
    if hops > 1 and shops:
        asked = {f"shop{place}": shop for place, shop in enumerate(shops)}
        drawing.place_others(_rows(connection, _of_shops(len(shops)), {**asked, **span}))
    return drawing


class Drawing:
    """Nodes and edges of one graph, each entity in one place; `left_out` counts what has none, by kind."""

    def __init__(self, centre: Centre, own: list[Paid]) -> None:
        """Place the card, its merchants and devices by its last payment there; `own` are its payments, newest first."""
        self._weights = {event.tx_hash: event.effect for side in centre.effects for event in side}
        self._card, self._this = centre.card, centre.this
        self.places: dict[int, int] = {}
        self._rings: list[tuple[int, EntityKind, list[Paid]]] = []
        self._edges: list[GraphEdge] = []
        merchants = _by(MERCHANT, own)
        devices = _by(DEVICE, (row for row in own if row.device is not None))
        self.shops = list(merchants)[:MERCHANTS]
        used = list(devices)[:DEVICES]
        self.left_out = {"merchant": len(merchants) - len(self.shops), "device": len(devices) - len(used), "card": 0}
        self._put(centre.card, 0, EntityKind.CARD, own)
        for shop in self.shops:
            self._put(shop, 1, EntityKind.MERCHANT, merchants[shop])
            self._join(0, shop, merchants[shop])
        for device in used:
            self._put(device, 1, EntityKind.DEVICE, devices[device])
            self._join(0, device, devices[device])

    def place_others(self, there: Iterable[Paid]) -> None:
        """Place other cards of those merchants; `there` are the newest payments at all of them."""
        others = _by(MERCHANT, (row for row in there if row.card != self._card))
        for shop in self.shops:
            rows = others.get(shop, [])
            cards = _by(CARD, rows)
            chosen = sorted(cards, key=lambda card, cards=cards: _urgency(card, cards[card]))[:OTHERS]  # type: ignore[misc]
            self.left_out["card"] += len(cards) - len(chosen)
            self._put(shop, 1, EntityKind.MERCHANT, rows)
            for card in chosen:
                self._put(card, 2, EntityKind.CARD, cards[card])
                self._join(self.places[shop], card, cards[card])

    def nodes(self, names: Mapping[int, tuple[int, str]]) -> tuple[GraphNode, ...]:
        """Return the nodes in order of their places; `names` are kinds and names by entity."""
        return tuple(
            _node(place, ring, named(kind, number, names.get(number, (kind, "?"))[1]), rows)
            for (number, place), (ring, kind, rows) in zip(self.places.items(), self._rings, strict=True)
        )

    def edges(self) -> tuple[GraphEdge, ...]:
        """Return the edges, those of the card first."""
        return tuple(self._edges)

    def _put(self, number: int, ring: int, kind: EntityKind, rows: list[Paid]) -> None:
        place = self.places.get(number)
        if place is None:
            self.places[number] = len(self._rings)
            self._rings.append((ring, kind, list(rows)))
        else:
            self._rings[place][2].extend(rows)

    def _join(self, source: int, target: int, rows: Sequence[Paid]) -> None:
        times = [row.happened_at for row in rows]
        self._edges.append(
            GraphEdge(
                source=source,
                target=self.places[target],
                first_at=min(times),
                last_at=max(times),
                payments=len(rows),
                amount=sum([row.amount for row in rows]),
                effect=self._effect(rows),
                this=self._this in [row.tx_id for row in rows],
            )
        )

    def _effect(self, rows: Sequence[Paid]) -> float | None:
        """Return what the network told of some payments, None where it has told nothing."""
        weights = self._weights
        if not weights:
            return None
        known = [weights[key] for key in [tx_hash(row.tx_id) for row in rows] if key in weights]
        return sum(known) if known else None


def _node(place: int, ring: int, shown: Named, rows: Sequence[Paid]) -> GraphNode:
    once = {row.tx_id: row for row in rows}.values()
    times = [row.happened_at for row in once]
    frauds = [row.happened_at for row in once if row.verdict == FRAUD]
    return GraphNode(
        id=place,
        kind=shown.kind,
        name=shown.name,
        key=shown.key,
        ring=ring,
        first_at=min(times, default=0),
        last_at=max(times, default=0),
        payments=len(times),
        score=max([row.score for row in once], default=0.0),
        known_fraud=bool(frauds),
        fraud_at=max(frauds, default=0),
    )


@lru_cache(maxsize=1)
def _of_card() -> Select[Any]:
    """Return the question for the card's own payments, newest first; made once, for it is asked with every alert."""
    own = (payment.c.card == bindparam("card")) & payment.c.happened_at.between(bindparam("since"), bindparam("until"))
    return select(*COLUMNS).where(own).order_by(payment.c.happened_at.desc()).limit(OWN)


@lru_cache(maxsize=MERCHANTS + 1)
def _of_shops(count: int) -> Any:
    """Return one question for the newest payments at so many merchants, by other cards than one."""
    parts = []
    for place in range(count):
        here = payment.c.merchant == bindparam(f"shop{place}", type_=BigInteger)
        span = payment.c.happened_at.between(bindparam("since"), bindparam("until"))
        newest = select(*COLUMNS).where(here, span).order_by(payment.c.happened_at.desc()).limit(THERE)
        parts.append(select(newest.subquery()))
    return union_all(*parts)


def _rows(connection: Connection, question: Any, values: dict[str, int]) -> list[Paid]:
    """Return payments; of one that was corrected all versions, for all are kept."""
    return [Paid(*row) for row in connection.execute(question, values).all()]


def _by(side: Callable[[Paid], int], rows: Iterable[Paid]) -> dict[int, list[Paid]]:
    """Return payments by who took part, in the order of the first of each."""
    found: dict[int, list[Paid]] = defaultdict(list)
    for row in rows:
        found[side(row)].append(row)
    return found


def _urgency(card: int, rows: Sequence[Paid]) -> tuple[bool, int, int]:
    """Return where another card stands among those of a merchant: known frauds here first, then by time."""
    return all(row.verdict != FRAUD for row in rows), -max(row.happened_at for row in rows), card
