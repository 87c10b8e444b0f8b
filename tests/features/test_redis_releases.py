"""Releases in Redis go on over restarts of the server, and lie beside the state."""

from contextlib import closing

import msgspec
import pytest

from features.stores.redis import RedisStore
from features.stores.releases import RedisReleases
from fraud.core.errors import ReleaseError
from fraud.core.releases import Release
from infra.services import RedisServer

LIVE = Release(id="r1-a", model="demo@1", rules="none", policy="p")


def test_a_server_that_was_restarted_is_asked_on(own_redis: RedisServer) -> None:
    with closing(RedisReleases(own_redis.url)) as releases:
        releases.move(LIVE, None)
        name = releases.put("text")
        own_redis.kill()
        own_redis.start(tied=True)
        assert releases.live() == LIVE
        assert releases.text(name) == "text"


def test_of_two_who_have_looked_at_once_the_second_is_refused(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(RedisReleases(redis_url)) as first, closing(RedisReleases(redis_url)) as second:
        seen = second._in_force()
        first.move(LIVE, None)
        monkeypatch.setattr(second, "_in_force", lambda: seen)
        other = msgspec.structs.replace(LIVE, id="r2-b", by="kim")
        with pytest.raises(ReleaseError, match="meanwhile"):
            second.move(other, None)
        assert first.moves() == [LIVE]


def test_a_state_that_is_emptied_leaves_the_release_in_force_and_workers_read_it(redis_url: str) -> None:
    with closing(RedisReleases(redis_url)) as releases, closing(RedisStore(redis_url)) as store:
        assert store.in_use() == (b"", b"")
        releases.move(LIVE, None)
        store.point(b"pointer", "")
        assert store.in_use() == (b"pointer", LIVE.bytes())
        store.clear()
        assert store.in_use() == (b"", LIVE.bytes())


def test_a_store_tells_whether_it_holds_histories_of_an_encoder(redis_url: str) -> None:
    with closing(RedisStore(redis_url)) as store:
        assert not store.holds_histories("enc*")
        store.put_histories("enc*", [], {})
        assert not store.holds_histories("enc*")
        store.put_histories("encx", [("card:C1", b"row")], {})
        assert store.holds_histories("encx")
        assert not store.holds_histories("enc*")
        assert not store.holds_histories("x")
