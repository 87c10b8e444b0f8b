"""Real Kafka, Redis and PostgreSQL for tests: one of each a run, started when the first test asks, ended with the run.

A test that needs a service is never skipped: where it is not installed it fails, and the message names the command.
The servers are tied to this process: they end with it, even when it is killed. Start them from the main thread only:
the kernel ends them with the thread that started them.
"""

import atexit
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

import pytest

from infra.services import KafkaServer, PostgresServer, RedisServer

_names = count()


def scratch(what: str) -> Path:
    """Return a new folder that is removed at the end of the run; servers of another user than ours get to it."""
    folder = Path(mkdtemp(prefix=f"fraud-{what}-"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def shared_kafka() -> KafkaServer:
    """Start the run's Kafka; it ends with the run."""
    server = KafkaServer(scratch("kafka")).start(tied=True)
    atexit.register(server.kill)
    return server


@cache
def shared_redis() -> RedisServer:
    """Start the run's Redis; it ends with the run."""
    return tied_redis()


def tied_redis(**options: object) -> RedisServer:
    """Start a Redis that ends with the run."""
    server = RedisServer(scratch("redis"), **options).start(tied=True)  # type: ignore[arg-type]
    atexit.register(server.kill)
    return server


@cache
def shared_postgres() -> PostgresServer:
    """Start the run's PostgreSQL; it ends with the run."""
    server = PostgresServer(scratch("postgres")).start(tied=True)
    atexit.register(server.kill)
    return server


def own_database(server: PostgresServer, template: str = "template0") -> str:
    """Return the address of a new database, empty or a copy of another one."""
    import psycopg

    name = f"own{next(_names)}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return server.url.rpartition("/")[0] + f"/{name}"


@pytest.fixture(scope="session")
def kafka_server() -> KafkaServer:
    """The run's Kafka, of one node; leave it running."""
    return shared_kafka()


@pytest.fixture
def kafka(kafka_server: KafkaServer) -> str:
    """The address of the run's Kafka; give topics and groups names of their own with `unique`."""
    return kafka_server.bootstrap


@pytest.fixture
def unique() -> Callable[[str], str]:
    """A maker of names that no other test uses."""
    return lambda what: f"{what}-{next(_names)}"


@pytest.fixture(scope="session")
def redis_server() -> RedisServer:
    """The run's Redis, with an append-only file; leave it running."""
    return shared_redis()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of the run's Redis, emptied."""
    import redis

    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture(scope="session")
def postgres_server() -> PostgresServer:
    """The run's PostgreSQL; leave it running."""
    return shared_postgres()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The address of a database of the test's own, empty."""
    return own_database(postgres_server)


@pytest.fixture
def fresh_postgres() -> Iterator[Callable[..., PostgresServer]]:
    """A maker of running PostgreSQL servers of the test's own, to be killed and restarted; takes its options."""
    with ExitStack() as ends:

        def make(**options: object) -> PostgresServer:
            server = PostgresServer(scratch("postgres"), **options)  # type: ignore[arg-type]
            ends.callback(server.kill)
            return server.start(tied=True)

        yield make


@pytest.fixture
def fresh_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """A maker of running Redis servers of the test's own, to be killed and restarted; takes its options."""
    with ExitStack() as ends:

        def make(**options: object) -> RedisServer:
            server = RedisServer(tmp_path / f"redis{next(_names)}", **options)  # type: ignore[arg-type]
            ends.callback(server.kill)
            return server.start(tied=True)

        yield make


@pytest.fixture
def fresh_kafka(tmp_path: Path) -> Iterator[Callable[..., KafkaServer]]:
    """A maker of running Kafka clusters of the test's own, to be killed and restarted; takes its options."""
    with ExitStack() as ends:

        def make(**options: object) -> KafkaServer:
            server = KafkaServer(tmp_path / f"kafka{next(_names)}", **options)  # type: ignore[arg-type]
            ends.callback(server.kill)
            return server.start(tied=True)

        yield make


@pytest.fixture
def own_redis(fresh_redis: Callable[..., RedisServer]) -> RedisServer:
    """A Redis of the test's own, to be killed and restarted.

    It syncs every write: with `everysec` a write waits up to two seconds in the process while a sync is under way, and
    a kill may take it along.
    """
    return fresh_redis(aof="always")


@pytest.fixture
def own_kafka(fresh_kafka: Callable[..., KafkaServer]) -> KafkaServer:
    """A Kafka of the test's own, to be killed and restarted."""
    return fresh_kafka()
