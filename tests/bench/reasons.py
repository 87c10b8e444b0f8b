"""Reasons of a blend on recorded payments: their cost, whether they are those of exact Shapley values, how they read.

python -m tests.bench.reasons ROOT NAME DATA RECORDING [--from 0.85] [--count 200]

ROOT and NAME are an artifact's, DATA a folder of extracted vectors, RECORDING one of recorded histories. The alerted
decisions are the 1 % of the payments after the time quantile `--from` that score highest.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core.ports import Tokens
from fraud.core.records import Score, Values
from fraud.core.tokens import RAW
from fraud.training import dataset
from fraud.training.recording import HistoryLog
from models import registry
from models.blend import Blend
from models.reasons.catalogue import GROUPS, MATERIAL, TOLD
from models.reasons.of_blend import Effects, Explainer

BUDGET = 0.01
TARGET = 0.9
AT_ONCE = 2_048


class Decision(NamedTuple):
    """One alerted decision: vector, score, what it could read, what it was."""

    values: Values
    score: Score
    tokens: Tokens
    scenario: int
    row: int


class One:
    """Histories of one decision."""

    def __init__(self, tokens: Tokens) -> None:
        """Take one row's tokens."""
        self.held = tokens

    def tokens(self, rows: Sequence[int] | NDArray[np.intp], sides: int) -> Tokens:
        """Return them, as many sides as asked for."""
        held = self.held
        return Tokens(held.raw[:, :sides], held.sums[:, :sides], held.codes[:, :sides], held.text)

    def events(self, row: int, sides: int) -> NDArray[np.int64]:
        """Return nothing: recorded tokens name no transactions."""
        return np.zeros((sides, RAW, 2), np.int64)


class Batch:
    """Histories of a batch."""

    def __init__(self, tokens: Tokens) -> None:
        """Take many rows' tokens."""
        self.held = tokens

    def tokens(self, rows: Sequence[int] | NDArray[np.intp], sides: int) -> Tokens:
        """Return some rows."""
        held = self.held
        return Tokens(
            held.raw[rows][:, :sides], held.sums[rows][:, :sides], held.codes[rows][:, :sides], held.text[rows]
        )

    def events(self, row: int, sides: int) -> NDArray[np.int64]:
        """Return nothing: recorded tokens name no transactions."""
        return np.zeros((sides, RAW, 2), np.int64)


class Agreement(NamedTuple):
    """How estimates compare with exact Shapley values over the same groups."""

    told: float
    """Share of decisions that tell the same set of up to three groups (effects below MATERIAL are not told)."""
    sets: float
    """Share whose three strongest groups are the same set, however small the third."""
    first: float
    """Share whose strongest group is the same."""
    error: float
    """Mean absolute error of an effect of the three, log-odds."""
    remainder: float
    """Mean absolute remainder, log-odds."""
    players: float
    """Mean number of groups in the network's game."""


def cost(explainer: Explainer, decisions: Sequence[Decision], *, events: bool = True) -> NDArray[np.float64]:
    """Return milliseconds of CPU a decision, float64 (decisions,): sentences included, with those of single events."""
    taken = []
    for decision in decisions:
        began = time.thread_time_ns()  # of this thread: other jobs on the machine do not count
        explainer.explain(decision.values, decision.score, One(decision.tokens), events=events)
        taken.append((time.thread_time_ns() - began) / 1e6)
    return np.array(taken)


def fidelity(explainer: Explainer, decisions: Sequence[Decision]) -> Agreement:
    """Return how the effects compare with exact ones: all 2^k coalitions of every decision, so seconds each."""
    pairs = [(both(explainer, decision), decision) for decision in decisions]
    told = [material(found) == material(exact) for (found, exact), _ in pairs]
    same = [set(strongest(found)) == set(strongest(exact)) for (found, exact), _ in pairs]
    first = [strongest(found, 1) == strongest(exact, 1) for (found, exact), _ in pairs]
    errors = [np.abs(found.groups - exact.groups)[strongest(exact)].mean() for (found, exact), _ in pairs]
    remainders = [abs(found.remainder) for (found, _), _ in pairs]
    players = [len(explainer.game(d.values, d.score, d.tokens).players) for _, d in pairs]
    return Agreement(*(float(np.mean(part)) for part in (told, same, first, errors, remainders, players)))


def strongest(effects: Effects, count: int = TOLD) -> list[int]:
    """Return the groups that have raised the score most."""
    return [int(place) for place in np.argsort(-effects.groups, kind="stable")[:count]]


def material(effects: Effects) -> set[int]:
    """Return those of the three strongest that have raised the score by what is material."""
    return {place for place in strongest(effects) if effects.groups[place] >= MATERIAL}


def both(explainer: Explainer, decision: Decision) -> tuple[Effects, Effects]:
    """Return estimated and exact effects of a decision."""
    given = decision.values, decision.score, explainer.tokens(decision.score, One(decision.tokens))
    return explainer.effects(*given), explainer.effects(*given, exact=True)


def readings(explainer: Explainer, decisions: Sequence[Decision], each: int = 3) -> Iterator[str]:
    """Yield decisions of each kind of fraud as an analyst would read them."""
    for scenario in sorted({decision.scenario for decision in decisions}):
        kind = f"fraud of scenario {scenario}" if scenario else "genuine"
        for decision in [d for d in decisions if d.scenario == scenario][:each]:
            yield f"\n{kind}: payment {decision.row}, probability {decision.score.value:.3f}"
            for reason in explainer.explain(decision.values, decision.score, One(decision.tokens)).reasons:
                yield f"  {reason.effect:+6.2f}  {reason.code:<16} {reason.text}"


def alerted(blend: Blend, folder: Path, log: HistoryLog, start: float, count: int) -> list[Decision]:
    """Return `count` decisions drawn evenly from the highest 1 % after a time quantile, in order of time."""
    data = dataset.read(folder)
    rows = np.arange(int(len(data.time) * start), len(data.time))
    codes = blend.encode(log.blocks())
    scores = [s for some, tokens in read(log, rows, codes) for s in scored(blend, data, some, tokens)]
    best = np.sort(np.argsort([-score.value for score in scores], kind="stable")[: int(len(rows) * BUDGET)])
    chosen = best[np.linspace(0, len(best) - 1, min(count, len(best))).astype(int)]
    kept = {int(some[0]): tokens for some, tokens in read(log, rows[chosen], codes, 1)}
    return [
        Decision(np.array(data.matrix[row]), scores[place], kept[row], int(data.scenario[row]), row)
        for place, row in zip(chosen.tolist(), rows[chosen].tolist(), strict=True)
    ]


def read(
    log: HistoryLog, rows: NDArray[np.int64], codes: NDArray[np.float32], at_once: int = AT_ONCE
) -> Iterator[tuple[NDArray[np.int64], Tokens]]:
    """Yield rows with their tokens."""
    for some, batch in log.batches(rows, codes, at_once):
        yield some, Tokens(batch.raw, batch.sums, batch.codes, batch.text)


def scored(blend: Blend, data: dataset.Dataset, rows: NDArray[np.int64], tokens: Tokens) -> list[Score]:
    """Return the scores of some rows."""
    return blend.score([str(row) for row in rows], np.array(data.matrix[rows]), Batch(tokens))


def report(explainer: Explainer, decisions: Sequence[Decision]) -> None:
    """Print cost, fidelity and readings."""
    cost(explainer, decisions[:3])  # prepared on first use
    for events, what in ((False, "reasons"), (True, "reasons and events")):
        taken = np.percentile(cost(explainer, decisions, events=events), [50, 99])
        print(f"cost of {what}: median {taken[0]:.2f} ms, 99 % {taken[1]:.2f} ms; {len(decisions)} decisions")
    found = fidelity(explainer, decisions)
    print(f"groups in the network's game: {found.players:.1f} of {len(GROUPS)}")
    print(f"told sets equal to those of exact Shapley values: {found.told:.1%} (target {TARGET:.0%})")
    print(f"the same with effects below {MATERIAL} log-odds counted in: {found.sets:.1%}")
    print(f"strongest group the same: {found.first:.1%}")
    print(f"mean error of a told effect {found.error:.3f} log-odds, mean remainder {found.remainder:.3f}")
    print("\n".join(readings(explainer, decisions)))


def main() -> None:
    """Load an artifact and recorded payments, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name in ("root", "name", "data", "recording"):
        parser.add_argument(name)
    parser.add_argument("--from", type=float, default=0.85, dest="start")
    parser.add_argument("--count", type=int, default=200)
    given = parser.parse_args()
    blend = Blend.of(registry.load(Path(given.root), given.name))
    decisions = alerted(blend, Path(given.data), HistoryLog(Path(given.recording)), given.start, given.count)
    report(Explainer(blend), decisions)


if __name__ == "__main__":
    main()
