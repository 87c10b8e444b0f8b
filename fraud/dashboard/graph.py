"""Connections of a card as a drawing: where nodes stand and how thick edges are, from the data alone.

The card stands in the middle, its devices and merchants around it clockwise from twelve by last payment, other cards
outside at the angle of their merchant. So the same case always looks the same, and a slider only hides what is later.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fraud.core.records import DAY
from fraud.dashboard.addresses import entity_address
from fraud.dashboard.formats import probability
from fraud.review.case_views import GraphEdge, GraphNode, GraphView
from fraud.review.views import Named

WIDTH, HEIGHT = 560, 430
MIDDLE_X, MIDDLE_Y = 280.0, 215.0
DEVICES, MERCHANTS, OTHERS = 64.0, 112.0, 190.0
"""Distances of devices, merchants and other cards from the middle, in pixels."""
FAN = 0.16
"""Most angle between two other cards of one merchant, in radians."""
HIGH = 0.30
"""A score from which a node has a thick outline."""
MOST_MERCHANTS, MOST_DEVICES, MOST_OTHERS, MOST_EACH = 12, 4, 60, 5
LABEL = 18
"""Distance of a name from its node."""


class Dot(NamedTuple):
    """A node where it is drawn. `day`: the slider's day from which on it is there, `fraud_day` that of its fraud."""

    node: GraphNode
    x: float
    y: float
    label_x: float
    label_y: float
    anchor: str
    text: str
    told: str
    address: str
    day: int
    fraud_day: int
    high: bool


class Line(NamedTuple):
    """An edge where it is drawn, with its class of width: `w0` no effect stored, else by thirds."""

    edge: GraphEdge
    x1: float
    y1: float
    x2: float
    y2: float
    width: str
    day: int


class Drawing(NamedTuple):
    """What the page draws: `days` is the slider's length, the last of them is `until`."""

    dots: tuple[Dot, ...]
    lines: tuple[Line, ...]
    days: int
    left_out: tuple[tuple[str, int], ...]


def drawn(view: GraphView) -> Drawing:
    """Place a neighbourhood; nodes are in reading order: the card, then each merchant with the cards behind it."""
    shown, angles = _angles(view)
    dots = [_dot(view, node, angles[node.id]) for node in shown]
    places = {dot.node.id: dot for dot in dots}
    edges = [edge for edge in view.edges if edge.source in places and edge.target in places]
    widths = _widths(edges)
    lines = tuple(_line(view, edge, places, width) for edge, width in zip(edges, widths, strict=True))
    return Drawing(tuple(dots), lines, _day(view, view.until), _left_out(view, shown))


# --- places ----------------------------------------------------------------------------------------------------------


def _angles(view: GraphView) -> tuple[list[GraphNode], dict[int, float]]:
    """Return the nodes that are drawn, in reading order, with their angles clockwise from twelve."""
    centre = [node for node in view.nodes if node.ring == 0][:1]
    merchants = _newest(view.nodes, "merchant")[:MOST_MERCHANTS]
    devices = _newest(view.nodes, "device")[:MOST_DEVICES]
    angles = {node.id: 0.0 for node in centre}
    angles |= {node.id: math.tau * place / len(merchants) for place, node in enumerate(merchants)}
    angles |= {node.id: math.tau * (place + 0.5) / len(devices) for place, node in enumerate(devices)}
    others = _others(view, merchants)
    order = [*centre, *devices]
    for merchant in merchants:
        order += [merchant, *others[merchant.id]]
        angles |= _fan(angles[merchant.id], others[merchant.id], len(merchants))
    return order, angles


def _newest(nodes: Iterable[GraphNode], kind: str) -> list[GraphNode]:
    return sorted(
        (node for node in nodes if node.kind == kind and node.ring == 1), key=lambda node: (-node.last_at, node.key)
    )


def _others(view: GraphView, merchants: Sequence[GraphNode]) -> dict[int, list[GraphNode]]:
    """Return up to five other cards of each merchant, known frauds first; a card of two stands at the first one."""
    cards = {node.id: node for node in view.nodes if node.ring == 2}
    behind: dict[int, list[GraphNode]] = {merchant.id: [] for merchant in merchants}
    for edge in view.edges:
        for here, there in ((edge.source, edge.target), (edge.target, edge.source)):
            if here in behind and there in cards:
                behind[here].append(cards[there])
    placed: set[int] = set()
    for merchant in merchants:
        found = sorted(behind[merchant.id], key=lambda node: (not node.known_fraud, -node.score, node.key))
        free = [node for node in found if node.id not in placed]
        behind[merchant.id] = free[: min(MOST_EACH, MOST_OTHERS - len(placed))]
        placed |= {node.id for node in behind[merchant.id]}
    return behind


def _fan(angle: float, cards: Sequence[GraphNode], merchants: int) -> dict[int, float]:
    """Spread cards around the angle of their merchant, never into the share of the next one."""
    step = min(FAN, math.tau / max(merchants, 1) / (MOST_EACH + 1))
    first = angle - step * (len(cards) - 1) / 2
    return {card.id: first + step * place for place, card in enumerate(cards)}


def _dot(view: GraphView, node: GraphNode, angle: float) -> Dot:
    distance = {0: 0.0, 1: DEVICES if node.kind == "device" else MERCHANTS, 2: OTHERS}[node.ring]
    across, up = math.sin(angle), math.cos(angle)
    x, y = MIDDLE_X + distance * across, MIDDLE_Y - distance * up
    anchor = "middle" if abs(across) < 0.3 or node.ring == 0 else "start" if across > 0 else "end"
    label_y = y + 30 if node.ring == 0 else y + 4 - (14 * up if anchor == "middle" else 0)
    return Dot(
        node,
        round(x, 1),
        round(y, 1),
        round(x + {"middle": 0, "start": LABEL - 6, "end": 6 - LABEL}[anchor], 1),
        round(label_y, 1),
        anchor,
        node.name if node.ring == 0 else node.name[-4:],
        _told(node),
        entity_address(Named(node.kind, node.name, node.key)),
        _day(view, node.first_at),
        _day(view, node.fraud_at) if node.known_fraud else 0,
        node.score >= HIGH or node.known_fraud,
    )


def _told(node: GraphNode) -> str:
    """Return what a node is, for whoever hears the page instead of seeing it."""
    payments = f"{node.payments} payment{'' if node.payments == 1 else 's'}"
    fraud = ", known fraud" if node.known_fraud else ""
    return f"{node.kind} {node.name}, {payments}, highest score {probability(node.score)}{fraud}"


# --- edges -----------------------------------------------------------------------------------------------------------


def _widths(edges: Sequence[GraphEdge]) -> list[str]:
    """Return the class of width of each edge: by thirds of the effects that are stored."""
    known = sorted(abs(edge.effect) for edge in edges if edge.effect is not None)
    if not known:
        return ["w0"] * len(edges)
    low, high = known[(len(known) - 1) // 3], known[2 * (len(known) - 1) // 3]

    def width(effect: float | None) -> str:
        if effect is None:
            return "w0"
        return "w1" if abs(effect) <= low else "w2" if abs(effect) <= high else "w3"

    return [width(edge.effect) for edge in edges]


def _line(view: GraphView, edge: GraphEdge, places: dict[int, Dot], width: str) -> Line:
    source, target = places[edge.source], places[edge.target]
    return Line(edge, source.x, source.y, target.x, target.y, width, _day(view, edge.first_at))


# --- time, and what has no place -------------------------------------------------------------------------------------


def _day(view: GraphView, at: int) -> int:
    """Return the slider's day of a moment: 0 is its first, the last is the day of `until`."""
    return max(0, -(-(min(at, view.until) - view.since) // DAY))


def _left_out(view: GraphView, shown: Sequence[GraphNode]) -> tuple[tuple[str, int], ...]:
    """Count by kind what is not drawn: what the view itself left out, and what found no place here."""
    missing = dict(view.left_out)
    ids = {node.id for node in shown}
    for node in view.nodes:
        if node.id not in ids:
            missing[node.kind] = missing.get(node.kind, 0) + 1
    return tuple((kind, count) for kind, count in sorted(missing.items()) if count)
