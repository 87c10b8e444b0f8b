"""Catching up with a store that is back: beside the path, from where the last try was, and not for ever."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest

from fraud.core.errors import StateError, StoreUnavailableError
from fraud.core.records import Answer, Arrival, Position, Transaction
from streaming import clock
from streaming.kafka.backlog import Piece
from streaming.kafka.client import Place
from streaming.kafka.offsets import CommitMark
from streaming.kafka.recovery import Reached
from streaming.observe.logs import Log
from streaming.worker.catch_up import BATCH, NEAR, CatchUp, Job
from tests.contract.driving import answer
from tests.contract.sources import payments
from tests.site import until

PLACE = ("transactions", 0)
ARRIVALS = [Arrival(tx, Position("transactions", 0, number)) for number, tx in enumerate(payments(40))]
START = Reached(5, CommitMark(0))


class Rig:
    """Store, engine, backlog, fallback and link in one: what catching up does to them is noted."""

    birth = "first"

    def __init__(self) -> None:
        self.life, self.back, self.lost, self.caught_up_with = "one", True, 0, 0
        self.held = {PLACE}
        self.recovery = SimpleNamespace(committed=lambda held, applied: dict.fromkeys(held, START), caught={})
        self.did: list[str] = []
        self.begun: list[int] = []
        self.pieces, self.fault, self.fails_at = 3, StoreUnavailableError("hung again"), -1
        self.waits: list[float] = []

    # the store and the engine

    def birth_now(self) -> str:
        return self.birth

    def applied_offsets(self) -> dict[tuple[str, int], int]:
        return {}

    def reopen(self) -> None: ...

    def wait_for(self, seconds: float) -> None:
        self.waits.append(seconds)

    def put_answers(self, answers: Sequence[Answer]) -> None:
        if len(self.did) == self.fails_at:
            self.fails_at = -1
            raise self.fault
        self.did.append("put")

    def handle(self, batch: Sequence[Arrival]) -> list[Answer]:
        assert len(batch) <= BATCH
        self.did.append("handle")
        return []

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        self.did.append(f"settle {len(answers)}")

    # the fallback

    def lose(self) -> None:
        self.lost += 1

    def caught_up(self) -> None:
        self.caught_up_with += 1
        self.back = False

    # the backlog

    def open(self, starts: Mapping[Place, Reached]) -> "Rig":
        self.begun.append(starts[PLACE].absorbed)
        self.at = starts[PLACE].absorbed
        return self

    def left(self) -> int:
        return (self.pieces - self.at) * (NEAR + 1)

    def piece(self) -> Piece:
        self.at += 1
        answers = [answer(a.event, a.position) for a in ARRIVALS if isinstance(a.event, Transaction)]
        return Piece(ARRIVALS, answers)

    def reached(self) -> dict[Place, Reached]:
        return {PLACE: START._replace(absorbed=self.at)}

    def close(self) -> None: ...


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def catch_up(rig: Rig) -> CatchUp:
    some: Any = rig
    job = partial(Job, some, some, some.open, 0.25)
    return CatchUp(some, some, some, job, lambda: None, Log("test", StringIO()))


def turns_until(catch_up: CatchUp, condition: Callable[[], bool]) -> None:
    """Let the loop turn until something holds."""

    def turned() -> bool:
        catch_up.turn()
        return condition()

    until(turned, "what the turns lead to", 5)


def test_pieces_are_put_absorbed_and_settled_and_then_the_engine_begins_again(rig: Rig, catch_up: CatchUp) -> None:
    turns_until(catch_up, lambda: rig.caught_up_with == 1)
    assert rig.did == ["put", "handle", "handle", "settle 40"] * 3
    assert rig.recovery.caught == {PLACE: START._replace(absorbed=3)}
    assert rig.waits[0] > rig.waits[-1] == 0.25  # patient beside the path, and as ever on it


def test_nothing_is_done_while_the_store_is_gone(rig: Rig, catch_up: CatchUp) -> None:
    rig.back = False
    catch_up.turn()
    assert rig.begun == []


@pytest.mark.parametrize(("life", "begins"), [("one", [0, 1]), ("another", [0, 0])])
def test_what_was_done_is_not_done_again_unless_the_store_has_another_life(
    rig: Rig, catch_up: CatchUp, life: str, begins: list[int]
) -> None:
    rig.fails_at = 4
    turns_until(catch_up, lambda: rig.lost == 1)
    rig.life = life
    turns_until(catch_up, lambda: rig.caught_up_with == 1)
    assert rig.begun == begins


def test_partitions_that_change_hands_are_begun_anew(rig: Rig, catch_up: CatchUp) -> None:
    rig.pieces = 10**9
    catch_up.turn()
    until(lambda: rig.at > 3, "some pieces", 5)
    rig.held = {PLACE, ("transactions", 1)}
    turns_until(catch_up, lambda: len(rig.begun) == 2)
    assert (rig.lost, rig.caught_up_with) == (0, 0)
    catch_up.close()


def test_a_load_that_cannot_be_caught_up_with_ends_it(
    rig: Rig, catch_up: CatchUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = iter(range(0, 10**15, 10**9))
    monkeypatch.setattr(clock, "monotonic_ns", lambda: next(at))
    monkeypatch.setattr(rig, "left", lambda: 10 * NEAR)
    turns_until(catch_up, lambda: rig.caught_up_with == 1)


def test_what_cannot_be_used_is_raised_on_the_path(rig: Rig, catch_up: CatchUp) -> None:
    rig.fault, rig.fails_at = StateError("no decision"), 0  # type: ignore[assignment]
    with pytest.raises(StateError, match="no decision"):
        turns_until(catch_up, lambda: False)
