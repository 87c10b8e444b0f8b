"""What an event costs as cards and their histories grow, and what a card costs in bytes.

    python -m tests.bench.state [--quick]

Every size is measured in turn, several times over, and medians are compared within the run: the machine is shared, so
ratios count, not microseconds. Prints tables, writes build/bench_state.json, and ends with one JSON line.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.progress import track

from features import layout as at
from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.records import (
    DAY,
    MINUTE,
    SECOND,
    KnownLabel,
    LabelSource,
    Position,
    Transaction,
    Verdict,
)

CARDS = (1_000, 10_000, 100_000, 1_000_000)
HISTORIES = (100, 1_000, 10_000)
MERCHANTS = 10_000
START = 1_700_000_000 * SECOND
MEASURED, ROUNDS, LABEL_EVERY = 20_000, 5, 5
OUT = Path("build/bench_state.json")


class Population(NamedTuple):
    """A store that has seen a number of cards, each with a number of events."""

    name: str
    size: int
    extractor: OnlineExtractor
    store: MemoryStore
    cards: int
    clock: list[int]


def payments(rng: np.random.Generator, cards: int, count: int, now: list[int], gap: int) -> Iterator[Transaction]:
    """Yield payments of random cards at random merchants, `gap` ns apart."""
    who, where = rng.integers(0, cards, count).tolist(), rng.integers(0, MERCHANTS, count).tolist()
    amounts = rng.integers(100, 20_000, count).tolist()
    for card, merchant, amount in zip(who, where, amounts, strict=True):
        now[0] += gap
        yield Transaction(
            id=f"t{now[0]}", card=f"c{card}", merchant=f"m{merchant}", amount=amount, base_amount=amount,
            happened_at=now[0], seen_at=now[0],
        )  # fmt: skip


def populated(name: str, size: int, cards: int, events: int, seed: int = 1) -> Population:
    """Return a store after `events` payments a card."""
    store = MemoryStore()
    extractor = OnlineExtractor(store)
    now = [START]
    rng = np.random.default_rng(seed)
    fill(extractor, payments(rng, cards, cards * events, now, 30 * DAY // (cards * events)))
    return Population(name, size, extractor, store, cards, now)


def copied(name: str, cards: int) -> Population:
    """Return a store whose cards have each the row of one that has paid 50 times."""
    one = populated(name, cards, 100, 50)
    entities = one.store.entities
    template = entities.rows[entities.find("cc0")].copy()
    for card in range(100, cards):
        row = entities.ensure(f"cc{card}")
        entities.rows[row] = template
    return one._replace(cards=cards)


def fill(extractor: OnlineExtractor, stream: Iterator[Transaction]) -> None:
    """Absorb payments, unmeasured."""
    extractor.open([])
    for tx in stream:
        extractor.absorb(tx, None)
    extractor.close([])


def measured(one: Population, seed: int, count: int) -> float:
    """Return microseconds an event: look and absorb, and every fifth payment's label applied."""
    rng = np.random.default_rng(seed)
    stream = list(payments(rng, one.cards, count, one.clock, MINUTE // 10))
    labels = {tx.id: verdict(tx) for tx in stream[::LABEL_EVERY]}
    extractor = one.extractor
    began = time.perf_counter()
    extractor.open([])
    for number, tx in enumerate(stream):
        extractor.look(tx)
        extractor.absorb(tx, Position("t", 0, one.clock[0] + number))
        if tx.id in labels:
            extractor.apply(labels[tx.id], None)
    extractor.close([])
    return (time.perf_counter() - began) / count * 1e6


def verdict(tx: Transaction) -> KnownLabel:
    """Return a verdict on a payment."""
    return KnownLabel(
        tx_id=tx.id, verdict=Verdict.GENUINE, source=LabelSource.CHARGEBACK, happened_at=tx.happened_at + DAY,
        seen_at=tx.happened_at + DAY, card=tx.card, merchant=tx.merchant, paid_at=tx.happened_at,
        base_amount=tx.base_amount,
    )  # fmt: skip


def sweep(title: str, made: Sequence[Population], count: int, rounds: int) -> list[dict[str, float]]:
    """Measure several populations in turn; print and return medians with their ratio to the first."""
    times: dict[str, list[float]] = {one.name: [] for one in made}
    for one in made:
        measured(one, 0, count)
    for number in track(range(rounds), description=title, console=None, disable=not sys.stderr.isatty()):
        for one in made:
            times[one.name].append(measured(one, number + 1, count))
    print(f"\n{title}\n{'':>12} {'us an event':>12} {'of the first':>13} {'state, MiB':>11}")
    rows = []
    base = float(np.median(times[made[0].name]))
    for one in made:
        typical = float(np.median(times[one.name]))
        touched = one.store.entities.width * len(one.store.entities) + one.store.pairs.width * len(one.store.pairs)
        print(f"{one.size:>12,} {typical:>12.1f} {typical / base:>13.2f} {touched / 2**20:>11.0f}")
        rows.append({"size": one.size, "us": round(typical, 2), "ratio": round(typical / base, 3)})
    return rows


def caches() -> str:
    """Return the sizes of the processor's caches, as the kernel tells them."""
    folder = Path("/sys/devices/system/cpu/cpu0/cache")
    found = []
    for each in sorted(folder.glob("index*")):
        kind = (each / "type").read_text().strip()
        if kind != "Instruction":
            found.append(f"L{(each / 'level').read_text().strip()} {(each / 'size').read_text().strip()}")
    return ", ".join(found) or "not told"


def main() -> None:
    """Run both sweeps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    quick = parser.parse_args().quick
    count, rounds = (500, 2) if quick else (MEASURED, ROUNDS)
    by_cards = [copied(f"{n} cards", n) for n in ((100, 1_000) if quick else CARDS)]
    cards = sweep("Cost by number of cards", by_cards, count, rounds)
    by_cards.clear()
    sizes = (10, 50) if quick else HISTORIES
    histories = sweep(
        "Cost by events a card (100 cards)", [populated(f"{n} events", n, 100, n) for n in sizes], count, rounds
    )
    print(
        f"\nRow bytes: card, merchant, device {at.ENTITY_BYTES:,}; pair {at.PAIR_BYTES}. Processor caches: {caches()}."
    )
    print("A card's row is 64 cache lines, of which an event touches about half: beyond the last cache each costs a")
    print(
        "fetch from memory, and pages of 4 KiB a walk of the page table; nothing else grows with the number of cards."
    )
    result = {"cards": cards, "histories": histories, "entity_bytes": at.ENTITY_BYTES, "pair_bytes": at.PAIR_BYTES}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(result))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
