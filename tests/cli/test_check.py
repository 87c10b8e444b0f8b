"""`fraud check` on a real Kafka and Redis: what would lose something later is told now, and nothing is written."""

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import redis
from kafka.admin import ConfigResource, ConfigResourceType
from typer.testing import CliRunner

from features.stores.redis import RedisStore
from fraud.cli import app
from infra.services import RedisServer
from streaming.kafka.topics import Topics, admin, create, described
from streaming.service_wiring import site_of
from streaming.settings import KafkaSection
from streaming.soundness import replica_faults, topic_facts
from tests.site import until


@pytest.fixture
def section(kafka: str, unique: Callable[[str], str]) -> KafkaSection:
    """A site whose topics are there as `fraud topics create` makes them."""
    name = unique("check")
    section = KafkaSection(bootstrap=kafka, prefix=f"{name}.", group=name)
    create(section, partitions=4)
    return section


def checked(*words: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Return status and output of a check."""
    result = CliRunner().invoke(app, ["check", "--model", "rules", *words], env=environment)
    return result.exit_code, result.output


def of_kafka(section: KafkaSection) -> tuple[int, str]:
    """Return what a check says of a site's Kafka."""
    return checked("--bootstrap", section.bootstrap, "--prefix", section.prefix)


def test_site_as_it_is_made_is_ready_and_no_key_is_written(section: KafkaSection, redis_url: str) -> None:
    where = ["--bootstrap", section.bootstrap, "--prefix", section.prefix, "--store", redis_url]
    status, said = checked(*where)
    assert (status, said.splitlines()[-1]) == (0, "ready"), said
    assert "9 topics" in said
    assert "no state yet" in said
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys() == []


@pytest.mark.parametrize(("topic", "setting", "value", "told"), [
    ("transactions", "cleanup.policy", "compact", "transactions has cleanup.policy compact, so all but the newest"),
    ("decisions", "cleanup.policy", "compact,delete", "decisions has cleanup.policy compact,delete"),
    ("updates", "cleanup.policy", "delete", "model-updates has cleanup.policy delete, so it forgets versions"),
    ("transactions", "retention.ms", "3600000", "transactions keeps messages for 1 h: .* set retention.ms to 86400000"),
    ("dead", "max.message.bytes", "65536", "transactions.dead takes messages of 65536 bytes, and 1000000 are sent"),
])  # fmt: skip
def test_topic_that_would_lose_something_is_told_with_the_repair(
    section: KafkaSection, topic: str, setting: str, value: str, told: str
) -> None:
    with closing(admin(section)) as client:
        name = getattr(Topics.of(section), topic)
        client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {setting: value})])
    until(lambda: topic_facts(section)[2][name][setting] == value, "the setting taken")
    status, said = of_kafka(section)
    assert status == 1
    assert re.search(rf"kafka     FAILED  .*{told}", said), said
    assert "ready" not in said


def test_partitions_that_do_not_correspond_are_told(section: KafkaSection) -> None:
    name = Topics.of(section).transactions
    with closing(admin(section)) as client:
        client.create_partitions({name: 6})
    until(lambda: len(described(section, [name])[name]["partitions"]) == 6, "two more partitions")
    status, said = of_kafka(section)
    assert status == 1
    assert "labels.known has 4 partitions and" in said
    assert "--partitions 6" in said


def test_labels_in_fewer_partitions_than_payments_are_told(section: KafkaSection) -> None:
    name = Topics.of(section).labels
    with closing(admin(section)) as client:
        client.delete_topics([name])
        until(lambda: name not in client.list_topics(), "the topic gone")
        client.create_topics({name: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    status, said = of_kafka(section)
    assert status == 1
    assert "labels has 1 partitions" in said


def test_one_copy_on_several_brokers_and_too_few_in_sync_are_told() -> None:
    partitions = [{"replica_nodes": [1], "isr_nodes": [1]}]
    assert list(replica_faults("t", partitions, {}, 1)) == []
    assert "t has one copy on 3 brokers" in "".join(replica_faults("t", partitions, {}, 3))
    told = "".join(
        replica_faults("t", [{"replica_nodes": [1, 2, 3], "isr_nodes": [2]}], {"min.insync.replicas": "2"}, 3)
    )
    assert "t has 1 copies in sync and wants 2" in told


@pytest.mark.parametrize(("setting", "value", "told"), [
    ("appendfsync", "no", "appendfsync is no, so a power cut takes half a minute along"),
    ("appendonly", "no", "appendonly is off"),
])  # fmt: skip
def test_redis_that_does_not_sync_is_told(
    fresh_redis: Callable[..., RedisServer], setting: str, value: str, told: str
) -> None:
    url = fresh_redis().url
    with redis.Redis.from_url(url) as client:
        client.config_set(setting, value)
    status, said = checked("--store", url)
    assert (status, told in said) == (1, True), said


def test_state_of_another_site_is_told(section: KafkaSection, redis_url: str) -> None:
    RedisStore(redis_url, site=site_of(section)).close()
    status, said = checked("--store", redis_url, "--prefix", "us.")
    assert status == 1
    assert f"it holds the state of the site with {site_of(section)}" in said


def test_servers_that_the_settings_name_are_looked_at(tmp_path: Path) -> None:
    """A check without options once said ready of settings whose servers were dead."""
    file = tmp_path / "site.toml"
    file.write_text('[kafka]\nbootstrap = "127.0.0.1:1"\n[store]\nurl = "redis://127.0.0.1:1/0"\n')
    status, said = checked("--settings", str(file))
    assert status == 1
    assert [line.split()[:2] for line in said.splitlines()] == [
        ["embedded", "ok"], ["kafka", "FAILED"], ["store", "FAILED"], ["site", "FAILED"],
    ]  # fmt: skip
    status, said = checked(environment={"FRAUD_STORE__URL": "redis://127.0.0.1:1/0"})
    assert (status, "store     FAILED" in said) == (1, True)
