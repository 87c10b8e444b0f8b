"""A service whose store asks for a password, from a file: it works, and shows the password nowhere."""

import re
import urllib.request
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import redis

from fraud.simulate import fdh
from infra.services import RedisServer
from tests.site import Site, until

HUNTER = "hunter2"


def page(site: Site, path: str) -> str:
    """Return a page of the worker."""
    until(lambda: '"http_port"' in site.log(), "the worker tells its port")
    port = re.search(r'"http_port":(\d+)', site.log())
    assert port
    with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}{path}") as answer:
        text: str = answer.read().decode()
    return text


def stored(url: str) -> bytes:
    """Return every key and value of a Redis, packed as it packs them."""
    with redis.Redis.from_url(url) as client:
        return b"".join(key + (client.dump(key) or b"") for key in client.scan_iter())


def test_password_of_the_store_is_shown_nowhere(
    kafka: str, fresh_redis: Callable[..., RedisServer], tmp_path: Path, unique: Callable[[str], str]
) -> None:
    server, name = fresh_redis(password=HUNTER), unique("secret")
    secret = tmp_path / "store"
    secret.touch(mode=0o600)
    secret.write_text(server.url + "\n")
    folder = tmp_path / "site"
    site = Site(kafka, "", folder, name, environment={"FRAUD_STORE__URL_FILE": str(secret)})
    try:
        site.worker()
        site.book()
        traffic = fdh.generate(fdh.Fdh(cards=20, terminals=20, days=5, seed=1, radius=30.0))
        site.put(site.topics.transactions, [(b"k", b'{"amount": -1}')])
        site.send(islice(traffic.transactions(), 20))
        site.wait_for(20)
        metrics = page(site, "/metrics")
        said = [metrics.encode(), stored(server.url)]
        server.kill()
        site.send(islice(traffic.transactions(), 20, 25))
        site.wait_for(25)
        said += [page(site, "/metrics").encode(), *(path.read_bytes() for path in folder.rglob("*") if path.is_file())]
    finally:
        site.close()
    assert 'fraud_events_total{topic="transactions"} 20.0' in metrics
    assert not [text for text in said if HUNTER.encode() in text]
