"""Queues as addresses: what a page links to is what it reads."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from fraud.core.records import MINUTE
from fraud.dashboard.addresses import (
    case_address,
    entity_address,
    graph_address,
    parameters,
    place_of,
    queue_address,
    queue_of,
)
from fraud.review.errors import InvalidError
from fraud.review.views import Named, QueueFilter, QueueQuery

FULL = QueueQuery(
    kind="challenged",
    shelf="mine",
    order="due",
    after="12~a&b",
    view=3,
    limit=20,
    filter=QueueFilter(
        least=5_025, most=100_000, channel="ecom", merchant="M 1&2", reason="amount", took="decline", assignee=0,
        older_than=30 * MINUTE, tag="travel", card="~7",
    ),
)  # fmt: skip


def read(address: str) -> QueueQuery:
    return queue_of(dict(parse_qsl(urlsplit(address).query)))


@pytest.mark.parametrize("query", [QueueQuery(), QueueQuery(kind="declined"), QueueQuery(before="x"), FULL])
def test_queue_reads_the_address_that_it_wrote(query: QueueQuery) -> None:
    assert read(queue_address(query)) == query


def test_plain_queue_has_a_plain_address() -> None:
    assert queue_address(QueueQuery()) == "/queue"
    assert queue_address(QueueQuery(kind="sample"), "/queue.csv") == "/queue.csv?kind=sample"


def test_another_order_or_filter_begins_at_the_first_page() -> None:
    assert read(queue_address(FULL, order="newest")).after == ""
    assert read(queue_address(FULL, tag="")).filter.tag == ""
    assert read(queue_address(FULL, after="k")).after == "k"


def test_amounts_and_ages_stand_there_as_typed() -> None:
    told = parameters(FULL)
    assert (told["least"], told["most"], told["older"]) == ("50.25", "1000.00", "30")
    assert queue_of({"least": "1,000", "older": " "}).filter == QueueFilter(least=100_000)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("kind", "hold", "kind is 'hold'; it can be held, declined, challenged, sample"),
        ("took", "hold", "took is 'hold'; it can be approve, challenge, review, decline"),
        ("least", "ten", "least is 'ten'; it is an amount from 0 on"),
        ("least", "NaN", "least is 'NaN'; it is an amount"),
        ("most", "-1", "most is '-1'; it is an amount"),
        ("older", "1.5", "older is '1.5'; it is a whole number from 0 on"),
        ("view", "0", "view is '0'; it is a whole number from 1 on"),
    ],
)
def test_value_that_means_nothing_is_refused_by_name(name: str, value: str, told: str) -> None:
    with pytest.raises(InvalidError) as refused:
        queue_of({name: value})
    assert told in str(refused.value)


def test_nobody_asks_for_more_than_a_few_pages_at_once() -> None:
    assert queue_of({"limit": "100000"}).limit == 200


def test_names_cannot_leave_their_place_in_an_address() -> None:
    assert entity_address(Named("merchant", "a/b", "a/../b?x")) == "/entities/merchant/a%2F..%2Fb%3Fx"
    assert case_address(7) == "/cases/7"
    assert case_address(7, 9) == "/cases/7?alert=9"


@pytest.mark.parametrize("alert", [None, 9])
def test_connections_know_the_case_and_the_alert_that_they_are_of(alert: int | None) -> None:
    assert place_of(graph_address((7, alert), "now", 1)) == (7, alert)
    assert place_of("/cases/12/timeline?after=k") == (12, None)
