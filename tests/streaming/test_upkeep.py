"""Garbage is collected between batches, and what has survived is not looked through again and again."""

import gc
import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fraud.core.records import SECOND
from fraud.core.rules.blocked import BlockedCards
from streaming import clock
from streaming.observe.logs import Log
from streaming.rule_file import ReloadingRules
from streaming.wiring import vocabulary
from streaming.worker.upkeep import COLLECT_ALL_NS, Upkeep


class Ring:
    """Something that nobody holds but itself."""

    gone = 0

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        Ring.gone += 1


@pytest.fixture
def thawed() -> Iterator[None]:
    gc.collect()
    gc.disable()
    Ring.gone = 0
    yield
    gc.unfreeze()
    gc.enable()
    gc.collect()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    held = SimpleNamespace(ns=10 * SECOND)
    monkeypatch.setattr(clock, "monotonic_ns", lambda: held.ns)
    return held


def upkeep(monkeypatch: pytest.MonkeyPatch) -> Upkeep:
    """Return one whose other work is left out."""
    nobody: Any = SimpleNamespace()
    made = Upkeep(nobody, nobody, nobody, nobody, nobody, nobody)
    monkeypatch.setattr(made, "_refresh", lambda: None)
    return made


@pytest.mark.usefixtures("thawed")
def test_what_has_survived_a_collection_is_left_out_of_the_next(
    monkeypatch: pytest.MonkeyPatch, now: SimpleNamespace
) -> None:
    made, kept = upkeep(monkeypatch), [Ring() for _ in range(100)]
    now.ns += SECOND
    made.turn(idle=True)
    assert gc.get_freeze_count() >= 100
    kept.clear()
    now.ns += SECOND
    made.turn(idle=True)
    assert Ring.gone == 0
    Ring()
    now.ns += SECOND
    made.turn(idle=True)
    assert Ring.gone == 1


@pytest.mark.usefixtures("thawed")
def test_rings_that_were_left_out_go_with_the_rare_collection_of_everything(
    monkeypatch: pytest.MonkeyPatch, now: SimpleNamespace
) -> None:
    made, kept = upkeep(monkeypatch), [Ring()]
    now.ns += SECOND
    made.turn(idle=True)
    kept.clear()
    now.ns += COLLECT_ALL_NS
    made.turn(idle=False)
    assert Ring.gone == 0
    now.ns += SECOND
    made.turn(idle=True)
    assert Ring.gone == 1


def test_rules_behind_blocked_cards_are_taken_up_when_their_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "site.fr"
    file.write_text("rule a : when amount > 1 then note")
    book, log = ReloadingRules(file, vocabulary()), io.StringIO()
    before = book.version
    gauges: Any = SimpleNamespace(rules_refused=SimpleNamespace(set=lambda value: None))
    model: Any = SimpleNamespace(strategy=SimpleNamespace(rules=BlockedCards(book)))
    nobody: Any = SimpleNamespace()
    made = Upkeep(nobody, nobody, model, nobody, SimpleNamespace(gauges=gauges), Log("worker-0", log))  # type: ignore[arg-type]
    file.write_text("rule a : when amount > 20 then note")
    made._refresh_rules()
    made._refresh_rules()
    assert book.version != before
    assert f'"rules taken up","version":"{book.version}"' in log.getvalue()
