"""The load test: open loop on real Kafka and Redis, the bare pass-through beside it in the same run.

    python -m tests.bench.load [--rates 100,200,500,1000,2000] [--seconds 30] [--pairs 5] [--paired 500,1000]
                              [--model demo]

Transactions are sent at their intended times whatever comes back, so that a stalled service cannot hide its queue, and
a latency runs from the intended time to the decision's arrival at a reader. Generator and reader use another, faster
client than the worker. The floor is a process that reads, produces and commits on the worker's own client, and does
nothing else. Every rate is measured in pairs of path and floor, in turn, and medians are taken: `--pairs` pairs of at
least 60 s for the rates `--paired`, two of `--seconds` for the others. Prints a table, writes
build/bench.json (each run in it), ends with one JSON line.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from infra.services import KafkaServer, RedisServer
from streaming.observe.stages import STAGES
from tests.site import Site, until

CARDS, MERCHANTS, ZIPF = 5_000, 2_000, 1.2
BEGAN_NS, EVENT_NS = 1_700_000_000_000_000_000, 86_400_000_000_000 // (2 * CARDS)
"""A card pays twice a day in the stream's own time, however fast it is sent, so that few payments look like fraud."""
OUT = Path("build/bench.json")
WARM_SECONDS = 5.0
DRAIN_SECONDS = 5.0
PAIRED_SECONDS = 60.0
OTHER_PAIRS = 2


class Measured(NamedTuple):
    """Latencies of one run (ms), and the process's CPU time a message (ms)."""

    p50: float
    p99: float
    p999: float
    cpu: float
    lost: int


def messages(rng: np.random.Generator, first: int) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield id, key and value of payments: merchants by a Zipf law, so that a few are hubs; amounts by card."""
    number, usual = first, np.random.default_rng(0).lognormal(8.0, 0.8, CARDS)
    while True:
        cards, shops = rng.integers(0, CARDS, 1_000), np.minimum(rng.zipf(ZIPF, 1_000), MERCHANTS)
        amounts = np.maximum(usual[cards] * rng.lognormal(0.0, 0.4, 1_000), 100).astype(int)
        for card, shop, amount in zip(cards.tolist(), shops.tolist(), amounts.tolist(), strict=True):
            number += 1
            tx_id = f"b{number}"
            value = {
                "id": tx_id, "card": f"card{card}", "merchant": f"shop{shop}", "amount": amount,
                "happened_at": BEGAN_NS + number * EVENT_NS, "channel": "ecom", "mcc": 5732, "device": f"device{card}",
            }  # fmt: skip
            yield tx_id, f"card{card}".encode(), msgspec.json.encode(value)


class Reader:
    """Notes when each message of a topic came, by what its payload says of its id."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        """Begin at the topic's end, on a thread of its own."""
        self.seen: dict[str, int] = {}
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "fetch.wait.max.ms": 10})
        partitions = [TopicPartition(topic, n, self._end(topic, n)) for n in range(4)]
        self._consumer.assign(partitions)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _end(self, topic: str, partition: int) -> int:
        return int(self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1])

    def _read(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.05)
            now = time.monotonic_ns()
            if message is not None and message.error() is None and message.value():
                self.seen.setdefault(id_of(bytes(message.value() or b"")), now)


def id_of(value: bytes) -> str:
    """Return the transaction's id from a transaction's or a decision's first field."""
    return value[value.index(b":") + 2 : value.index(b",") - 1].decode()


def generate(bootstrap: str, topic: str, rate: float, seconds: float, first: int) -> dict[str, int]:
    """Send at a rate; return each id with the time (monotonic ns) at which it was meant to go out."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "acks": "1"})
    source = messages(np.random.default_rng(first), first)
    intended: dict[str, int] = {}
    began, step = time.monotonic_ns(), 1e9 / rate
    for number in range(int(rate * seconds)):
        due = began + int(number * step)
        while (left := due - time.monotonic_ns()) > 0:
            producer.poll(0)
            time.sleep(min(left / 1e9, 0.0005))
        tx_id, key, value = next(source)
        intended[tx_id] = due
        producer.produce(topic, key=key, value=value)
    producer.flush()
    return intended


def cpu_seconds(pid: int) -> float:
    """Return the CPU time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bench:
    """A site, its floor, and runs on either."""

    def __init__(
        self, kafka: KafkaServer, redis: RedisServer, folder: Path, extra: Sequence[str], model: str = "demo"
    ) -> None:
        """Start the worker and the pass-through."""
        flags = ("--rules", "default", *extra)
        self.site = Site(kafka.bootstrap, redis.url, folder, "bench", model=model, extra=flags)
        self._kafka = kafka.bootstrap
        self._sent = 0
        self.worker = self.site.worker()
        topics = self.site.topics
        until(lambda: '"http_port"' in self.site.log(), "the worker's port")
        self._port = json.loads(self.site.log().splitlines()[0])["http_port"]
        words = ["-m", "tests.bench.floor", kafka.bootstrap, topics.labels, topics.alerts + ".floor"]
        from streaming.kafka.topics import admin

        client = admin(self.site.settings)
        client.create_topics({words[-1]: {"num_partitions": 4, "replication_factor": 1}}, wait_for_metadata=True)
        client.close()
        self.floor = subprocess.Popen([sys.executable, *words])
        self._floor_topics = words[-2], words[-1]

    def close(self) -> None:
        """End both."""
        self.floor.kill()
        self.floor.wait()
        self.site.close()

    def run(self, *, floor: bool, rate: float, seconds: float) -> Measured:
        """Run one of the two at a rate."""
        topics = self.site.topics
        source, sink = self._floor_topics if floor else (topics.transactions, topics.decisions)
        process = self.floor if floor else self.worker
        reader = Reader(self._kafka, sink)
        first = self._sent
        self._sent += int(rate * (seconds + WARM_SECONDS)) + 10
        generate(self._kafka, source, rate, WARM_SECONDS, first)
        before = cpu_seconds(process.pid)
        intended = generate(self._kafka, source, rate, seconds, first + int(rate * WARM_SECONDS) + 1)
        end = time.monotonic() + DRAIN_SECONDS
        while len(intended.keys() - reader.seen.keys()) and time.monotonic() < end:
            time.sleep(0.1)
        used = cpu_seconds(process.pid) - before
        reader.close()
        waits = [(reader.seen[tx_id] - due) / 1e6 for tx_id, due in intended.items() if tx_id in reader.seen]
        p50, p99, p999 = np.percentile(waits, [50, 99, 99.9]).tolist() if waits else (float("inf"),) * 3
        return Measured(p50, p99, p999, used / len(intended) * 1e3, len(intended) - len(waits))

    def stages(self) -> dict[str, dict[str, float]]:
        """Return, for each stage, the milliseconds a batch and a decision have cost so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        values = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}
        events = values["fraud_batch_events_sum"]
        found = {}
        for stage in STAGES:
            total = values.get(f'fraud_stage_seconds_sum{{stage="{stage}"}}', 0.0) * 1e3
            batches = max(values.get(f'fraud_stage_seconds_count{{stage="{stage}"}}', 0.0), 1.0)
            found[stage] = {"batch": round(total / batches, 3), "decision": round(total / max(events, 1.0), 3)}
        return found


def median(runs: Sequence[Measured]) -> Measured:
    """Return the median of each figure."""
    p50, p99, p999, cpu = (float(np.median(column)) for column in list(zip(*runs, strict=True))[:4])
    return Measured(p50, p99, p999, cpu, sum(run.lost for run in runs))


def rounded(run: Measured) -> dict[str, float]:
    """Return one run's figures for the record."""
    return {name: round(value, 3) for name, value in run._asdict().items()}


def line(rate: float, path: Measured, floor: Measured, pairs: int) -> dict[str, Any]:
    """Return and print one rate's result."""
    print(
        f"{rate:>7,.0f} {path.p50:>9.1f} {path.p99:>9.1f} {path.p999:>9.1f} {floor.p50:>9.1f} {floor.p99:>9.1f} "
        f"{floor.p999:>9.1f} {path.p50 / floor.p50:>7.2f} {path.p99 / floor.p99:>7.2f} {path.cpu:>8.2f} "
        f"{floor.cpu:>8.2f} {path.lost:>5} {pairs:>5}",
        flush=True,
    )
    return {
        "rate": rate, "p50_ms": round(path.p50, 2), "p99_ms": round(path.p99, 2), "p999_ms": round(path.p999, 2),
        "floor_p50_ms": round(floor.p50, 2), "floor_p99_ms": round(floor.p99, 2),
        "floor_p999_ms": round(floor.p999, 2), "cpu_ms": round(path.cpu, 3), "floor_cpu_ms": round(floor.cpu, 3),
        "lost": path.lost, "pairs": pairs,
    }  # fmt: skip


def measure(
    bench: Bench, rates: Sequence[float], paired: Sequence[float], pairs: int, seconds: float
) -> list[dict[str, Any]]:
    """Measure every rate; path and floor in turn."""
    heads = ("rate/s", "p50 ms", "p99", "p99.9", "floor p50", "p99", "p99.9", "p50 x", "p99 x", "cpu ms", "floor")
    widths = (7, 9, 9, 9, 9, 9, 9, 7, 7, 8, 8)
    print(" ".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True)), " lost pairs")
    rows = []
    for rate in rates:
        in_full = rate in paired
        times = pairs if in_full else min(pairs, OTHER_PAIRS)
        length = max(seconds, PAIRED_SECONDS) if in_full and pairs > 1 else seconds
        path, floor = [], []
        for _ in range(times):
            path.append(bench.run(floor=False, rate=rate, seconds=length))
            floor.append(bench.run(floor=True, rate=rate, seconds=length))
        row = line(rate, median(path), median(floor), times)
        row["runs"] = {"path": [rounded(run) for run in path], "floor": [rounded(run) for run in floor]}
        rows.append(row)
    return rows


def main() -> None:
    """Run with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", default="100,200,500,1000,2000")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--paired", default="500,1000")
    parser.add_argument("--delivery", default="fast")
    parser.add_argument("--model", default="demo", help="a shipped model, as demo-blend, or one in build/models")
    given = parser.parse_args()
    rates, paired = ([float(rate) for rate in words.split(",")] for words in (given.rates, given.paired))
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        kafka = KafkaServer(folder / "kafka").start(tied=True)
        redis = RedisServer(folder / "redis").start(tied=True)
        bench = Bench(kafka, redis, folder / "site", ("--delivery", given.delivery), given.model)
        try:
            rows = measure(bench, rates, paired, given.pairs, given.seconds)
            stages = bench.stages()
        finally:
            bench.close()
            kafka.kill()
            redis.kill()
    for stage, cost in stages.items():
        print(f"{stage:<10} {cost['batch']:>8.3f} ms a batch {cost['decision']:>8.3f} ms a decision")
    fit = [row["rate"] for row in rows if row["p99_ms"] <= 50.0 and not row["lost"]]
    result = {"rates": rows, "highest_rate_p99_50ms": max(fit, default=0), "stages_ms": stages}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(result, indent=1))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
