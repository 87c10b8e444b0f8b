"""Statistics of handbook traffic, and the distances between two of them.

`python -m tests.simulate.measure_fdh FILE.parquet` prints the figures of a file, as kept in `fdh_reference.json`.
"""

import json
import sys
from collections.abc import Mapping
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


def summarise(p: Payments) -> Summary:
    """Return counts, shares and 199 quantiles of each distribution that is compared."""
    pairs = np.unique(p.card * 10**6 + p.terminal)
    return {
        "rows": len(p.at),
        "days": len(np.unique(p.at // DAY)),
        "cards": len(np.unique(p.card)),
        "terminals": len(np.unique(p.terminal)),
        "pairs": len(pairs),
        "frauds": np.bincount(p.scenario, minlength=4)[1:].tolist(),
        "fraud_cards": len(np.unique(p.card[p.scenario == 3])),
        "fraud_terminals": len(np.unique(p.terminal[p.scenario == 2])),
        "most_genuine": int(p.cents[p.scenario == 0].max()),
        "hours": np.round(np.bincount(p.at % DAY // (DAY // 24), minlength=24) / len(p.at), 5).tolist(),
        "amount": _quantiles(p.cents),
        "amount_of_card_frauds": _quantiles(p.cents[p.scenario == 3]),
        "amount_spread_of_a_card": _quantiles(_spread(p)),
        "payments_of_a_card": _quantiles(_counts(p.card)),
        "payments_of_a_terminal": _quantiles(_counts(p.terminal)),
        "terminals_of_a_card": _quantiles(_counts(pairs // 10**6)),
        "frauds_of_a_fraud_terminal": _quantiles(_counts(p.terminal[p.scenario == 2])),
        "frauds_of_a_fraud_card": _quantiles(_counts(p.card[p.scenario == 3])),
    }


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
    """Return, for each figure, how far `found` is from `wanted`: relative for counts, in shares for distributions."""
    apart: dict[str, float] = {}
    for name, value in wanted.items():
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


def _quantiles(values: NDArray[Any]) -> list[float]:
    return np.round(np.quantile(values, SHARES), 4).tolist()  # type: ignore[no-any-return]


def _counts(entity: Ints) -> Ints:
    return np.unique(entity, return_counts=True)[1]


def _spread(p: Payments) -> NDArray[np.float64]:
    """Return deviation over mean of the genuine amounts of each card with 50 payments or more."""
    card, cents = p.card[p.scenario == 0], p.cents[p.scenario == 0].astype(np.float64)
    count = np.bincount(card)
    enough = count >= 50
    mean = np.bincount(card, cents)[enough] / count[enough]
    square = np.bincount(card, cents**2)[enough] / count[enough]
    return np.sqrt(square - mean**2) / mean


if __name__ == "__main__":
    print(json.dumps(summarise(read(Path(sys.argv[1])))))
