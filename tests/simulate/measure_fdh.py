"""Statistics of handbook traffic, and the distances between two of them.

`python -m tests.simulate.measure_fdh FILE.parquet` prints the figures of a file, as kept in `fdh_reference.json`.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Summary = dict[str, Any]

REFERENCE = Path(__file__).with_name("fdh_reference.json")
SHARES = np.arange(1, 200) / 200
DAY = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Payments:
    """Handbook payments as columns; `at` in UTC ns."""

    at: Ints
    card: Ints
    terminal: Ints
    cents: Ints
    scenario: Ints


def read(path: Path) -> Payments:
    """Read the published file."""
    table = pq.read_table(path)
    at = table["time"].to_numpy().astype("datetime64[ns]").astype(np.int64)
    names = ("customer", "terminal", "amount_cents", "scenario")
    return Payments(at, *(table[name].to_numpy().astype(np.int64) for name in names))


def _quantiles(values: NDArray[Any]) -> list[float]:
    return np.round(np.quantile(values, SHARES), 4).tolist()  # type: ignore[no-any-return]


def _counts(entity: Ints) -> Ints:
    """Return the number of rows of each entity that has any."""
    count = np.bincount(entity)
    some: Ints = count[count > 0]
    return some


def _spread(p: Payments) -> NDArray[np.float64]:
    """Return deviation over mean of the genuine amounts of each card with 50 payments or more."""
    card, cents = p.card[p.scenario == 0], p.cents[p.scenario == 0].astype(np.float64)
    count = np.bincount(card)
    enough = count >= 50
    mean = np.bincount(card, cents)[enough] / count[enough]
    square = np.bincount(card, cents**2)[enough] / count[enough]
    return np.sqrt(square - mean**2) / mean


def _pairs(p: Payments) -> Ints:
    """Return the card of each distinct pair of card and terminal."""
    met = np.zeros((int(p.card.max()) + 1, int(p.terminal.max()) + 1), dtype=np.bool_)
    met[p.card, p.terminal] = True
    return np.nonzero(met)[0]


FIGURES: dict[str, Callable[[Payments], int | list[float]]] = {
    "rows": lambda p: len(p.at),
    "days": lambda p: len(_counts(p.at // DAY)),
    "cards": lambda p: len(_counts(p.card)),
    "terminals": lambda p: len(_counts(p.terminal)),
    "pairs": lambda p: len(_pairs(p)),
    "frauds": lambda p: np.bincount(p.scenario, minlength=4)[1:].tolist(),
    "fraud_cards": lambda p: len(np.unique(p.card[p.scenario == 3])),
    "fraud_terminals": lambda p: len(np.unique(p.terminal[p.scenario == 2])),
    "most_genuine": lambda p: int(p.cents[p.scenario == 0].max()),
    "hours": lambda p: np.round(np.bincount(p.at % DAY // (DAY // 24), minlength=24) / len(p.at), 5).tolist(),
    "amount": lambda p: _quantiles(p.cents),
    "amount_of_card_frauds": lambda p: _quantiles(p.cents[p.scenario == 3]),
    "amount_spread_of_a_card": lambda p: _quantiles(_spread(p)),
    "payments_of_a_card": lambda p: _quantiles(_counts(p.card)),
    "payments_of_a_terminal": lambda p: _quantiles(_counts(p.terminal)),
    "terminals_of_a_card": lambda p: _quantiles(_counts(_pairs(p))),
    "frauds_of_a_fraud_terminal": lambda p: _quantiles(_counts(p.terminal[p.scenario == 2])),
    "frauds_of_a_fraud_card": lambda p: _quantiles(_counts(p.card[p.scenario == 3])),
}


def summarise(p: Payments, names: Iterable[str] = FIGURES) -> Summary:
    """Return figures by name: counts, shares of the hours, and 199 quantiles of each distribution compared."""
    return {name: FIGURES[name](p) for name in names}


def gap(quantiles: list[float], others: list[float]) -> float:
    """Return the greatest distance between two distribution functions known by their quantiles at `SHARES`.

    Kolmogorov and Smirnov's statistic, to the 0.005 that 199 quantiles resolve; ties count as agreement.
    """
    low = np.searchsorted(np.array(others), np.array(quantiles), side="left") / 200
    high = np.searchsorted(np.array(others), np.array(quantiles), side="right") / 200
    ours_low = np.searchsorted(np.array(quantiles), np.array(quantiles), side="left") / 200
    ours_high = np.searchsorted(np.array(quantiles), np.array(quantiles), side="right") / 200
    return float(np.maximum(low - ours_high, ours_low - high).max(initial=0.0))


def distances(found: Summary, wanted: Summary) -> Mapping[str, float]:
    """Return how far each figure of `found` is from `wanted`: relative for counts, in shares for distributions."""
    apart: dict[str, float] = {}
    for name in found:
        value = wanted[name]
        if name == "hours":
            apart[name] = float(np.abs(np.array(found[name]) - np.array(value)).sum() / 2)
        elif name == "frauds":
            for number, (ours, theirs) in enumerate(zip(found[name], value, strict=True), start=1):
                apart[f"frauds_{number}"] = abs(ours - theirs) / theirs
        elif isinstance(value, list):
            apart[name] = gap(found[name], value)
        else:
            apart[name] = abs(found[name] - value) / value
    return apart


if __name__ == "__main__":
    print(json.dumps(summarise(read(Path(sys.argv[1])))))
