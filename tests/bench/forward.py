"""What one pass of the network costs as it is served, by batch size: `python -m tests.bench.forward [--rounds N]`.

The exported graphs of a network of random weights, on ONNX Runtime with one thread that does not spin: card and
merchant at several widths, and with a device's side (exit 1, then exit 2); beside them the same module in torch. All
take turns, round after round; medians of processor time are shown, for the machine is shared, and all run on the
calling thread. A single row goes through `Network` as a live one does: as two, its histories given once.
Ends with one JSON line.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from fraud.core import tokens as tk
from fraud.core.ports import Matrix, Tokens
from fraud.training.onnx_export import arrays_of
from models.tgn.runtime import Network
from models.tgn.tgnn import Memory, NetworkConfig, TemporalGraphNetwork

NAMES = tuple(f"f{place}" for place in range(64))
WIDTHS, BATCHES = (32, 48, 64), (1, 8, 32)
WIDTH = 48
TARGETS = {1: 150.0, 32: 60.0}
"""Microseconds an event at most, by batch size, of card and merchant at width 48."""
Way = Callable[[Matrix, Tokens], object]
Row = dict[str, Any]


def network_of(width: int, sides: int) -> TemporalGraphNetwork:
    """Return a network of random weights."""
    torch.manual_seed(width)
    return TemporalGraphNetwork(NetworkConfig(columns=NAMES, width=width, sides=sides)).eval()


def served(network: TemporalGraphNetwork) -> Way:
    """Return the way of the live path."""
    return Network(arrays_of(network, NAMES)).last


def eager(network: TemporalGraphNetwork) -> Way:
    """Return the way of the trained module."""

    def run(matrix: Matrix, tokens: Tokens) -> object:
        memory = Memory(*(torch.from_numpy(part) for part in (tokens.raw, tokens.sums, tokens.codes)))
        with torch.inference_mode():
            return network(torch.from_numpy(matrix), memory, torch.from_numpy(tokens.text))

    return run


def given(rows: int, sides: int) -> tuple[Matrix, Tokens]:
    """Return features, one in five missing, and tokens of full histories."""
    rng = np.random.default_rng(rows)
    matrix = rng.standard_normal((rows, len(NAMES)), np.float32)
    matrix[rng.random(matrix.shape) < 0.2] = np.nan
    raw, sums = (
        rng.random((rows, sides, tk.RAW, tk.RAW_COLUMNS), np.float32),
        rng.random((rows, sides, tk.SUMS, tk.SUM_COLUMNS), np.float32),
    )
    raw[..., tk.PRESENT] = sums[..., tk.SUM_PRESENT] = 1
    codes = rng.uniform(-1, 1, (rows, sides, tk.SUMS, tk.CODE)).astype(np.float32)
    return matrix, Tokens(raw, sums, codes, np.zeros((rows, tk.GRAMS), np.int64))


def ways(widths: Sequence[int]) -> list[tuple[Row, int, Way]]:
    """Return what is measured: its name, how many sides it reads, how."""
    found: list[tuple[Row, int, Way]] = []
    for width in widths:
        network = network_of(width, 2)
        found.append(({"width": width, "sides": 2, "by": "onnx"}, 2, served(network)))
        if width == WIDTH:
            found.append(({"width": width, "sides": 2, "by": "torch"}, 2, eager(network)))
            found.append(({"width": width, "sides": 3, "by": "onnx"}, 3, served(network_of(width, 3))))
    return found


def timed(way: Way, matrix: Matrix, tokens: Tokens, times: int) -> float:
    """Return the median of processor time of a batch, us."""
    taken = []
    for _ in range(times):
        began = time.thread_time_ns()
        way(matrix, tokens)
        taken.append(time.thread_time_ns() - began)
    return float(np.median(taken)) / 1e3


def measured(widths: Sequence[int], batches: Sequence[int], rounds: int, times: int = 50) -> list[Row]:
    """Return a line a way and batch size; the ways take turns, the first round warms up."""
    lines = [
        (named | {"batch": size}, way, *given(size, sides)) for named, sides, way in ways(widths) for size in batches
    ]
    taken = np.array([[timed(*line[1:], times) for line in lines] for _ in range(rounds + 1)])[1:]
    for (row, *_), us in zip(lines, np.median(taken, axis=0).tolist(), strict=True):
        row |= {"us": round(us, 1), "us_an_event": round(us / row["batch"], 1)}
    return [row for row, *_ in lines]


def target_of(row: Row) -> float | None:
    """Return what a line is held to, us an event."""
    asked = row["by"] == "onnx" and (row["width"], row["sides"]) == (WIDTH, 2)
    return TARGETS.get(row["batch"]) if asked else None


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    print(f"{'by':>6} {'width':>6} {'sides':>6} {'batch':>6} {'us':>9} {'us an event':>12}  target")
    for row in rows:
        most = target_of(row)
        met = "" if most is None else f"{most:.0f}: {'met' if row['us_an_event'] <= most else 'MISSED'}"
        print(
            f"{row['by']:>6} {row['width']:>6} {row['sides']:>6} {row['batch']:>6} {row['us']:>9.1f}"
            f" {row['us_an_event']:>12.1f}  {met}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = measured(WIDTHS, BATCHES, options.rounds)
    show(rows)
    print(json.dumps({"threads": 1, "forward": rows}))


if __name__ == "__main__":
    main()
