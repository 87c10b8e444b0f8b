"""How much is left on the handbook's payments: what a judge who knows their process would reach, beside a booster.

    python -m tests.bench.handbook DATA [--fold N ...] [--seed N]

DATA is a folder of the handbook's extracted vectors (in `--cache` of `fraud train`), which also says how late labels
are. Frauds there follow three written rules (`fraud.simulate.fdh`), so each one's chance follows by Bayes' rule from
what was known at the time: when the card's, and when the merchant's, compromise began, given all earlier payments
and the verdicts that had come. The judge knows the rules and their rates, and estimates only a card's usual amount. No
live model may know them: this is a yardstick. A booster that sees the judge's log-odds beside all features shows what
both know together. Ends with one JSON line.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraud.common.compiled import compiled
from fraud.core.records import DAY
from fraud.training import dataset, protocols
from fraud.training.dataset import FRAUD, Dataset
from fraud.training.protocols import Fold
from fraud.training.settings import BOOSTER
from models.boosting.trees import F64
from tests.bench.peers import common

CARD_DAYS, CARD_RATE, CARD_SHARE = 14, 3 / 5_000, 1 / 3
"""A compromised card: for how many days, its chance a day, the share of its payments that are frauds."""
MERCHANT_DAYS, MERCHANT_RATE = 28, 2 / 10_000
FACTOR, LIMIT = 5.0, 220.0
"""A compromised card's frauds are so many times as large; every amount above the limit is a fraud."""
USUAL, WORTH = 52.5, 2.0
"""The process's mean amount, and how many payments of a card's own it is worth."""
ODD = 2.25
"""Amounts of so many times the usual one are left out of the card's usual amount."""
ELSEWHERE = 0.004
"""The share of a card's payments that are frauds because of their merchant: such a fraud says nothing of the card."""
LEAST_OTHER = 2e-4
"""A merchant's known fraud has at least this chance to have come from its card."""
REMEMBERED = 64
"""Days of verdicts that a merchant's chance looks back on: beyond, a compromise is over and its traces too."""
THREADS = 2
IMPOSSIBLE = -25.0
"""Log of the chance that a compromised merchant shows a genuine payment, where 0 would leave nothing to compare."""

Bools = NDArray[np.bool_]
I64 = NDArray[np.int64]


class Groups(NamedTuple):
    """Rows by entity, in order of time: `order[start[k]:end[k]]` are those of one entity."""

    order: I64
    start: I64
    end: I64


def grouped(entity: NDArray[np.int32]) -> Groups:
    """Return the rows of each entity."""
    order = np.argsort(entity, kind="stable").astype(np.int64)
    first = np.flatnonzero(np.diff(entity[order], prepend=-1))
    return Groups(order, first, np.append(first[1:], len(entity)))


@compiled
def usual_amounts(amount: F64, order: I64, start: I64, end: I64) -> F64:
    """Return the mean of each card's earlier ordinary amounts, shrunk to the process's mean, float64 (n,)."""
    out = np.empty(len(amount))
    for group in range(len(start)):
        total, count = USUAL * WORTH, WORTH
        for at in range(start[group], end[group]):
            row = order[at]
            out[row] = total / count
            if amount[row] < ODD * out[row]:
                total += amount[row]
                count += 1
    return out


@compiled
def density(amount: float, usual: float) -> float:
    """Return the density of a genuine amount: normal, half its mean as deviation, drawn uniformly where negative."""
    deviation = usual / 2
    found = math.exp(-(((amount - usual) / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))
    negative = 0.02275  # a normal deviate below minus 2
    return found + (negative / (2 * usual) if amount <= 2 * usual else 0.0) + 1e-12


@compiled
def card_chances(
    time: I64, day: I64, amount: F64, fraud: Bools, usual: F64, order: I64, start: I64, end: I64, delay: int
) -> F64:
    """Return each payment's chance to be the fraud of a compromised card or above the limit, float64 (n,).

    `delay` is how late verdicts are, ns.
    """
    out = np.empty(len(time))
    for group in range(len(start)):
        for at in range(start[group], end[group]):
            row = order[at]
            likelihood, weight, before = 1.0, 0.0, at - 1
            for begun in range(CARD_DAYS):  # days ago
                while before >= start[group] and day[order[before]] >= day[row] - begun:
                    other = order[before]
                    large = (
                        density(amount[other] / FACTOR, usual[other]) / FACTOR / density(amount[other], usual[other])
                    )
                    if time[other] > time[row] - delay:
                        likelihood *= CARD_SHARE * large + 1 - CARD_SHARE
                    elif fraud[other]:
                        likelihood *= CARD_SHARE * large / ELSEWHERE + 1 - CARD_SHARE
                    else:
                        likelihood *= 1 - CARD_SHARE
                    before -= 1
                weight += CARD_RATE * likelihood
            compromised = weight / (weight + 1 - CARD_DAYS * CARD_RATE)
            large = CARD_SHARE * density(amount[row] / FACTOR, usual[row]) / FACTOR
            genuine = density(amount[row], usual[row])
            either = compromised * (large + (1 - CARD_SHARE) * genuine) + (1 - compromised) * genuine
            out[row] = 1.0 if amount[row] > LIMIT else compromised * large / either
    return out


@compiled
def merchant_chances(
    time: I64, day: I64, fraud: Bools, other: F64, order: I64, start: I64, end: I64, delay: int
) -> F64:
    """Return each payment's chance to be made at a compromised merchant, float64 (n,).

    `other` is its chance to be a fraud for another reason. Days further back than REMEMBERED are not looked at.
    """
    out = np.empty(len(time))
    evidence = np.empty(REMEMBERED)  # log ratio by days ago: at a compromised merchant over elsewhere
    for group in range(len(start)):
        for at in range(start[group], end[group]):
            row = order[at]
            evidence[:] = 0.0
            before = at - 1
            while before >= start[group] and day[order[before]] > day[row] - REMEMBERED:
                seen = order[before]
                before -= 1
                if time[seen] <= time[row] - delay:
                    ago = day[row] - day[seen]
                    evidence[ago] += -math.log(max(other[seen], LEAST_OTHER)) if fraud[seen] else IMPOSSIBLE
            now, over = 0.0, 0.0
            for begun in range(REMEMBERED):
                total = evidence[max(0, begun - MERCHANT_DAYS + 1) : begun + 1].sum()
                weight = MERCHANT_RATE * math.exp(min(total, 200.0))
                if begun < MERCHANT_DAYS:
                    now += weight
                else:
                    over += weight
            out[row] = now / (now + over + 1 - REMEMBERED * MERCHANT_RATE)
    return out


def judged(data: Dataset) -> F64:
    """Return the judge's chance of fraud for every payment, from what was known by then, float64 (n,)."""
    cards, merchants = grouped(data.card), grouped(data.merchant)
    amount, fraud, delay = data.amount / 100.0, data.fraud == FRAUD, data.meta.identity.label_delay
    usual = usual_amounts(amount, *cards)
    of_card = card_chances(data.time, data.day, amount, fraud, usual, *cards, delay)
    of_merchant = merchant_chances(data.time, data.day, fraud, of_card, *merchants, delay)
    either: F64 = 1 - (1 - of_card) * (1 - of_merchant)
    return either


def log_odds(chance: F64) -> NDArray[np.float32]:
    """Return log-odds, float32, bounded where a chance is 0 or 1."""
    bounded = np.clip(chance, 1e-9, 1 - 1e-9)
    return np.log(bounded / (1 - bounded)).astype(np.float32)


def told(data: Dataset, chance: F64) -> Dataset:
    """Return the data set with the judge's log-odds as one more column."""
    meta = msgspec.structs.replace(data.meta, names=(*data.names, "judge"))
    return data._replace(meta=meta, matrix=np.column_stack([data.matrix, log_odds(chance)]))


def compared(data: Dataset, folds: Sequence[Fold], seed: int) -> list[common.Row]:
    """Return the measures of judge, booster, and booster told by the judge, a row a fold."""
    chance = judged(data)
    both = told(data, chance)
    rows = []
    for fold in folds:
        alone, together = (common.booster_scores(one, fold, THREADS, seed)[BOOSTER] for one in (data, both))
        scores = {"judge": chance[fold.test], "booster": alone, "booster told by the judge": together}
        row: common.Row = {
            "fold": fold.name,
            **{name: common.scored(data, fold, score) for name, score in scores.items()},
        }
        row["gain"] = common.gain(data, fold, together, alone)
        common.say(f"{fold.name}: " + ", ".join(f"{name} AP {row[name]['ap']:.4f}" for name in scores))
        rows.append(row)
    return rows


def main(args: Sequence[str] | None = None) -> None:
    """Print what is left, fold by fold and in the mean."""
    parser = argparse.ArgumentParser(prog="tests.bench.handbook", description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA", help="a folder of the handbook's extracted vectors")
    parser.add_argument("--fold", type=int, action="append", help="only this fold, 1 to 4; repeatable")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(args)
    data = dataset.read(asked.data)
    folds = protocols.fdh_folds(data)
    rows = compared(data, [folds[number - 1] for number in asked.fold or range(1, len(folds) + 1)], asked.seed)
    for name in ("judge", "booster", "booster told by the judge"):
        ap, recall = (np.mean([row[name][measure] for row in rows]) for measure in ("ap", "recall_at_1pct"))
        print(f"{name:26} AP {ap:.4f}, recall at 1 % {recall:.4f}")
    print(json.dumps({"label_delay_days": data.meta.identity.label_delay / DAY, "folds": rows}))


if __name__ == "__main__":
    main()
