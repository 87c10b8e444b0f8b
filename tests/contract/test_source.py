"""The promises of the Source port, on every implementation."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

import pytest

from fraud.core.ports import Source
from fraud.core.records import Answer, Arrival, Intake, Transaction
from tests.contract.driving import answer
from tests.contract.sources import BATCH, SOURCES, SourceCase, SourceStage

RESUMABLE = [case for case in SOURCES if case.resumable]


class Opened:
    """A stage with its source; whatever is open at the end of a test is closed."""

    def __init__(self, stage: SourceStage, ends: ExitStack) -> None:
        self.stage, self._ends = stage, ends
        self.source = self._open()

    def reopen(self) -> None:
        """Close the source and go on with another one, as a process started again does."""
        self.source.close()
        self.source = self._open()

    def read(self) -> Intake | None:
        return self.stage.read(self.source)

    def rest(self) -> list[Arrival]:
        """Return everything up to the end."""
        found: list[Arrival] = []
        while (intake := self.read()) is not None:
            found += intake.arrivals
        return found

    def commit(self, arrivals: list[Arrival]) -> None:
        self.stage.commit(self.source, answers_to(arrivals))

    def _open(self) -> Source:
        source = self.stage.open()
        self._ends.callback(source.close)
        return source


def answers_to(arrivals: list[Arrival]) -> list[Answer]:
    return [answer(a.event, a.position) for a in arrivals if isinstance(a.event, Transaction)]


def ids(arrivals: list[Arrival]) -> list[str]:
    return [f"{arrival.position.topic} {arrival.position.partition} {arrival.position.offset}" for arrival in arrivals]


@pytest.fixture
def ends() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=SOURCES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> SourceCase:
    found: SourceCase = request.param
    return found


def test_every_event_comes_once_in_the_order_of_seen_at(case: SourceCase, ends: ExitStack) -> None:
    opened = Opened(case.stage(80), ends)
    found = opened.rest()
    assert len(found) == opened.stage.expected > BATCH
    assert len(set(ids(found))) == len(found)
    assert all(one.event.seen_at <= other.event.seen_at for one, other in pairwise(found))


def test_a_read_brings_a_batch_at_most_and_does_not_wait_to_fill_one(case: SourceCase, ends: ExitStack) -> None:
    opened = Opened(case.stage(BATCH // 4), ends)
    sizes = []
    while (intake := opened.read()) is not None:
        sizes.append(len(intake.arrivals))
    assert sum(sizes) == opened.stage.expected
    assert max(sizes) <= BATCH
    assert sizes[-1] < BATCH


def test_the_end_is_none_and_stays_so(case: SourceCase, ends: ExitStack) -> None:
    opened = Opened(case.stage(3), ends)
    opened.rest()
    assert opened.source.read() is None
    assert opened.source.read() is None


def test_a_second_close_does_nothing(case: SourceCase, ends: ExitStack) -> None:
    opened = Opened(case.stage(3), ends)
    first = opened.read()
    assert first is not None
    opened.commit(list(first.arrivals))
    opened.source.close()
    opened.source.close()


@pytest.mark.parametrize("case", RESUMABLE, ids=lambda case: case.name)
def test_a_source_opened_again_goes_on_behind_what_was_committed(case: SourceCase, ends: ExitStack) -> None:
    opened = Opened(case.stage(60), ends)
    taken: list[Arrival] = []
    while len(taken) < 20:
        intake = opened.read()
        assert intake is not None
        taken += intake.arrivals
    opened.commit(taken)
    opened.reopen()
    rest = opened.rest()
    assert not set(ids(rest)) & set(ids(taken))
    assert len(rest) + len(taken) == opened.stage.expected


@pytest.mark.parametrize("case", RESUMABLE, ids=lambda case: case.name)
def test_what_was_read_and_not_committed_comes_again(case: SourceCase, ends: ExitStack) -> None:
    opened = Opened(case.stage(20), ends)
    first = opened.rest()
    opened.reopen()
    assert sorted(ids(opened.rest())) == sorted(ids(first))
