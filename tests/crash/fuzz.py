"""10,000 broken messages among good ones, then records at the edges on every topic: `make fuzz`.

    python -m tests.crash.fuzz [--count 10000] [--pairs 5] [--edges 300] [--seed N]

Half of them are drawn by hypothesis (bytes, JSON of any shape, messages with fields of any kind), half are good ones
cut, emptied or given an odd field; every run draws others, by a seed that it prints. Each must come out on the
dead-letter topic with its reason and its original bytes, and the good ones must not notice: pairs of runs, with and
without broken messages, are compared by the 99th percentile of the worker's own decision time, `p99_ratio` being the
median over pairs. Letters are then repaired and driven in again, and must be decided. At last records with odd keys,
headers, bodies and codecs (`tests/edges.py`) go to all nine topics: each payment among them must be decided, each other
transaction be a letter, and worker and label book go on, also when they are started anew. Exit status 1 when a message
is missing, a repaired one not decided, a process has ended, or the ratio is above 1.2.
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
from contextlib import suppress
from pathlib import Path
from subprocess import Popen

import msgspec
import numpy as np
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fraud.cli import app
from fraud.core.card_numbers import KEYLESS
from fraud.core.errors import DataError
from fraud.core.records import Transaction
from infra.services import KafkaServer, RedisServer
from streaming.files.dead_letters import Letter
from streaming.kafka.dead_letters import DeadTopic, repaired, topic_of
from streaming.messages import envelope, schema
from streaming.messages.letters import masked_message
from tests import edges
from tests.crash.kills import payments
from tests.edges import EdgeSender
from tests.site import Site, until

RATIO = 1.2
SECONDS = 10.0
REPAIR = ("amount=500",)
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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def drawn(count: int, good: bytes, chosen: int) -> list[bytes]:
    """Return so many messages that cannot be used, as hypothesis draws them by a seed."""
    content = msgspec.json.decode(good)
    fields = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=12), JSON, min_size=1, max_size=3)
    kinds = st.binary(max_size=400) | JSON.map(text_of) | fields.map(lambda change: text_of({**content, **change}))
    found: dict[bytes, None] = {}

    @seed(chosen)
    @settings(max_examples=4 * count, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(kinds)
    def collect(value: bytes) -> None:
        if len(found) < count and not is_fine(value):
            found[value] = None

    collect()
    return list(found)


def text_of(value: object) -> bytes:
    """Return a value as JSON, in the standard library's words: hypothesis draws text that is no Unicode."""
    return json.dumps(value).encode()


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
    from streaming.messages.codec import Codec

    return isinstance(Codec().transaction(value, Position("t", 0, 0), time.time_ns()), Arrival)


def faulty(count: int, good: list[Transaction], chosen: int) -> list[bytes]:
    """Return so many messages that cannot be used, in mixed order."""
    rng = random.Random(chosen)
    samples = [schema.of_transaction(tx) for tx in good[:50]]
    found = drawn(count // 2, samples[0], chosen)
    while len(found) < count:
        value = broken(rng, rng.choice(samples))
        if not is_fine(value):
            found.append(value)
    rng.shuffle(found)
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
    """Return how many broken messages lack a dead letter with reason, source and original bytes.

    Of some numbers that are drawn the digits are masked, for they look like those of a card.
    """
    until(lambda: site.ends(site.topics.dead) >= len(bad), "dead letters", 120)
    letters: Counter[bytes] = Counter()
    for letter in site.records(site.topics.dead):
        if envelope.header(letter.headers, envelope.REASON) and envelope.header(letter.headers, envelope.SOURCE):
            letters[letter.value or b""] += 1
    return sum((Counter(masked_message(value, KEYLESS) or value for value in bad) - letters).values())


def undecided(site: Site, most: int = 100) -> tuple[int, int]:
    """Repair letters whose only fault is the amount, drive them in again; return how many, and how many went wrong."""
    topic = DeadTopic(site.settings)
    names = [name for name, letter in topic.letters().items() if mended(letter)][:most]
    before = site.ends(site.topics.decisions)
    where = ["--bootstrap", site.settings.bootstrap, "--prefix", site.settings.prefix]
    words = ["dead", "redrive", *where, *(f"--set={field}" for field in REPAIR), *names]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert json.loads(done.stdout.splitlines()[-1])["redriven"] == len(names)
    until(lambda: site.ends(site.topics.decisions) >= before + len(names), "repaired ones decided", 60)
    decided = {answer.decision.tx_id for answer in site.read().answers}
    letters = topic.letters()
    return len(names), sum(id_of(letters[name]) not in decided or not letters[name].redriven for name in names)


def mended(letter: Letter) -> bool:
    """Tell whether a letter can be used once it is repaired."""
    try:
        return is_fine(repaired(letter, dict(field.split("=") for field in REPAIR), ""))
    except DataError:
        return False


def id_of(letter: Letter) -> str:
    """Return the id of the transaction that a letter holds."""
    return str(msgspec.json.decode(letter.bytes())["id"])


def at_the_edges(site: Site, processes: list["Popen[bytes]"], count: int, chosen: int) -> dict[str, int]:
    """Send records at the edges to every topic; return how many, and what is missing of what must come of them."""
    rng, sender = random.Random(chosen), EdgeSender(site.settings.bootstrap)
    good = [schema.of_transaction(msgspec.structs.replace(tx, id=f"edge-{tx.id}")) for tx in payments(count, 31)]
    sent = edges.drawn(rng, count, good)
    letters, decisions = letters_of(site), ids_of(site)
    for topic in site.topics:
        sender.send(topic, sent if topic == site.topics.transactions else rng.sample(sent, count // 4))
    sender.close()
    fine = {str(msgspec.json.decode(edge.value)["id"]) for edge in sent if edge.value and is_fine(edge.value)}
    odd = sum(not is_fine(edge.value or b"") for edge in sent)
    until(
        lambda: fine <= ids_of(site), lambda: f"{len(fine - ids_of(site))} payments decided; {site.log()[-1_500:]}", 120
    )
    until(lambda: letters_of(site) - letters >= odd, lambda: f"{odd} letters, found {letters_of(site) - letters}", 120)
    ended = sum(process.poll() is not None for process in processes)
    for process in processes:
        process.kill()
        process.wait()
    processes = [site.worker(), site.book()]
    again = [msgspec.structs.replace(tx, id=f"after-{tx.id}") for tx in payments(40, 32)]
    site.send(again)
    until(lambda: {tx.id for tx in again} <= ids_of(site), lambda: f"payments decided; {site.log()[-1_500:]}", 120)
    ended += sum(process.poll() is not None for process in processes)
    return {"edges": len(sent), "decided_anew": len(fine - decisions), "ended": ended}


def letters_of(site: Site) -> int:
    """Return how many transactions are dead letters."""
    return sum(topic_of(letter) == site.topics.transactions for letter in DeadTopic(site.settings).letters().values())


def ids_of(site: Site) -> set[str]:
    """Return the ids of all payments that are decided; what stands there and is no decision names none."""
    found = set()
    for record in site.records(site.topics.decisions):
        with suppress(DataError):
            found.add(envelope.answer_in(record.value, record.headers).decision.tx_id)
    return found


def measured(site: Site, bad: list[bytes], pairs: int, rate: float) -> tuple[list[float], list[float]]:
    """Return the p99 (ms) of good messages in runs without and with broken ones, in turn."""
    runs = 2 * pairs + 1
    good = payments(int(rate * SECONDS) * runs, 2)
    length = len(good) // runs
    parts = [good[number * length : (number + 1) * length] for number in range(runs)]
    run(site, parts[0], [], rate)
    plain, mixed = [], []
    for pair, share in enumerate(np.array_split(np.arange(len(bad)), pairs)):
        plain.append(run(site, parts[1 + 2 * pair], [], rate))
        mixed.append(run(site, parts[2 + 2 * pair], [bad[number] for number in share], rate))
    return plain, mixed


def main() -> None:
    """Run with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--edges", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    asked = parser.parse_args()
    print(f"seed {asked.seed}", file=sys.stderr)
    bad = faulty(asked.count, payments(50, 2), asked.seed)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        kafka = KafkaServer(folder / "kafka").start(tied=True)
        redis = RedisServer(folder / "redis").start(tied=True)
        site = Site(kafka.bootstrap, redis.url, folder / "site", "fuzz")
        try:
            processes = [site.worker(), site.book()]
            until(lambda: '"http_port"' in site.log(), "the worker's port")
            plain, mixed = measured(site, bad, asked.pairs, asked.rate)
            lost = missing(site, bad)
            driven, left = undecided(site)
            edged = at_the_edges(site, processes, asked.edges, asked.seed)
        finally:
            site.close()
            kafka.kill()
            redis.kill()
    ratio = float(np.median(np.array(mixed) / np.array(plain)))
    print(f"p99 without {np.round(plain, 1)} ms, with {np.round(mixed, 1)} ms", file=sys.stderr)
    result = {"seed": asked.seed, "broken": len(bad), "missing": lost, "p99_ratio": round(ratio, 3)}
    print(json.dumps(result | {"redriven": driven, "undecided": left} | edged))
    sys.exit(1 if lost or left or not driven or edged["ended"] or ratio > RATIO else 0)


if __name__ == "__main__":
    main()
