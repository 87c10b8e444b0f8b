"""Real Kafka and Redis for tests: one of each a run, started when the first test asks, ended with the run.

A test that needs a service is never skipped: where it is not installed it fails, and the message names the command.
"""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

import pytest

from infra.services import Kafka, Redis

_names = count()


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A Kafka of one node."""
    server = Kafka(tmp_path_factory.mktemp("kafka")).start(tied=True)
    yield server
    server.kill()


@pytest.fixture
def kafka(kafka_server: Kafka) -> str:
    """The address of the run's Kafka; give topics and groups names of their own with `unique`."""
    return kafka_server.bootstrap


@pytest.fixture
def unique() -> Callable[[str], str]:
    """A maker of names that no other test uses."""
    return lambda what: f"{what}-{next(_names)}"


@cache
def shared_redis() -> Redis:
    """Start the run's Redis; it ends with the run."""
    return Redis(Path(mkdtemp(prefix="fraud-redis-"))).start(tied=True)


@pytest.fixture(scope="session")
def redis_server() -> Redis:
    """The run's Redis, with an append-only file."""
    return shared_redis()


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """The address of the run's Redis, emptied."""
    import redis

    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis of the test's own, to be killed and restarted."""
    server = Redis(tmp_path / "redis").start(tied=True)
    yield server
    server.kill()


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Kafka]:
    """A Kafka of the test's own, to be killed and restarted."""
    server = Kafka(tmp_path / "kafka").start(tied=True)
    yield server
    server.kill()
