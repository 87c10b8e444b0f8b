"""A worker hears what is live on a thread, makes it ready there, and swaps it between two batches; or refuses it."""

import io
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from fraud.core.engine import Strategy
from fraud.core.errors import ArtifactError
from fraud.core.records import SECOND, Intake, Level
from streaming import clock
from streaming.kafka.recovery import Mode
from streaming.observe.logs import Log
from streaming.worker.blocked import BlockList
from streaming.worker.refresh import RECENT, Heard, Live, Make, Period, Ready, Refresh, Topic
from streaming.worker.service import Service
from tests.site import until

BASE, NEXT = "demo@1", "demo@2"


def strategy_of(base: str) -> Strategy:
    """Return a strategy whose scorer has nothing but a version."""
    scorer: Any = SimpleNamespace(version=base)
    nobody: Any = None
    return Strategy(scorer, nobody, nobody)


class Published:
    """The topic, in memory: what was published, and a follower that waits for more."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.news: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.fault: Exception | None = None
        self.searches = 0
        self.answers = threading.Event()
        self.answers.set()

    def publish(self, base: str, version: str, seq: int = 1, *, holds: str | None = None, at: int = 0) -> None:
        """Publish a snapshot, which says that it is `holds`, and that it is live."""
        if version:
            self.put(f"snapshot/{version}", (version if holds is None else holds).encode())
        self.put(f"live/{base}", msgspec.json.encode(Live(version, seq, at)))

    def put(self, key: str, value: bytes) -> None:
        self.held[key] = value
        self.news.put((key, value))

    def follow(self) -> "Published":
        if self.fault:
            raise self.fault
        return self

    def poll(self, wait_ms: int) -> list[tuple[str, bytes]]:
        if self.fault:
            raise self.fault
        try:
            return [self.news.get(timeout=wait_ms / 5_000)]
        except queue.Empty:
            return []

    def in_force(self, base: str) -> Mapping[str, bytes]:
        self.searches += 1
        self.answers.wait(5)
        return dict(self.held)

    def close(self) -> None:
        """Do nothing."""


def make_of(strategy: Strategy) -> Make:
    """Return what makes snapshots ready: their bytes are their version; what is `bad` is refused."""

    def make(body: bytes) -> Ready:
        version = body.decode()
        if "bad" in version:
            msg = f"parameters {version} are refused: damaged"
            raise ArtifactError(msg)
        scorer: Any = SimpleNamespace(version=strategy.scorer.version, of=version)
        return Ready(strategy.scorer.version, version, int(version.split("-")[0]), {Level.FULL: scorer})

    return make


class Worker:
    """What a worker has of it: the refresh, what decides, and what was logged."""

    def __init__(self, topic: Published, make: Callable[[Strategy], Make | None] = make_of) -> None:
        self.topic, self.log, self.used = topic, io.StringIO(), list[Strategy]()
        self.refresh = Refresh(
            strategy_of(BASE), Topic(topic.follow, topic.in_force), make, self.used.append, Log("worker-0", self.log)
        )

    def start(self, patience: float = 5.0) -> None:
        """Begin as a worker does."""
        self.refresh.begin()
        self.refresh.take_up(patience)

    @property
    def version(self) -> str:
        """Return what is in force, after a batch."""
        self.refresh.swap()
        return self.used[-1].parameters if self.used else ""

    def figures(self) -> dict[str, float]:
        """Return the metrics."""
        return {sample.name: sample.value for family in self.refresh.collect() for sample in family.samples}


@pytest.fixture
def topic() -> Published:
    return Published()


@pytest.fixture
def worker(topic: Published, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.setattr("streaming.worker.listener.AGAIN_SECONDS", 0.01)
    made = Worker(topic)
    yield made
    made.refresh.close()


def test_what_is_live_is_taken_up_before_the_first_payment(worker: Worker, topic: Published) -> None:
    topic.publish(BASE, "7-abc", 7)
    worker.start()
    assert [strategy.parameters for strategy in worker.used] == ["7-abc"]
    assert set(worker.used[0].versions) == {"7-abc"}
    assert worker.figures()["fraud_refresh_seq"] == 7
    assert "parameters taken up" in worker.log.getvalue()


def test_a_start_waits_for_what_is_live_and_not_for_ever(worker: Worker, topic: Published) -> None:
    topic.publish(BASE, "7-abc", 7)
    topic.answers.clear()
    threading.Timer(0.3, topic.answers.set).start()
    worker.start()
    assert [strategy.parameters for strategy in worker.used] == ["7-abc"]
    hung = Worker(topic)
    topic.answers.clear()
    began = time.monotonic()
    hung.start(patience=0.05)
    assert (hung.used, time.monotonic() - began < 3) == ([], True)
    topic.answers.set()
    hung.refresh.close()


def test_a_refresh_is_swapped_between_two_batches_and_not_before(worker: Worker, topic: Published) -> None:
    worker.start()
    topic.publish(BASE, "8-abc")
    until(lambda: bool(worker.refresh._ready), "made ready", 5)
    assert worker.used == []
    worker.refresh.swap()
    assert worker.used[-1].parameters == "8-abc"
    worker.refresh.swap()
    assert len(worker.used) == 1


def test_of_several_refreshes_within_a_batch_the_newest_counts(worker: Worker, topic: Published) -> None:
    worker.start()
    for seq in range(1, 30):
        topic.publish(BASE, f"{seq}-abc", seq)
    until(lambda: worker.version == "29-abc", "the newest", 5)
    assert worker.figures()["fraud_refresh_seq"] == 29


def test_a_learner_that_reverts_brings_the_frozen_model_back(worker: Worker, topic: Published) -> None:
    topic.publish(BASE, "7-abc", 7)
    worker.start()
    topic.publish(BASE, "", 8)
    until(lambda: worker.version == "", "frozen", 5)
    assert worker.used[-1].versions == {}
    assert worker.figures()["fraud_refresh_seq"] == 0
    assert "parameters frozen" in worker.log.getvalue()


def test_an_old_version_that_is_pinned_is_looked_for(worker: Worker, topic: Published) -> None:
    topic.held["snapshot/2-abc"] = b"2-abc"
    topic.publish(BASE, "9-abc", 9)
    worker.start()
    for seq in range(20, 21 + RECENT):
        topic.put(f"snapshot/{seq}-abc", b"x")
    topic.put(f"live/{BASE}", msgspec.json.encode(Live("2-abc", 2, 0)))
    until(lambda: worker.version == "2-abc", "the pinned version", 5)


@pytest.mark.parametrize(
    ("version", "holds", "why"),
    [
        ("8-bad", None, "parameters 8-bad are refused: damaged"),
        ("8-abc", "9-abc", "parameters 8-abc are live, but the snapshot under that name holds 9-abc"),
        ("8-abc", "", "parameters 8-abc are live, but the topic does not hold their snapshot"),
    ],
)
def test_what_must_not_be_used_is_refused_and_told_and_what_is_live_stays(
    worker: Worker, topic: Published, version: str, holds: str | None, why: str
) -> None:
    topic.publish(BASE, "7-abc", 7)
    worker.start()
    topic.publish(BASE, version, 8, holds=holds)
    until(lambda: worker.figures()["fraud_refresh_refused_total"] == 1, "refused", 5)
    assert worker.version == "7-abc"
    assert why in worker.log.getvalue()
    topic.publish(BASE, "10-abc", 10)
    until(lambda: worker.version == "10-abc", "the next one", 5)


def test_a_record_that_cannot_be_read_is_refused(worker: Worker, topic: Published) -> None:
    worker.start()
    topic.put(f"live/{BASE}", b"\x80")
    until(lambda: worker.figures()["fraud_refresh_refused_total"] == 1, "refused", 5)


def test_a_snapshot_that_the_topic_lacks_is_looked_for_once(worker: Worker, topic: Published) -> None:
    worker.start()
    before = topic.searches
    for _ in range(3):
        topic.publish(BASE, "8-abc", 8, holds="")
    until(lambda: worker.figures()["fraud_refresh_refused_total"] == 3, "refused", 5)
    assert topic.searches == before + 1


def test_parameters_of_another_base_are_not_heard(worker: Worker, topic: Published) -> None:
    topic.publish(NEXT, "7-abc", 7)
    worker.start()
    topic.publish(NEXT, "8-abc", 8)
    topic.publish(BASE, "9-abc", 9)
    until(lambda: bool(worker.version), "its own", 5)
    assert [strategy.parameters for strategy in worker.used] == ["9-abc"]


def test_a_promoted_model_goes_on_as_it_was_trained_until_its_own_parameters_are_found(
    worker: Worker, topic: Published
) -> None:
    topic.publish(BASE, "7-abc", 7)
    topic.publish(NEXT, "3-abc", 3)
    worker.start()
    assert worker.version == "7-abc"
    promoted = strategy_of(NEXT)
    worker.refresh.follow(promoted)
    until(lambda: len(worker.used) == 2 or bool(worker.version and len(worker.used) > 1), "its own parameters", 5)
    assert (worker.used[-1].scorer, worker.used[-1].parameters) == (promoted.scorer, "3-abc")


def test_a_promoted_model_without_parameters_shows_none(worker: Worker, topic: Published) -> None:
    topic.publish(BASE, "7-abc", 7)
    worker.start()
    assert worker.figures()["fraud_refresh_seq"] == 7
    worker.refresh.follow(strategy_of(NEXT))
    assert worker.figures()["fraud_refresh_seq"] == 0


def test_parameters_made_for_a_model_that_was_replaced_meanwhile_are_left(worker: Worker, topic: Published) -> None:
    worker.start()
    topic.publish(BASE, "7-abc", 7)
    until(lambda: bool(worker.refresh._ready), "made ready", 5)
    worker.refresh.follow(strategy_of(NEXT))
    worker.refresh.swap()
    assert worker.used == []


def test_a_model_without_leaves_to_learn_hears_nothing(topic: Published) -> None:
    topic.publish(BASE, "7-abc", 7)
    worker = Worker(topic, lambda strategy: None)
    worker.start()
    topic.publish(BASE, "8-abc", 8)
    time.sleep(0.2)
    assert worker.version == ""
    worker.refresh.close()


def test_without_a_topic_the_worker_goes_on_and_hears_of_it_when_it_is_there(worker: Worker, topic: Published) -> None:
    topic.fault = ArtifactError("no topic model-updates")
    worker.start()
    assert worker.version == ""
    until(lambda: "no topic model-updates" in worker.log.getvalue(), "told", 5)
    time.sleep(0.1)
    assert worker.log.getvalue().count("model updates not heard") == 1
    topic.publish(BASE, "7-abc", 7)
    topic.fault = None
    until(lambda: worker.version == "7-abc", "heard", 5)
    topic.fault = OSError("gone")
    until(lambda: "gone" in worker.log.getvalue(), "told", 5)
    assert worker.version == "7-abc"


def test_a_freeze_that_was_missed_while_the_topic_was_gone_is_found(worker: Worker, topic: Published) -> None:
    topic.publish(BASE, "7-abc", 7)
    worker.start()
    topic.fault = OSError("gone")
    until(lambda: "gone" in worker.log.getvalue(), "told", 5)
    topic.held[f"live/{BASE}"] = msgspec.json.encode(Live("", 8, 0))
    topic.fault = None
    until(lambda: worker.version == "", "frozen", 5)


def test_age_counts_from_the_end_of_the_newest_period_that_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(ns=1_000 * SECOND)
    monkeypatch.setattr(clock, "now_ns", lambda: now.ns)
    wall, stream = Heard(Log("w", io.StringIO()), wall=True), Heard(Log("w", io.StringIO()), wall=False)

    def ages() -> list[float]:
        return [next(f for f in each.collect() if f.name == "fraud_refresh_age_seconds").samples[0].value
                for each in (wall, stream)]  # fmt: skip

    now.ns += 50 * SECOND
    assert ages() == [50, 50]
    for heard in (wall, stream):
        heard.period(now.ns - 3 * SECOND)
    assert ages() == [3, 0]
    now.ns += 7 * SECOND
    assert ages() == [10, 7]
    # What is sent again later is no sign of life; a clock that is ahead makes no age below 0.
    wall.period(now.ns - 90 * SECOND)
    assert ages()[0] == 10
    wall.period(now.ns + 90 * SECOND)
    assert ages()[0] == 0


def test_the_end_of_a_period_is_a_sign_of_life_of_the_learner_of_this_base(
    worker: Worker, topic: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = SimpleNamespace(ns=clock.now_ns() + 500 * SECOND)
    monkeypatch.setattr(clock, "now_ns", lambda: now.ns)
    worker.start()
    topic.put(f"period/{NEXT}", msgspec.json.encode(Period(now.ns)))
    topic.publish(BASE, "7-abc", 7)
    until(lambda: worker.version == "7-abc", "heard", 5)
    assert worker.figures()["fraud_refresh_age_seconds"] > 400
    topic.put(f"period/{BASE}", msgspec.json.encode(Period(now.ns - 2 * SECOND)))
    until(lambda: worker.figures()["fraud_refresh_age_seconds"] == 2, "a period has ended", 5)


def test_other_rules_on_the_same_model_keep_what_was_learned(worker: Worker, topic: Published) -> None:
    topic.publish(BASE, "7-abc", 7)
    worker.start()
    assert worker.version == "7-abc"
    nobody: Any = None
    released = Strategy(worker.used[-1].scorer, nobody, nobody, release="r1-a")
    worker.refresh.follow(released)
    assert (worker.used[-1].release, worker.used[-1].parameters) == ("r1-a", "7-abc")
    assert worker.figures()["fraud_refresh_seq"] == 7
    topic.publish(BASE, "8-abc", 8)
    until(lambda: worker.version == "8-abc", "the next one", 5)
    assert worker.used[-1].release == "r1-a"


# --- the worker's loop -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(Mode))
def test_a_worker_swaps_only_while_nobody_else_uses_its_engine_but_for_what_rules_go_by_too(mode: Mode) -> None:
    swapped: list[str] = []
    idle: Any = SimpleNamespace(batch=lambda *_: None, turn=lambda **_: None)
    turns: Any = SimpleNamespace(turn=lambda: None)
    told: Any = SimpleNamespace(batch=lambda *_: None, turn=lambda: None)
    model: Any = SimpleNamespace(swap=lambda: swapped.append("model"))
    refresh: Any = SimpleNamespace(by_rules=Refresh.by_rules, swap=lambda: swapped.append("parameters"))
    blocked: Any = SimpleNamespace(by_rules=BlockList.by_rules, swap=lambda: swapped.append("blocked"))
    nobody: Any = None
    fallback: Any = SimpleNamespace(mode=mode)
    heard = refresh, blocked
    service = Service(nobody, fallback, model, heard, told, idle, turns, nobody, nobody, None, "group")
    assert service._between(Intake(), ())
    assert swapped == (["model", "parameters", "blocked"] if mode is Mode.NORMAL else ["blocked"])
