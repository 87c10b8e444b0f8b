"""What repairing a state takes: rebuilding it from the topics, and putting a copy of Redis' file back.

    python -m tests.bench.rebuild [--payments 1200000] [--cards 1000000] [--after 20000]

Payments of so many cards lie in the topic, committed as if workers had taken them in. Then: `fraud state rebuild` in
this process (payments and rows a second of its CPU time and of the clock, bytes); Redis started on what that left; a
copy of its file put back after a worker has decided `after` more payments, until it has absorbed them again and
decides the next. The last line is JSON; seconds are of the clock unless they say `cpu`.
"""

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

from confluent_kafka import Producer

from fraud.core.fields import Address
from fraud.core.records import DAY, Transaction
from infra.services import KafkaServer, RedisServer
from streaming import service_wiring
from streaming.kafka.client import Commit
from streaming.kafka.offsets import CommitMark
from streaming.messages import schema
from streaming.settings import ServiceSettings, StoreSection
from tests.parity.live import PARTITIONS, own_partition
from tests.site import Site, until

BEGIN = 1_767_225_600_000_000_000
MERCHANTS, SHOPS = 20_000, 20
"""All of them, and those that one card pays at."""


def drawn(count: int, cards: int, seed: int) -> Iterator[Transaction]:
    """Yield payments over thirty days; every card pays once before any pays twice."""
    rng = random.Random(seed)
    for number in range(count):
        card = number if number < cards else rng.randrange(cards)
        at, amount = BEGIN + 30 * DAY * number // count, rng.randrange(100, 20_000)
        merchant = f"m{(7 * card + rng.randrange(SHOPS)) % MERCHANTS}"
        yield Transaction(
            id=f"t{seed}-{number}", card=f"c{card}", merchant=merchant, amount=amount, base_amount=amount,
            currency="EUR", happened_at=at, seen_at=at,
        )  # fmt: skip


def fill(site: Site, payments: Iterator[Transaction]) -> int:
    """Send payments as fast as they go; return how many."""
    producer, count = Producer({"bootstrap.servers": site.settings.bootstrap, "linger.ms": 20}), 0
    for tx in payments:
        count += 1
        value = schema.of_transaction(tx)
        while True:
            try:
                producer.produce(site.topics.transactions, value, tx.card.encode(), own_partition(tx.card))
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush()
    return count


def commit(site: Site, birth: str) -> None:
    """Commit all that is there, as workers on a state of this name do."""
    with closing(service_wiring.consumer_of(site.settings, site.settings.group)) as consumer:
        places = consumer.places([site.topics.transactions])
        ends = {place: span.end for place, span in consumer.spans(places).items()}
        marks = {place: Commit(end, CommitMark(end, birth=birth).text()) for place, end in ends.items()}
        consumer.commit(marks, lambda why: None, wait=True)


def rebuilt(site: Site, redis: RedisServer, folder: Path) -> dict[str, Any]:
    """Rebuild in this process; return what it took."""
    settings = ServiceSettings(kafka=site.settings, store=StoreSection(url=Address(redis.url)))
    began, cpu = time.monotonic(), time.process_time()
    job = service_wiring.rebuild(settings, folder)
    done = job.run(lambda done: None)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    return {
        "payments": done["records"], "rows": done["rows"], "rebuild_s": round(seconds, 1),
        "rebuild_cpu_s": round(cpu, 1), "payments_a_cpu_s": round(done["records"] / cpu),
        "memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 1),
        "file_gb": round(bytes_of(redis) / 1e9, 2),
    }  # fmt: skip


def bytes_of(redis: RedisServer) -> int:
    """Return how many bytes a server's file takes."""
    return sum(path.stat().st_size for path in (redis.folder / "appendonlydir").iterdir())


def restored(site: Site, redis: RedisServer, after: int, cards: int) -> dict[str, float]:
    """Put a copy of Redis' file back that lacks what a worker has taken in since; return what that takes."""
    redis.stop()
    began = time.monotonic()
    copytree(redis.folder / "appendonlydir", redis.folder / "copy")
    copied = time.monotonic() - began
    began = time.monotonic()
    redis.start(tied=True)
    loaded = time.monotonic() - began
    worker, before = site.worker(), site.ends(site.topics.decisions)
    fill(site, drawn(after, cards, 2))
    until(lambda: site.ends(site.topics.decisions) >= before + after, "the payments since", 600)
    time.sleep(5.0)
    worker.terminate()
    worker.wait()
    redis.kill()
    rmtree(redis.folder / "appendonlydir")
    (redis.folder / "copy").rename(redis.folder / "appendonlydir")
    redis.start(tied=True)
    began = time.monotonic()
    site.worker()
    fill(site, drawn(PARTITIONS * 25, cards, 3))
    until(lambda: site.ends(site.topics.decisions) >= before + after + PARTITIONS * 25, "the next payments", 600)
    caught = time.monotonic() - began
    assert '"store is an older copy"' in site.log()
    return {
        "copy_s": round(copied, 1),
        "redis_load_s": round(loaded, 1),
        "after": after,
        "caught_up_s": round(caught, 1),
    }


def main() -> None:
    """Run with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--payments", type=int, default=1_200_000)
    parser.add_argument("--cards", type=int, default=1_000_000)
    parser.add_argument("--after", type=int, default=20_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rebuild-") as name:
        folder = Path(name)
        kafka, redis = KafkaServer(folder / "kafka").start(tied=True), RedisServer(folder / "redis").start(tied=True)
        site = Site(kafka.bootstrap, redis.url, folder / "site", "rebuild", model="rules")
        try:
            fill(site, drawn(given.payments, given.cards, 1))
            commit(site, "170.5")
            found = rebuilt(site, redis, folder / "work")
            found |= restored(site, redis, given.after, given.cards)
        finally:
            site.close()
            kafka.kill()
            redis.kill()
    print(json.dumps({"cards": given.cards, **found}))


if __name__ == "__main__":
    main()
