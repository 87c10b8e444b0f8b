"""What decides while the state store is gone: analyst rules alone; and the mode that a worker is in."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from fraud.core.decisions import Explained, Scored, answer_of
from fraud.core.engine import Strategy
from fraud.core.errors import StateError, StoreRestartedError, StoreUnavailableError
from fraud.core.records import (
    Answer,
    Arrival,
    FeatureVector,
    Level,
    Mark,
    Score,
    Transaction,
)
from streaming.kafka.recovery import Mode
from streaming.run import Handler
from streaming.worker.probe import Probe

STORE_DOWN = Mark.STORE_DOWN.value
"""The name that stands in the place of a model's version when rules alone have decided."""


class LosableStore(Protocol):
    """What a worker asks of a store that may go away. `birth` names the state, another one when it was lost."""

    birth: str

    def birth_now(self) -> str:
        """Return the name that the state has now, empty when it was emptied."""

    def applied_offsets(self) -> dict[tuple[str, int], int]:
        """Return the highest offset applied of each (topic, partition)."""

    @property
    def life(self) -> str:
        """Return what names the life it is in since `reopen`; in another one what was last may be missing."""

    def reopen(self) -> None:
        """Connect again; raise StoreUnavailableError while nothing answers."""

    def wait_for(self, seconds: float) -> None:
        """Give it so long for each answer, from now on."""

    def put_answers(self, answers: Sequence[Answer]) -> None:
        """Make published answers the first ones again where they are lost."""

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        """Let first answers age, by what they lie under."""


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
        chosen = self._strategy
        return answer_of(scored, chosen.rules, chosen.policy, Explained, chosen.release)


class FallbackEngine:
    """The engine, with something to say when its store does not answer.

    It owns the mode: whoever meets a store that fails does so here, and nobody else sets it. The link reads it, and
    asks this engine for what it wants of the store (`Recoverable`). While the store is gone nothing on the path asks
    it: a probe does, in a thread of its own, and `CatchUp` brings it up to date before the engine goes on. `restarts`
    counts lives of the store, `by_rules` the answers without it.
    """

    def __init__(
        self, engine: Handler, store: LosableStore, rules: RulesFallback, probe: Probe, *, down: bool = False
    ) -> None:
        """Take the engine, its store, what answers without them, and what asks for the store; `down`: it is gone."""
        self._engine, self._store, self._rules, self._probe = engine, store, rules, probe
        self._mode = Mode.NORMAL
        self.by_rules = self.restarts = 0
        if down:
            self.lose()

    @property
    def mode(self) -> Mode:
        """Return how this worker stands with its store."""
        return self._mode

    @property
    def birth(self) -> str:
        """Return the name of the state."""
        return self._store.birth

    @property
    def back(self) -> bool:
        """Tell whether a store that was gone answers again; raise what it says when that is a fault to be mended."""
        return self._mode is Mode.STORE_DOWN and self._probe.back

    def handle(self, batch: Sequence[Arrival]) -> list[Answer]:
        """Return the engine's answers, or those of the rules alone; none when the batch will be read again."""
        if self._mode is Mode.BEGIN_AGAIN:
            return []
        if self._mode is Mode.NORMAL:
            with self.noticing():
                return self._engine.handle(batch)
        return self._answer_by_rules(batch)

    def put_answers(self, answers: Sequence[Answer]) -> None:
        """Put published answers back; without a store that waits until it is back and all is read again."""
        if self._mode is not Mode.STORE_DOWN:
            with self.noticing():
                self._store.put_answers(answers)

    def applied(self) -> Mapping[tuple[str, int], int] | None:
        """Return what the state has applied, None while the store is gone.

        Raises:
            StateError: when the state was emptied, or is another, since it was opened.
        """
        if self._mode is Mode.STORE_DOWN:
            return None
        found, now = None, self.birth
        with self.noticing():
            now, found = self._store.birth_now(), self._store.applied_offsets()
        if now != self.birth:
            msg = (
                f"the state store was born {now or 'never'} and not {self.birth}: it was emptied, or another one was "
                "put in its place, while this worker ran; end the other workers, empty it, and fill it with "
                "'fraud state rebuild'"
            )
            raise StateError(msg)
        return found

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        """Let first answers age; where the store fails nothing is lost but room: they stay as they are."""
        if self._mode is not Mode.STORE_DOWN:
            with self.noticing():
                self._store.settle(answers)

    def lose(self) -> None:
        """Go on by rules, and have the store asked until it is back."""
        self._mode = Mode.STORE_DOWN
        self._probe.begin()

    def caught_up(self) -> None:
        """Have the little that the store still lacks read again."""
        self._mode = Mode.BEGIN_AGAIN

    def begun_again(self) -> None:
        """Go on as ever, unless the store went away once more."""
        if self._mode is Mode.BEGIN_AGAIN:
            self._mode = Mode.NORMAL

    def close(self) -> None:
        """Ask for the store no more."""
        self._probe.close()

    @contextmanager
    def noticing(self) -> Iterator[None]:
        """Go on by rules when the store fails in here."""
        try:
            yield
        except StoreRestartedError:
            self.restarts += 1
            self.lose()
        except StoreUnavailableError:
            self.lose()

    def _answer_by_rules(self, batch: Sequence[Arrival]) -> list[Answer]:
        found = [
            self._rules.answer(arrival, arrival.event) for arrival in batch if isinstance(arrival.event, Transaction)
        ]
        self.by_rules += len(found)
        return found
