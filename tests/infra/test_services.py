"""The runners of Kafka and Redis: start, stop, kill, restart, a port in use."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.services import KafkaServer, RedisServer, ServiceError, free_ports


def sent_and_read(bootstrap: str, topic: str) -> bytes | None:
    """Send one message to a new topic and read it back."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, 1, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    producer.send(topic, b"hello").get(10)
    producer.close()
    return read_one(bootstrap, topic)


def read_one(bootstrap: str, topic: str) -> bytes | None:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=10_000)
    consumer.assign([TopicPartition(topic, 0)])
    value: bytes | None = next(iter(consumer)).value
    consumer.close()
    return value


def test_kafka_takes_and_gives_messages(kafka: str, unique: Callable[[str], str]) -> None:
    assert sent_and_read(kafka, unique("t")) == b"hello"


@pytest.mark.slow
def test_kafka_that_was_killed_starts_again_with_its_data(own_kafka: KafkaServer) -> None:
    assert sent_and_read(own_kafka.bootstrap, "t") == b"hello"
    own_kafka.kill()
    assert own_kafka.processes[0].pid is None
    own_kafka.start(tied=True)
    assert read_one(own_kafka.bootstrap, "t") == b"hello"


def test_redis_that_was_killed_starts_again_with_its_data(own_redis: RedisServer) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.set("a", 1)
    own_redis.kill()
    own_redis.start(tied=True)
    with redis.Redis.from_url(own_redis.url) as client:
        assert client.get("a") == b"1"


def test_redis_with_its_file_cut_lacks_the_end(own_redis: RedisServer) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.set("a", 1)
        client.set("b", 1)
    own_redis.kill()
    own_redis.cut_aof(5)
    own_redis.start(tied=True)
    with redis.Redis.from_url(own_redis.url) as client:
        assert client.get("a") == b"1"
        assert client.get("b") is None


def test_redis_with_a_password_refuses_others(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, password="secret").start(tied=True)
    try:
        with (
            redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
    finally:
        server.kill()


def test_port_in_use_is_said_before_anything_is_started(own_redis: RedisServer, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=f"port {own_redis.port} for Redis is in use"):
        RedisServer(tmp_path / "other", own_redis.port).start(tied=True)
    assert not (tmp_path / "other").exists()


def test_server_that_cannot_start_says_why_from_its_log(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, free_ports(1)[0], aof="never")
    with pytest.raises(ServiceError, match="appendfsync"):
        server.start(tied=True)


def test_command_line_starts_and_stops_by_folder(tmp_path: Path) -> None:
    def call(*words: str) -> dict[str, object]:
        command = [sys.executable, "-m", "infra.services", *words, "--data", str(tmp_path)]
        found: dict[str, object] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        return found

    url = str(call("redis", "start")["url"])
    with redis.Redis.from_url(url) as client:
        assert client.ping()
    assert call("redis", "status")["running"]
    assert call("redis", "stop")["running"] == []
