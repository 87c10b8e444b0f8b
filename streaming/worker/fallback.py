"""A worker: the engine on a link, going on by rules alone while the state store is gone."""

import signal
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Protocol

import numpy as np

from fraud.core.decisions import Scored, answer_of
from fraud.core.engine import Strategy
from fraud.core.errors import StoreRestartedError, StoreUnavailableError
from fraud.core.records import (
    Answer,
    Arrival,
    FeatureVector,
    Intake,
    Level,
    Mark,
    Score,
    Transaction,
)
from streaming import clock
from streaming.kafka.link import KafkaLink
from streaming.run import Handler, run

STORE_DOWN = Mark.STORE_DOWN.value
"""The name that stands in the place of a model's version when rules alone have decided."""
RETRY_NS = 200_000_000


class Reopening(Protocol):
    """What a worker asks of a store that may go away."""

    def reopen(self) -> None:
        """Connect again; raise StoreUnavailableError while nothing answers."""


class RulesFallback:
    """Answers without state: analyst rules on the transaction itself, marked so."""

    def __init__(self, strategy: Strategy, features: int, spec_version: str) -> None:
        """Take the rules and the policy; every feature is missing."""
        self._strategy = strategy
        self._spec = spec_version
        self._missing = np.full(features, np.nan, np.float32)

    def replace_strategy(self, strategy: Strategy) -> None:
        """Take other rules and another policy."""
        self._strategy = strategy

    def answer(self, arrival: Arrival, tx: Transaction) -> Answer:
        """Return the answer to one transaction."""
        vector = FeatureVector(tx.id, self._missing, self._spec, tx.seen_at)
        score = Score(tx.id, 0.0, STORE_DOWN, Level.RULES)
        scored = Scored(tx, arrival, vector, score, marks=(Mark.STORE_DOWN,))
        return answer_of(scored, self._strategy.rules, self._strategy.policy, lambda: ())


class FallbackEngine:
    """The engine, with something to say when its store does not answer."""

    def __init__(self, engine: Handler, store: Reopening, alone: RulesFallback, link: KafkaLink) -> None:
        """Take the engine and what is needed to come back."""
        self._engine, self._store, self._alone, self._link = engine, store, alone, link
        self._tried_at = 0
        self.degraded = self.restarts = 0

    def handle(self, batch: Sequence[Arrival]) -> list[Answer]:
        """Return the engine's answers, or those of the rules alone; none when the batch will be read again."""
        if self._link.degraded and not self._back():
            return self._by_rules(batch)
        if self._link.rereads:
            return []
        try:
            return self._engine.handle(batch)
        except StoreRestartedError:
            self.restarts += 1
            self._link.degraded = True
            return [] if self._back() else self._by_rules(batch)
        except StoreUnavailableError:
            self._link.degraded = True
            return self._by_rules(batch)

    def _back(self) -> bool:
        """Try to come back: connect, put lost answers back, begin where the store's promise ends."""
        now = clock.monotonic_ns()
        if now - self._tried_at < RETRY_NS:
            return False
        self._tried_at = now
        try:
            self._store.reopen()
        except StoreUnavailableError:
            return False
        self._link.degraded = False
        self._link.seek_back()
        return not self._link.degraded

    def _by_rules(self, batch: Sequence[Arrival]) -> list[Answer]:
        found = [
            self._alone.answer(arrival, arrival.event) for arrival in batch if isinstance(arrival.event, Transaction)
        ]
        self.degraded += len(found)
        return found


def work(link: KafkaLink, engine: Handler, between: Callable[[Intake, Sequence[Answer]], bool]) -> None:
    """Run a worker until SIGTERM or SIGINT: then the batch in hand is finished and committed."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        link.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    run(link, engine, link, between)
