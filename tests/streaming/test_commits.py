"""Commits that the brokers refuse: who hears of it, and what becomes of the answers that wait for one."""

import io
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from fraud.core.errors import DeliveryError
from fraud.core.records import SECOND, Answer, Transaction
from infra.services import KafkaServer
from streaming import clock
from streaming.kafka.confluent import Committing
from streaming.kafka.offsets import MOST_UNSETTLED, Refusals, Unsettled
from streaming.kafka.recovery import Mode
from streaming.observe.logs import Log
from streaming.observe.metrics import Health, Metrics
from streaming.observe.stages import Watch
from streaming.worker import reporter
from streaming.worker.reporter import Reporter
from tests.contract.driving import answer
from tests.contract.sources import payments
from tests.links import LIBRARIES, LinkSite, Store, read_until
from tests.services import scratch
from tests.site import until

HERE = ("transactions", 0)


@pytest.fixture(scope="module")
def refusing() -> Iterator[KafkaServer]:
    """A Kafka that refuses every commit: what travels in one is longer than it allows."""
    server = KafkaServer(scratch("refusing"), options={"offset.metadata.max.bytes": 20}).start(tied=True)
    yield server
    server.kill()


class Settling(Store):
    """A store that notes which first answers may age."""

    def __init__(self) -> None:
        super().__init__()
        self.settled: list[tuple[str, int]] = []

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        self.settled += answers


@pytest.mark.parametrize("library", LIBRARIES)
def test_refused_commits_are_told_and_let_no_first_answer_age(refusing: KafkaServer, library: str) -> None:
    site, store = LinkSite(library=library, server=refusing, commit_every=0), Settling()
    site.pay(payments(4))
    link = site.link(store)
    answers = answers_to(link)
    link.write(answers, ())
    link.commit(answers)

    def refused() -> bool:
        link.read()
        link.write((), ())
        link.commit(())
        return link.refusals.count > 2

    until(refused, "commits refused")
    assert "metadata" in link.refusals.why.lower()
    assert store.settled == []
    with pytest.raises(
        DeliveryError, match=r"offsets were not committed \(.*(?i:metadata).*read again at the next start"
    ):
        link.close()
    assert store.settled == []
    assert len(site.records(site.topics.decisions)) == 4


@pytest.mark.parametrize("library", LIBRARIES)
def test_answers_may_age_once_their_commit_is_taken(library: str) -> None:
    site, store = LinkSite(library=library, commit_every=0), Settling()
    site.pay(payments(4))
    link = site.link(store)
    answers = answers_to(link)
    link.write(answers, ())
    link.commit(answers)

    def taken() -> bool:
        link.read()
        link.write((), ())
        link.commit(())
        return len(store.settled) == 4

    until(taken, "all answers settled")
    assert (link.refusals.count, link.refusals.since) == (0, 0)
    link.close()


def answers_to(link: Any) -> list[Answer]:
    arrivals = [arrival for intake in read_until(link, 4) for arrival in intake.arrivals]
    return [answer(each.event, each.position) for each in arrivals if isinstance(each.event, Transaction)]


# --- what waits ------------------------------------------------------------------------------------------------------


def test_a_commit_covers_what_was_noted_before_it_was_sent_and_all_that_one_before_it_did_not() -> None:
    waiting = Unsettled()
    waiting.note(HERE, ("a", 0))
    refused = waiting.sent()
    waiting.note(HERE, ("b", 0))
    second = waiting.sent()
    waiting.note(HERE, ("c", 0))
    assert refused < second
    waiting.cover(second)
    assert waiting.take(9) == [("a", 0), ("b", 0)]
    waiting.cover(waiting.sent())
    assert waiting.take(9) == [("c", 0)]


def test_answers_of_a_partition_that_is_begun_again_wait_for_no_commit() -> None:
    waiting = Unsettled()
    waiting.note(HERE, ("a", 0))
    waiting.note(("transactions", 1), ("b", 0))
    waiting.forget([HERE])
    waiting.cover(waiting.sent())
    assert waiting.take(9) == [("b", 0)]


def test_what_waits_for_a_commit_is_bounded() -> None:
    waiting = Unsettled()
    for number in range(MOST_UNSETTLED + 2):
        waiting.note(HERE, (str(number), 0))
    waiting.cover(waiting.sent())
    assert len(waiting) == MOST_UNSETTLED
    assert waiting.take(1) == [("2", 0)]


def test_the_fast_client_tells_of_each_commit_by_its_own_and_by_its_partitions_errors() -> None:
    heard: list[str] = []
    committing, bad = Committing(), SimpleNamespace(str=lambda: "too large")
    for _ in range(4):
        committing.add(heard.append)
    fine, wrong = SimpleNamespace(error=None), SimpleNamespace(error=bad)
    for error, partitions in ((None, [fine]), (bad, []), (None, [fine, wrong])):
        committing(error, partitions)
    committing.give_up("no answer")
    assert heard == ["", "too large", "too large", "no answer"]


# --- who hears of it -------------------------------------------------------------------------------------------------


def test_a_worker_logs_refused_commits_once_and_is_not_ready_when_they_last(monkeypatch: pytest.MonkeyPatch) -> None:
    said, now = io.StringIO(), clock.monotonic_ns()
    monkeypatch.setattr(clock, "monotonic_ns", lambda: now)
    link = SimpleNamespace(assigned=4, refusals=Refusals(), ack_ns=0)
    health, fallback = Health(), SimpleNamespace(mode=Mode.NORMAL, by_rules=0)
    told: Any = Reporter(link, fallback, None, Watch(), Metrics(), health, Log("worker-0", said))  # type: ignore[arg-type]
    link.refusals = Refusals(1, "too large", now)
    told.turn()
    told.turn()
    assert list(health.waits_for) == []
    now += reporter.PATIENCE_NS + SECOND
    told.turn()
    assert list(health.waits_for) == ["commits"]
    link.refusals = Refusals(7, "too large", 0)
    told.turn()
    assert list(health.waits_for) == []
    lines = said.getvalue().splitlines()
    assert [('"commits refused"' in line, '"commits taken again"' in line) for line in lines] == [
        (True, False), (False, True),
    ]  # fmt: skip
    assert "too large" in lines[0]


def test_lag_is_shown_of_the_partitions_that_are_held_alone() -> None:
    metrics = Metrics()
    metrics.gauges.show_lag({("transactions", 0): 5, ("transactions", 1): 7})
    metrics.gauges.show_lag({("transactions", 1): 8})
    text = metrics.text().decode()
    assert 'fraud_consumer_lag{partition="1",topic="transactions"} 8.0' in text
    assert 'partition="0"' not in text


def test_commits_and_refusals_are_counted() -> None:
    metrics = Metrics()
    metrics.counts.commits(9, 2)
    text = metrics.text().decode()
    assert 'fraud_commits_total{outcome="sent"} 9.0' in text
    assert 'fraud_commits_total{outcome="refused"} 2.0' in text
