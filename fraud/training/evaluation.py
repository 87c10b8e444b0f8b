"""Evaluate kinds of models on the same folds: measures, slices, intervals that are paired, over several seeds.

Frauds cluster at merchants, so merchants are drawn, the same ones for every kind, fold and seed: a difference of two
kinds is free of the noise that both share. Where the data has one merchant for all, cards are drawn. Intervals do not
tell what another fit would have given; the spread over seeds does.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core import intervals, metrics
from fraud.core.records import DAY
from fraud.training import checkpoints, cost, fitting, plots, settings
from fraud.training.dataset import FRAUD, GENUINE, Dataset
from fraud.training.fitting import FitRequest, Scores, Step
from fraud.training.protocols import BUDGET, MEASURES, Fold, measure
from fraud.training.splits import Rows, Slices, slices
from models.boosting.trees import F64

Fitter = Callable[[Slices, Fold, int], Scores]
"""Fits on what a fold may learn from, with a seed; returns the scores of its test rows by kind, float64 (rows,)."""
Told = Callable[[str, dict[str, Any]], None]
"""Told a kind, and its result on a fold."""

WEEK = 7 * DAY
AP, RECALL = "ap", "recall_at_1pct"


class FoldResult(NamedTuple):
    """One kind on one fold with one seed: its result, and AP and recall under each draw of merchants, (draws,)."""

    result: dict[str, Any]
    ap: F64
    recall: F64
    drawn: str = "merchant"


def evaluate(
    data: Dataset,
    folds: Sequence[Fold],
    fitter: Fitter,
    seeds: Sequence[int] = (0,),
    told: Told | None = None,
    kinds: Sequence[str] = (),
) -> dict[str, list[FoldResult]]:
    """Return how every kind that is scored does, seed by seed and fold by fold; of `kinds`, where they are named."""
    found: dict[str, list[FoldResult]] = {}
    for seed in seeds:
        for fold in folds:
            rows = slices(data, fold.span)
            scores = fitter(rows, fold, seed)
            for kind in kinds or scores:
                one = evaluate_fold(data, fold, scores[kind], seed, len(rows.train))
                found.setdefault(kind, []).append(one)
                if told is not None:
                    told(kind, one.result)
    return found


def evaluate_fold(data: Dataset, fold: Fold, score: F64, seed: int = 0, trained_on: int = 0) -> FoldResult:
    """Return one kind on one fold."""
    ap, recall = draws(data, fold.test, score)
    result = {"fold": fold.name, "seed": seed, "trained_on": trained_on, **measure(data, fold.test, score)}
    result["ap_interval"] = _bounds(ap) if result[AP] is not None else None
    result["recall_interval"] = _bounds(recall) if result[RECALL] is not None else None
    result["slices"] = {name: part(data, fold.test, mask, score) for name, mask in sliced(data, fold.test)}
    return FoldResult(result, ap, recall, drawn(data))


# --- a run over folds and seeds --------------------------------------------------------------------------------------


class Evaluation:
    """Folds fitted one after the other, each kept as it is done."""

    def __init__(self, data: Dataset, folds: Sequence[Fold], request: FitRequest, runs: Path, *, resume: bool) -> None:
        """Take the folds and what to fit on each; with `resume` kept scores are taken as they are."""
        self._data, self._folds, self._request = data, folds, request
        self._runs, self._resume = runs, resume
        self._scores: dict[str, list[F64]] = {}
        self._step: Step = lambda share, note: None
        self._done, self._fits = 0, 1

    def costs(self) -> list[cost.Forecast]:
        """Return what each fold's fit and test will take."""
        data, request = self._data, self._request
        return [cost.forecast(data, slices(data, fold.span), request, len(fold.test)) for fold in self._folds]

    def run(
        self, seeds: Sequence[int], kinds: Sequence[str], step: Step | None = None, told: Told | None = None
    ) -> dict[str, Any]:
        """Return how each kind did (`models`), and how they differ (`differences`); `step` is told shares of the whole.

        Raises DataError when a fold has nothing to learn from, or kept scores are damaged.
        """
        self._step = step or self._step
        self._done, self._fits = 0, len(seeds) * len(self._folds)
        found = evaluate(self._data, self._folds, self._fit, seeds, told, kinds)
        models = {kind: summary(ones) for kind, ones in found.items()}
        return {"models": models, "differences": compared(found)}

    def draw(self, folder: Path, kinds: Sequence[str]) -> list[Path]:
        """Draw the test rows of all folds together, by the first seed; return the pictures' paths."""
        folds = len(self._folds)
        fraud = np.concatenate([self._data.fraud[fold.test] == FRAUD for fold in self._folds])
        return plots.draw_all(folder, fraud, {kind: np.concatenate(self._scores[kind][:folds]) for kind in kinds})

    def _fit(self, rows: Slices, fold: Fold, seed: int) -> Scores:
        chosen = settings.reseeded(self._request.settings, seed)
        folder = checkpoints.fold_folder(self._runs, self._data, fold)
        kept = checkpoints.checkpoints_in(folder, chosen, resume=self._resume)
        scores = checkpoints.read_scores(kept.scores)
        if scores is None:
            request = self._request._replace(settings=chosen, checkpoints=kept)
            scores = fitting.fit(self._data, rows, request, self._within(fold)).scores(self._data, fold.test)
            checkpoints.write_scores(kept.scores, scores)
            kept.network.unlink(missing_ok=True)
        self._done += 1
        for kind, score in scores.items():
            self._scores.setdefault(kind, []).append(score)
        return scores

    def _within(self, fold: Fold) -> Step:
        """Return what a fold's fit tells its progress."""
        return lambda share, note: self._step((self._done + share) / self._fits, f"{fold.name}, {note}")


# --- summaries -------------------------------------------------------------------------------------------------------


def summary(found: Sequence[FoldResult]) -> dict[str, Any]:
    """Return `{"mean": {...}, "folds": [...], "ap_interval": [low, high], ...}`; what the data leave undefined is None.

    `seeds` holds the means of each seed where there are several, `spread` their standard deviation.
    """
    results = [one.result for one in found]
    mean = _means(results)
    by_seed = {seed: _means([r for r in results if r["seed"] == seed]) for seed in sorted({r["seed"] for r in results})}
    return {
        "mean": mean,
        **{of: _mean_bounds([result[of] for result in results]) for of in ("chance", "ceiling")},
        "drawn": found[0].drawn,
        "folds": results,
        "ap_interval": _bounds(np.mean([one.ap for one in found], axis=0)) if mean[AP] is not None else None,
        "recall_interval": _bounds(np.mean([one.recall for one in found], axis=0))
        if mean[RECALL] is not None
        else None,
        "slices": _mean_slices(results),
        **({"seeds": by_seed, "spread": _spread(list(by_seed.values()))} if len(by_seed) > 1 else {}),
    }


def compared(found: dict[str, list[FoldResult]]) -> list[dict[str, Any]]:
    """Return the difference of every pair of kinds, in the order they are held, with paired intervals.

    Differences are means over folds and seeds under the same draws.
    """
    return [difference(one, other, found[one], found[other]) for one, other in combinations(found, 2)]


def difference(name: str, other_name: str, one: Sequence[FoldResult], other: Sequence[FoldResult]) -> dict[str, Any]:
    """Return average precision and recall of one less those of another, with 95 % intervals over merchants."""
    ap = np.mean([a.ap - b.ap for a, b in zip(one, other, strict=True)], axis=0)
    recall = np.mean([a.recall - b.recall for a, b in zip(one, other, strict=True)], axis=0)
    mean, other_mean = _means([a.result for a in one]), _means([b.result for b in other])
    known = mean[AP] is not None
    return {
        "of": name,
        "less": other_name,
        "ap": _less(mean[AP], other_mean[AP]),
        "ap_interval": _bounds(ap) if known else None,
        "recall_at_1pct": _less(mean[RECALL], other_mean[RECALL]),
        "recall_interval": _bounds(recall) if known and mean[RECALL] is not None else None,
    }


# --- draws and slices ------------------------------------------------------------------------------------------------


def drawn(data: Dataset) -> str:
    """Return by what rows are drawn: `merchant`, or `card` where one merchant stands for all."""
    return "merchant" if len(data.merchant) and data.merchant.max() > 0 else "card"


def draws(data: Dataset, rows: Rows, score: F64) -> tuple[F64, F64]:
    """Return average precision and recall at the alert budget of scored rows under each draw of merchants, (draws,).

    Draws are of all merchants (or cards, see `drawn`) of the data, hence the same for any rows. The alerts are those of
    the undrawn rows.
    """
    fraud = data.fraud[rows] == FRAUD
    codes = data.merchant if drawn(data) == "merchant" else data.card
    groups = int(codes.max()) + 1 if len(codes) else 1
    ranked = intervals.average_precision(fraud, score)
    caught = intervals.share(fraud * alerted(score), fraud.astype(np.float64))
    both = [intervals.draws(of, codes[rows], np.random.default_rng(0), groups=groups) for of in (ranked, caught)]
    return both[0], both[1]


def alerted(score: F64, share: float = BUDGET) -> F64:
    """Return by how much each row is among the `share` that score highest: 1, 0, or between them among equal scores."""
    budget = metrics.within_budget(share, len(score))
    if not budget:
        return np.zeros(len(score))
    cut = np.partition(score, len(score) - budget)[len(score) - budget]
    above, level = score > cut, score == cut
    shares: F64 = above + level * ((budget - above.sum()) / level.sum())
    return shares


def sliced(data: Dataset, rows: Rows) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield parts of the rows by name: a card's and a merchant's first week, and each scenario against all genuine."""
    for name in ("card", "merchant"):
        codes = getattr(data, name)
        yield f"{name}_first_week", data.time[rows] - first_seen(data.time, codes)[codes[rows]] < WEEK
    genuine, scenario = data.fraud[rows] == GENUINE, data.scenario[rows]
    for number in np.unique(data.scenario[data.fraud == FRAUD]).tolist():
        if number:
            yield f"scenario_{number}", genuine | (scenario == number)


def first_seen(time: NDArray[np.int64], codes: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return when each code was first seen, ns, by code; rows are in order of time."""
    first = np.zeros(int(codes.max(initial=-1)) + 1, dtype=np.int64)
    first[codes[::-1]] = time[::-1]  # of equal codes the last one assigned stays: the earliest
    return first


def part(data: Dataset, rows: Rows, mask: NDArray[np.bool_], score: F64) -> dict[str, Any]:
    """Return rows, frauds, average precision and recall of a part; alerts are those of the whole, the budget is one."""
    fraud = (data.fraud[rows] == FRAUD)[mask]
    frauds = int(fraud.sum())
    ranked = 0 < frauds < len(fraud)
    return {
        "rows": len(fraud),
        "frauds": frauds,
        AP: metrics.average_precision(fraud, score[mask]) if ranked else None,
        RECALL: float(alerted(score)[mask][fraud].mean()) if frauds else None,
    }


# --- small helpers ---------------------------------------------------------------------------------------------------


def _means(results: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    return {name: _mean([result[name] for result in results]) for name in MEASURES}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) and known else None


def _mean_slices(results: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return sums of rows and frauds over a seed's folds, and means of measures over the folds that have them."""
    folds = len({result["fold"] for result in results})
    made = {}
    for name in results[0]["slices"]:
        parts = [result["slices"][name] for result in results]
        made[name] = {
            **{what: sum(one[what] for one in parts[:folds]) for what in ("rows", "frauds")},
            **{what: _mean([one[what] for one in parts if one[what] is not None]) for what in (AP, RECALL)},
        }
    return made


def _spread(means: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """Return the standard deviation of each measure over seeds."""
    made: dict[str, float | None] = {}
    for name in MEASURES:
        values = [mean[name] for mean in means]
        made[name] = float(np.std([v for v in values if v is not None], ddof=1)) if None not in values else None
    return made


def _mean_bounds(found: Sequence[dict[str, float] | None]) -> dict[str, float | None]:
    """Return means of what chance or the best ranking has, over the folds that have a ranking."""
    known = [one for one in found if one is not None]
    return {name: _mean([one[name] for one in known]) for name in (known[0] if known else ())}


def _less(one: float | None, other: float | None) -> float | None:
    return one - other if one is not None and other is not None else None


def _bounds(values: F64) -> list[float]:
    return list(intervals.bounds(values))
