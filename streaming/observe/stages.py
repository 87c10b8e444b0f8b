"""Where the time of a decision goes: proxies that time the parts they wrap."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from fraud.core.engine import Strategy
from fraud.core.ports import Codes, Encoder, Histories, Matrix, Scorer, WorkingSet
from fraud.core.records import Answer, Arrival, Explanation, Level, Score, Values
from fraud.core.second_half import Boundary, Learning
from streaming import clock
from streaming.run import Handler, Swappable

STAGES = ("decode", "read", "features", "model", "reasons", "write", "publish")


class Watch(threading.local):
    """Nanoseconds spent in each stage of the batch at hand, by thread: what runs beside the path is no part of it."""

    def __init__(self) -> None:
        """Start at zero."""
        self.spent = dict.fromkeys(STAGES, 0)
        self.began = clock.monotonic_ns()

    def reset(self, began: int | None = None) -> None:
        """Begin a batch, now or at an earlier time (monotonic ns)."""
        for stage in self.spent:
            self.spent[stage] = 0
        self.began = clock.monotonic_ns() if began is None else began

    @property
    def taken(self) -> int:
        """Return how long the batch at hand has taken so far, in nanoseconds."""
        return clock.monotonic_ns() - self.began

    def add(self, stage: str, began: int) -> None:
        """Add the time since `began` to a stage."""
        self.spent[stage] += clock.monotonic_ns() - began

    def text(self) -> str:
        """Return microseconds by stage, as a header carries them."""
        return " ".join(f"{stage}={spent // 1_000}" for stage, spent in self.spent.items() if spent)


class Engine(Handler, Swappable, Protocol):
    """What is asked of an engine that is timed."""


class TimedEngine:
    """An engine whose time is split into stages: its store and scorers are timed by the same watch."""

    def __init__(self, engine: Engine, watch: Watch) -> None:
        """Wrap an engine, and let its scorers be timed."""
        self._engine, self._watch = engine, watch
        self.replace_strategy(engine.strategy)

    @property
    def strategy(self) -> Strategy:
        """Return what decides now, with what was learned; its scorers are timed."""
        return self._engine.strategy

    def replace_strategy(self, strategy: Strategy) -> None:
        """Swap it between two batches."""
        self._engine.replace_strategy(timed(strategy, self._watch))

    def handle(self, batch: Sequence[Arrival]) -> list[Answer]:
        """Handle a batch; what no part claims is features."""
        began = clock.monotonic_ns()
        answers = self._engine.handle(batch)
        spent = self._watch.spent
        parts = sum(spent[stage] for stage in ("read", "model", "reasons", "write"))
        spent["features"] = max(clock.monotonic_ns() - began - parts, 0)
        return answers


class TimedStore:
    """A state store whose round trips are timed; everything else goes straight through."""

    def __init__(self, store: Any, watch: Watch) -> None:
        """Wrap a store."""
        self._store, self._watch = store, watch

    def __getattr__(self, name: str) -> Any:
        """Return what is not timed."""
        return getattr(self._store, name)

    def read(self, batch: Sequence[Arrival], encoder: Encoder | None = None) -> Any:
        """Read a working set."""
        return self._timed("read", lambda: self._store.read(batch, encoder))

    def write(self, work: WorkingSet, answers: Sequence[Answer]) -> list[Answer]:
        """Write a working set."""
        winners: list[Answer] = self._timed("write", lambda: self._store.write(work, answers))
        return winners

    def _timed(self, stage: str, call: Callable[[], Any]) -> Any:
        began = clock.monotonic_ns()
        try:
            return call()
        finally:
            self._watch.add(stage, began)


class TimedScorer:
    """A scorer whose scoring and explaining are timed."""

    def __init__(self, scorer: Scorer, watch: Watch) -> None:
        """Wrap a scorer; one that is timed already is not timed twice."""
        self._scorer: Scorer = scorer._scorer if isinstance(scorer, TimedScorer) else scorer
        self._watch = watch

    @property
    def version(self) -> str:
        """Return the scorer's version."""
        return self._scorer.version

    @property
    def spec_version(self) -> str:
        """Return the scorer's feature spec."""
        return self._scorer.spec_version

    @property
    def encoder(self) -> str:
        """Return the scorer's encoder."""
        return self._scorer.encoder

    def score(self, ids: Sequence[str], matrix: Matrix, histories: Histories | None = None) -> list[Score]:
        """Score a batch."""
        began = clock.monotonic_ns()
        scores = self._scorer.score(ids, matrix, histories)
        self._watch.add("model", began)
        return scores

    def explain(self, values: Values, score: Score, histories: Histories | None = None, row: int = 0) -> Explanation:
        """Explain one score."""
        began = clock.monotonic_ns()
        told = self._scorer.explain(values, score, histories, row)
        self._watch.add("reasons", began)
        return told

    def encode(self, blocks: Matrix) -> Codes:
        """Encode the blocks that a batch has closed."""
        began = clock.monotonic_ns()
        codes = self._scorer.encode(blocks)
        self._watch.add("model", began)
        return codes


class TimedLearning:
    """A learner whose scorers are timed; everything else goes straight through."""

    def __init__(self, learning: Learning, watch: Watch) -> None:
        """Wrap a learner."""
        self._learning, self._watch = learning, watch

    def __getattr__(self, name: str) -> Any:
        """Return what is not timed."""
        return getattr(self._learning, name)

    def close(self, period: int) -> Boundary:
        """End all periods up to one."""
        return self._timed(self._learning.close(period))

    def restore(self, snapshot: bytes) -> Boundary:
        """Replace the whole state."""
        return self._timed(self._learning.restore(snapshot))

    def _timed(self, boundary: Boundary) -> Boundary:
        if boundary.scorers is None:
            return boundary
        return boundary._replace(scorers=timed_levels(boundary.scorers, self._watch))


def timed(strategy: Strategy, watch: Watch) -> Strategy:
    """Return a strategy whose full scorer is timed, with what was learned as well."""
    versions = {version: timed_levels(scorers, watch) for version, scorers in strategy.versions.items()}
    return msgspec.structs.replace(strategy, scorer=TimedScorer(strategy.scorer, watch), versions=versions)


def timed_levels(scorers: Mapping[Level, Scorer], watch: Watch) -> dict[Level, Scorer]:
    """Return scorers by level, the full one timed."""
    return {level: TimedScorer(each, watch) if level is Level.FULL else each for level, each in scorers.items()}
