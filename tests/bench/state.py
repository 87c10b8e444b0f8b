"""What an event costs as cards and their histories grow, and what a card, a merchant and a pair cost in bytes.

    python -m tests.bench.state [--quick] [--cards 1000,10000,...] [--events 100,1000,...]

Every size is measured in turn, many times over, and each time is set against that of the smallest size in the same
round: the machine is shared, so ratios count, not microseconds. Medians are shown. Needs 6 GiB for a million cards.
Prints three tables, writes build/bench_state.json, and ends with one JSON line.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from features.state import layout as at
from tests.bench import population
from tests.bench.population import Population, found, measured, with_cards, with_histories
from tests.bench.resident import bytes_a_record

CARDS, HISTORIES = "1000,10000,100000,1000000", "100,1000,10000"
EQUAL_CARDS = 1_000
MEASURED, ROUNDS = 10_000, 15
HANDBOOK = {"entity": 14_990, "pair": 334_487}  # cards and terminals of the Fraud Detection Handbook; its pairs
LEAST_QUICK = {"entity": 500, "pair": 5_000}
BOUND = {"entity": at.ENTITY_BYTES, "pair": at.PAIR_BYTES}
OUT = Path("build/bench_state.json")

Row = dict[str, Any]


def sweep(made: Sequence[Population], count: int, rounds: int, progress: Progress, title: str) -> list[Row]:
    """Measure populations in turn; return for each the median time and the median ratio to the first."""
    task = progress.add_task(title, total=(rounds + 1) * len(made))
    times, index = np.empty((2, rounds + 1, len(made)))
    for number in range(rounds + 1):
        for column, one in enumerate(made):
            times[number, column] = measured(one, number, count)
            index[number, column] = found(one, number + rounds + 1, count)
            progress.advance(task)
    times, index = times[1:], index[1:]  # the first round warms up
    columns = np.median(times, axis=0), np.median(times / times[:, :1], axis=0), np.median(index, axis=0)
    return [described(one, *line) for one, line in zip(made, np.column_stack(columns).tolist(), strict=True)]


def described(one: Population, us: float, ratio: float, index: float) -> Row:
    """Return a line of a sweep's table."""
    entities, pairs = one.rows
    return {
        "size": one.size, "us": round(us, 2), "ratio": round(ratio, 3), "index_us": round(index, 2),
        "entities": entities, "pairs": pairs, "mib": round(one.row_bytes / 2**20, 1),
    }  # fmt: skip


def by_cards(sizes: Sequence[int], count: int, rounds: int, progress: Progress) -> list[Row]:
    """Sweep the number of cards. All are in memory together, and gone when this returns."""
    task = progress.add_task("cards", total=sum(sizes))
    made = [with_cards(size, lambda step: progress.advance(task, step)) for size in sizes]
    return sweep(made, count, rounds, progress, "by number of cards")


def by_events(sizes: Sequence[int], cards: int, count: int, rounds: int, progress: Progress) -> list[Row]:
    """Sweep the events a card has made, the number of cards being equal."""
    task = progress.add_task("histories", total=sum(sizes) * cards)
    made = [with_histories(size, cards, lambda step: progress.advance(task, step)) for size in sizes]
    return sweep(made, count, rounds, progress, "by events a card")


def bytes_of_state(counts: dict[str, int], progress: Progress) -> list[Row]:
    """Measure what a record takes in memory, row and index apart."""
    rows = []
    for kind in progress.track(counts, description="bytes"):
        resident = bytes_a_record(kind, counts[kind])
        rows.append({
            "kind": kind, "records": counts[kind], "row_bytes": BOUND[kind],
            "index_bytes": round(resident - BOUND[kind]), "resident_mib": round(resident * counts[kind] / 2**20, 1),
        })  # fmt: skip
    return rows


def show(title: str, head: str, rows: Sequence[Row]) -> None:
    """Print a sweep's table."""
    print(f"\n{title}\n{head:>13} {'us an event':>12} {'of the first':>13} {'index us':>9}", end="")
    print(f" {'entities':>10} {'pairs':>10} {'MiB':>8}")
    for row in rows:
        print(f"{row['size']:>13,} {row['us']:>12.1f} {row['ratio']:>13.2f} {row['index_us']:>9.2f}", end="")
        print(f" {row['entities']:>10,} {row['pairs']:>10,} {row['mib']:>8,.1f}")


def show_bytes(rows: Sequence[Row]) -> None:
    """Print what records take."""
    print(f"\nBytes of state\n{'record':>13} {'records':>12} {'row, bytes':>13} {'index':>10} {'resident MiB':>14}")
    for row in rows:
        print(
            f"{row['kind']:>13} {row['records']:>12,} {row['row_bytes']:>13,} {row['index_bytes']:>10,} "
            f"{row['resident_mib']:>14,.1f}"
        )
    print("Entities are cards, merchants and devices. A row's size is fixed, whatever it has absorbed; the index is")
    print("Python's own (key, dictionary entry, row number, hash) and is part of neither a snapshot nor Redis' values.")


def caches() -> dict[str, int]:
    """Return the KiB of the processor's data caches by level, as the kernel tells them; empty where it does not."""
    sizes = {}
    for each in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if (each / "type").read_text().strip() != "Instruction":
            sizes[f"L{(each / 'level').read_text().strip()}"] = int((each / "size").read_text().strip().rstrip("K"))
    return sizes


def explain(rows: Sequence[Row], sizes: dict[str, int]) -> None:
    """Say at which number of cards the rows outgrow each cache, and what that can cost."""
    print("\nEvents fall on cards at random, so all rows together are the working set:")
    for level, kib in sizes.items():
        beyond = [f"{row['size']:,}" for row in rows if row["mib"] * 1_024 > kib]
        print(f"  {level} of {kib:,} KiB is outgrown at {', '.join(beyond) + ' cards' if beyond else 'no size'}")
    if not sizes:
        print("  this kernel does not tell the sizes of the caches")
    print(
        f"A row is {at.ENTITY_BYTES // 64} cache lines and lies whole in one page of memory: beyond the last cache an"
    )
    print("event fetches the lines it touches from memory and walks the page table; the index adds a few lines more.")
    print("'index us' is what finding card, merchant and pair takes once: the part of Python's index in the increase.")
    print("Nothing else depends on the number of cards, and nothing at all on the length of their histories.")


def numbers(text: str) -> list[int]:
    """Return the numbers of a comma-separated list."""
    return [int(part) for part in text.split(",")]


def arguments() -> argparse.Namespace:
    """Return the command's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--cards", type=numbers, default=CARDS, metavar="N,N,...")
    parser.add_argument("--events", type=numbers, default=HISTORIES, metavar="N,N,...", help="events a card")
    return parser.parse_args()


def run(given: argparse.Namespace) -> Row:
    """Measure everything, with progress on standard error."""
    cards, events, equal = given.cards, given.events, EQUAL_CARDS
    count, rounds, records = MEASURED, ROUNDS, HANDBOOK
    if given.quick:
        cards, events, equal, count, rounds, records = [100, 1_000], [10, 50], 50, 300, 3, LEAST_QUICK
    with Progress(console=Console(stderr=True), transient=True) as progress:
        return {
            "cards": by_cards(cards, count, rounds, progress),
            "histories": by_events(events, equal, count, rounds, progress),
            "bytes": bytes_of_state(records, progress),
            "entity_bytes": at.ENTITY_BYTES,
            "pair_bytes": at.PAIR_BYTES,
            "cache_kib": caches(),
            "equal_cards": equal,
        }


def main() -> None:
    """Run the sweeps and show them."""
    result = run(arguments())
    show("Cost by number of cards", "cards", result["cards"])
    explain(result["cards"], result["cache_kib"])
    show(f"Cost by events a card ({result['equal_cards']:,} cards)", "events a card", result["histories"])
    show_bytes(result["bytes"])
    print(f"\nAn event is one look and one absorb; every {population.LABEL_EVERY}th is followed by its label.")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(result, indent=1))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
