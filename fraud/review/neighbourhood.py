"""Whom a card paid, and who else paid there: the graph of a case, as of a time, from the payments that are kept.

An alert stores its own at arrival, so that what an analyst sees is what there was; the same code draws it as of now.
Which nodes are taken depends on the payments alone, so the same case always looks the same.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import BigInteger, Connection, Select, bindparam, select, union_all

from fraud.core.evidence import SideEvent, tx_hash
from fraud.core.records import DAY
from fraud.review.case_views import GraphEdge, GraphNode, GraphView
from fraud.review.naming import named, names_of
from fraud.review.tables import payment
from fraud.review.words import EntityKind, Known

SPAN = 30 * DAY
MERCHANTS, DEVICES, OTHERS = 12, 4, 5
"""How many have a place: merchants and devices of the card, other cards of each of those merchants."""
OWN, THERE = 200, 40
"""How many payments are read, the newest: of the card, and of each merchant."""
SIDES = "merchant", "device"


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

    @property
    def fraud(self) -> bool:
        """Tell whether it is known to be a fraud."""
        return self.verdict == Known.FRAUD


COLUMNS = [payment.c[name] for name in Paid._fields]


def around(
    connection: Connection,
    card: int,
    until: int,
    *,
    since: int | None = None,
    hops: int = 2,
    effects: Sequence[Sequence[SideEvent]] = (),
    this: str = "",
    at: Literal["alert", "now"] = "alert",
) -> GraphView:
    """Return the neighbourhood of a card (its entity's number) between two times of the stream, ends included.

    `effects` are the events of an alert's evidence by side; `this` is the payment that it is about.
    """
    begin = until - SPAN if since is None else since
    own = _rows(connection, _of_card(), {"card": card, "since": begin, "until": until})
    merchants, devices = _newest(own, "merchant", MERCHANTS), _newest(own, "device", DEVICES)
    there = _there(connection, merchants, card, begin, until) if hops > 1 else {}
    others = {shop: _others(rows) for shop, rows in there.items()}
    weights = {event.tx_hash: event.effect for side in effects for event in side}
    drawing = Drawing(card, own, weights, this)
    drawing.place(merchants, devices, others, there)
    left_out = {
        "merchant": len({row.merchant for row in own}) - len(merchants),
        "device": len({row.device for row in own if row.device is not None}) - len(devices),
        "card": sum(len({row.card for row in rows}) for rows in there.values()) - sum(map(len, others.values())),
    }
    nodes = drawing.nodes(names_of(connection, drawing.places))
    return GraphView(at, hops, begin, until, nodes, drawing.edges(), left_out)


class Drawing:
    """Nodes and edges of one graph, each entity in one place."""

    def __init__(self, card: int, own: Sequence[Paid], weights: Mapping[int, float], this: str) -> None:
        """Begin with the card."""
        self._weights, self._this, self._own = weights, this, own
        self.places: dict[int, int] = {}
        self._rings: list[tuple[int, EntityKind, list[Paid]]] = []
        self._edges: list[GraphEdge] = []
        self._put(card, 0, EntityKind.CARD, list(own))

    def place(
        self,
        merchants: Sequence[int],
        devices: Sequence[int],
        others: Mapping[int, Sequence[int]],
        there: Mapping[int, Sequence[Paid]],
    ) -> None:
        """Give merchants and devices of the card their places, then the other cards of those merchants."""
        for shop in merchants:
            mine = [row for row in self._own if row.merchant == shop]
            self._put(shop, 1, EntityKind.MERCHANT, [*mine, *there.get(shop, ())])
            self._join(0, shop, mine)
        for device in devices:
            mine = [row for row in self._own if row.device == device]
            self._put(device, 1, EntityKind.DEVICE, mine)
            self._join(0, device, mine)
        for shop, cards in others.items():
            for card in cards:
                rows = [row for row in there[shop] if row.card == card]
                self._put(card, 2, EntityKind.CARD, rows)
                self._join(self.places[shop], card, rows)

    def nodes(self, names: Mapping[int, tuple[int, str]]) -> tuple[GraphNode, ...]:
        """Return the nodes in order of their places; `names` are kinds and names by entity."""
        return tuple(
            self._node(place, number, ring, named(kind, number, names.get(number, (kind, "?"))[1]), rows)
            for (number, place), (ring, kind, rows) in zip(self.places.items(), self._rings, strict=True)
        )

    def edges(self) -> tuple[GraphEdge, ...]:
        """Return the edges, those of the card first."""
        return tuple(self._edges)

    def _put(self, number: int, ring: int, kind: EntityKind, rows: list[Paid]) -> None:
        place = self.places.get(number)
        if place is None:
            self.places[number] = len(self._rings)
            self._rings.append((ring, kind, rows))
        else:
            self._rings[place][2].extend(rows)

    def _join(self, source: int, target: int, rows: Sequence[Paid]) -> None:
        times = [row.happened_at for row in rows]
        known = [self._weights[key] for row in rows if (key := tx_hash(row.tx_id)) in self._weights]
        self._edges.append(
            GraphEdge(
                source=source,
                target=self.places[target],
                first_at=min(times),
                last_at=max(times),
                payments=len(rows),
                amount=sum(row.amount for row in rows),
                effect=sum(known) if known else None,
                this=any(row.tx_id == self._this for row in rows),
            )
        )

    def _node(self, place: int, number: int, ring: int, shown: Any, rows: Sequence[Paid]) -> GraphNode:
        rows = list({row.tx_id: row for row in rows}.values())
        frauds = [row.happened_at for row in rows if row.fraud]
        return GraphNode(
            id=place,
            kind=shown.kind,
            name=shown.name,
            key=shown.key,
            ring=ring,
            first_at=min((row.happened_at for row in rows), default=0),
            last_at=max((row.happened_at for row in rows), default=0),
            payments=len(rows),
            score=max((row.score for row in rows), default=0.0),
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


def _there(
    connection: Connection, merchants: Sequence[int], card: int, since: int, until: int
) -> dict[int, list[Paid]]:
    """Return the newest payments of other cards, by merchant in the order given."""
    if not merchants:
        return {}
    shops = {f"shop{place}": shop for place, shop in enumerate(merchants)}
    rows = _rows(connection, _of_shops(len(merchants)), {**shops, "since": since, "until": until})
    found: dict[int, list[Paid]] = {shop: [] for shop in merchants}
    for row in rows:
        if row.card != card:
            found[row.merchant].append(row)
    return found


def _rows(connection: Connection, question: Any, values: dict[str, int]) -> list[Paid]:
    """Return payments; of one that was corrected the newest version, for both are kept."""
    return [Paid(*row) for row in connection.execute(question, values)]


def _newest(rows: Sequence[Paid], side: str, most: int) -> list[int]:
    """Return merchants or devices by the card's last payment there, newest first."""
    found = dict.fromkeys(number for row in rows if (number := getattr(row, side)) is not None)
    return list(found)[:most]


def _others(rows: Iterable[Paid]) -> list[int]:
    """Return the other cards of a merchant that have a place: those with a known fraud here first, then by time."""
    times: dict[int, int] = defaultdict(int)
    frauds: Counter[int] = Counter()
    for row in rows:
        times[row.card] = max(times[row.card], row.happened_at)
        frauds[row.card] += row.fraud
    return sorted(times, key=lambda card: (not frauds[card], -times[card], card))[:OTHERS]
