"""Sites that share a Redis or a Kafka do not meet: each has a prefix, a group and a namespace, or it is refused."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import pytest

from features.stores.redis import RedisStore
from fraud.core.errors import REPAIR, SettingsError, StateError
from fraud.core.records import Answer, Transaction
from streaming.kafka.topics import admin, described
from streaming.settings import StoreSection, read_settings
from tests.contract.driving import answer
from tests.contract.sources import payments
from tests.links import LinkSite, read_until
from tests.site import Site, sites, until

US, EU = "prefix 'us.' and group 'us'", "prefix 'eu.' and group 'eu'"


@pytest.fixture
def make(kafka: str, redis_url: str, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Callable[..., Site]]:
    """A maker of sites on one Redis and one Kafka, each ended with the test."""
    with sites(kafka, redis_url, tmp_path, partial(unique, "own")) as build:
        yield build


# --- one Redis -------------------------------------------------------------------------------------------------------


def test_state_is_of_the_site_that_came_first_and_refuses_another_one(redis_url: str) -> None:
    first = RedisStore(redis_url, site=EU)
    with pytest.raises(StateError, match=f"in namespace 'fraud' is of the site with {EU}, this is the one with {US}"):
        RedisStore(redis_url, site=US)
    again, own = RedisStore(redis_url, site=EU), RedisStore(redis_url, site=US, namespace="us")
    assert (first.site(), again.birth, own.site()) == (EU, first.birth, US)
    assert own.birth != first.birth
    for store in (first, again, own):
        store.close()


def test_state_that_was_there_before_sites_were_told_apart_is_of_whoever_comes_first(redis_url: str) -> None:
    before = RedisStore(redis_url)
    assert before.site() == ""
    after = RedisStore(redis_url, site=EU)
    assert (after.birth, before.site()) == (before.birth, EU)
    before.close()
    after.close()


def test_two_prefixes_on_one_redis_are_refused_and_two_namespaces_decide_each_their_own(
    make: Callable[..., Site],
) -> None:
    """The same id at both: the second site once gave the first one's decision as its answer."""
    one = payments(1)[0]
    other = msgspec.structs.replace(one, card="CU", amount=777_700, base_amount=777_700)
    eu, us = make(model="rules"), make(model="rules")
    eu.worker()
    eu.send([one])
    eu.wait_for(1)
    refused = us.worker()
    assert refused.wait(60) == REPAIR
    assert "give it store.namespace or a store.url of its own" in us.log()
    us.environment["FRAUD_STORE__NAMESPACE"] = "us"
    us.worker()
    us.send([other])
    us.wait_for(1)
    told = [(site.read().answers[0].decision.card, site.read().answers[0].repeat_of) for site in (eu, us)]
    assert told == [(one.card, None), ("CU", None)]


@pytest.mark.parametrize("name", ["", "a{b}", "eu:1", "ü", "a b"])
def test_namespace_that_would_mean_something_in_a_key_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="namespace"):
        read_settings(None, {"FRAUD_STORE__NAMESPACE": name})
    assert StoreSection(namespace="eu.1-a_b").namespace == "eu.1-a_b"


# --- one Kafka -------------------------------------------------------------------------------------------------------


def answered(site: LinkSite, count: int) -> None:
    """Answer what is there, and commit."""
    with closing(site.link()) as link:
        arrivals = [arrival for intake in read_until(link, count) for arrival in intake.arrivals]
        answers: list[Answer] = [answer(a.event, a.position) for a in arrivals if isinstance(a.event, Transaction)]
        link.write(answers, ())
        link.commit(answers)


def test_another_group_in_a_sites_topics_is_refused_and_its_own_goes_on() -> None:
    site = LinkSite()
    site.pay(payments(8))
    answered(site, 8)
    group = site.section.group
    site.section = msgspec.structs.replace(site.section, group="another")
    with pytest.raises(SettingsError, match=f"group '{group}' answer topic .*those of group 'another'.*kafka.prefix"):
        site.link()
    site.section = msgspec.structs.replace(site.section, group=group)
    site.pay(payments(16)[8:])
    answered(site, 8)
    assert len(site.records(site.topics.decisions)) == 16


def test_group_that_only_reads_payments_is_no_other_site() -> None:
    from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition

    site = LinkSite()
    site.pay(payments(4))
    reader = KafkaConsumer(bootstrap_servers=site.section.bootstrap, group_id=f"{site.section.group}-reader")
    reader.assign([TopicPartition(site.topics.transactions, 0)])
    reader.commit({TopicPartition(site.topics.transactions, 0): OffsetAndMetadata(1, "theirs", -1)})
    reader.close()
    answered(site, 4)
    assert len(site.records(site.topics.decisions)) == 4


def test_partitions_that_do_not_correspond_are_refused_with_the_repair() -> None:
    """Workers used to die of a KeyError."""
    site = LinkSite()
    name = site.topics.transactions
    with closing(admin(site.section)) as client:
        client.create_partitions({name: 6})
    until(lambda: len(described(site.section, [name])[name]["partitions"]) == 6, "two more partitions")
    with pytest.raises(SettingsError, match=r"labels.known has 4 partitions and \S+transactions 6.*--partitions 6"):
        site.link()
