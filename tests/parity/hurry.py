"""Streams of a worker that is short of time: what comes, at which level, and what decides."""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.engine import Strategy
from fraud.core.policy import ThresholdPolicy
from fraud.core.records import Arrival, KnownLabel, Level, Mark, Transaction
from fraud.core.settings import ModelSection, Settings
from streaming import wiring
from tests.contract.traffic import PLAIN, arrivals
from tests.features.drawn import drawn_at_random

MANY = 400
# Without repeats: how long a first answer is remembered goes by whole batches.
ONCE = (*PLAIN, "label", "label", "correct", "move")
# Low thresholds, so that many decisions have reasons.
POLICY = ThresholdPolicy(0.005, 0.5, 0.9)
LADDER = Level.FULL, Level.EARLY, Level.RULES


def batched(events: Sequence[Arrival], size: int) -> Iterator[Sequence[Arrival]]:
    """Yield events in batches."""
    return (events[begin : begin + size] for begin in range(0, len(events), size))


def stream(seed: int, verbs: tuple[str, ...] = ONCE) -> list[Arrival]:
    """Return payments and known labels, late and corrected."""
    drawn = arrivals(drawn_at_random(seed, MANY, verbs))
    return [arrival for arrival in drawn if isinstance(arrival.event, Transaction | KnownLabel)]


def hurried(events: Sequence[Arrival], seed: int) -> list[Arrival]:
    """Return events with a level that changes from batch to batch, some of them overdue."""
    rng, found = np.random.default_rng(seed), list[Arrival]()
    for part in batched(events, 8):
        level, late = LADDER[rng.integers(len(LADDER))], rng.random() < 0.3
        marks = (Mark.OVERDUE,) if late else ()
        found += [msgspec.structs.replace(arrival, level=level, marks=marks) for arrival in part]
    return found


def strategy_of(model: str) -> Strategy:
    """Return a shipped model's strategy, a blend on its ladder, under a policy that alerts on much."""
    settings = msgspec.structs.replace(Settings(), model=ModelSection(name=model))
    made = wiring.strategy(settings, OnlineExtractor(MemoryStore()).version)
    return msgspec.structs.replace(made, policy=POLICY)
