"""Workers without their store, on a real Kafka and a Redis of the test's own: hung, away at the start, back again."""

import re
import urllib.request
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from fraud.core.records import Transaction
from fraud.simulate import fdh
from infra.services import RedisServer
from streaming.kafka import output_log
from tests.crash.kills import judged
from tests.site import Site, until

RATE = 150.0


def payments(count: int) -> list[Transaction]:
    traffic = fdh.generate(fdh.Fdh(cards=60, terminals=60, days=30, seed=5, radius=30.0))
    return list(islice(traffic.transactions(), count))


@pytest.fixture
def redis(fresh_redis: Callable[..., RedisServer]) -> RedisServer:
    return fresh_redis()


@pytest.fixture
def site(kafka: str, redis: RedisServer, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Site]:
    name = unique("gone")
    made = Site(kafka, redis.url, tmp_path / name, name)
    yield made
    redis.process.wake()
    made.close()


def lives(site: Site) -> bool:
    port = re.search(r'"http_port":(\d+)', site.log())
    assert port
    with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/livez", timeout=5) as answer:
        return int(answer.status) == 200


def marked(site: Site) -> int:
    return sum("store-down" in answer.decision.marks for answer in site.read().answers)


def waits(site: Site, after: int) -> list[int]:
    """Return how many ms decisions took, of the transactions sent after the first so many."""
    sent = sorted(
        (record.timestamp, record.partition, record.offset) for record in site.records(site.topics.transactions)
    )
    begun = {(partition, offset): at for at, partition, offset in sent[after:]}
    found = []
    for record in site.records(site.topics.decisions):
        source = output_log.source_of(record.headers)
        if source is not None and (source.partition, source.offset) in begun:
            found.append(record.timestamp - begun[source.partition, source.offset])
    return found


def well_again(site: Site, sent: list[Transaction]) -> None:
    """Wait until the store is in use again; then everything is as if nothing had happened."""
    until(lambda: '"store back"' in site.log(), lambda: f"the store is back; log: {site.log()[-2000:]}", 40)
    until(lambda: site.decided() >= len(sent), "all")
    until(lambda: judged(site, sent, [])["state_differs"] == 0, lambda: str(judged(site, sent, [])), 20)
    assert {name: wrong for name, wrong in judged(site, sent, []).items() if wrong} == {}


def test_a_hung_store_costs_one_time_out_and_rules_go_on_in_time(site: Site, redis: RedisServer) -> None:
    site.worker()
    sent = payments(1_300)
    site.send(sent[:300])
    site.wait_for(300)
    redis.process.pause()
    site.send(sent[300:1_200], RATE)
    site.wait_for(1_200, 5)
    assert lives(site)
    took = waits(site, 300)
    assert len(took) == 900
    assert np.median(took) < 50
    assert marked(site) >= 850
    redis.process.wake()
    site.send(sent[1_200:])
    well_again(site, sent)


def test_a_worker_that_starts_without_its_store_begins_by_rules(site: Site, redis: RedisServer) -> None:
    redis.kill()
    worker = site.worker()
    sent = payments(500)
    site.send(sent[:200])
    site.wait_for(200)
    assert worker.poll() is None
    assert lives(site)
    assert marked(site) == 200
    redis.start(tied=True)
    until(lambda: '"store back"' in site.log(), lambda: f"the store is there; log: {site.log()[-2000:]}", 40)
    site.send(sent[200:])
    well_again(site, sent)
    assert marked(site) == 200


def test_a_worker_restarted_while_its_store_is_away_goes_on_where_it_was(site: Site, redis: RedisServer) -> None:
    worker = site.worker()
    sent = payments(900)
    site.send(sent[:300])
    site.wait_for(300)
    redis.process.pause()
    site.send(sent[300:600])
    site.wait_for(600)
    worker.kill()
    worker.wait()
    site.worker()
    site.send(sent[600:])
    site.wait_for(900)
    redis.process.wake()
    well_again(site, sent)
    assert site.read().raw == 900
