"""Who meets a store that fails sets the mode, in one place: by rules alone, caught up, read again, then as ever."""

from collections.abc import Callable, Iterator, Sequence
from threading import Event

import pytest

from fraud.core.errors import FraudError, StateError, StoreRestartedError, StoreUnavailableError
from fraud.core.records import Answer, Arrival, Position, Transaction
from fraud.core.settings import Settings
from streaming.kafka.recovery import Mode
from streaming.wiring import strategy
from streaming.worker.fallback import STORE_DOWN, FallbackEngine, RulesFallback
from streaming.worker.probe import Probe
from tests.contract.driving import answer
from tests.contract.sources import payments
from tests.site import until

BATCH = [Arrival(tx, Position("transactions", 0, number)) for number, tx in enumerate(payments(3))]
GONE, RESTARTED = StoreUnavailableError("gone"), StoreRestartedError("another life")


class Failing:
    """A store, and an engine on it, that raise what they are told to; while `hung` nothing returns."""

    birth, born, life = "first", "first", "one"

    def __init__(self) -> None:
        self.fault: FraudError | None = None
        self.answers = Event()
        self.answers.set()
        self.reopened = 0

    def birth_now(self) -> str:
        self._fail()
        return self.born

    def applied_offsets(self) -> dict[tuple[str, int], int]:
        return {("transactions", 0): 7}

    def reopen(self) -> None:
        self.reopened += 1
        self.answers.wait()
        if self.fault is not None and self.fault is not RESTARTED:
            raise self.fault

    def wait_for(self, seconds: float) -> None:
        self._fail()

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


Make = Callable[..., FallbackEngine]


@pytest.fixture
def make(store: Failing) -> Iterator[Make]:
    made: list[FallbackEngine] = []

    def build(*, down: bool = False) -> FallbackEngine:
        rules = RulesFallback(strategy(Settings(), ""), 3, "spec")
        made.append(FallbackEngine(store, store, rules, Probe(store.reopen), down=down))
        return made[-1]

    yield build
    store.fault = None
    store.answers.set()
    for each in made:
        each.close()


@pytest.fixture
def fallback(make: Make) -> FallbackEngine:
    return make()


def by_rules(answers: list[Answer]) -> bool:
    assert len(answers) == len(BATCH)
    return all(STORE_DOWN in each.decision.marks for each in answers)


def test_a_store_that_does_not_answer_leaves_the_rules_alone(store: Failing, fallback: FallbackEngine) -> None:
    assert not by_rules(fallback.handle(BATCH))
    store.fault = GONE
    assert by_rules(fallback.handle(BATCH))
    assert by_rules(fallback.handle(BATCH))
    assert (fallback.mode, fallback.by_rules) == (Mode.STORE_DOWN, 6)


def test_a_store_that_hangs_is_asked_beside_the_path(store: Failing, fallback: FallbackEngine) -> None:
    store.fault = GONE
    store.answers.clear()
    assert by_rules(fallback.handle(BATCH))
    until(lambda: store.reopened == 1, "the probe's question", 5)
    for _ in range(100):  # none of them waits for the question that nobody answers
        assert by_rules(fallback.handle(BATCH))
        assert not fallback.back
    assert store.reopened == 1


def test_a_store_that_is_back_is_caught_up_with_before_the_engine_goes_on(
    store: Failing, fallback: FallbackEngine
) -> None:
    store.fault = GONE
    fallback.handle(BATCH)
    store.fault = None
    until(lambda: fallback.back, "the store to be back", 5)
    assert by_rules(fallback.handle(BATCH))
    fallback.caught_up()
    modes = [fallback.mode]
    assert fallback.handle(BATCH) == []
    fallback.begun_again()
    assert [*modes, fallback.mode] == [Mode.BEGIN_AGAIN, Mode.NORMAL]
    assert not by_rules(fallback.handle(BATCH))


def test_a_restarted_store_is_counted_and_back_at_once(store: Failing, fallback: FallbackEngine) -> None:
    store.fault = RESTARTED
    assert by_rules(fallback.handle(BATCH))
    assert (fallback.mode, fallback.restarts) == (Mode.STORE_DOWN, 1)
    until(lambda: fallback.back, "the store to be back", 5)


def test_a_start_without_a_store_is_by_rules_until_it_is_there(store: Failing, make: Make) -> None:
    store.fault = GONE
    fallback = make(down=True)
    assert by_rules(fallback.handle(BATCH))
    store.fault = None
    until(lambda: fallback.back, "the store to be there", 5)


def test_tries_to_come_back_are_a_pause_apart_and_go_on(store: Failing, fallback: FallbackEngine) -> None:
    store.fault = GONE
    fallback.handle(BATCH)
    until(lambda: store.reopened == 3, "three tries", 5)
    fallback.handle(BATCH)
    assert store.reopened == 3


def test_what_no_waiting_mends_is_raised_on_the_path(store: Failing, fallback: FallbackEngine) -> None:
    store.fault = GONE
    fallback.handle(BATCH)
    store.fault = StateError("another release's functions")
    with pytest.raises(StateError, match="another release"):
        until(lambda: fallback.back, "the fault", 5)


def test_a_store_that_goes_away_while_all_is_read_again_stays_down(store: Failing, fallback: FallbackEngine) -> None:
    store.fault = RESTARTED
    fallback.handle(BATCH)
    until(lambda: fallback.back, "the store to be back", 5)
    fallback.caught_up()
    store.fault = GONE
    fallback.put_answers([])
    fallback.begun_again()
    assert fallback.mode is Mode.STORE_DOWN
    assert not fallback.back


@pytest.mark.parametrize("fault", [GONE, RESTARTED])
def test_what_the_link_asks_of_a_failing_store_changes_the_mode_and_raises_nothing(
    store: Failing, make: Make, fault: FraudError
) -> None:
    store.fault = fault
    one, other = make(), make()
    one.settle([("t", 0)])
    other.put_answers([])
    assert one.mode is other.mode is Mode.STORE_DOWN


def test_a_state_that_is_asked_says_what_it_has_applied(store: Failing, make: Make) -> None:
    assert make().applied() == {("transactions", 0): 7}


@pytest.mark.parametrize("now", ["", "second"])
def test_a_state_emptied_or_exchanged_while_the_worker_runs_is_refused_with_the_repair(
    now: str, store: Failing, make: Make
) -> None:
    store.born = now
    fallback = make()
    with pytest.raises(StateError, match="fraud state rebuild"):
        fallback.applied()


@pytest.mark.parametrize("fault", [GONE, RESTARTED])
def test_a_store_that_fails_when_it_is_asked_leaves_the_rules_alone(
    fault: FraudError, store: Failing, make: Make
) -> None:
    store.fault, fallback = fault, make()
    assert fallback.applied() is None
    assert fallback.mode is Mode.STORE_DOWN
    assert fallback.restarts == (fault is RESTARTED)
    store.fault = None
    assert fallback.applied() is None
