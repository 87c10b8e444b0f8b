"""`fraud learn` follows the release in force, on a real Kafka and a real Redis, run as a user runs it."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from fraud.core.records import HOUR, Decision, Label, LabelSource, Transaction, Verdict
from fraud.simulate import fdh
from models.online.snapshots import Snapshot, decoded, event_in
from streaming.kafka.updates import EVENT, HELD, SNAPSHOT
from tests.parity.live import is_ready
from tests.site import Site, until

LEARNING = {
    "FRAUD_REFRESH__ENABLED": "true", "FRAUD_REFRESH__EVERY": "1s", "FRAUD_GATE__ENABLED": "true",
    "FRAUD_GATE__SOURCE__ALARM": "1e9", "FRAUD_GATE__SOURCE_STRONG__ALARM": "1e9", "FRAUD_GATE__PATIENCE": "0s",
    "FRAUD_GATE__SOURCE_SURE__ALARM": "1e9",
    "FRAUD_GATE__MERCHANT__ALARM": "1e9", "FRAUD_GATE__DEVICE__ALARM": "1e9", "FRAUD_SERVING__BUDGET": "10m",
}  # fmt: skip
MANY = 100


class Learning(Site):
    """A site that learns, with payments to send and an analyst who speaks of each."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        traffic = fdh.generate(fdh.Fdh(cards=300, terminals=600, days=3, seed=5, radius=30.0))
        self._payments, self.sent = iter(list(islice(traffic.transactions(), 10 * MANY))), 0

    def live_on(self) -> list[Decision]:
        """Send payments, and a verdict on each once it is decided; return the decisions."""
        some = list(islice(self._payments, MANY))
        self.sent += self.send(some)
        self.wait_for(self.sent)
        ids = {tx.id for tx in some}
        self.send_labels(verdict(tx, number) for number, tx in enumerate(some))
        return [answer.decision for answer in self.read().answers if answer.decision.tx_id in ids]

    def fraud(self, *words: str) -> dict[str, Any]:
        """Run a command; return its last line."""
        done = subprocess.run([sys.executable, "-m", "fraud", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def activate(self, model: str) -> str:
        """Put a model in force; return once worker and learner have taken it up, the model as decisions name it."""
        made = self.fraud("release", "activate", "--model", model, "--store", self.redis_url)
        for name in ("worker0", "book"):
            until(lambda name=name: f'"release":"{made["id"]}"' in self.log(name), lambda name=name: self.log(name))  # type: ignore[misc]
        return str(made["model"])

    def of_updates(self, begin: str) -> list[tuple[str, bytes]]:
        """Return records of what was learned, by the beginning of their keys."""
        records = [(record.key.decode(), record.value) for record in self.records(self.topics.updates)]
        return [(key.removeprefix(begin), body) for key, body in records if key.startswith(begin)]

    def snapshots(self, model: str) -> list[Snapshot]:
        """Return what was learned on a model."""
        found = [decoded(body) for _, body in self.of_updates(SNAPSHOT)]
        return [one for one in found if one.base == model]

    def learned_on(self, model: str) -> Snapshot:
        """Return the newest of what was learned on a model, once there is something."""
        until(lambda: bool(self.snapshots(model)), lambda: f"learned on {model}: {self.log('book')[-1_500:]}")
        return self.snapshots(model)[-1]

    def kinds(self) -> list[str]:
        """Return what kinds of things have happened to what is learned."""
        return [event_in(body).kind for _, body in self.of_updates(EVENT)]


def verdict(tx: Transaction, number: int) -> Label:
    said = Verdict.GENUINE if number % 4 else Verdict.FRAUD
    return Label(tx_id=tx.id, verdict=said, happened_at=tx.happened_at + HOUR, seen_at=0, source=LabelSource.ANALYST)


@pytest.fixture
def site(kafka: str, redis_url: str, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Learning]:
    name = unique("follows")
    made = Learning(kafka, redis_url, tmp_path / name, name, environment=LEARNING)
    yield made
    made.close()


def test_learner_goes_on_with_the_model_of_the_release_and_payments_get_no_other_s_parameters(site: Learning) -> None:
    site.worker()
    book = site.book()
    until(lambda: is_ready(site, 0), "the worker is ready")
    (first,) = {decision.versions.model for decision in site.live_on()}
    where = ["--bootstrap", site.settings.bootstrap, "--prefix", site.settings.prefix]
    site.fraud("refresh", "pin", site.learned_on(first).version, *where)
    until(lambda: "parameters taken up" in site.log(), lambda: site.log()[-1_500:])
    before = site.live_on()
    assert {decision.versions.parameters for decision in before} == {site.snapshots(first)[0].version}
    second = site.activate("demo-young")
    assert second != first
    after = site.live_on()
    assert {(one.versions.model, one.versions.parameters) for one in after} == {(second, "")}
    learned = site.learned_on(second)
    assert sum(learned.labels.values()) <= MANY  # of nothing that the other model decided
    assert learned.parent == ""
    assert site.kinds().count("base-changed") == 1
    assert second in [base for base, _ in site.of_updates(HELD)]
    site.fraud("refresh", "pin", learned.version, *where)
    until(lambda: site.log().count("parameters taken up") == 2, lambda: site.log()[-1_500:])
    assert {one.versions.parameters for one in site.live_on()} == {learned.version}
    # Whoever starts learns on the release, whatever its --model says, and goes on with what was learned.
    book.kill()
    book.wait()
    site.book()
    until(lambda: site.log("book").count('"learns on"') == 2, lambda: site.log("book"))
    learns_on = [line for line in site.log("book").splitlines() if '"learns on"' in line]
    assert f'"model":"{second}"' in learns_on[-1]
    had = len(site.snapshots(second))
    site.live_on()
    until(lambda: len(site.snapshots(second)) > had, lambda: site.log("book")[-1_500:])
    assert site.kinds().count("base-changed") == 1
    assert sum(site.snapshots(second)[-1].labels.values()) > sum(learned.labels.values())


def test_learner_that_cannot_ask_goes_on_with_what_it_has_learned_on(
    kafka: str, tmp_path: Path, unique: Callable[[str], str], own_redis: Any
) -> None:
    name = unique("follows")
    site = Learning(kafka, own_redis.url, tmp_path / name, name, environment=LEARNING)
    try:
        site.worker()
        book = site.book()
        until(lambda: is_ready(site, 0), "the worker is ready")
        model = site.activate("demo-young")
        site.live_on()
        version = site.learned_on(model).version
        own_redis.kill()
        book.kill()
        book.wait()
        site.book()
        until(lambda: site.log("book").count('"learns on"') == 2, lambda: site.log("book"))
        until(lambda: "releases not known" in site.log("book"), lambda: site.log("book"))
        assert site.log("book").count(f'"learns on","model":"{model}"') == 1
        assert version in {one.version for one in site.snapshots(model)}
        assert site.kinds().count("base-changed") == 1
    finally:
        site.close()


def test_model_without_leaves_is_followed_and_nothing_is_learned(site: Learning) -> None:
    site.worker()
    site.book()
    until(lambda: is_ready(site, 0), "the worker is ready")
    (first,) = {decision.versions.model for decision in site.live_on()}
    site.learned_on(first)
    site.activate("rules")
    had = len(site.snapshots(first))
    site.live_on()
    until(lambda: site.ends(site.topics.applied) >= 2 * MANY, "all labels are applied")
    assert len(site.snapshots(first)) == had
    assert site.activate("demo") == first
    site.live_on()
    until(lambda: len(site.snapshots(first)) > had, lambda: site.log("book")[-1_500:])
    assert "base-changed" not in site.kinds()
