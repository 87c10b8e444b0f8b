"""A model with histories is taken up by running workers, under load, on a real Kafka and a real Redis."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from threading import Thread

import msgspec
import pytest

from features.stores.redis import RedisStore
from fraud.core.errors import StateError
from fraud.core.fields import Address
from fraud.core.records import DAY, Arrival, Label, Level, Position, Transaction, Verdict
from fraud.core.settings import ModelSection
from fraud.simulate import fdh
from streaming import service_wiring, wiring
from streaming.kafka.model_pointer import Begin, Pointer, pointer_in
from streaming.kafka.offsets import CommitMark
from streaming.messages import envelope
from streaming.rebuild.histories import Reencode
from streaming.settings import ServiceSettings, StoreSection
from tests.features.history_faults import faults_in
from tests.histories import histories_of
from tests.site import Site, until
from tests.streaming import stub_worker

SENT, BEFORE, RATE = 1_600, 600, 150.0


class StubSite(Site):
    """A site whose workers know the stub."""

    def worker(self, number: int = 0, *words: str) -> "subprocess.Popen[bytes]":
        module = "tests.streaming.stub_worker"
        return self._start(f"worker{number}", ["-m", module, *self._run(number), *words])


@pytest.fixture
def site(
    kafka: str, redis_url: str, tmp_path: Path, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[StubSite]:
    """A site whose workers have time: one that falls behind decides by rules alone, whatever its model."""
    monkeypatch.setenv("FRAUD_SERVING__BUDGET", "60s")
    name = unique("reencode")
    made = StubSite(kafka, redis_url, tmp_path / name, name, model="rules")
    yield made
    made.close()


def reencoded(
    site: Site, monkeypatch: pytest.MonkeyPatch, model: str = stub_worker.STUB, kind: type[Reencode] = Reencode
) -> dict[str, object]:
    """Run the job in this process; return what it says at its end."""
    monkeypatch.setattr(wiring, "scorer", stub_worker.scorer)
    monkeypatch.setattr(service_wiring, "Reencode", kind)
    settings = ServiceSettings(kafka=site.settings, store=StoreSection(url=Address(site.redis_url)))
    job = service_wiring.reencode(msgspec.structs.replace(settings, model=ModelSection(name=model)))
    return job.run(lambda done: None)


def payments() -> list[Transaction]:
    """Return payments of few cards at few terminals: many of each, at any time."""
    traffic = fdh.generate(fdh.Fdh(cards=40, terminals=12, days=60, seed=3, radius=60.0))
    return list(islice(traffic.transactions(), SENT))


def labels(sent: list[Transaction]) -> list[Label]:
    verdicts = [Verdict.FRAUD if place % 3 == 0 else Verdict.GENUINE for place in range(len(sent))]
    return [
        Label(tx_id=tx.id, verdict=verdict, happened_at=tx.happened_at + DAY, seen_at=0)
        for tx, verdict in zip(sent, verdicts, strict=True)
    ]


def absorbed(site: Site) -> list[Arrival]:
    """Return every verdict that the workers have taken in."""
    records = site.records(site.topics.applied)
    return [Arrival(envelope.known_in(record.value), Position("known", 0, 0)) for record in records]


def wait_for_take_up(site: Site, number: int) -> None:
    """Return when a worker says that it uses what the store points to."""
    name = f"worker{number}"
    until(lambda: '"model taken up"' in site.log(name), lambda: site.log(name)[-1_500:])


class SlowlyPointed(Reencode):
    """A making whose pointer is set long after its last pass: what comes meanwhile is for the workers to catch up."""

    def _begins(self) -> tuple[Begin, ...]:
        time.sleep(3)
        return super()._begins()


def test_workers_under_load_take_a_model_up_and_miss_nothing(site: StubSite, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the pointer's own beginnings they would go back no further than this.
    monkeypatch.setenv("FRAUD_STORE__DURABLE_AFTER", "1s")
    workers = [site.worker(0), site.worker(1)]
    site.book()
    sent = payments()
    site.send(sent[:BEFORE])
    site.wait_for(BEFORE)
    site.send_labels(labels(sent[:300]))
    until(lambda: site.ends(site.topics.applied) >= 200, "some verdicts applied")
    load = Thread(target=site.send, args=(sent[BEFORE:-100], RATE))
    load.start()
    said = reencoded(site, monkeypatch, kind=SlowlyPointed)
    for number in range(2):
        wait_for_take_up(site, number)
    # The next life of a worker that dies just then goes on with what it had begun to read again.
    workers[0].kill()
    workers[0].wait()
    workers[0] = site.worker(0)
    site.send_labels(labels(sent[300:500]))
    load.join()
    site.send(sent[-100:])
    site.wait_for(SENT)
    until(lambda: site.ends(site.topics.applied) >= 500, "all verdicts applied")
    # On a busy machine the other one may have done it all before the new life has begun, which no signal ends in order.
    until(lambda: site.log("worker0").count('"started"') == 2, "the new life of the first one")
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    read = site.read()
    assert (len(read.answers), read.doubles) == (SENT, 0)
    assert {answer.decision.tx_id for answer in read.answers} == {tx.id for tx in sent}
    assert {answer.decision.versions.model for answer in read.answers[-50:]} <= {stub_worker.STUB, "rules"}
    last = {answer.decision.tx_id: answer.decision.versions.model for answer in read.answers}
    assert {last[tx.id] for tx in sent[-100:]} == {stub_worker.STUB}
    assert said["records"]
    assert said["rows"]
    everything = [Arrival(tx, Position("sent", 0, place)) for place, tx in enumerate(sent)] + absorbed(site)
    assert faults_in(histories_of(RedisStore(site.redis_url), everything), everything) == []


def test_a_restarted_worker_follows_the_pointer_and_a_second_making_is_refused(
    site: StubSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, sent = site.worker(), payments()[:400]
    site.send(sent[:300])
    site.wait_for(300)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    reencoded(site, monkeypatch)
    with pytest.raises(StateError, match="nothing is to be done"):
        reencoded(site, monkeypatch)
    site.worker()
    site.send(sent[300:])
    site.wait_for(400)
    read = site.read()
    models = {answer.decision.tx_id: answer.decision.versions.model for answer in read.answers}
    assert {models[tx.id] for tx in sent[:300]} == {"rules"}
    assert {models[tx.id] for tx in sent[300:]} == {stub_worker.STUB}
    everything = [Arrival(tx, Position("sent", 0, place)) for place, tx in enumerate(sent)]
    assert faults_in(histories_of(RedisStore(site.redis_url), everything), everything) == []
    assert {answer.decision.level for answer in read.answers} <= {Level.RULES, Level.FULL}


def test_a_model_that_is_not_there_is_refused_and_one_without_histories_is_taken_up_at_once(
    site: StubSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.worker()
    until(lambda: '"started"' in site.log(), "the worker to start")
    store = RedisStore(site.redis_url)
    store.point(Pointer("absent", "absent@1").bytes(), "")
    store.close()
    until(lambda: '"model refused"' in site.log(), lambda: site.log()[-1_500:])
    sent = payments()[:40]
    site.send(sent[:20])
    site.wait_for(20)
    assert reencoded(site, monkeypatch, "demo")["records"] == 0
    wait_for_take_up(site, 0)
    site.send(sent[20:])
    site.wait_for(40)
    models = {answer.decision.tx_id: answer.decision.versions.model for answer in site.read().answers}
    assert {models[tx.id] for tx in sent[:20]} == {"rules"}
    assert all(models[tx.id].startswith("demo@") for tx in sent[20:])


def test_pointer_moves_back_marks_that_were_made_without_its_histories() -> None:
    pointer = Pointer("m", "m@1", "e", (Begin("t@1", 0, 50, 40), Begin("t@1", 1, 500, 400)))
    assert pointer_in(pointer.bytes()) == pointer
    assert pointer.reach_back(CommitMark(90, 80, "b"), "t@1", 0) == CommitMark(50, 40, "b")
    assert pointer.reach_back(CommitMark(90, 80, "b"), "t@1", 1) == CommitMark(90, 80, "b")
    assert pointer.reach_back(CommitMark(90, 80, "b", "e"), "t@1", 0) == CommitMark(90, 80, "b", "e")
    assert pointer.reach_back(CommitMark(90, 80, "b"), "t@2", 0) == CommitMark(90, 80, "b")
    assert pointer_in(b"") is None
    with pytest.raises(StateError, match="cannot be read"):
        pointer_in(b"{")
