"""Releases and blocked cards on a real Kafka and a real Redis: taken up by running workers, and named by decisions."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from features.extractor import OnlineExtractor
from features.spec import spec
from features.stores.memory import MemoryStore
from features.stores.releases import RedisReleases
from fraud.core.actions import CaseAction, Remedy
from fraud.core.engine import Engine, Lateness
from fraud.core.records import BLOCKED, Action, Arrival, Decision, Transaction
from fraud.core.settings import Settings
from fraud.simulate import fdh
from streaming import wiring
from streaming.messages.actions import case_out
from tests.parity.live import differing, is_ready, log_of, strategy_of
from tests.redis_cluster import shared_cluster
from tests.site import Site, page, until

EVERY = 'rule every "it is {amount}" :\n    when amount >= 0\n    then note\n'


class Shop(Site):
    """A site with payments to send, whose workers are told a model and no rules."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._payments = iter(payments())
        self.sent = 0

    def pay(self, many: int = 40, card: str = "") -> list[Decision]:
        """Send payments, of a card where one is named; return their decisions."""
        some = list(islice(self._payments, many))
        made = [msgspec.structs.replace(tx, card=card) if card else tx for tx in some]
        self.sent += self.send(made)
        self.wait_for(self.sent)
        ids = {tx.id for tx in made}
        return [answer.decision for answer in self.read().answers if answer.decision.tx_id in ids]

    def release(self, *words: str, status: int = 0) -> dict[str, Any]:
        """Run `fraud release`; return its last line, of a refusal what it says."""
        command = [sys.executable, "-m", "fraud", "release", *words, "--store", self.redis_url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        return {"error": done.stderr} if status else dict(json.loads(done.stdout.splitlines()[-1]))

    def order(self, card: str, remedy: Remedy, name: str) -> None:
        """Give an analyst's order."""
        action = CaseAction(id=name, action=remedy, card=card, at=1_764_511_445_000_000_000, by="lea")
        out = case_out(action, self.topics.actions)
        self.put(out.topic, [(out.key, out.value)])


def payments() -> list[Transaction]:
    traffic = fdh.generate(fdh.Fdh(cards=60, terminals=60, days=20, seed=4))
    return list(islice(traffic.transactions(), 2_000))


@pytest.fixture
def shop(kafka: str, redis_url: str, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Shop]:
    with opened(kafka, redis_url, tmp_path, unique("releases")) as made:
        yield made


@pytest.fixture
def clustered(kafka: str, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Shop]:
    """A site whose state lies in a Redis Cluster."""
    with opened(kafka, shared_cluster(), tmp_path, unique("releases")) as made:
        yield made


@contextmanager
def opened(kafka: str, redis_url: str, folder: Path, name: str) -> Iterator[Shop]:
    """Open a site for a while, whose workers are told to take their time."""
    made = Shop(kafka, redis_url, folder / name, name, environment={"FRAUD_SERVING__BUDGET": "60s"})
    try:
        yield made
    finally:
        made.close()


def taken_up(shop: Shop, release: str, *numbers: int) -> None:
    """Return when workers have taken a release up."""
    for number in numbers:
        until(
            lambda number=number: f'"release":"{release}"' in shop.log(f"worker{number}"),  # type: ignore[misc]
            lambda number=number: shop.log(f"worker{number}")[-1_500:],  # type: ignore[misc]
        )


def named(decisions: list[Decision]) -> set[tuple[str, str]]:
    return {(decision.versions.release, decision.versions.rules) for decision in decisions}


def test_workers_take_a_release_up_name_it_and_go_back(shop: Shop, tmp_path: Path) -> None:
    rules = tmp_path / "every.fr"
    rules.write_text(EVERY)
    for number in range(2):
        shop.worker(number)
    until(lambda: is_ready(shop, 0) and is_ready(shop, 1), "both have partitions")
    assert named(shop.pay()) == {("", "none")}
    first = shop.release("activate", "--model", "demo", "--rules", str(rules), "--by", "lea", "--note", "try")
    taken_up(shop, first["id"], 0, 1)
    made = shop.pay()
    assert named(made) == {(first["id"], first["rules"])}
    assert {decision.reasons[0].code for decision in made} == {"rule:every"}
    assert f'release="{first["id"]}"' in page(shop, 0, "/metrics")
    second = shop.release("activate", "--model", "rules", "--rules", "none")
    taken_up(shop, second["id"], 0, 1)
    assert {decision.versions.model for decision in shop.pay()} == {"rules"}
    back = shop.release("rollback", "--by", "kim")
    assert (back["id"], back["how"]) == (first["id"], "rollback")
    until(lambda: shop.log("worker0").count("release taken up") == 3, lambda: shop.log("worker0")[-1_500:])
    until(lambda: shop.log("worker1").count("release taken up") == 3, lambda: shop.log("worker1")[-1_500:])
    assert named(shop.pay()) == {(first["id"], first["rules"])}
    listed = shop.release("list")
    assert listed["live"] == first["id"]
    assert [(move["id"], move["how"]) for move in listed["moves"]] == [
        (first["id"], "activate"), (second["id"], "activate"), (first["id"], "rollback")
    ]  # fmt: skip
    assert listed["moves"][0]["by"] == "lea"
    assert shop.release("show", first["id"])["text"]["rules"] == EVERY


def test_the_log_of_a_run_with_releases_and_a_blocked_card_is_replayed_to_the_last_digit(
    shop: Shop, tmp_path: Path
) -> None:
    rules = tmp_path / "every.fr"
    rules.write_text(EVERY)
    shop.worker()
    until(lambda: is_ready(shop, 0), "it has partitions")
    shop.pay(60)
    first = shop.release("activate", "--rules", str(rules), "--model", "demo")
    taken_up(shop, first["id"], 0)
    shop.pay(60)
    shop.order("card-X", Remedy.BLOCK_CARD, "a1")
    until(lambda: "fraud_blocked_cards 1.0" in page(shop, 0, "/metrics"), "it is heard")
    shop.pay(20, "card-X")
    second = shop.release("activate", "--model", "rules")
    taken_up(shop, second["id"], 0)
    shop.pay(60)
    live = shop.read().answers
    assert {answer.decision.versions.release for answer in live} == {"", first["id"], second["id"]}
    assert any(reason.code == BLOCKED for answer in live for reason in answer.decision.reasons)
    again = replayed(shop, log_of(shop, live))
    assert differing(live, again) == []


def replayed(shop: Shop, log: Sequence[Arrival]) -> dict[str, Decision]:
    """Return the decisions of a replay that has the releases of the store at hand."""
    with closing(RedisReleases(shop.redis_url)) as kept:
        known = {move.id: wiring.released(Settings(), move, kept.text, spec().version) for move in kept.moves()}
    store = MemoryStore()
    chosen = msgspec.structs.replace(strategy_of("demo"), others=known)
    engine = Engine(OnlineExtractor(store), store, chosen, None, Lateness(Settings().lateness.allowed))
    parts = (log[begin : begin + 17] for begin in range(0, len(log), 17))
    return {answer.decision.tx_id: answer.decision for part in parts for answer in engine.handle(part)}


def test_a_worker_keeps_what_it_has_where_a_release_cannot_be_loaded_and_starts_with_the_one_in_force(
    shop: Shop, tmp_path: Path
) -> None:
    worker = shop.worker()
    until(lambda: is_ready(shop, 0), "it has partitions")
    first = shop.release("activate", "--model", "rules", "--note", "first")
    taken_up(shop, first["id"], 0)
    assert "does not" in shop.release("activate", "--model", "demo-blend", status=2)["error"]
    # What a command has refused may still be met, where models lie in other folders.
    import redis

    with redis.Redis.from_url(shop.redis_url) as client:
        absent = json.dumps(first | {"id": "r9-absent", "model": "absent@1"})
        client.set("fraud:{release}", absent)
        until(lambda: "release refused" in shop.log(), lambda: shop.log()[-1_500:])
        assert named(shop.pay()) == {(first["id"], "none")}
        assert "fraud_release_refused_total 1.0" in page(shop, 0, "/metrics")
        client.set("fraud:{release}", json.dumps(first))
    worker.terminate()
    worker.wait(30)
    shop.worker()
    assert named(shop.pay()) == {(first["id"], "none")}


def test_a_command_line_that_names_another_model_is_refused_once_a_release_is_in_force(shop: Shop) -> None:
    live = shop.release("activate", "--model", "rules")
    command = [sys.executable, "-m", "fraud", "run", "--bootstrap", shop.settings.bootstrap, "--store", shop.redis_url]
    done = subprocess.run([*command, "--model", "demo"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"release {live['id']} is in force" in done.stderr
    assert "fraud release activate --model demo" in done.stderr
    # A worker that its supervisor starts again goes on, by the release.
    shop.worker(0)
    assert {decision.versions.model for decision in shop.pay(20)} == {"rules"}
    promote = [sys.executable, "-m", "fraud", "models", "promote", "demo", "x", "--store", shop.redis_url]
    done = subprocess.run(promote, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"release {live['id']} is in force" in done.stderr


def test_payments_of_a_blocked_card_are_declined_by_every_worker_until_it_is_unblocked(shop: Shop) -> None:
    workers = [shop.worker(0), shop.worker(1)]
    until(lambda: is_ready(shop, 0) and is_ready(shop, 1), "both have partitions")
    assert {decision.action for decision in shop.pay(10, "card-X")} != {Action.DECLINE}
    shop.order("card-X", Remedy.BLOCK_CARD, "a1")
    for number in range(2):
        until(lambda number=number: "fraud_blocked_cards 1.0" in page(shop, number, "/metrics"), "it is heard")  # type: ignore[misc]
    made = shop.pay(10, "card-X")
    assert {decision.action for decision in made} == {Action.DECLINE}
    (reason,) = {reason for decision in made for reason in decision.reasons if reason.code == BLOCKED}
    assert reason.text == "card card-X was blocked by lea at 2025-11-30 14:04:05 UTC (action a1)"
    assert not [one for one in shop.pay(20, "card-x") if one.reasons and one.reasons[0].code == BLOCKED]
    for number, worker in enumerate(workers):
        worker.kill()
        worker.wait()
        shop.worker(number)
    # Whoever takes the partition knows it before its first payment.
    assert {decision.action for decision in shop.pay(10, "card-X")} == {Action.DECLINE}
    shop.order("card-X", Remedy.UNBLOCK_CARD, "a2")
    for number in range(2):
        until(lambda number=number: "fraud_blocked_cards 0.0" in page(shop, number, "/metrics"), "it is heard")  # type: ignore[misc]
    assert not [one for one in shop.pay(10, "card-X") if one.reasons and one.reasons[0].code == BLOCKED]


def test_workers_on_a_redis_cluster_take_up_releases_and_obey_blocks_and_know_both_when_they_start(
    clustered: Shop, tmp_path: Path
) -> None:
    rules = tmp_path / "every.fr"
    rules.write_text(EVERY)
    workers = [clustered.worker(number) for number in range(2)]
    until(lambda: is_ready(clustered, 0) and is_ready(clustered, 1), "both have partitions")
    assert named(clustered.pay()) == {("", "none")}
    first = clustered.release("activate", "--model", "demo", "--rules", str(rules), "--by", "lea")
    taken_up(clustered, first["id"], 0, 1)
    clustered.order("card-X", Remedy.BLOCK_CARD, "a1")
    for number in range(2):
        until(lambda number=number: "fraud_blocked_cards 1.0" in page(clustered, number, "/metrics"), "it is heard")  # type: ignore[misc]
    assert {decision.action for decision in clustered.pay(10, "card-X")} == {Action.DECLINE}
    for number, worker in enumerate(workers):
        worker.kill()
        worker.wait()
        clustered.worker(number)
    again = clustered.pay(10, "card-X")
    assert {decision.reasons[0].code for decision in again} == {BLOCKED}
    assert named(again) == {(first["id"], first["rules"])}
    second = clustered.release("activate", "--model", "rules", "--rules", "none")
    taken_up(clustered, second["id"], 0, 1)
    assert clustered.release("rollback")["id"] == first["id"]
