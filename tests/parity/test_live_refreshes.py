"""Two workers on a real Kafka and a real Redis, parameters that change meanwhile: the replay of the log is equal."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from fraud.core.fields import Address
from fraud.core.records import Arrival, Intake, Transaction
from streaming import service_wiring
from streaming.kafka import topics
from streaming.settings import ServiceSettings, StoreSection, changed
from tests.parity.live import (
    LISTENS,
    Publisher,
    compare_refreshed,
    published,
    strategy_of,
    stream,
    transactions,
)
from tests.parity.refreshes import scripted
from tests.site import Site, page, until


@pytest.mark.parametrize("library", ["kafka-python", "confluent"])
def test_workers_on_different_versions_are_replayed_to_the_last_digit(
    kafka: str, redis_url: str, tmp_path: Path, unique: Callable[[str], str], library: str
) -> None:
    name = unique("refreshes")
    # With time for everything, so that all decisions are by the model.
    slack = {"FRAUD_SERVING__BUDGET": "60s"}
    with closing(Site(kafka, redis_url, tmp_path / name, name, library=library, environment=slack)) as site:
        found = compare_refreshed(site, list(stream(None, 3_000)))
        assert found.differ == []
        assert found.parameters >= 5
        assert len(published(site)) > found.parameters
        # The second worker heard of none in the first half.
        assert 100 < found.frozen < found.rows / 2
        # A worker takes up what is live before it takes payments.
        assert 0 < site.log("worker0").index("parameters taken up") < site.log("worker0").index("started")
        assert "parameters taken up" in site.log("worker1")


def test_damaged_parameters_are_refused_and_a_promoted_model_gets_none_but_its_own(
    kafka: str, redis_url: str, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    name = unique("promoted")
    slack = {"FRAUD_SERVING__BUDGET": "60s", LISTENS: "true"}
    sent, done = iter(payments()), 0
    with closing(Site(kafka, redis_url, tmp_path / name, name, environment=slack)) as site:
        publisher = Publisher(site)
        first, damaged = scripted(strategy_of("demo"), 1), scripted(strategy_of("demo"), 2)
        publisher.publish(first)
        worker = site.worker()

        def decided(count: int) -> set[tuple[str, str]]:
            """Send payments; return by which model and parameters they were decided."""
            nonlocal done
            batch = {tx.id: tx for tx in islice(sent, count)}
            site.send(batch.values())
            done += count
            site.wait_for(done)
            made = [answer.decision for answer in site.read().answers if answer.decision.tx_id in batch]
            return {(one.versions.model.split("@")[0], one.versions.parameters) for one in made}

        assert decided(100) == {("demo", first.version)}
        publisher.publish(msgspec.structs.replace(damaged, weights=(0.0, 0.0, 1.0)))
        until(lambda: "parameters refused" in site.log(), "refused and told")
        assert decided(100) == {("demo", first.version)}
        blend = scripted(strategy_of("demo-blend"), 3)
        publisher.publish(blend)
        settings = ServiceSettings(kafka=site.settings, store=StoreSection(url=Address(redis_url)))
        job = service_wiring.reencode(changed(settings, "model", name="demo-blend"))
        job.run(lambda done: None)
        until(lambda: "model taken up" in site.log(), "the blend is taken up")
        until(lambda: site.log().count("parameters taken up") == 2, "its parameters are heard")
        assert decided(100) == {("demo-blend", blend.version)}
        worker.terminate()
        assert worker.wait(30) == 0
        publisher.disconnect()


def test_without_a_topic_a_worker_decides_as_it_was_trained_and_hears_of_one_that_is_made(
    kafka: str, redis_url: str, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    name = unique("deaf")
    with closing(Site(kafka, redis_url, tmp_path / name, name, environment={LISTENS: "true"})) as site:
        client = topics.admin(site.settings)
        client.delete_topics([site.topics.updates])
        client.close()
        site.worker()
        site.send(islice(payments(), 50))
        site.wait_for(50)
        assert {answer.decision.versions.parameters for answer in site.read().answers} == {""}
        assert "make it with 'fraud topics create'" in site.log()
        topics.create(site.settings)
        publisher = Publisher(site)
        publisher.publish(scripted(strategy_of("demo"), 1))
        until(lambda: "parameters taken up" in site.log(), "heard")
        publisher.disconnect()


def payments() -> Iterator[Transaction]:
    """Yield some payments."""
    return transactions(Intake(tuple(event for event in stream(None, 400) if isinstance(event, Arrival))))


def test_age_of_a_worker_follows_the_periods_of_the_learner_and_grows_without_one(
    kafka: str, redis_url: str, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    name = unique("age")
    often = {LISTENS: "true", "FRAUD_GATE__ENABLED": "true", "FRAUD_REFRESH__EVERY": "1s"}
    with closing(Site(kafka, redis_url, tmp_path / name, name, environment=often)) as site:
        site.worker()
        until(lambda: age(site) > 6, "the age grows while there is no learner")
        book = site.book()
        until(lambda: age(site) < 4, lambda: f"the learner is heard of; log: {site.log('book')[-1_500:]}")
        book.kill()
        book.wait()
        until(lambda: age(site) > 6, "the age grows again")


def age(site: Site) -> float:
    """Return what a worker shows, 0 before it shows anything."""
    shown = re.search(r"^fraud_refresh_age_seconds (\S+)", page(site, 0, "/metrics"), re.MULTILINE)
    return float(shown[1]) if shown else 0.0
