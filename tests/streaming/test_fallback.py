"""Who meets a store that fails sets the mode, in one place: by rules alone, then read again, then as ever."""

from collections.abc import Sequence

import pytest

from fraud.core.errors import FraudError, StateError, StoreRestartedError, StoreUnavailableError
from fraud.core.records import Answer, Arrival, Position, Transaction
from fraud.core.settings import Settings
from streaming import clock
from streaming.kafka.recovery import Mode
from streaming.wiring import strategy
from streaming.worker.fallback import RETRY_NS, STORE_DOWN, FallbackEngine, RulesFallback
from tests.contract.driving import answer
from tests.contract.sources import payments

BATCH = [Arrival(tx, Position("transactions", 0, number)) for number, tx in enumerate(payments(3))]
GONE, RESTARTED = StoreUnavailableError("gone"), StoreRestartedError("another life")


class Failing:
    """A store, and an engine on it, that raise what they are told to."""

    def __init__(self) -> None:
        self.birth = self.born = "first"
        self.fault: FraudError | None = None
        self.reopened = 0

    def birth_now(self) -> str:
        self._fail()
        return self.born

    def applied_offsets(self) -> dict[tuple[str, int], int]:
        return {("transactions", 0): 7}

    def reopen(self) -> None:
        self.reopened += 1
        if self.fault is GONE:
            raise GONE

    def put_answers(self, answers: Sequence[Answer]) -> None:
        self._fail()

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        self._fail()

    def handle(self, batch: Sequence[Arrival]) -> list[Answer]:
        self._fail()
        return [answer(a.event, a.position) for a in batch if isinstance(a.event, Transaction)]

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def store() -> Failing:
    return Failing()


@pytest.fixture
def fallback(store: Failing, monkeypatch: pytest.MonkeyPatch) -> FallbackEngine:
    """A fallback whose clock moves on by the pause between two tries with each look."""
    at = iter(range(10 * RETRY_NS, 10_000 * RETRY_NS, RETRY_NS))
    monkeypatch.setattr(clock, "monotonic_ns", lambda: next(at))
    return FallbackEngine(store, store, RulesFallback(strategy(Settings(), ""), 3, "spec"))


def by_rules(answers: list[Answer]) -> bool:
    assert len(answers) == len(BATCH)
    return all(STORE_DOWN in each.decision.marks for each in answers)


def test_a_store_that_does_not_answer_leaves_the_rules_alone(store: Failing, fallback: FallbackEngine) -> None:
    assert not by_rules(fallback.handle(BATCH))
    store.fault = GONE
    assert by_rules(fallback.handle(BATCH))
    assert by_rules(fallback.handle(BATCH))
    assert fallback.mode is Mode.STORE_DOWN
    assert (fallback.by_rules, store.reopened) == (6, 1)


def test_a_store_that_is_back_has_the_batch_read_again_before_the_engine_goes_on(
    store: Failing, fallback: FallbackEngine
) -> None:
    store.fault = GONE
    fallback.handle(BATCH)
    store.fault = None
    assert fallback.handle(BATCH) == []
    modes = [fallback.mode]
    fallback.begun_again()
    assert [*modes, fallback.mode] == [Mode.BEGIN_AGAIN, Mode.NORMAL]
    assert not by_rules(fallback.handle(BATCH))


def test_a_restarted_store_is_noticed_and_read_again_at_once(store: Failing, fallback: FallbackEngine) -> None:
    store.fault = RESTARTED
    assert fallback.handle(BATCH) == []
    assert (fallback.mode, fallback.restarts) == (Mode.BEGIN_AGAIN, 1)


def test_tries_to_come_back_are_a_pause_apart(
    store: Failing, fallback: FallbackEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.fault = GONE
    fallback.handle(BATCH)
    fallback.handle(BATCH)
    monkeypatch.setattr(clock, "monotonic_ns", lambda: 10 * RETRY_NS + 1)
    for _ in range(5):
        assert by_rules(fallback.handle(BATCH))
    assert store.reopened == 1


def test_a_store_that_goes_away_while_all_is_read_again_stays_down(store: Failing, fallback: FallbackEngine) -> None:
    store.fault = RESTARTED
    fallback.handle(BATCH)
    store.fault = GONE
    fallback.put_answers([])
    fallback.begun_again()
    assert fallback.mode is Mode.STORE_DOWN


@pytest.mark.parametrize("fault", [GONE, RESTARTED])
def test_what_the_link_asks_of_a_failing_store_changes_the_mode_and_raises_nothing(
    store: Failing, fallback: FallbackEngine, fault: FraudError
) -> None:
    store.fault = fault
    fallback.settle([("t", 0)])
    assert fallback.mode is Mode.STORE_DOWN
    other = FallbackEngine(store, store, RulesFallback(strategy(Settings(), ""), 3, "spec"))
    other.put_answers([])
    assert other.mode is Mode.STORE_DOWN


def test_a_state_that_is_asked_says_what_it_has_applied(store: Failing, fallback: FallbackEngine) -> None:
    assert fallback.applied() == {("transactions", 0): 7}


@pytest.mark.parametrize("now", ["", "second"])
def test_a_state_emptied_or_exchanged_while_the_worker_runs_is_refused_with_the_repair(
    now: str, store: Failing, fallback: FallbackEngine
) -> None:
    store.born = now
    with pytest.raises(StateError, match="fraud state rebuild"):
        fallback.applied()


@pytest.mark.parametrize("fault", [GONE, RESTARTED])
def test_a_store_that_fails_when_it_is_asked_leaves_the_rules_alone(
    fault: FraudError, store: Failing, fallback: FallbackEngine
) -> None:
    store.fault = fault
    assert fallback.applied() is None
    assert fallback.mode is Mode.STORE_DOWN
    assert fallback.restarts == (fault is RESTARTED)
    store.fault = None
    assert fallback.applied() is None
