"""What decides while the state store is gone: analyst rules alone; and the mode that a worker is in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from fraud.core.decisions import Explained, Scored, answer_of
from fraud.core.engine import Strategy
from fraud.core.errors import StoreRestartedError, StoreUnavailableError
from fraud.core.records import (
    Answer,
    Arrival,
    FeatureVector,
    Level,
    Mark,
    Score,
    Transaction,
)
from streaming import clock
from streaming.kafka.recovery import Mode
from streaming.run import Handler

STORE_DOWN = Mark.STORE_DOWN.value
"""The name that stands in the place of a model's version when rules alone have decided."""
RETRY_NS = 200_000_000


class LosableStore(Protocol):
    """What a worker asks of a store that may go away. `birth` names the state, another one when it was lost."""

    birth: str

    def reopen(self) -> None:
        """Connect again; raise StoreUnavailableError while nothing answers."""

    def put_answers(self, answers: Sequence[Answer]) -> None:
        """Make published answers the first ones again where they are lost."""

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        """Let the first answers to (transaction id, version) age."""


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
        return answer_of(scored, self._strategy.rules, self._strategy.policy, Explained)


class FallbackEngine:
    """The engine, with something to say when its store does not answer.

    It owns the mode: whoever meets a store that fails does so here, and nobody else sets it. The link reads it, and
    asks this engine for what it wants of the store (`Recoverable`). `restarts` counts lives of the store, `by_rules`
    the answers without it.
    """

    def __init__(self, engine: Handler, store: LosableStore, rules: RulesFallback) -> None:
        """Take the engine, its store, and what answers without them."""
        self._engine, self._store, self._rules = engine, store, rules
        self._mode = Mode.NORMAL
        self._tried_at = 0
        self.by_rules = self.restarts = 0

    @property
    def mode(self) -> Mode:
        """Return how this worker stands with its store."""
        return self._mode

    @property
    def birth(self) -> str:
        """Return the name of the state."""
        return self._store.birth

    def handle(self, batch: Sequence[Arrival]) -> list[Answer]:
        """Return the engine's answers, or those of the rules alone; none when the batch will be read again."""
        if self._mode is Mode.STORE_DOWN:
            return self._without_store(batch)
        try:
            return self._engine.handle(batch)
        except StoreRestartedError:
            self.restarts += 1
            self._mode = Mode.STORE_DOWN
            return self._without_store(batch)
        except StoreUnavailableError:
            self._mode = Mode.STORE_DOWN
            return self._answer_by_rules(batch)

    def put_answers(self, answers: Sequence[Answer]) -> None:
        """Put published answers back; without a store that waits until it is back and all is read again."""
        if self._mode is not Mode.STORE_DOWN:
            with self._noticing():
                self._store.put_answers(answers)

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        """Let first answers age; where the store fails nothing is lost but room: they stay as they are."""
        with self._noticing():
            self._store.settle(answers)

    def begun_again(self) -> None:
        """Go on as ever, unless the store went away once more."""
        if self._mode is Mode.BEGIN_AGAIN:
            self._mode = Mode.NORMAL

    def _without_store(self, batch: Sequence[Arrival]) -> list[Answer]:
        return [] if self._is_back() else self._answer_by_rules(batch)

    def _is_back(self) -> bool:
        """Try to come back, now and then: if the store answers, the batch in hand is left and read again."""
        now = clock.monotonic_ns()
        if now - self._tried_at < RETRY_NS:
            return False
        self._tried_at = now
        try:
            self._store.reopen()
        except StoreUnavailableError:
            return False
        self._mode = Mode.BEGIN_AGAIN
        return True

    def _answer_by_rules(self, batch: Sequence[Arrival]) -> list[Answer]:
        found = [
            self._rules.answer(arrival, arrival.event) for arrival in batch if isinstance(arrival.event, Transaction)
        ]
        self.by_rules += len(found)
        return found

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        """Go on by rules when the store fails in here."""
        try:
            yield
        except (StoreUnavailableError, StoreRestartedError):
            self._mode = Mode.STORE_DOWN
