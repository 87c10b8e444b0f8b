"""Every implementation of the Scorer port, and real rows to score: vectors and histories of simulated payments."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.extractor import OnlineExtractor
from features.spec import spec
from features.stores.memory import MemoryStore
from fraud.core.ports import Encoder, Matrix, Scorer, Tokens
from fraud.core.records import Arrival, Level, Transaction
from fraud.simulate import stream
from fraud.simulate.source import merge
from models import registry
from models.blend import NETWORK, Blend, Early
from models.boosting.scorer import Booster
from models.boosting.trees import Trees
from models.online.leaves import LeafSums
from models.online.parameters import Parameters
from models.online.refreshed import Refreshed
from models.reasons.reading import Lately
from models.rules_only import RulesOnly
from streaming.observe.stages import TimedScorer, Watch
from streaming.replay.extraction import RecordingScorer
from streaming.wiring import SHIPPED

WARM, ROWS, SIDES = 3_000, 67, 3
SOME = Lately(41_320, 96, 1_793_620_800_000_000_000)


class ScorerCase(NamedTuple):
    """One implementation: how to make it, the level it says it ran at, whether it has an encoder.

    One with an encoder is given histories, unless the case is about what it does without them.
    """

    name: str
    implementation: type
    make: Callable[[], Scorer]
    level: Level = Level.FULL
    encoder: bool = False
    given: bool = True


@cache
def booster() -> Booster:
    """Return the shipped booster."""
    return Booster.of(registry.load(SHIPPED, "demo", spec_version=spec().version))


@cache
def blend() -> Blend:
    """Return the shipped blend."""
    return Blend.of(registry.load(SHIPPED, "demo-blend", spec_version=spec().version))


@cache
def network() -> Blend:
    """Return the shipped blend's network alone: the booster's weight at 0, no early exit."""
    whole = blend()
    card = msgspec.structs.replace(whole.card, kind=NETWORK)
    exits = [each._replace(booster=0.0) for each in whole.exits]
    made = Blend(card, whole.trees, whole.network, exits, [0.0] * len(whole.thresholds))
    made.neutral = whole.neutral
    return made


@cache
def shipped_trees(name: str) -> Trees:
    """Return the trees of a shipped model."""
    return Trees.from_arrays(registry.load(SHIPPED, name).arrays)


def some_changes(trees: Trees) -> Parameters:
    """Return parameters that move every score."""
    changes = np.random.default_rng(4).normal(0, 0.1, (2, len(trees.leaf)))
    return Parameters((0.2, 0.3, 0.5), changes.astype(np.float32))


@cache
def refreshed() -> Refreshed:
    """Return the shipped booster with changes on top."""
    trees = shipped_trees("demo")
    return Refreshed(booster(), LeafSums(trees), some_changes(trees), "7-0123abcd", SOME)


@cache
def refreshed_blend() -> Refreshed:
    """Return the shipped blend with changes on top."""
    trees = blend().trees
    return Refreshed(blend(), LeafSums(trees), some_changes(trees), "7-0123abcd", SOME)


SCORERS = [
    ScorerCase("rules", RulesOnly, RulesOnly, Level.RULES),
    ScorerCase("booster", Booster, booster),
    ScorerCase("blend", Blend, blend, encoder=True),
    ScorerCase("blend without histories", Blend, blend, Level.EARLY, encoder=True, given=False),
    ScorerCase("network", Blend, network, encoder=True),
    ScorerCase("early", Early, lambda: Early(blend()), Level.EARLY),
    ScorerCase("refreshed", Refreshed, refreshed),
    ScorerCase("refreshed blend", Refreshed, refreshed_blend, encoder=True),
    ScorerCase("timed", TimedScorer, lambda: TimedScorer(blend(), Watch()), encoder=True),
    ScorerCase("recording", RecordingScorer, RecordingScorer, Level.RULES, encoder=True),
]


class Kept(NamedTuple):
    """The Histories port over tokens that were read before, and the events that they are of, (rows, sides, RAW, 2)."""

    all: Tokens
    named: NDArray[np.int64]

    def tokens(self, rows: Sequence[int] | NDArray[np.intp], sides: int) -> Tokens:
        """Return the tokens of some rows, for the first `sides` sides."""
        at, of = np.asarray(rows, np.intp), self.all
        return Tokens(of.raw[at, :sides], of.sums[at, :sides], of.codes[at, :sides], of.text[at])

    def events(self, row: int, sides: int) -> NDArray[np.int64]:
        """Return the events of one row."""
        found: NDArray[np.int64] = self.named[row, :sides]
        return found

    def of(self, rows: Sequence[int]) -> "Kept":
        """Return the histories of some rows, in the order given."""
        return Kept(self.tokens(rows, SIDES), self.named[list(rows)])


class Sample(NamedTuple):
    """Payments as they are scored: ids, vectors, float32 (rows, features), and histories."""

    ids: list[str]
    matrix: Matrix
    histories: Kept

    def of(self, rows: Sequence[int]) -> "Sample":
        """Return some rows, in the order given."""
        return Sample([self.ids[row] for row in rows], self.matrix[list(rows)], self.histories.of(rows))


@cache
def sample() -> Sample:
    """Return payments of rich traffic, with frauds among them, after some thousand that warmed their entities."""
    traffic = stream("rich").make(cards=60, days=40, fraud_share=0.1, chargeback_days=1.0, seed=2)
    payments = [arrival for arrival in merge(traffic) if isinstance(arrival.event, Transaction)][: WARM + ROWS]
    extractor, encoder = OnlineExtractor(MemoryStore()), blend()
    for begin in range(0, WARM, 25):
        looked_at(extractor, payments[begin : begin + 25], encoder)
        extractor.close([])
    vectors = looked_at(extractor, payments[WARM:], encoder)
    ids = [cast("Transaction", arrival.event).id for arrival in payments[WARM:]]
    histories = extractor.histories(ids)
    assert histories is not None
    named = np.stack([histories.events(row, SIDES) for row in range(len(ids))])
    return Sample(ids, np.stack(vectors), Kept(histories.tokens(range(len(ids)), SIDES), named))


def looked_at(extractor: OnlineExtractor, batch: Sequence[Arrival], encoder: Encoder) -> list[NDArray[np.float32]]:
    """Open a batch and return the vector of each payment, absorbed after it was looked at."""
    extractor.open(batch, encoder)
    vectors = []
    for arrival in batch:
        payment = cast("Transaction", arrival.event)
        vectors.append(extractor.look(payment))
        extractor.absorb(payment, arrival.position)
    return vectors
