"""Our runner of Redis: what survives a crash, what a cut file lacks, password and TLS."""

from collections.abc import Callable

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.services import RedisServer, ServiceError

ONCE = Retry(NoBackoff(), 0)
LIBRARY = """#!lua name=probe
redis.register_function('probe_add', function(keys, args) return redis.call('INCRBY', keys[1], args[1]) end)
"""


def client(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, retry=ONCE)


def value(server: RedisServer, key: str) -> object:
    with client(server) as link:
        return link.get(key)


def set_values(server: RedisServer, *keys: str) -> None:
    with client(server) as link:
        for key in keys:
            link.set(key, 1)


def test_redis_that_was_killed_comes_back_with_data_and_functions_on_its_port(own_redis: RedisServer) -> None:
    url = own_redis.url
    with client(own_redis) as link:
        link.function_load(LIBRARY)
        assert link.fcall("probe_add", 1, "n", "2") == 2
    own_redis.kill()
    own_redis.start(tied=True)
    assert own_redis.url == url
    with client(own_redis) as link:
        assert link.fcall("probe_add", 1, "n", "3") == 5


def test_redis_restarted_is_another_process_with_the_same_data(own_redis: RedisServer) -> None:
    set_values(own_redis, "a")
    before = own_redis.process.pid
    own_redis.restart()
    assert own_redis.process.pid != before
    assert value(own_redis, "a") == b"1"


def test_redis_with_its_file_cut_lacks_the_end(own_redis: RedisServer) -> None:
    set_values(own_redis, "a", "b")
    size = own_redis.aof_bytes()
    own_redis.kill()
    assert own_redis.cut_aof(5) == size - 5
    own_redis.start(tied=True)
    assert (value(own_redis, "a"), value(own_redis, "b")) == (b"1", None)


def test_cutting_the_file_of_a_running_redis_is_refused(redis_server: RedisServer) -> None:
    with pytest.raises(ServiceError, match="already runs"):
        redis_server.cut_aof(5)


def test_redis_without_file_forgets(fresh_redis: Callable[..., RedisServer]) -> None:
    server = fresh_redis(aof="no")
    set_values(server, "a")
    server.restart()
    assert value(server, "a") is None


def test_redis_refuses_to_evict(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as link:
        asked = link.config_get("maxmemory-policy", "appendonly", "appendfsync", "save")
    assert asked == {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec", "save": ""}


def test_redis_with_a_password_refuses_others(fresh_redis: Callable[..., RedisServer]) -> None:
    server = fresh_redis(password="secret")
    with redis.Redis(port=server.port, retry=ONCE) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    set_values(server, "a")


def test_redis_with_tls_is_trusted_by_its_certificate_only(fresh_redis: Callable[..., RedisServer]) -> None:
    server = fresh_redis(tls=True, password="secret")
    assert server.url.startswith("rediss://")
    set_values(server, "a")
    with redis.Redis(port=server.port, ssl=True, password="secret", retry=ONCE) as stranger:
        with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            stranger.ping()
    with redis.Redis(port=server.port, password="secret", retry=ONCE) as plain, pytest.raises(redis.ConnectionError):
        plain.ping()


@pytest.mark.parametrize("round_number", [1, 2])
def test_every_test_gets_an_empty_redis(redis_url: str, round_number: int) -> None:
    with redis.Redis.from_url(redis_url) as link:
        assert link.dbsize() == 0
        link.set("left behind", round_number)


def test_servers_of_one_test_have_folders_of_their_own(fresh_redis: Callable[..., RedisServer]) -> None:
    first, second = fresh_redis(), fresh_redis()
    assert first.port != second.port
    assert first.folder != second.folder
