"""What own columns add to the cost of a payment: look and absorb with and without them, in turn in one process.

    python -m tests.bench.own_columns [--numbers 20] [--categories 10] [--expressions 5]

Each round drives the same payments through two extractors, first one then the other; medians of the rounds are shown,
microseconds of this process's CPU time a payment, and their difference. Ends with one JSON line.
"""

import argparse
import json
import statistics
import time

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.attributes.declaration import Declaration
from fraud.core.records import Arrival, Position, Transaction

PAYMENTS, BATCH, ROUNDS = 2_000, 32, 15
WORDS = 200


def declared(numbers: int, categories: int, expressions: int) -> Declaration:
    """Return a declaration of so many own columns."""
    return Declaration(
        tuple(f"n{at}" for at in range(numbers)),
        tuple(f"c{at}" for at in range(categories)),
        (),
        tuple((f"e{at}", f"(n{at} - amount) / max(n{at + 1}, 1)") for at in range(min(expressions, numbers - 1))),
    )


def payments(own: Declaration, begin: int) -> list[Arrival]:
    """Return payments of 100 cards at 50 merchants, all of their own columns given."""
    found = []
    for number in range(begin, begin + PAYMENTS):
        at = (1_700_000_000 + 60 * number) * 10**9
        attrs: dict[str, object] = {name: number * 1.25 + place for place, name in enumerate(own.numbers)}
        attrs |= {name: f"word {(number * 7 + place) % WORDS}" for place, name in enumerate(own.categories)}
        tx = Transaction(
            id=f"t{number}", card=f"c{number % 100}", merchant=f"m{number % 50}", amount=1234, base_amount=1234,
            happened_at=at, seen_at=at, attrs=attrs,
        )  # fmt: skip
        found.append(Arrival(tx, Position("t", 0, number)))
    return found


def driven(extractor: OnlineExtractor, stream: list[Arrival]) -> float:
    """Return the CPU time, us a payment, of look and absorb; reading and writing the working set are left out."""
    spent = 0
    for begin in range(0, len(stream), BATCH):
        batch = stream[begin : begin + BATCH]
        extractor.open(batch)
        before = time.process_time_ns()
        for arrival in batch:
            tx = arrival.event
            assert isinstance(tx, Transaction)
            extractor.look(tx)
            extractor.absorb(tx, arrival.position)
        spent += time.process_time_ns() - before
        extractor.close([])
    return spent / len(stream) / 1_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=int, default=20)
    parser.add_argument("--categories", type=int, default=10)
    parser.add_argument("--expressions", type=int, default=5)
    chosen = parser.parse_args()
    own = declared(chosen.numbers, chosen.categories, chosen.expressions)
    plain, wide = OnlineExtractor(MemoryStore()), OnlineExtractor(MemoryStore(), 2, own)
    times: list[tuple[float, float]] = []
    for number in range(ROUNDS + 1):
        stream = payments(own, number * PAYMENTS)
        times.append((driven(plain, stream), driven(wide, stream)))
    first, second = (statistics.median(column) for column in zip(*times[1:], strict=True))
    added = statistics.median(wide_us - plain_us for plain_us, wide_us in times[1:])
    print(f"{chosen.numbers} numbers, {chosen.categories} categories, {chosen.expressions} expressions")
    print(f"look + absorb: {first:.1f} us without, {second:.1f} us with, {added:+.1f} us")
    print(json.dumps({"without_us": round(first, 2), "with_us": round(second, 2), "added_us": round(added, 2)}))


if __name__ == "__main__":
    main()
