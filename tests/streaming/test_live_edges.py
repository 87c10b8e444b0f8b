"""A site whose topics, all nine of them, hold records at the edges: nothing ends, nothing waits, all of it is told."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from typer.testing import CliRunner

from fraud.cli import app
from fraud.core.records import KnownLabel, Label, LabelSource, Transaction, Verdict
from fraud.simulate import fdh
from streaming import clock
from streaming.kafka.output_log import open_output
from streaming.messages import envelope, schema
from tests.edges import Edge, EdgeSender, RawHeaders, huge_numbers, less_a_field, of_any_topic
from tests.links import LIBRARIES
from tests.site import Site, until

SOURCE: RawHeaders = (("source", b"transactions@abc/0/7"),)
LABEL = KnownLabel(
    tx_id="nobody", verdict=Verdict.FRAUD, source=LabelSource.ANALYST, happened_at=1, seen_at=1, card="c",
    merchant="m", paid_at=1, base_amount=100, replaces_at=1,
)  # fmt: skip
KNOWN = envelope.known_out(LABEL, "").value
BLOCK = b'{"kind":"case","id":"a1","action":"block_card","card":"odd","at":1,"by":"anna"}'
LIVE = b'{"base":"b@1","version":"1-a","seq":1,"at":6,"why":"promoted","pinned":false}'


def payments(count: int) -> list[Transaction]:
    traffic = fdh.generate(fdh.Fdh(cards=60, terminals=60, days=30, seed=8, radius=30.0))
    return list(islice(traffic.transactions(), count))


class Stage:
    """A site with a worker and a label book, what was paid there, and what came of it."""

    def __init__(self, site: Site) -> None:
        """Start both; wait until payments are decided, and a verdict is applied."""
        self.site = site
        self.payments = iter(payments(200))
        self.sent: list[Transaction] = []
        self.found: dict[str, set[str]] = {site.topics.decisions: set(), site.topics.applied: set()}
        self.output = open_output(site.settings, list(self.found))
        self.begin()

    def begin(self) -> None:
        """Start worker and label book, and see that they work."""
        self.processes: list[Popen[bytes]] = [self.site.worker(), self.site.book("--http", "0")]
        self.need_work()

    def need_work(self) -> None:
        """Pay with some cards, tell the verdict on the first; return when all is decided, known and applied."""
        site, paid = self.site, list(islice(self.payments, 16))
        self.sent += paid
        site.send(paid)
        until(lambda: {tx.id for tx in self.sent} <= self.seen(site.topics.decisions), self.log, 240)
        verdict = Label(tx_id=paid[0].id, verdict=Verdict.FRAUD, happened_at=clock.now_ns(), seen_at=0)
        site.send_labels([verdict])
        until(lambda: paid[0].id in self.seen(site.topics.applied), self.log, 240)
        assert [process.poll() for process in self.processes] == [None, None]

    def end(self) -> None:
        """Kill both."""
        for process in self.processes:
            process.kill()
            process.wait()

    def seen(self, topic: str) -> set[str]:
        """Return whose decisions, or verdicts, stand in a topic by now."""
        for record in self.output.poll(100):
            self.found[record.topic].add(id_in(record.value))
        return self.found[topic]

    def log(self) -> str:
        return f"work done; {self.site.log()[-1_500:]} {self.site.log('book')[-1_500:]}"

    def told(self, name: str) -> list[dict[str, Any]]:
        """Return what a process has logged."""
        return [json.loads(line) for line in self.site.log(name).splitlines() if line.startswith("{")]

    def metrics(self, name: str) -> str:
        """Return the metrics of a process."""
        port = [line["http_port"] for line in self.told(name) if line["event"] == "started"][-1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            return str(answer.read().decode())


def id_in(value: bytes | None) -> str:
    """Return which payment a message names, the empty string for none."""
    try:
        content = json.loads(value or b"")
    except (ValueError, RecursionError):
        return ""
    return str(content.get("tx_id", "")) if isinstance(content, dict) else ""


def edges_of(stage: Stage) -> dict[str, list[Edge]]:
    """Return what is sent to each topic: edges of any, and almost what belongs there."""
    topics, base = stage.site.topics, stage.told("worker0")[0]["model"]
    decision = next(record for record in stage.site.records(topics.decisions) if id_in(record.value))
    almost = {
        topics.transactions: (schema.of_transaction(stage.sent[0]), b"k", SOURCE),
        topics.labels: (b'{"tx_id":"nobody","verdict":"fraud","happened_at":1}', b"k", SOURCE),
        topics.known: (KNOWN, b"k", SOURCE),
        topics.applied: (KNOWN, b"k", SOURCE),
        topics.decisions: (decision.value, b"k", tuple(decision.headers)),
        topics.alerts: (b'{"id":"a","tx_id":"t","version":0}', b"k", SOURCE),
        topics.dead: (b"{}", b"k", SOURCE),
        topics.actions: (BLOCK, b"k", SOURCE),
        topics.updates: (LIVE, f"live/{base}".encode(), ()),
    }
    found: dict[str, list[Edge]] = {}
    for topic, (good, key, headers) in almost.items():
        own = [edge._replace(key=key, headers=headers) for edge in (*less_a_field(good), *huge_numbers(good))]
        found[topic] = [*of_any_topic(), *own]
    found[topics.updates] += [Edge("event", b"[]", b"event/9"), Edge("gone", None, f"live/{base}".encode())]
    return found


@pytest.fixture(params=LIBRARIES)
def stage(
    request: pytest.FixtureRequest, kafka: str, redis_url: str, tmp_path: Path, unique: Callable[[str], str]
) -> Iterator[Stage]:
    name = unique("edges")
    environment = {
        "FRAUD_REFRESH__ENABLED": "true",
        "FRAUD_REFRESH__EVERY": "1s",
        "FRAUD_GATE__ENABLED": "true",
    }
    site = Site(kafka, redis_url, tmp_path / name, name, library=request.param, environment=environment)
    yield Stage(site)
    site.close()


def test_edges_in_every_topic_end_and_hold_up_nothing(stage: Stage) -> None:
    site, sender = stage.site, EdgeSender(stage.site.settings.bootstrap)
    for topic, edges in edges_of(stage).items():
        # A compacted topic takes no record without a key.
        refused = {"neither key nor value"} if topic == site.topics.updates else set()
        assert set(sender.send(topic, edges)) == refused
    sender.close()
    stage.need_work()
    for name, topic, codes in (
        ("worker0", "transactions", ("json", "size", "id", "happened_at")),
        ("worker0", "labels.known", ("json",)),
        ("book", "labels", ("json", "size", "tx_id")),
        ("book", "actions", ("json", "size", "kind", "at")),
    ):
        said = stage.metrics(name)
        for code in codes:
            assert f'fraud_rejects_total{{code="{code}",topic="{topic}"}}' in said
        assert f'fraud_cut_total{{part="original",topic="{topic}"}}' in said
        assert f'fraud_cut_total{{part="headers",topic="{topic}"}}' in said
    assert 'fraud_skipped_total{code="foreign",topic="decisions"}' in stage.metrics("book")
    # What stands in the output is read again at a start, and what cannot be read is read past.
    stage.end()
    stage.begin()
    assert 'fraud_skipped_total{code="foreign",topic="decisions"}' in stage.metrics("worker0")
    where = ["--bootstrap", site.settings.bootstrap, "--prefix", site.settings.prefix]
    for words in (["dead", "list", *where], ["refresh", "history", *where]):
        shown = CliRunner().invoke(app, words, catch_exceptions=False)
        assert shown.exit_code == 0
