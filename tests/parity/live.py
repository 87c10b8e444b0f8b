"""A live run through Kafka and Redis against the replay of its own log: `make parity`.

    python -m tests.parity.live [--rows 200000] [--data FILE] [--model demo]

One worker and the label book, undisturbed; payments as fast as they go, far beyond what the worker keeps in time, so
that levels change and decisions are late; each label when the stream's time reaches it. The replay takes transactions,
the applied labels, and of the decisions `seen_at`, level, explainer and what was late, in the order in which the worker
saw them, through the engine with the embedded store. Compared: the whole decision, to the last digit.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.engine import Engine, Lateness
from fraud.core.records import Answer, Arrival, Decision, Intake, Label, Position, Reject, Transaction, as_decided
from fraud.simulate import fdh
from infra.services import KafkaServer, RedisServer
from streaming.files import mapping
from streaming.files.rows import Row
from streaming.files.table import Table
from streaming.kafka import output_log
from streaming.messages import envelope
from streaming.messages.codec import Codec, Limits
from streaming.replay.history import HistorySource, history, ordered
from streaming.settings import changed, rates, read_settings
from streaming.wiring import strategy
from tests.site import Site, until

DELAY = 7 * 86_400 * 1_000_000_000
BATCH = 64


def stream(data: Path | None, rows: int) -> Iterator[Arrival | Reject]:
    """Yield payments and their labels by time: of the file, or simulated ones."""
    if data is None:
        traffic = fdh.generate(fdh.Fdh(cards=400, terminals=800, days=60, seed=9, radius=12.0))
        truth = zip(traffic.transactions(), traffic.fraud.tolist(), strict=True)
        from fraud.core.records import Verdict

        made = (Row(tx, Verdict.FRAUD if fraud else Verdict.GENUINE, "", None) for tx, fraud in truth)
        return history(ordered(islice(made, rows)), DELAY)
    return history(ordered(islice(Table(data, mapping.load("fdh")).rows(), rows)), DELAY)


def feed(site: Site, events: Iterator[Arrival | Reject]) -> tuple[int, int]:
    """Send a stream in its order; return how many payments and labels."""
    source, payments, labels = HistorySource(events, 500), 0, 0
    while (intake := source.read()) is not None:
        payments += site.send(transactions(intake))
        labels += site.send_labels(a.event for a in intake.arrivals if isinstance(a.event, Label))
        # The label book must keep pace with the stream's time, as it does live.
        if payments % 5_000 < 500:
            until(lambda done=payments: site.ends(site.topics.decisions) >= done - 4_000, "the worker keeps up", 300)  # type: ignore[misc]
    return payments, labels


def transactions(intake: Intake) -> Iterator[Transaction]:
    """Yield the payments of a batch."""
    return (a.event for a in intake.arrivals if isinstance(a.event, Transaction))


def log_of(site: Site, decided: Sequence[Answer]) -> list[Arrival]:
    """Return what the worker took up, in the order in which it did."""
    made = {(answer.position.partition, answer.position.offset): answer.decision for answer in decided}
    found = read_settings(None, {})
    codec = Codec(rates(found), Limits(ahead=2**62))
    arrivals = []
    for record in site.records(site.topics.transactions):
        place = record.partition, record.offset
        if place in made:
            position = Position("transactions", *place)
            taken = codec.transaction(record.value, position, made[place].seen_at)
            assert isinstance(taken, Arrival)
            arrivals.append(as_decided(taken, made[place]))
    once = output_log.Once(site.topics)
    for record in filter(once.accepts, site.records(site.topics.applied)):
        source = output_log.source_of(record.headers)
        assert source is not None
        arrivals.append(Arrival(envelope.known_in(record.value), source))
    return sorted(arrivals, key=lambda arrival: arrival.event.seen_at)


def replayed(log: Sequence[Arrival], model: str) -> dict[str, Decision]:
    """Return the decisions of a replay, by transaction."""
    settings = changed(read_settings(None, {}), "model", name=model)
    store = MemoryStore()
    extractor = OnlineExtractor(store)
    engine = Engine(extractor, store, strategy(settings, extractor.version), None, Lateness(settings.lateness.allowed))
    found = {}
    for begin in range(0, len(log), BATCH):
        for answer in engine.handle(log[begin : begin + BATCH]):
            found[answer.decision.tx_id] = answer.decision
    return found


def differing(live: Sequence[Answer], again: dict[str, Decision]) -> list[str]:
    """Return the ids of decisions that are not the same."""
    return [answer.decision.tx_id for answer in live if answer.decision != again.get(answer.decision.tx_id)]


def hurried(decisions: Sequence[Decision]) -> dict[str, int]:
    """Return how many decisions there are of each level, explainer and mark: whether time was short at all."""
    words = [word for one in decisions for word in (f"level {one.level}", f"explainer {one.explainer}", *one.marks)]
    return dict(sorted(Counter(map(str, words)).items()))


def compare(site: Site, data: Path | None, rows: int) -> tuple[int, list[str], int, dict[str, int]]:
    """Run live, then replay; return how many decisions, those that differ, the labels applied, and what was short."""
    site.book()
    site.worker()
    payments, labels = feed(site, stream(data, rows))
    until(lambda: site.ends(site.topics.decisions) >= payments, "every decision", 600)
    until(lambda: site.ends(site.topics.known) >= labels, "every label known", 300)
    until(lambda: site.ends(site.topics.applied) >= labels, "every label applied", 300)
    live = site.read().answers
    again = replayed(log_of(site, live), site.model)
    return payments, differing(live, again), labels, hurried([answer.decision for answer in live])


def main() -> None:
    """Run with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--data", type=Path, default=None, help="the handbook's file; default: simulated traffic")
    parser.add_argument("--model", default="demo")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="parity-") as name:
        folder = Path(name)
        kafka = KafkaServer(folder / "kafka").start(tied=True)
        redis = RedisServer(folder / "redis").start(tied=True)
        site = Site(kafka.bootstrap, redis.url, folder / "site", "parity", model=given.model)
        try:
            rows, differ, labels, words = compare(site, given.data, given.rows)
        finally:
            site.close()
            kafka.kill()
            redis.kill()
    print(f"{rows:,} payments, {labels:,} labels in {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(json.dumps({"rows": rows, "differ": len(differ), "labels": labels, "of": words}))
    if len({word for word in words if word.startswith("level")}) < 2:
        sys.exit("the worker was never short of time, so this run shows nothing of an overload: give it more --rows")
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
