"""Parameters that change while payments come, two workers on different versions: the replay of the record is equal."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import pytest

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.engine import Engine, Strategy
from fraud.core.errors import StateError
from fraud.core.records import Answer, Arrival, Decision, Level, Transaction, as_decided
from tests.parity.hurry import batched, hurried, strategy_of, stream
from tests.parity.refreshes import knowing, scorers_of, scripted

SIZE = 4
BEHIND = 4
"""By so many batches the second worker hears of each refresh later."""


class Run(NamedTuple):
    """A live run: what came, what was answered, and how each batch was taken up."""

    strategy: Strategy
    events: list[Arrival]
    answers: list[Answer]

    @property
    def decisions(self) -> list[Decision]:
        return [answer.decision for answer in self.answers]


@pytest.fixture(scope="module", params=["demo", "demo-blend"])
def live(request: pytest.FixtureRequest) -> Run:
    """Return a run with a refresh each batch; two workers take batches in turn, the second one behind."""
    frozen = strategy_of(request.param)
    batches = list(batched(hurried(stream(1), 5), SIZE))
    snapshots = [scripted(frozen, seq) for seq in range(len(batches))]
    versions = scorers_of(frozen, *snapshots)
    store, answers = MemoryStore(), list[Answer]()
    engine = Engine(OnlineExtractor(store), store, frozen)
    for number, part in enumerate(batches):
        seq = number - BEHIND * (number % 2)
        in_force = snapshots[seq].version if seq > 0 else ""
        engine.replace_strategy(knowing(frozen, {in_force: versions.get(in_force, {})}, in_force))
        answers += engine.handle(part)
    return Run(knowing(frozen, versions), [event for part in batches for event in part], answers)


def replayed(run: Run, told: Sequence[Arrival], strategy: Strategy | None = None) -> list[Decision]:
    """Return the decisions of a replay in other batches, by all versions at hand."""
    store = MemoryStore()
    engine = Engine(OnlineExtractor(store), store, strategy or run.strategy)
    return [answer.decision for part in batched(told, 13) for answer in engine.handle(part)]


def recorded(run: Run) -> list[Arrival]:
    """Return what came, with what the record says of it."""
    made = {answer.position: answer.decision for answer in run.answers}
    return [as_decided(event, made[event.position]) if event.position in made else event for event in run.events]


def test_run_saw_many_versions_levels_and_decisions_without_any(live: Run) -> None:
    made = live.decisions
    used = {decision.versions.parameters for decision in made}
    assert len(used) > 50
    assert "" in used
    levels = {decision.level for decision in made if decision.versions.parameters}
    assert levels == ({Level.FULL, Level.EARLY} if live.strategy.scorer.encoder else {Level.FULL})
    assert {d.versions.parameters for d in made if d.level is Level.RULES} == {""}
    # Two workers: a later decision by an earlier version.
    order = [int(version.split("-")[0]) for d in made if (version := d.versions.parameters)]
    assert order != sorted(order)


def test_replay_takes_the_parameters_from_the_record_and_is_equal_to_the_last_digit(live: Run) -> None:
    assert replayed(live, recorded(live)) == live.decisions


def test_parameters_move_scores_and_not_what_a_decision_says_of_its_model(live: Run) -> None:
    frozen = replayed(live, [msgspec.structs.replace(event, parameters="") for event in recorded(live)])
    moved = [
        one.score != other.score for one, other in zip(frozen, live.decisions, strict=True) if other.versions.parameters
    ]
    assert sum(moved) > len(moved) / 2
    for one, other in zip(frozen, live.decisions, strict=True):
        assert msgspec.structs.replace(other.versions, parameters="") == one.versions


def test_comparison_reports_a_replay_by_what_is_in_force(live: Run) -> None:
    newest = list(live.strategy.versions)[-1]
    told = [msgspec.structs.replace(event, parameters=None) for event in recorded(live)]
    assert replayed(live, told, knowing(live.strategy, live.strategy.versions, newest)) != live.decisions


def test_comparison_reports_parameters_that_are_applied_one_batch_early(live: Run) -> None:
    told = recorded(live)
    early = [
        msgspec.structs.replace(event, parameters=told[min(place + SIZE, len(told) - 1)].parameters)
        for place, event in enumerate(told)
    ]
    assert replayed(live, early) != live.decisions


def test_parameters_that_are_not_at_hand_are_asked_for_by_name(live: Run) -> None:
    arrival = next(event for event in recorded(live) if isinstance(event.event, Transaction))
    with pytest.raises(StateError, match="parameters 999-none are not at hand"):
        replayed(live, [msgspec.structs.replace(arrival, parameters="999-none")])


def test_level_without_a_scorer_of_its_own_is_scored_as_in_full() -> None:
    frozen = strategy_of("demo")
    ((version, scorers),) = scorers_of(frozen, scripted(frozen, 3)).items()
    refreshed = knowing(frozen, {version: scorers}, version)
    assert refreshed.at(Level.EARLY) is scorers[Level.FULL]
    assert refreshed.at(Level.RULES) is frozen.reduced[Level.RULES]
    assert refreshed.at(Level.FULL, "") is frozen.scorer
    assert frozen.at(Level.FULL) is frozen.scorer
