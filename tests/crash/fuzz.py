"""10,000 broken messages among good ones: `make fuzz`.

    python -m tests.crash.fuzz [--count 10000] [--pairs 5]

Every broken message must come out on the dead-letter topic with its reason and its original bytes, and the good ones
must not notice: pairs of runs, with and without broken messages, are compared by the 99th percentile of the worker's
own decision time. Repaired letters are then driven in again.
"""

import argparse
import json
import random
import re
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np

from fraud.core.records import Transaction
from infra.services import KafkaServer, RedisServer
from streaming import messages, wire
from tests.crash.kills import payments
from tests.site import Site, until

FIELDS = ("id", "card", "merchant", "amount", "happened_at", "currency", "version", "kind", "mcc", "device", "attrs")
ODD: tuple[object, ...] = (
    None,
    -1,
    1.5,
    "",
    "x" * 2_000,
    [],
    {},
    True,
    10**30,
    "\x00",
    "\uff19",
    "2099-01-01T00:00:00Z",
    "NOK",
    -(10**20),
    "nul\x7f",
)


def broken(rng: random.Random, good: bytes) -> bytes:
    """Return one message that cannot be used: raw bytes, a cut or flipped message, or a wrong field."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.randrange(0, 300))
    if kind == 1:
        return good[: rng.randrange(1, len(good) - 1)]
    content = msgspec.json.decode(good)
    if kind == 2:
        content.pop(rng.choice(("id", "card", "merchant", "amount", "happened_at")))
    else:
        content[rng.choice(FIELDS)] = rng.choice(ODD)
    return msgspec.json.encode(content)


def is_fine(value: bytes) -> bool:
    """Tell whether a message can be used after all: some odd values are allowed."""
    from fraud.core.records import Arrival, Position
    from streaming.codec import Codec

    return isinstance(Codec().transaction(value, Position("t", 0, 0), time.time_ns()), Arrival)


def faulty(count: int, good: list[Transaction]) -> list[bytes]:
    """Return so many messages that cannot be used."""
    rng = random.Random(1)
    found: list[bytes] = []
    samples = [messages.of_transaction(tx) for tx in good[:50]]
    while len(found) < count:
        value = broken(rng, rng.choice(samples))
        if not is_fine(value):
            found.append(value)
    return found


def buckets(site: Site) -> dict[float, float]:
    """Return the worker's histogram of decision times: cumulative counts by bound (s)."""
    port = json.loads(site.log().splitlines()[0])["http_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    found = re.findall(r'fraud_decision_seconds_bucket\{le="([^"]+)"\} (\S+)', text)
    return {float(bound): float(count) for bound, count in found}


def p99(before: dict[float, float], after: dict[float, float]) -> float:
    """Return the 99th percentile (ms) between two readings of a histogram, straight lines inside a bucket."""
    counts = [(bound, after[bound] - before[bound]) for bound in sorted(after)]
    target, low, held = 0.99 * counts[-1][1], 0.0, 0.0
    for bound, count in counts:
        if count >= target:
            inside = (target - held) / max(count - held, 1.0)
            return (low + (min(bound, 60.0) - low) * inside) * 1e3
        low, held = bound, count
    return float("inf")


def run(site: Site, good: list[Transaction], bad: list[bytes], rate: float) -> float:
    """Send good ones at a rate, broken ones among them; return the p99 of the good ones (ms)."""
    before, step = buckets(site), max(int(rate / 20), 1)
    share = len(bad) / max(len(good), 1)
    done = 0
    for begin in range(0, len(good), step):
        site.send(good[begin : begin + step], rate)
        upto = int((begin + step) * share)
        site.put(site.topics.transactions, ((b"k%d" % n, bad[n]) for n in range(done, min(upto, len(bad)))))
        done = max(done, upto)
    site.put(site.topics.transactions, ((b"k%d" % n, bad[n]) for n in range(done, len(bad))))
    until(lambda: buckets(site)[float("inf")] - before[float("inf")] >= len(good), "good ones decided", 120)
    return p99(before, buckets(site))


def missing(site: Site, bad: list[bytes]) -> int:
    """Return how many broken messages lack a dead letter with reason, source and original bytes."""
    until(lambda: site.ends(site.topics.dead) >= len(bad), "dead letters", 120)
    letters: Counter[bytes] = Counter()
    for letter in site.records(site.topics.dead):
        if wire.header(letter.headers, wire.REASON) and wire.header(letter.headers, wire.SOURCE):
            letters[letter.value or b""] += 1
    return sum((Counter(bad) - letters).values())


def main() -> None:
    """Run with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rate", type=float, default=300.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        kafka = KafkaServer(folder / "kafka").start(tied=True)
        redis = RedisServer(folder / "redis").start(tied=True)
        site = Site(kafka.bootstrap, redis.url, folder / "site", "fuzz")
        try:
            site.worker()
            until(lambda: '"http_port"' in site.log(), "the worker's port")
            good = payments(int(given.rate * 10) * (2 * given.pairs + 1), 2)
            bad = faulty(given.count, good)
            length = len(good) // (2 * given.pairs + 1)
            parts = [good[n * length : (n + 1) * length] for n in range(2 * given.pairs + 1)]
            run(site, parts[0], [], given.rate)
            shares = np.array_split(np.arange(len(bad)), given.pairs)
            plain, mixed = [], []
            for pair in range(given.pairs):
                plain.append(run(site, parts[1 + 2 * pair], [], given.rate))
                mixed.append(run(site, parts[2 + 2 * pair], [bad[n] for n in shares[pair]], given.rate))
            lost = missing(site, bad)
        finally:
            site.close()
            kafka.kill()
            redis.kill()
    ratio = float(np.median(np.array(mixed) / np.array(plain)))
    print(f"p99 without {np.median(plain):.1f} ms, with {np.median(mixed):.1f} ms", file=sys.stderr)
    print(json.dumps({"broken": len(bad), "missing": lost, "p99_ratio": round(ratio, 3)}))
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
