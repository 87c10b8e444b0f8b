"""Releases that change and cards that are blocked while payments come: the replay of the record is equal."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import pytest

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.actions import CaseAction, Remedy
from fraud.core.engine import Engine, Strategy
from fraud.core.errors import StateError
from fraud.core.policy import ThresholdPolicy
from fraud.core.records import BLOCKED, Action, Answer, Arrival, Decision, Transaction, as_decided
from fraud.core.rules.blocked import BlockedCards
from fraud.core.rules.ruleset import compile_rules
from streaming.wiring import vocabulary
from tests.parity.hurry import batched, hurried, strategy_of, stream

SIZE = 5
BEHIND = 3
RULES = 'rule big "paid {amount}" :\n    when amount > {LIMIT}\n    then review'


class Run(NamedTuple):
    """A live run: every release by its id, what came, what was answered."""

    releases: dict[str, Strategy]
    events: list[Arrival]
    answers: list[Answer]

    @property
    def decisions(self) -> list[Decision]:
        return [answer.decision for answer in self.answers]


def releases() -> dict[str, Strategy]:
    """Return what the settings chose, and two releases: other rules, then another model and policy too."""
    blend, booster = strategy_of("demo-blend"), strategy_of("demo")
    rules = [compile_rules(RULES.replace("{LIMIT}", limit), vocabulary()) for limit in ("20", "60")]
    second = msgspec.structs.replace(blend, rules=rules[0], release="r1-a")
    third = msgspec.structs.replace(booster, rules=rules[1], policy=ThresholdPolicy(0.003, 0.4, 0.8), release="r2-b")
    return {each.release: each for each in (blend, second, third)}


@pytest.fixture(scope="module")
def live() -> Run:
    """Return a run of two workers that take batches in turn; the second one hears of everything later."""
    made, batches = releases(), list(batched(hurried(stream(1), 5), SIZE))
    cards = sorted({event.event.card for part in batches for event in part if isinstance(event.event, Transaction)})
    heard = [[Heard(len(batches) // 4, cards[0]), Heard(len(batches) // 2, cards[0], block=False)] for _ in range(2)]
    store, answers = MemoryStore(), list[Answer]()
    engine = Engine(OnlineExtractor(store), store, made[""])
    guards = [BlockedCards(made[""].rules) for _ in range(2)]
    ids = list(made)
    for number, part in enumerate(batches):
        worker = number % 2
        known = max(number - BEHIND * worker, 0)
        for each in heard[worker]:
            if each.at <= known:
                guards[worker].take(each.order)
        chosen = made[ids[min(3 * known // len(batches), 2)]]
        engine.replace_strategy(msgspec.structs.replace(chosen, rules=guards[worker].over(chosen.rules)))
        answers += engine.handle(part)
    return Run(made, [event for part in batches for event in part], answers)


class Heard(NamedTuple):
    """An order about a card, and the batch at which it is known."""

    at: int
    card: str
    block: bool = True

    @property
    def order(self) -> CaseAction:
        remedy = Remedy.BLOCK_CARD if self.block else Remedy.UNBLOCK_CARD
        return CaseAction(id="a1", action=remedy, card=self.card, at=1, by="lea")


def recorded(run: Run) -> list[Arrival]:
    """Return what came, with what the record says of it."""
    made = {answer.position: answer.decision for answer in run.answers}
    return [as_decided(event, made[event.position]) if event.position in made else event for event in run.events]


def replayed(run: Run, told: Sequence[Arrival], known: dict[str, Strategy]) -> list[Decision]:
    """Return the decisions of a replay in other batches, by these releases."""
    store = MemoryStore()
    engine = Engine(OnlineExtractor(store), store, msgspec.structs.replace(run.releases[""], others=known))
    return [answer.decision for part in batched(told, 13) for answer in engine.handle(part)]


def test_run_saw_every_release_from_two_workers_and_a_card_blocked_for_a_while(live: Run) -> None:
    named = [decision.versions.release for decision in live.decisions]
    assert set(named) == {"", "r1-a", "r2-b"}
    assert named != sorted(named)
    for decision in live.decisions:
        assert decision.versions.rules == live.releases[decision.versions.release].rules.version
        assert decision.versions.policy == live.releases[decision.versions.release].policy.version
    stopped = [decision for decision in live.decisions if decision.reasons and decision.reasons[0].code == BLOCKED]
    assert {(decision.action, decision.card) for decision in stopped} == {(Action.DECLINE, stopped[0].card)}
    others = [decision for decision in live.decisions if decision.card == stopped[0].card and decision not in stopped]
    assert others


def test_replay_by_the_releases_of_the_record_is_equal(live: Run) -> None:
    assert replayed(live, recorded(live), live.releases) == live.decisions


@pytest.mark.parametrize("lost", ["release", "blocked"])
def test_replay_needs_what_the_record_says(live: Run, lost: str) -> None:
    told = [msgspec.structs.replace(event, **{lost: None}) for event in recorded(live)]
    assert replayed(live, told, live.releases) != live.decisions


def test_replay_without_a_release_of_the_record_says_which(live: Run) -> None:
    known = {name: each for name, each in live.releases.items() if name != "r2-b"}
    with pytest.raises(StateError, match=r"release r2-b is not at hand.*docs/releases\.md"):
        replayed(live, recorded(live), known)
