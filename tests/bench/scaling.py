"""What an event costs with histories, as histories and cards grow: a program that prints ratios.

    python -m tests.bench.scaling [--quick] [--cards 10000,100000,...] [--events 100,1000,...] [--rounds N]

Three parts: keeping (look, absorb, every fifth payment's label, a network's encoding of closed blocks), decoding the
tokens of card and merchant, and the network's pass over batches of 32. Every size is measured in turn, many times over,
and each time is set against that of the smallest size in the same round; processor time of one thread; medians.

Rows are copies of those of a few cards that did pay so often, merchants' likewise, so a card's row looks as lived in at
every size. A million cards take about 15 GiB: sizes that do not fit into what memory is free are left out, and said so.
Ends with one JSON line.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from features.extractor import OnlineExtractor
from features.state import layout as at
from features.state.tables import (
    RecordTable,
    card_key,
    entity_table,
    history_table,
    merchant_key,
    pair_key,
    pair_table,
    trimmed,
)
from features.stores.memory import MemoryStore
from fraud.core.records import Transaction
from fraud.training.onnx_export import arrays_of
from models.tgn.runtime import Network
from models.tgn.tgnn import NetworkConfig, TemporalGraphNetwork
from tests.bench.population import (
    GAP,
    LABEL_EVERY,
    MERCHANTS,
    SHOPS,
    SPAN,
    START,
    Population,
    payments,
    shop,
    verdict,
)

BATCH, MEASURED, ROUNDS = 32, 1_600, 15
MODELS, SEEN, EQUAL_CARDS = 10, 100, 1_000
CARDS, HISTORIES = "10000,30000,100000,300000,1000000", "100,300,1000,3000,10000"
CARD_BYTES = at.ENTITY_BYTES + 9_000 + SHOPS * at.PAIR_BYTES + 1_100
"""Rows of a card and its pairs (of a history row what is written by then), and what Python's index takes for them."""
SPARE = 2 << 30
"""Bytes of memory that are left to others."""
FLAT = 1.2
PARTS = ("keeping", "tokens", "forward")
Row = dict[str, Any]
Stamp = Callable[[], int]


class Served(NamedTuple):
    """A network of random weights as it is served, and which features its query reads."""

    network: Network
    encoder: str

    def encode(self, blocks: Any) -> Any:
        """Return the codes of blocks."""
        return self.network.encode(blocks)


def served() -> Served:
    """Return a network of card and merchant."""
    torch.manual_seed(0)
    names = OnlineExtractor(MemoryStore()).names
    network = Network(arrays_of(TemporalGraphNetwork(NetworkConfig(columns=names[:64])), names))
    return Served(network, network.encoder)


def lived(events: int, by: Served, room: int) -> Population:
    """Return a store of a few cards that paid `events` times, its `size`, in 30 days; its tables have room for more."""
    store, now = MemoryStore(), [START]
    store.entities, store.pairs = entity_table(room), pair_table(SHOPS * room)
    store._histories[by.encoder] = history_table(room)
    one = Population(events, MODELS, OnlineExtractor(store), store, now)
    stream = list(payments(np.random.default_rng(events), MODELS, MODELS * events, now, SPAN // (MODELS * events)))
    for begin in range(0, len(stream), BATCH):
        one.extractor.open([], by)
        for tx in stream[begin : begin + BATCH]:
            one.extractor.absorb(tx, None)
        one.extractor.close([])
    return one


def grown(events: int, cards: int, by: Served) -> Population:
    """Return a store of many cards that paid so often: copies of the rows of those that did, and of merchants'."""
    one = lived(events, by, cards + MERCHANTS + MODELS)
    entities, pairs, histories = one.store.entities, one.store.pairs, one.store.histories_of(by.encoder)
    for table in (entities, histories):
        models = [[table.get(key) for key in (card_key(f"c{i}"), merchant_key(shop(i, 0)))] for i in range(MODELS)]
        copy(table, [card_key(f"c{card}") for card in range(cards)], [card for card, _ in models])
        copy(table, [merchant_key(f"m{number}") for number in range(MERCHANTS)], [shop_ for _, shop_ in models])
    keys = [pair_key(f"c{card}", shop(card, choice)) for card in range(cards) for choice in range(SHOPS)]
    copy(pairs, keys, [pairs.get(pair_key("c0", shop(0, 0)))])
    return one._replace(cards=cards)


def copy(table: RecordTable, keys: Sequence[str], records: Sequence[bytes]) -> None:
    """Give keys that have no record one of some, each in turn; raise MemoryError when others need the memory.

    As in a row that lived, what was never written takes no memory.
    """
    parts = [np.frombuffer(trimmed(record), np.uint8) for record in records]
    for place, key in enumerate(keys):
        if not table.find(key):
            part = parts[place % len(parts)]
            table.rows[table.ensure(key), : len(part)] = part
        if place % 8_192 == 0 and free_memory() == 0:
            raise MemoryError


def measured(one: Population, by: Served, seed: int, count: int, stamp: Stamp = time.thread_time_ns) -> list[float]:
    """Return us an event of keeping, of decoding tokens and of the network."""
    stream = list(payments(np.random.default_rng(seed), one.cards, count, one.clock, GAP))
    spent = np.zeros(3)
    for begin in range(0, count, BATCH):
        spent += batch(one.extractor, stream[begin : begin + BATCH], by, stamp)
    return [float(us) for us in spent / count / 1e3]


def batch(extractor: OnlineExtractor, some: Sequence[Transaction], by: Served, stamp: Stamp) -> Any:
    """Handle a batch as the engine does; return the ns of each part."""
    labels = [verdict(tx) for tx in some[::LABEL_EVERY]]
    times = [stamp()]
    extractor.open([], by)
    vectors = []
    for tx in some:
        vectors.append(extractor.look(tx))
        extractor.absorb(tx, None)
    times.append(stamp())
    looked = extractor.histories([tx.id for tx in some])
    assert looked is not None
    tokens = looked.tokens(range(len(some)), 2)
    times.append(stamp())
    by.network.near(np.stack(vectors), tokens)
    times.append(stamp())
    for label in labels:
        extractor.apply(label, None)
    extractor.close([])
    times.append(stamp())
    first, second, third, last = np.diff(times)
    return np.array([first + last, second, third])


def sweep(made: Sequence[Population], by: Served, count: int, rounds: int) -> list[Row]:
    """Measure populations in turn; return for each the medians, and the median ratios to the first."""
    times = np.array([[measured(one, by, number, count) for one in made] for number in range(rounds + 1)])[1:]
    whole, kept = times.sum(axis=2), times[:, :, :2].sum(axis=2)
    ratios = [np.median(part / part[:, :1], axis=0) for part in (kept, whole)]
    return [
        {"events": one.size, "cards": one.cards}
        | dict(zip(PARTS, np.median(times[:, place], axis=0).round(1).tolist(), strict=True))
        | {"ratio": round(float(ratios[0][place]), 3), "with_forward": round(float(ratios[1][place]), 3)}
        for place, one in enumerate(made)
    ]


def by_events(sizes: Sequence[int], cards: int, by: Served, count: int, rounds: int) -> list[Row]:
    """Sweep the events a card has made. All populations are in memory together."""
    return sweep([grown(size, cards, by) for size in sizes], by, count, rounds)


def by_cards(sizes: Sequence[int], by: Served, count: int, rounds: int) -> list[Row]:
    """Sweep the number of cards."""
    made = []
    for size in sizes:
        try:
            made.append(grown(SEEN, size, by))
        except MemoryError:
            print(f"memory is needed elsewhere: {size:,} cards are left out")
    return sweep(made, by, count, rounds)


def fitting(sizes: Sequence[int], free: int) -> list[int]:
    """Return the sizes whose populations fit into `free` bytes together."""
    held: list[int] = []
    for size in sizes:
        if CARD_BYTES * (size + sum(held)) > free:
            print(f"{size:,} cards do not fit into {free / 2**30:.1f} GiB: left out")
            continue
        held.append(size)
    return held


def free_memory() -> int:
    """Return the bytes that may be taken: what the kernel says is available, less a reserve."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    return max(kib * 1_024 - SPARE, 0)


def show(title: str, rows: Sequence[Row]) -> None:
    """Print a sweep's table and whether it is flat."""
    print(f"\n{title}; us an event\n{'events a card':>14} {'cards':>10}", *(f"{part:>9}" for part in PARTS), end="")
    print(f" {'ratio':>8} {'with forward':>13}")
    for row in rows:
        print(f"{row['events']:>14,} {row['cards']:>10,}", *(f"{row[part]:>9.1f}" for part in PARTS), end="")
        print(f" {row['ratio']:>8.3f} {row['with_forward']:>13.3f}")
    for name in ("ratio", "with_forward"):
        most = max(row[name] for row in rows)
        print(f"{name}: at most {most:.3f}, flat within 20 %: {'met' if most <= FLAT else 'MISSED'}")


def numbers(text: str) -> list[int]:
    """Return the numbers of a comma-separated list."""
    return [int(part) for part in text.split(",")]


def main() -> None:
    """Run both sweeps and show them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--cards", type=numbers, default=CARDS, metavar="N,N,...")
    parser.add_argument("--events", type=numbers, default=HISTORIES, metavar="N,N,...", help="events a card")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    cards, events, equal, count, rounds = given.cards, given.events, EQUAL_CARDS, MEASURED, given.rounds
    if given.quick:
        cards, events, equal, count, rounds = [50, 200], [20, 60], 50, 64, 2
    torch.set_num_threads(1)
    by = served()
    result = {"events": by_events(events, equal, by, count, rounds)}
    show("Cost by events a card", result["events"])
    result["cards"] = by_cards(fitting(cards, free_memory()), by, count, rounds)
    show("Cost by number of cards", result["cards"])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
