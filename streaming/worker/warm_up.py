"""Made-up events for an engine that is thrown away: compiled loops load, and what is built on first use is built.

A first decision above approve would otherwise wait for its explainer (31 ms), a first one that reads histories for the
network. So everything is decided above approve here, at every level, with every explainer, and with ids that a blend
sends to its last exit whatever it thinks of them.
"""

import math
import zlib
from collections.abc import Iterable, Iterator
from itertools import count, islice

import msgspec

from fraud.core.policy import ThresholdPolicy
from fraud.core.records import (
    DAY,
    Answer,
    Arrival,
    Explainer,
    KnownLabel,
    LabelSource,
    Level,
    Position,
    Transaction,
    Verdict,
)
from streaming.messages import envelope
from streaming.run import Parts

WHEN = 1_700_000_000_000_000_000
SIZES = (1, 2, 4)
PROBE_ONE_IN = 64
"""As in a blend: payments whose id hashes to a multiple of this read everything."""
REVIEWING = ThresholdPolicy(0.0, 0.0, math.inf)
"""Wants everything looked at, so that everything is explained and has an alert."""


def warm_up(parts: Parts) -> None:
    """Run made-up events through an engine, and encode what it answers; its scorers stay warm, its state is wasted."""
    engine, strategy = parts.engine, parts.strategy
    engine.replace_strategy(msgspec.structs.replace(strategy, policy=REVIEWING))
    for batch in batches((Level.FULL, *strategy.reduced)):
        encode(engine.handle(batch))
    engine.handle([Arrival(verdict(), Position("warm-labels", 0, 1))])
    engine.replace_strategy(strategy)


def batches(levels: Iterable[Level]) -> Iterator[list[Arrival]]:
    """Yield batches of several sizes, at each level, explained in full and in brief."""
    ids, offsets = probes(), count(1)
    for level in levels:
        for explainer in (Explainer.MODEL, Explainer.BOOSTER):
            for size in SIZES:
                yield [
                    Arrival(payment(tx_id), Position("warm", 0, next(offsets)), level=level, explainer=explainer)
                    for tx_id in islice(ids, size)
                ]


def probes() -> Iterator[str]:
    """Yield ids that a blend reads everything of."""
    return (name for name in (f"w{number}" for number in count()) if zlib.crc32(name.encode()) % PROBE_ONE_IN == 0)


def encode(answers: Iterable[Answer]) -> None:
    """Make messages of answers."""
    for answer in answers:
        envelope.decision_out(answer, "warm")
        if answer.alert is not None:
            envelope.alert_out(answer, "warm")


def payment(tx_id: str) -> Transaction:
    """Return a made-up payment."""
    return Transaction(
        id=tx_id, card="warm", merchant="warm", device="warm", amount=1, base_amount=1, happened_at=WHEN, seen_at=WHEN
    )


def verdict() -> KnownLabel:
    """Return a made-up verdict on one of them."""
    return KnownLabel(
        tx_id=next(probes()),
        verdict=Verdict.FRAUD,
        source=LabelSource.CHARGEBACK,
        happened_at=WHEN + DAY,
        seen_at=WHEN + DAY,
        card="warm",
        merchant="warm",
        paid_at=WHEN,
        base_amount=1,
    )
