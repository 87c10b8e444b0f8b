"""What histories cost: `python -m tests.bench.histories [URL] [--rounds N]` prints three tables and one JSON line.

In memory: processor time of look and absorb with and without an encoder, of decoding tokens, of encoding blocks; the
two take turns. On Redis: milliseconds of reading and writing a batch with and without. Bytes: what rows take at rest.
The encoder is a stub that costs next to nothing, so that the figures are those of keeping histories.
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from features.extractor import OnlineExtractor
from features.histories import Looked
from features.state.history import HISTORY_BYTES
from features.state.tables import trimmed
from features.stores.memory import MemoryStore
from features.stores.redis import RedisStore
from fraud.core.ports import Codes, Encoder, Matrix
from fraud.core.records import Arrival, FeatureVector, Transaction
from fraud.core.tokens import CODE
from tests.bench.redis_store import payments, server
from tests.contract.driving import answer

EVENTS, BATCH = 40_000, 32
CARDS, RADIUS, GROWN = 300, 20.0, 30_000
"""So many cards at twice as many terminals; on Redis so many payments come before the first that is measured."""
SIZES = (1, 3, 32)
WARM = 5
Row = dict[str, Any]


class Zeros:
    """An encoder without a network."""

    encoder = "bench"

    def encode(self, blocks: Matrix) -> Codes:
        return np.zeros((len(blocks), CODE), np.float32)


def handle(extractor: OnlineExtractor, batch: Sequence[Arrival], encoder: Encoder | None) -> float:
    """Look at and absorb a batch; return the processor time in seconds."""
    began = time.process_time()
    extractor.open(batch, encoder)
    for arrival in batch:
        assert isinstance(arrival.event, Transaction)
        extractor.look(arrival.event)
        extractor.absorb(arrival.event, arrival.position)
    extractor.close([])
    return time.process_time() - began


def decode(looked: Looked, many: int, sides: int) -> float:
    """Decode a batch's tokens; return the processor time in seconds."""
    began = time.process_time()
    looked.tokens(range(many), sides)
    return time.process_time() - began


def in_memory() -> Row:
    """Measure an event in memory, in us of processor time; every cost is that of the same events."""
    stream = list(itertools.islice(payments(CARDS, RADIUS), EVENTS))
    plain, kept = OnlineExtractor(MemoryStore()), OnlineExtractor(store := MemoryStore())
    spent: dict[str, list[float]] = {"without": [], "with": [], "tokens of 2 sides": [], "tokens of 3 sides": []}
    for begin in range(0, EVENTS, BATCH):
        batch = stream[begin : begin + BATCH]
        spent["without"].append(handle(plain, batch, None))
        spent["with"].append(handle(kept, batch, Zeros()))
        looked = kept.histories([arrival.event.id for arrival in batch if isinstance(arrival.event, Transaction)])
        assert looked is not None
        for sides in (2, 3):
            spent[f"tokens of {sides} sides"].append(decode(looked, len(batch), sides))
    found = {name: float(np.median(times[len(times) // 2 :])) / BATCH * 1e6 for name, times in spent.items()}
    sizes = [len(trimmed(row)) for _, row in store.histories_of(Zeros.encoder).items()]
    return {"us": found, "bytes": {"rows": len(sizes), **spread(sizes), "bound": HISTORY_BYTES}}


def spread(sizes: Sequence[int]) -> Row:
    """Return mean, median and largest of sizes."""
    return {"mean": round(float(np.mean(sizes))), "median": int(np.median(sizes)), "most": max(sizes)}


def run_batch(extractor: OnlineExtractor, batch: Sequence[Arrival], encoder: Encoder | None) -> tuple[float, ...]:
    """Handle a batch with an answer to each payment; return ms of reading, working and writing."""
    times, answers = [time.perf_counter_ns()], []
    extractor.open(batch, encoder)
    times.append(time.perf_counter_ns())
    for arrival in batch:
        tx = arrival.event
        assert isinstance(tx, Transaction)
        vector = FeatureVector(tx.id, extractor.look(tx), extractor.version, tx.seen_at)
        extractor.absorb(tx, arrival.position)
        answers.append(answer(tx, arrival.position))
        del vector
    times.append(time.perf_counter_ns())
    extractor.close(answers)
    times.append(time.perf_counter_ns())
    return tuple((after - before) / 1e6 for before, after in itertools.pairwise(times))


def on_redis(url: str, rounds: int) -> list[Row]:
    """Measure batches of each size on Redis, on rows that have grown; with and without histories take turns."""
    stores = {name: RedisStore(url, namespace=f"bench-{name}") for name in ("without", "with")}
    streams = {name: payments(CARDS, RADIUS) for name in stores}
    encoders: dict[str, Encoder | None] = {"without": None, "with": Zeros()}
    found: dict[tuple[str, int], list[tuple[float, ...]]] = {(name, size): [] for name in stores for size in SIZES}
    for name, stream in streams.items():
        for _ in range(GROWN // BATCH):
            run_batch(OnlineExtractor(stores[name]), list(itertools.islice(stream, BATCH)), encoders[name])
    for number in range(rounds + WARM):
        for name, size in found:
            extractor = OnlineExtractor(stores[name])
            for _ in range(max(1, 32 // size)):
                times = run_batch(extractor, list(itertools.islice(streams[name], size)), encoders[name])
                if number >= WARM:
                    found[name, size].append(times)
    for store in stores.values():
        store.clear()
        store.close()
    return [line(name, size, np.array(times)) for (name, size), times in found.items()]


def line(name: str, size: int, times: np.ndarray[Any, Any]) -> Row:
    """Return the percentiles of a kind of batch."""
    read, work, write = np.median(times, axis=0)
    whole = float(np.percentile(times.sum(axis=1), 99))
    return {"histories": name, "batch": size, "read": read, "work": work, "write": write, "p99": whole}


def show(result: Row) -> None:
    """Print the tables."""
    print("In memory, us of processor time an event (look and absorb; tokens beside):")
    for name, value in result["memory"]["us"].items():
        print(f"  {name:<20} {value:8.1f}")
    print(f"Bytes of a row at rest: {result['memory']['bytes']}")
    print("On Redis, ms a batch: histories, size, read p50, work p50, write p50, all p99")
    for row in result["redis"]:
        print("  {histories:<8} {batch:>4} {read:8.2f} {work:8.2f} {write:8.2f} {p99:8.2f}".format(**row))


def main(measure: Callable[[str, int], list[Row]] = on_redis) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", default="", help="a Redis that may be written to; default: one of its own")
    parser.add_argument("--rounds", type=int, default=40, help="how often every size takes its turn on Redis")
    options = parser.parse_args()
    with server(options.url) as url:
        result = {"memory": in_memory(), "redis": measure(url, options.rounds), "load": os.getloadavg()[0]}
    show(result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
