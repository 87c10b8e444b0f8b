"""`fraud learn` with refreshes, a worker beside it, on a real Kafka and a real Redis, run as a user runs it."""

import json
import re
import signal
import urllib.request
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from fraud.cli import app
from fraud.core.records import HOUR, Label, LabelSource, Level, Transaction, Verdict
from fraud.simulate import fdh
from models.online.snapshots import decoded, event_in
from streaming.kafka.updates import EVENT, SNAPSHOT
from streaming.messages import envelope
from tests.site import Site, until

LEARNING = {
    "FRAUD_REFRESH__ENABLED": "true", "FRAUD_REFRESH__EVERY": "1s", "FRAUD_GATE__ENABLED": "true",
    "FRAUD_GATE__SOURCE__ALARM": "1e9", "FRAUD_GATE__SOURCE_STRONG__ALARM": "1e9", "FRAUD_GATE__PATIENCE": "0s",
    "FRAUD_GATE__SOURCE_SURE__ALARM": "1e9",
    "FRAUD_GATE__MERCHANT__ALARM": "1e9", "FRAUD_GATE__DEVICE__ALARM": "1e9",
    # However busy the machine is, nothing is decided by rules alone.
    "FRAUD_SERVING__BUDGET": "10m",
}  # fmt: skip
SENT = 300


@pytest.fixture
def site(kafka: str, redis_url: str, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Site]:
    """A site that learns, ended with the test."""
    name = unique("learn")
    made = Site(kafka, redis_url, tmp_path / name, name, environment=LEARNING)
    yield made
    made.close()


def payments() -> list[Transaction]:
    traffic = fdh.generate(fdh.Fdh(cards=300, terminals=600, days=3, seed=5, radius=30.0))
    return list(islice(traffic.transactions(), SENT))


def decided(site: Site) -> list[Transaction]:
    """Send payments; return them once each has its decision, by the whole model: else it could not be learned."""
    sent = payments()
    site.send(sent)
    site.wait_for(SENT)
    assert {answer.decision.level for answer in site.read().answers} == {Level.FULL}
    return sent


def labels_of(sent: list[Transaction]) -> list[Label]:
    """Return an analyst's verdict on each payment, many of them frauds."""
    return [
        Label(
            tx_id=tx.id, verdict=Verdict.GENUINE if number % 4 else Verdict.FRAUD, happened_at=tx.happened_at + HOUR,
            seen_at=0, source=LabelSource.ANALYST,
        )
        for number, tx in enumerate(sent)
    ]  # fmt: skip


def versions(site: Site) -> list[str]:
    keys = [record.key.decode() for record in site.records(site.topics.updates)]
    return [key.removeprefix(SNAPSHOT) for key in keys if key.startswith(SNAPSHOT)]


def metrics(site: Site) -> str:
    """Return the metrics of the newest label book."""
    port = json.loads(re.findall(r"\{.*\"http_port\".*\}", site.log("book"))[-1])["http_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return str(answer.read().decode())


def test_labels_are_learned_once_over_a_kill_by_whoever_waited_for_its_turn(site: Site) -> None:
    site.worker()
    first = site.book("--http", "0")
    until(lambda: '"started"' in site.log("book"), lambda: f"the first: {site.log('book')}")
    second = site.book("--http", "0")
    sent = decided(site)
    labels = labels_of(sent)
    site.send_labels(labels[: SENT // 2])
    until(lambda: bool(versions(site)), lambda: f"a version: {site.log('book')}")
    until(lambda: '"waits for its turn"' in site.log("book"), "the second to wait")
    assert site.log("book").count('"started"') == 1
    assert first.poll() is None
    first.kill()
    first.wait()
    until(lambda: site.log("book").count('"started"') == 2, lambda: f"the second: {site.log('book')}")
    assert second.poll() is None
    site.send_labels(labels)
    until(lambda: site.ends(site.topics.applied) >= SENT, "all labels applied")
    known = [envelope.known_in(record.value).tx_id for record in site.records(site.topics.known)]
    assert sorted(known) == sorted(tx.id for tx in sent)
    frauds = sum(label.verdict is Verdict.FRAUD for label in labels)
    until(lambda: f'fraud_labels_learned_total{{source="analyst",verdict="fraud"}} {frauds}.0' in metrics(site), "all")
    told = metrics(site)
    assert f'fraud_labels_learned_total{{source="analyst",verdict="genuine"}} {SENT - frauds}.0' in told
    assert f"fraud_refresh_seq {len(versions(site))}.0" in told
    assert 'fraud_refresh_weight{expert="frozen"}' in told
    assert 'fraud_refresh_events_total{kind="refreshed"}' in told
    assert re.search(r"^fraud_refresh_step_seconds_count [1-9]", told, re.MULTILINE)
    second.send_signal(signal.SIGTERM)
    assert second.wait(20) == 0
    records = [(record.key.decode(), record.value) for record in site.records(site.topics.updates)]
    once = [key for key, _ in records if key.startswith((SNAPSHOT, EVENT))]
    assert len(set(once)) == len(once)
    events = [event_in(body) for key, body in records if key.startswith(EVENT)]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    last = [decoded(body) for key, body in records if key.startswith(SNAPSHOT)][-1]
    assert sum(last.positions.values()) <= site.ends(site.topics.labels)
    assert sum(last.labels.values()) <= SENT


def test_operator_pins_what_was_learned_and_payments_get_it(site: Site) -> None:
    site.worker()
    site.book()
    sent = decided(site)
    site.send_labels(labels_of(sent))
    until(lambda: bool(versions(site)), lambda: f"a version: {site.log('book')}")
    version = versions(site)[0]
    where = ["--bootstrap", site.settings.bootstrap, "--prefix", site.settings.prefix]
    pinned = CliRunner().invoke(app, ["refresh", "pin", version, *where])
    assert pinned.exit_code == 0, pinned.output
    assert json.loads(pinned.stdout.splitlines()[-1])["kind"] == "pinned"
    until(lambda: "parameters taken up" in site.log(), lambda: f"the worker: {site.log()[-1_500:]}")
    site.send([tx_of(tx, number) for number, tx in enumerate(sent[:50])])
    site.wait_for(SENT + 50)
    named = {answer.decision.versions.parameters for answer in site.read().answers}
    assert named == {"", version}
    shown = CliRunner().invoke(app, ["refresh", "history", *where])
    assert f"payments get version {version}" in shown.stdout
    assert "pinned" in shown.stdout


def tx_of(tx: Transaction, number: int) -> Transaction:
    """Return a payment that is like another one."""
    return msgspec.structs.replace(tx, id=f"again{number}", happened_at=tx.happened_at + HOUR)


def test_learner_on_a_model_without_leaves_says_what_to_do(site: Site) -> None:
    site.model = "rules"
    book = site.book()
    assert book.wait(60) == 2
    assert "refresh.enabled, but model.name is 'rules', which has no leaves to learn" in site.log("book")
