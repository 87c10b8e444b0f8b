"""What serving learned parameters costs: `python -m tests.bench.refreshed [--model demo]`.

Batches of real vectors are scored by the base and by what was learned on top, in turn; the figure is the median of what
the second takes more, in microseconds an event. Beside it what a refresh costs off the path (making its scorers of the
published bytes) and on it (the swap). The last line is JSON.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable
from statistics import median

import msgspec

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.engine import Engine, Strategy
from fraud.core.records import Level
from models.online.snapshots import decoded, encoded
from streaming import wiring
from streaming.observe.stages import TimedEngine, Watch
from tests.contract.scorers import sample
from tests.parity.live import strategy_of
from tests.parity.refreshes import knowing, scorers_of, scripted

ROUNDS = 400
SIZES = (1, 8, 32)


def spent(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def scoring(strategy: Strategy, size: int) -> tuple[float, float]:
    """Return microseconds an event: of the base, and what parameters add to that."""
    snapshot, some = scripted(strategy, 1), sample().of(range(size))
    learned = scorers_of(strategy, snapshot)[snapshot.version][Level.FULL]
    took: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        base = spent(lambda: strategy.scorer.score(some.ids, some.matrix))
        took.append((base, spent(lambda: learned.score(some.ids, some.matrix))))
    return micro(base for base, _ in took) / size, micro(both - base for base, both in took) / size


def refreshing(strategy: Strategy) -> tuple[float, float]:
    """Return milliseconds of a refresh: to make its scorers of the published bytes, and to swap them in."""
    made, store = wiring.refreshing(strategy), MemoryStore()
    assert made is not None
    engine = TimedEngine(Engine(OnlineExtractor(store), store, strategy), Watch())
    published = [encoded(scripted(strategy, seq)) for seq in range(50)]
    making, swapping = [], []
    for body in published:
        making.append(spent(lambda body=body: made.scorers(decoded(body))))  # type: ignore[misc]
        snapshot = decoded(body)
        ready = knowing(strategy, {snapshot.version: made.scorers(snapshot)}, snapshot.version)
        swapping.append(spent(lambda ready=ready: engine.replace_strategy(ready)))  # type: ignore[misc]
    return micro(making) / 1_000, micro(swapping) / 1_000


def micro(seconds: Iterable[float]) -> float:
    """Return the median in microseconds."""
    return median(seconds) * 1e6


def main() -> None:
    """Print what is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    strategy = strategy_of(parser.parse_args().model)
    found: dict[str, object] = {"model": strategy.scorer.version}
    for size in SIZES:
        base, more = scoring(strategy, size)
        found[f"batch_{size}"] = {"base_us": round(base, 2), "refreshed_us": round(more, 2)}
    making, swapping = refreshing(strategy)
    found |= {"made_ms": round(making, 2), "swap_ms": round(swapping, 4)}
    print(msgspec.json.format(json.dumps(found), indent=0))


if __name__ == "__main__":
    main()
