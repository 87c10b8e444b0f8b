"""The graph of a card: who has a place, as of when, and that it is the same each time."""

from collections.abc import Sequence

import pytest

from fraud.core.evidence import SideEvent, tx_hash
from fraud.core.records import DAY, SECOND, Verdict
from fraud.review.case_views import GraphView
from fraud.review.database import Database
from fraud.review.ids import entity_id
from fraud.review.neighbourhood import DEVICES, MERCHANTS, OTHERS, Centre, around
from fraud.review.words import EntityKind
from tests.review.seeding import STREAM, Site, chargeback, decision, seen, site_of, take

CARD = "4000999900000001"
NUMBER = entity_id(EntityKind.CARD, CARD)


@pytest.fixture
def site(database: Database) -> Site:
    return site_of(database)


def drawn(
    site: Site, until: int = STREAM + DAY, hops: int = 2, this: str = "", effects: Sequence[Sequence[SideEvent]] = ()
) -> GraphView:
    with site.database.read() as connection:
        return around(connection, Centre(NUMBER, until, this, effects), hops=hops)


def names(graph: GraphView, kind: str) -> list[str]:
    return [node.name for node in graph.nodes if node.kind == kind]


def test_card_stands_in_the_middle_with_its_merchants_by_last_payment(site: Site) -> None:
    take(site, *[seen(n, decision(n, card=CARD, merchant=shop, device="D1")) for n, shop in enumerate("ABCA")])
    graph = drawn(site)
    assert [(node.kind, node.ring) for node in graph.nodes[:2]] == [("card", 0), ("merchant", 1)]
    assert names(graph, "merchant") == ["A", "C", "B"]
    assert graph.nodes[0].name == "4···001"
    edge = next(edge for edge in graph.edges if graph.nodes[edge.target].name == "A")
    assert (edge.payments, edge.first_at, edge.last_at, edge.amount) == (2, STREAM, STREAM + 3 * SECOND, 20_000)
    assert next(node for node in graph.nodes if node.kind == "device").payments == 4


def test_only_payments_within_the_time_are_drawn(site: Site) -> None:
    times = [STREAM - 31 * DAY, STREAM, STREAM + DAY, STREAM + 2 * DAY]
    take(site, *[seen(n, decision(n, card=CARD, merchant=f"S{n}", at=at)) for n, at in enumerate(times)])
    assert names(drawn(site, STREAM + DAY), "merchant") == ["S2", "S1"]


def test_known_frauds_come_first_among_other_cards_and_the_rest_is_counted(site: Site) -> None:
    batch = [seen(0, decision(0, card=CARD, merchant="A"))]
    batch += [seen(n, decision(n, card=f"40001234{n:08}", merchant="A")) for n in range(1, 9)]
    take(site, *batch, chargeback(2, merchant="A"))
    graph = drawn(site)
    others = [node for node in graph.nodes if node.ring == 2]
    assert len(others) == OTHERS
    assert [node.known_fraud for node in others] == [True, False, False, False, False]
    assert others[0].fraud_at == STREAM + 2 * SECOND
    assert others[1].last_at == STREAM + 8 * SECOND
    assert graph.left_out == {"merchant": 0, "device": 0, "card": 3}


def test_no_more_have_a_place_than_there_are(site: Site) -> None:
    take(site, *[seen(n, decision(n, card=CARD, merchant=f"S{n}", device=f"D{n}")) for n in range(20)])
    graph = drawn(site)
    assert len(names(graph, "merchant")) == MERCHANTS
    assert len(names(graph, "device")) == DEVICES
    assert (graph.left_out["merchant"], graph.left_out["device"]) == (20 - MERCHANTS, 20 - DEVICES)


def test_edge_carries_what_its_events_did_to_the_score(site: Site) -> None:
    take(site, *[seen(n, decision(n, card=CARD, merchant=shop)) for n, shop in enumerate("AAB")])
    events = [SideEvent(tx_hash(f"tx{n}"), STREAM, effect) for n, effect in ((0, 0.5), (1, 0.25))]
    graph = drawn(site, effects=[events], this="tx2")
    effects = {graph.nodes[edge.target].name: (edge.effect, edge.this) for edge in graph.edges}
    assert effects == {"A": (0.75, False), "B": (None, True)}


def test_card_seen_at_two_merchants_has_one_place_and_two_edges(site: Site) -> None:
    batch = [seen(n, decision(n, card=card, merchant=shop)) for n, (card, shop) in enumerate(
        [(CARD, "A"), (CARD, "B"), ("5111222233334444", "A"), ("5111222233334444", "B")])]  # fmt: skip
    take(site, *batch)
    graph = drawn(site)
    (other,) = [node for node in graph.nodes if node.ring == 2]
    assert sum(edge.target == other.id for edge in graph.edges) == 2
    assert other.payments == 2


def test_one_hop_leaves_other_cards_out_and_drawing_again_changes_nothing(site: Site) -> None:
    take(site, seen(0, decision(0, card=CARD)), seen(1, decision(1, card="5111222233334444")))
    take(site, chargeback(1, Verdict.FRAUD, card="5111222233334444"))
    assert [node.ring for node in drawn(site, hops=1).nodes] == [0, 1]
    assert drawn(site) == drawn(site)
    assert all(node.id == place for place, node in enumerate(drawn(site).nodes))
