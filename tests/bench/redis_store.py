"""What a batch costs on Redis: `python -m tests.bench.redis_store [URL]` prints a table.

Payments of the simulator go through the extractor with answers as large as the service's own. Batch sizes take turns,
so that a noisy machine is noisy for all. `redis us` is what Redis' main thread spends on a payment, `bytes` what it
appends to its file for one.
Without an address a Redis of the bench's own is started, its file synced every second, and ended.
"""

import argparse
import contextlib
import itertools
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import redis

from features.extractor import OnlineExtractor
from features.stores.redis import RedisStore
from fraud.core.records import Arrival, FeatureVector, Position, Transaction
from fraud.simulate import fdh
from infra.services import RedisServer
from tests.contract.driving import answer

SIZES = (1, 8, 32, 128)
WARM = 5


class Timed(msgspec.Struct):
    """Milliseconds of the batches of one size, and what the server counted meanwhile."""

    reads: list[float] = []
    works: list[float] = []
    writes: list[float] = []
    payments: int = 0
    micros: float = 0.0
    appended: int = 0


@contextlib.contextmanager
def server(url: str) -> Iterator[str]:
    """Yield the address given, or that of a server that ends with the bench."""
    if url:
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="fraud-bench-") as folder:
        own = RedisServer(Path(folder)).start(tied=True)
        try:
            yield own.url
        finally:
            own.kill()


def payments(cards: int = 5_000, radius: float = 5.0) -> Iterator[Arrival]:
    """Yield payments of cards at twice as many terminals, each with a position of its own, without end."""
    traffic = fdh.generate(fdh.Fdh(cards=cards, terminals=2 * cards, days=20, seed=5, radius=radius))
    for offset, tx in enumerate(itertools.cycle(list(traffic.transactions()))):
        yield Arrival(msgspec.structs.replace(tx, id=f"b{offset}"), Position("bench", 0, offset))


def spent(client: Any) -> tuple[float, int]:
    """Return the microseconds that the server's main thread has worked, and the bytes of its append-only file."""
    cpu, file = client.info("cpu"), client.info("persistence").get("aof_current_size", 0)
    return 1e6 * (cpu["used_cpu_user_main_thread"] + cpu["used_cpu_sys_main_thread"]), int(file)


def run_batch(extractor: OnlineExtractor, batch: Sequence[Arrival], timed: Timed) -> None:
    """Read, look, absorb and write one batch, with an answer to each payment."""
    began = time.perf_counter_ns()
    extractor.open(batch)
    read = time.perf_counter_ns()
    answers = []
    for arrival in batch:
        tx = arrival.event
        assert isinstance(tx, Transaction)
        values = extractor.look(tx)
        extractor.absorb(tx, arrival.position)
        vector = FeatureVector(tx.id, values, extractor.version, tx.seen_at)
        answers.append(msgspec.structs.replace(answer(tx, arrival.position), vector=vector))
    worked = time.perf_counter_ns()
    extractor.close(answers)
    written = time.perf_counter_ns()
    timed.reads.append((read - began) / 1e6)
    timed.works.append((worked - read) / 1e6)
    timed.writes.append((written - worked) / 1e6)


def measure(url: str, rounds: int) -> dict[int, Timed]:
    """Return what batches of each size cost; small ones run more often, so that all see as many payments."""
    store, stream = RedisStore(url, namespace="bench"), payments()
    extractor, found = OnlineExtractor(store), {size: Timed() for size in SIZES}
    with redis.Redis.from_url(url) as client:
        for number in range(rounds + WARM):
            for size in SIZES:
                timed = Timed() if number < WARM else found[size]
                micros, bytes_ = spent(client)
                for _ in range(max(1, 32 // size)):
                    run_batch(extractor, list(itertools.islice(stream, size)), timed)
                    timed.payments += size
                after = spent(client)
                timed.micros, timed.appended = timed.micros + after[0] - micros, timed.appended + after[1] - bytes_
    store.clear()
    store.close()
    return found


def table(found: dict[int, Timed]) -> str:
    """Return the figures, a line a size."""
    lines = ["batch   n     read ms p50    p99   extract p50  write ms p50    p99   redis us  bytes"]
    for size, timed in found.items():
        (read, read99), (write, write99) = (np.percentile(each, (50, 99)) for each in (timed.reads, timed.writes))
        many = timed.payments
        lines.append(
            f"{size:5d} {len(timed.reads):5d} {read:12.2f} {read99:8.2f} {np.median(timed.works):11.2f}"
            f" {write:13.2f} {write99:8.2f} {timed.micros / many:10.1f} {timed.appended / many:6.0f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", default="", help="a Redis that may be written to; default: one of its own")
    parser.add_argument("--rounds", type=int, default=60, help="how often every size takes its turn")
    options = parser.parse_args()
    with server(options.url) as url:
        print(table(measure(url, options.rounds)))
    print(f"load average {os.getloadavg()[0]:.1f}, cores {os.cpu_count()}")


if __name__ == "__main__":
    main()
