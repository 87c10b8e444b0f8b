"""The loop: source, engine, sink, commit. Live scoring, replay and the demo all run this."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Protocol

import msgspec

from fraud.core.engine import Engine, Strategy
from fraud.core.labels import LabelBook
from fraud.core.ports import Extractor, Sink, Source, StateStore
from fraud.core.records import Answer, Arrival, Intake
from fraud.core.second_half import Learning


class Handler(Protocol):
    """What the loop asks of the engine."""

    def handle(self, batch: Sequence[Arrival]) -> list[Answer]:
        """Return one answer per transaction of the batch, in order."""


class Swappable(Protocol):
    """What is asked of an engine that another strategy is given."""

    @property
    def strategy(self) -> Strategy:
        """Return what decides now, with what was learned."""

    def replace_strategy(self, strategy: Strategy) -> None:
        """Swap it between two batches."""


class Parts(msgspec.Struct, frozen=True):
    """An engine with the parts that somebody outside may want to talk to."""

    engine: Engine
    store: StateStore
    extractor: Extractor
    strategy: Strategy
    book: LabelBook | None
    learning: Learning | None = None


def run(source: Source, engine: Handler, sink: Sink, between: Callable[[Intake, Sequence[Answer]], bool]) -> None:
    """Read, handle, write, commit until the source ends or `between`, called after each batch, returns False.

    The order is the delivery promise: what the source notes has been handed over, and the note becomes durable only
    behind the sink's acknowledgement. So one batch may be under way while the next is worked on. At the end the sink
    is closed first, which flushes it.
    """
    with closing(source), closing(sink):
        while (intake := source.read()) is not None:
            answers = engine.handle(intake.arrivals)
            sink.write(answers, intake.rejects)
            source.commit(answers)
            if not between(intake, answers):
                return
