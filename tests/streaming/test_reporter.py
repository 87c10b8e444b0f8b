"""What a worker learns of each batch, and what it tells once a second of what was late."""

import io
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import pytest

from fraud.core.records import Answer, Arrival, Explainer, Intake, KnownLabel, Level, Position
from streaming import clock
from streaming.kafka.link import Counts
from streaming.kafka.offsets import Refusals
from streaming.kafka.recovery import Mode
from streaming.observe.logs import Log
from streaming.observe.metrics import Health, Metrics
from streaming.observe.stages import Watch
from streaming.worker.deadlines import LatencyBudget, Spent
from streaming.worker.reporter import Reporter
from streaming.worker.upkeep import REFRESH_NS, Upkeep
from tests.contract.driving import answer
from tests.contract.payments import payment
from tests.filled import filled

AT = Position("transactions", 0, 1)


class Budget(LatencyBudget):
    """A budget that keeps what it is taught."""

    def __init__(self) -> None:
        super().__init__(50_000_000, 32, (Level.FULL, Level.RULES))
        self.taught: list[tuple[Level, Spent]] = []

    def learn(self, level: Level, spent: Spent) -> None:
        """Keep it."""
        self.taught.append((level, spent))


class Link:
    """What is asked of a link."""

    def __init__(self) -> None:
        self.assigned, self.ack_ns, self.late = 1, 7, 0
        self.counts, self.refusals = Counts(), Refusals()

    def lag(self) -> dict[tuple[str, int], int]:
        return {}


class Fallback:
    """What is asked of a fallback."""

    def __init__(self) -> None:
        self.mode, self.by_rules, self.restarts = Mode.NORMAL, 0, 0

    def noticing(self) -> Any:
        return nullcontext()


class Model:
    """A model in use that never changes."""

    strategy: Any = type("Strategy", (), {"rules": None})

    def look(self) -> None:
        """Find nothing."""


class Parts(NamedTuple):
    reporter: Reporter
    budget: Budget
    fallback: Fallback
    watch: Watch


@pytest.fixture
def parts() -> Parts:
    budget, fallback, watch, link = Budget(), Fallback(), Watch(), Link()
    log = Log("worker-0", io.StringIO())
    made: Any = (link, fallback, budget, watch, Metrics(), Health(), log)
    return Parts(Reporter(*made), budget, fallback, watch)


def batch(level: Level = Level.RULES) -> tuple[Intake, list[Answer]]:
    tx = payment("t1")
    explained = msgspec.structs.replace(answer(tx, AT).decision, explainer=Explainer.MODEL)
    answers = [answer(tx, AT), msgspec.structs.replace(answer(tx, AT), decision=explained)]
    return Intake((Arrival(tx, AT, level=level), Arrival(tx, AT, level=level))), answers


def test_batch_teaches_its_level_what_it_took_from_taking_it_up_to_its_end(parts: Parts) -> None:
    parts.watch.reset(clock.monotonic_ns() - 5_000_000)
    parts.watch.spent |= {"model": 3, "reasons": 4, "write": 10, "publish": 20}
    parts.reporter.batch(*batch())
    ((level, spent),) = parts.budget.taught
    assert level is Level.RULES
    assert spent.total >= 5_000_000
    assert spent[:1] + spent[2:] == (2, 3, 4, 30, 1, 7)


def test_labels_alone_and_a_store_that_is_gone_teach_nothing(parts: Parts) -> None:
    parts.reporter.batch(Intake((Arrival(filled(KnownLabel), AT),)), [])
    parts.fallback.mode = Mode.STORE_DOWN
    parts.reporter.batch(*batch())
    assert not parts.budget.taught


def test_what_was_found_late_when_it_was_published_is_counted_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    link, metrics, now = Link(), Metrics(), clock.monotonic_ns()
    copies = SimpleNamespace(bytes=12, hits=3, misses=1)
    made: Any = (link, Fallback(), Model(), copies, metrics, Log("worker-0", io.StringIO()))
    upkeep = Upkeep(*made)
    for number, late in enumerate((3, 3, 5), 1):
        link.late = late
        monkeypatch.setattr(clock, "monotonic_ns", lambda at=now + number * 2 * REFRESH_NS: at)
        upkeep.turn(idle=False)
    assert b'fraud_decision_marks_total{mark="overdue"} 5.0' in metrics.text()
    assert b"fraud_store_cache_bytes 12.0" in metrics.text()
    assert b'fraud_store_rows_total{read="copy"} 3.0' in metrics.text()
    assert b'fraud_store_rows_total{read="whole"} 1.0' in metrics.text()
