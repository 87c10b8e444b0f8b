"""What the store says is to decide is loaded beside the path, taken up between two batches, or refused."""

import io
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from features.spec import spec
from features.stores.releases import RedisReleases
from fraud.core.engine import Strategy
from fraud.core.errors import ArtifactError, StateError
from fraud.core.fields import Address
from fraud.core.releases import Release
from fraud.core.rules.blocked import BlockedCards
from fraud.core.settings import ModelSection, PathsSection, Settings
from streaming import release_wiring, wiring
from streaming.files.releases import FolderReleases
from streaming.kafka.model_pointer import Begin, Pointer
from streaming.observe.logs import Log
from streaming.releasing import Move, NoHistories, Releasing, Wanted
from streaming.settings import ServiceSettings, StoreSection
from streaming.worker.model_swap import Chosen, EmbeddedRelease, InUse, ModelInUse, ModelSwap
from tests.contract.traffic import PLAIN, arrivals
from tests.features.drawn import drawn_at_random
from tests.site import until

FIRST, SECOND = Pointer("demo", "demo@1").bytes(), Pointer("demo", "demo@2").bytes()
RELEASE = Release(id="r1-a", model="demo@3", rules="x", policy="p")


def strategy_of(name: str, scorer: Any = None, release: str = "") -> Strategy:
    """Return a strategy of parts that have nothing but a version."""
    named: Any = SimpleNamespace(version=name)
    return Strategy(scorer or named, named, named, release=release)


class Store:
    """A store that says what it is told to."""

    def __init__(self) -> None:
        self.said = b"", b""

    def in_use(self) -> tuple[bytes, bytes]:
        return self.said


class Worker:
    """A worker's model: what its store says, what decides, what was read again and logged."""

    def __init__(self) -> None:
        self.store, self.log = Store(), io.StringIO()
        self.used, self.reread, self.asked = list[Strategy](), list[Pointer](), list[InUse]()
        self.load: Callable[[InUse, Strategy], Chosen] = self._load
        first = strategy_of("demo@1")
        swap = ModelSwap(self.store, lambda found, last: self.load(found, last), first, InUse())
        self.model = ModelInUse(first, swap, Log("worker-0", self.log), (self.used.append,), self.reread.append)

    def _load(self, found: InUse, last: Strategy) -> Chosen:
        self.asked.append(found)
        if b"bad" in found.decides:
            msg = "it is bad: put another one in force"
            raise ArtifactError(msg)
        same = last.scorer if b"rules only" in found.release else None
        return Chosen(Pointer("demo", "demo@2", "e"), strategy_of("demo@2", same, "r1-a" if found.release else ""))

    def say(self, pointer: bytes = b"", release: bytes = b"") -> None:
        """Have the store say something; return once it was made ready, or refused."""
        self.store.said = pointer, release
        before = len(self.asked)
        self.model.look()
        until(lambda: len(self.asked) > before, "it is loaded", 5)
        thread = self.model._swap._thread
        assert thread is not None
        thread.join(5)

    def refused(self) -> float:
        (family,) = self.model.refusals.collect()
        return float(next(sample.value for sample in family.samples if sample.name.endswith("_total")))


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_a_release_stands_above_the_pointer_whatever_that_says(worker: Worker) -> None:
    worker.say(SECOND, b"one")
    worker.model.swap()
    worker.store.said = FIRST, b"one"
    worker.model.look()
    assert [found.release for found in worker.asked] == [b"one"]
    worker.say(FIRST, b"two")
    assert worker.asked[-1] == (FIRST, b"two")


def test_a_release_is_taken_up_between_batches_and_told(worker: Worker) -> None:
    worker.say(release=b"one")
    assert worker.used == []
    worker.model.swap()
    assert [strategy.release for strategy in worker.used] == ["r1-a"]
    assert worker.model.strategy.release == "r1-a"
    assert [pointer.encoder for pointer in worker.reread] == ["e"]
    assert '"release taken up","model":"demo@2","release":"r1-a","rules":"demo@2"' in worker.log.getvalue()
    worker.model.swap()
    assert len(worker.used) == 1


def test_a_release_of_other_rules_alone_reads_nothing_again(worker: Worker) -> None:
    worker.say(release=b"rules only")
    worker.model.swap()
    assert worker.model.strategy.release == "r1-a"
    assert worker.reread == []


def test_what_cannot_be_loaded_is_told_once_and_what_decides_stays(worker: Worker) -> None:
    worker.say(release=b"one")
    worker.model.swap()
    before = worker.model.strategy
    worker.say(release=b"bad")
    worker.model.look()
    worker.model.look()
    worker.model.swap()
    assert worker.model.strategy is before
    assert worker.refused() == 1
    assert worker.log.getvalue().count('"release refused"') == 1
    worker.say(release=b"better")
    worker.model.swap()
    assert len(worker.used) == 2


def test_a_pointer_is_followed_while_there_is_no_release(worker: Worker) -> None:
    worker.say(SECOND)
    worker.model.swap()
    assert '"model taken up","model":"demo@2","encoder":"e"' in worker.log.getvalue()


# --- histories -------------------------------------------------------------------------------------------------------

BEGINS = (Begin("t@1", 0, 50, 40),)


def test_a_release_reads_the_histories_that_were_made_last_if_they_are_its_own() -> None:
    release = msgspec.structs.replace(RELEASE, encoder="e")
    own = release_wiring.histories_of(release, Pointer("m", "m@1", "e", BEGINS))
    assert own == Pointer("demo", "demo@3", "e", BEGINS)
    assert release_wiring.histories_of(release, Pointer("m", "m@1", "f", BEGINS)) == Pointer("demo", "demo@3", "e")
    assert release_wiring.histories_of(RELEASE, Pointer("m", "m@1", "e", BEGINS)).encoder == ""
    assert release_wiring.histories_of(release, None).begins == ()


@pytest.mark.parametrize("pointer", [b"", Pointer("m", "m@1", "other").bytes()])
def test_a_worker_refuses_a_release_whose_histories_it_has_not_kept(pointer: bytes) -> None:
    found = InUse(pointer, msgspec.structs.replace(RELEASE, encoder="e").bytes())
    last: Any = SimpleNamespace(scorer=SimpleNamespace(encoder="own", version="demo@1"))
    nobody: Any = None
    with pytest.raises(ArtifactError, match=r"release r1-a: model demo@3 reads histories.*fraud state reencode"):
        release_wiring.next_choice(nobody, nobody, found, last)


# --- embedded --------------------------------------------------------------------------------------------------------


def demo_of(folder: str) -> Settings:
    """Return settings with the demo's model, and a folder of releases."""
    return Settings(model=ModelSection(name="demo"), paths=PathsSection(releases=folder))


RULES = "rule all_of_them : when amount >= 0 then review"


def test_an_embedded_engine_follows_the_release_in_its_folder_and_keeps_blocks(tmp_path: Path) -> None:
    settings = demo_of(str(tmp_path))
    chosen = wiring.strategy(settings, spec().version)
    cards = BlockedCards(chosen.rules)
    parts = wiring.build(settings, chosen=msgspec.structs.replace(chosen, rules=cards))
    told: list[str] = []
    followed = release_wiring.followed(settings, parts, told.append)
    followed.begin()
    put = Releasing(settings, FolderReleases(tmp_path), NoHistories())
    assert parts.engine.strategy.release == ""
    made = put.activate(Wanted(rules=RULES), Move("lea", 1))
    taken(followed, lambda: parts.engine.strategy.release == made.id)
    assert parts.engine.strategy.scorer is chosen.scorer
    rules = parts.engine.strategy.rules
    assert isinstance(rules, BlockedCards)
    assert rules._blocks is cards._blocks
    answers = parts.engine.handle(arrivals(drawn_at_random(3, 8, PLAIN)))
    assert {answer.decision.versions.release for answer in answers} == {made.id}
    assert "rule:all_of_them" in {answer.decision.reasons[0].code for answer in answers}
    assert told == [f"release {made.id} taken up: {made.model}, rules {made.rules}"]
    again = release_wiring.followed(settings, parts, told.append)
    again.begin()
    assert len(told) == 2


def test_an_embedded_engine_that_learns_keeps_its_model(tmp_path: Path) -> None:
    settings = demo_of(str(tmp_path))
    made: Any = wiring.build(settings)
    parts: Any = msgspec.structs.replace(made, learning=object())
    told: list[str] = []
    followed = release_wiring.followed(settings, parts, told.append)
    followed.begin()
    Releasing(settings, FolderReleases(tmp_path), NoHistories()).activate(Wanted(model="rules"), Move("lea", 1))
    taken(followed, lambda: bool(told))
    assert "it keeps its model while it runs; to see that one, start it with --model rules" in told[0]
    assert parts.engine.strategy.release == ""


def test_what_was_learned_on_the_same_model_stays() -> None:
    scorer: Any = SimpleNamespace(version="demo@1")
    now = msgspec.structs.replace(strategy_of("demo@1", scorer), parameters="4-a", versions={"4-a": {}})
    engine: Any = SimpleNamespace(strategy=now, replace_strategy=lambda new: setattr(engine, "strategy", new))
    swap: Any = SimpleNamespace(loaded=lambda: Chosen(None, strategy_of("x", scorer, "r1-a")))
    EmbeddedRelease(engine, swap, lambda text: None).swap()
    assert (engine.strategy.release, engine.strategy.parameters, engine.strategy.versions) == (
        "r1-a",
        "4-a",
        {"4-a": {}},
    )
    swap.loaded = lambda: Chosen(None, strategy_of("demo@2", None, "r2-b"))
    EmbeddedRelease(engine, swap, lambda text: None).swap()
    assert (engine.strategy.release, engine.strategy.parameters) == ("r2-b", "")


def taken(followed: EmbeddedRelease, done: Callable[[], bool]) -> None:
    """Return when a release has had its effect."""

    def looked() -> bool:
        followed.look()
        followed.swap()
        return done()

    until(looked, "it is taken up", 20)


def test_histories_that_the_release_in_force_reads_are_not_made_anew(redis_url: str) -> None:
    settings = ServiceSettings(store=StoreSection(url=Address(redis_url)))
    reading = msgspec.structs.replace(RELEASE, encoder="e1")
    release_wiring.need_unread(settings, "e1")
    with closing(RedisReleases(redis_url)) as releases:
        releases.move(reading, None)
    for encoder in ("", "e2"):
        release_wiring.need_unread(settings, encoder)
    with pytest.raises(StateError, match="release r1-a, in force, reads histories of encoder e1: they are kept"):
        release_wiring.need_unread(settings, "e1")
