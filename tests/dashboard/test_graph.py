"""Connections drawn: the same data stands at the same places, and nothing is left out in silence."""

import math

import msgspec
import pytest

from fraud.core.records import DAY
from fraud.dashboard.graph import MIDDLE_X, MIDDLE_Y, OTHERS, drawn
from fraud.review.case_views import GraphEdge, GraphNode, GraphView
from tests.dashboard.seeded import NOW, graph


def node(number: int, kind: str, ring: int, **fields: object) -> GraphNode:
    plain = {"id": number, "kind": kind, "name": f"{kind}{number}", "key": f"{number:03}", "ring": ring, "payments": 1}
    times = {"first_at": NOW - 3 * DAY, "last_at": NOW - number, "score": 0.01, "known_fraud": False}
    return msgspec.convert(plain | times | fields, GraphNode)


def edge(source: int, target: int, effect: float | None = None) -> GraphEdge:
    return GraphEdge(source, target, NOW - 2 * DAY, NOW, 1, 100, effect)


def view(nodes: list[GraphNode], edges: list[GraphEdge], **left_out: int) -> GraphView:
    return GraphView("alert", 2, NOW - 30 * DAY, NOW, tuple(nodes), tuple(edges), left_out)


def test_drawing_depends_on_the_data_and_not_on_its_order() -> None:
    found = graph()
    mixed = msgspec.structs.replace(found, nodes=found.nodes[::-1], edges=found.edges[::-1])
    assert drawn(mixed).dots == drawn(found).dots
    assert sorted(drawn(mixed).lines, key=str) == sorted(drawn(found).lines, key=str)


def test_card_stands_in_the_middle_and_the_newest_merchant_at_twelve() -> None:
    drawing = drawn(view([node(0, "card", 0), node(1, "merchant", 1), node(2, "merchant", 1)], []))
    middle, first, second = drawing.dots
    assert (middle.x, middle.y) == (MIDDLE_X, MIDDLE_Y)
    assert (first.node.id, first.x) == (1, MIDDLE_X)
    assert first.y < MIDDLE_Y < second.y


def test_other_cards_stand_behind_their_merchant_known_frauds_first() -> None:
    cards = [node(10 + place, "card", 2, known_fraud=place == 3, fraud_at=NOW) for place in range(7)]
    edges = [edge(1, card.id) for card in cards]
    drawing = drawn(view([node(0, "card", 0), node(1, "merchant", 1), *cards], edges))
    others = [dot for dot in drawing.dots if dot.node.ring == 2]
    assert others[0].node.id == 13
    assert len(others) == 5
    assert drawing.left_out == (("card", 2),)
    for dot in others:
        assert math.dist((dot.x, dot.y), (MIDDLE_X, MIDDLE_Y)) == pytest.approx(OTHERS, abs=0.1)
        assert dot.y < MIDDLE_Y


def test_card_of_two_merchants_is_drawn_once_with_both_its_edges() -> None:
    nodes = [node(0, "card", 0), node(1, "merchant", 1), node(2, "merchant", 1), node(3, "card", 2)]
    drawing = drawn(view(nodes, [edge(1, 3), edge(2, 3)]))
    assert [dot.node.id for dot in drawing.dots] == [0, 1, 3, 2]
    assert len(drawing.lines) == 2


def test_no_more_than_twelve_merchants_and_four_devices_have_a_place() -> None:
    merchants = [node(10 + place, "merchant", 1) for place in range(20)]
    devices = [node(50 + place, "device", 1) for place in range(6)]
    drawing = drawn(view([node(0, "card", 0), *merchants, *devices], [], merchant=3))
    assert len(drawing.dots) == 1 + 12 + 4
    assert drawing.left_out == (("device", 2), ("merchant", 11))


def test_edges_are_as_wide_as_their_stored_effect_by_thirds() -> None:
    nodes = [node(0, "card", 0), *(node(1 + place, "merchant", 1) for place in range(4))]
    effects = [0.1, -0.5, 0.9, None]
    drawing = drawn(view(nodes, [edge(0, 1 + place, effect) for place, effect in enumerate(effects)]))
    assert [line.width for line in drawing.lines] == ["w1", "w2", "w3", "w0"]


def test_slider_knows_the_day_from_which_on_each_thing_is_there() -> None:
    early = node(1, "merchant", 1, first_at=NOW - 30 * DAY)
    late = node(2, "merchant", 1, first_at=NOW - DAY // 2, known_fraud=True, fraud_at=NOW)
    drawing = drawn(view([node(0, "card", 0), early, late], [edge(0, 2)]))
    assert drawing.days == 30
    assert [dot.day for dot in drawing.dots] == [27, 0, 30]
    assert drawing.dots[2].fraud_day == 30
    assert drawing.lines[0].day == 28


def test_node_tells_in_words_what_its_shape_says() -> None:
    dot = drawn(view([node(0, "card", 0), node(1, "merchant", 1, known_fraud=True, score=0.35)], [])).dots[1]
    assert dot.told == "merchant merchant1, 1 payment, highest score 35 %, known fraud"
    assert dot.address == "/entities/merchant/001"
    assert dot.high
