"""Evaluation: the same folds and draws for every kind, differences that are paired, slices, seeds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fraud.common.compiled import sources_hash
from fraud.core import metrics
from fraud.core.records import DAY
from fraud.training import checkpoints
from fraud.training.booster import BoosterSettings
from fraud.training.checkpoints import Checkpoints
from fraud.training.dataset import FRAUD, Dataset
from fraud.training.evaluation import (
    Evaluation,
    FoldResult,
    alerted,
    compared,
    drawn,
    draws,
    evaluate,
    evaluate_fold,
    part,
    sliced,
    summary,
)
from fraud.training.fitting import FitRequest, fit
from fraud.training.protocols import MEASURES, Fold, chronological_fold, fdh_folds
from fraud.training.splits import Slices, span_before
from tests.training.quick import QUICK


class Two:
    """A fitter of two kinds: by amount, and by amount with noise that depends on the seed."""

    def __init__(self, data: Dataset) -> None:
        self.data = data
        self.given: list[tuple[str, int]] = []

    def __call__(self, rows: Slices, fold: Fold, seed: int) -> dict[str, Any]:
        self.given.append((fold.name, seed))
        amount = self.data.matrix[fold.test, 0].astype(np.float64)
        return {"plain": amount, "noisy": amount + 200 * np.random.default_rng(seed).random(len(amount))}


@pytest.fixture(scope="module")
def results(data: Dataset) -> dict[str, list[FoldResult]]:
    return evaluate(data, fdh_folds(data)[:2], Two(data), seeds=(3, 4))


def test_evaluate_fits_every_fold_with_every_seed(data: Dataset) -> None:
    fitter, told = Two(data), []
    evaluate(
        data, fdh_folds(data)[:2], fitter, (3, 4), lambda kind, result: told.append((kind, result["seed"])), ["noisy"]
    )
    assert fitter.given == [("day 115", 3), ("day 122", 3), ("day 115", 4), ("day 122", 4)]
    assert told == [("noisy", 3)] * 2 + [("noisy", 4)] * 2


def test_summary_means_folds_and_seeds(results: dict[str, list[FoldResult]]) -> None:
    result = summary(results["noisy"])
    assert result["mean"].keys() == set(MEASURES)
    assert result["mean"]["ap"] == pytest.approx(np.mean([fold["ap"] for fold in result["folds"]]))
    assert [result["seeds"][seed]["ap"] for seed in (3, 4)] != [result["mean"]["ap"]] * 2
    assert result["spread"]["ap"] == pytest.approx(np.std([result["seeds"][s]["ap"] for s in (3, 4)], ddof=1))
    for name, mean in (("ap_interval", "ap"), ("recall_interval", "recall_at_1pct")):
        low, high = result[name]
        assert low < result["mean"][mean] < high


def test_difference_is_paired(results: dict[str, list[FoldResult]]) -> None:
    (one,) = compared(results)
    plain, noisy = (summary(results[kind]) for kind in ("plain", "noisy"))
    assert (one["of"], one["less"]) == ("plain", "noisy")
    assert one["ap"] == pytest.approx(plain["mean"]["ap"] - noisy["mean"]["ap"])
    low, high = one["ap_interval"]
    assert low < one["ap"] < high
    assert high - low < 0.7 * (plain["ap_interval"][1] - plain["ap_interval"][0])


def test_difference_to_itself_is_nothing(results: dict[str, list[FoldResult]]) -> None:
    (one,) = compared({"a": results["plain"], "b": results["plain"]})
    assert (one["ap"], one["ap_interval"], one["recall_interval"]) == (0.0, [0.0, 0.0], [0.0, 0.0])


def test_summary_is_none_where_a_fold_has_no_frauds(data: Dataset) -> None:
    genuine = np.flatnonzero(data.fraud != FRAUD)[-500:]
    empty = Fold("none", span_before(int(data.time[-1]), 7 * DAY, 0, 7 * DAY), genuine)
    ones = [evaluate_fold(data, fold, data.matrix[fold.test, 0]) for fold in (chronological_fold(data), empty)]
    result = summary(ones)
    assert result["mean"]["ap"] is None
    assert result["ap_interval"] is None
    assert [fold["ap_interval"] is None for fold in result["folds"]] == [False, True]


def test_chance_and_ceiling_stand_beside_the_measures(results: dict[str, list[FoldResult]]) -> None:
    (plain, noisy) = (summary(results[kind]) for kind in ("plain", "noisy"))
    assert plain["chance"] == noisy["chance"]
    shares = [one["frauds"] / one["rows"] for one in plain["folds"]]
    assert plain["chance"]["ap"] == pytest.approx(np.mean(shares))
    assert plain["chance"]["auc"] == 0.5
    assert plain["chance"]["recall_at_1pct"] == pytest.approx(0.01, rel=0.1)
    best = np.mean([min(plain["chance"]["recall_at_1pct"] / share, 1.0) for share in shares])
    assert plain["ceiling"]["recall_at_1pct"] == pytest.approx(best, rel=0.1)
    assert plain["drawn"] == "merchant"


def test_alerted_shares_equal_scores_and_keeps_to_the_budget() -> None:
    score = np.array([9.0, 5.0, 5.0, 5.0, 1.0] * 20)
    fraud = np.arange(100) % 7 == 0
    shares = alerted(score, 0.30)
    assert shares.sum() == pytest.approx(30)
    assert shares @ fraud / fraud.sum() == pytest.approx(metrics.recall_at_budget(fraud, score, 0.30))
    assert not alerted(score[:5]).any()


def test_draws_of_other_rows_are_of_the_same_merchants(data: Dataset) -> None:
    rows = np.arange(4_000)
    score = np.random.default_rng(1).random(4_000)
    first, again = draws(data, rows, score), draws(data, rows, score)
    np.testing.assert_array_equal(first[0], again[0])
    assert len(first[0]) == len(first[1])


def test_cards_are_drawn_where_one_merchant_stands_for_all(data: Dataset) -> None:
    alone = data._replace(merchant=np.zeros_like(data.merchant))
    rows, score = np.arange(4_000), np.random.default_rng(1).random(4_000)
    assert (drawn(data), drawn(alone)) == ("merchant", "card")
    by_card = draws(data._replace(merchant=data.card), rows, score)[0]
    np.testing.assert_array_equal(draws(alone, rows, score)[0], by_card)
    assert np.quantile(by_card, 0.025) < np.quantile(by_card, 0.975)


def test_slices_tell_new_entities_and_scenarios(data: Dataset) -> None:
    rows = np.arange(len(data.time))
    found = dict(sliced(data, rows))
    assert found.keys() == {"card_first_week", "merchant_first_week", "scenario_1"}
    first: dict[int, int] = {}
    for i in range(2_000):
        begun = first.setdefault(int(data.card[i]), int(data.time[i]))
        assert found["card_first_week"][i] == (data.time[i] - begun < 7 * DAY)
    measured = part(data, rows, found["card_first_week"], data.matrix[:, 0].astype(np.float64))
    assert measured["rows"] == found["card_first_week"].sum()
    assert 0 < measured["ap"] < 1


# --- a run over folds and seeds --------------------------------------------------------------------------------------


def test_evaluation_tells_shares_of_all_its_fits_and_resumes_without_one(data: Dataset, tmp_path: Path) -> None:
    few = FitRequest(BoosterSettings(trees=4, learning_rate=0.3, patience=0, threads=1))
    folds, told = fdh_folds(data)[:2], dict[tuple[str, int], list[float]]()
    job = Evaluation(data, folds, few, tmp_path, resume=True)
    first = job.run(
        (1,),
        ["booster"],
        lambda share, note: told.setdefault((note.split(",")[0], int(share * 2 - 1e-9)), []).append(share),
    )
    assert list(told) == [("day 115", 0), ("day 122", 1)]
    assert [shares[-1] for shares in told.values()] == [0.5, 1.0]
    again = Evaluation(data, folds, few, tmp_path, resume=True)
    assert again.run((1,), ["booster"], lambda share, note: pytest.fail("fitted again")) == first


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_booster_that_was_kept_is_taken_as_it_is(data: Dataset, tmp_path: Path) -> None:
    fold = chronological_fold(data)
    from fraud.training.splits import slices

    rows, kept = slices(data, fold.span), Checkpoints(checkpoints.fold_folder(tmp_path, data, fold), QUICK)
    first = fit(data, rows, FitRequest(QUICK, checkpoints=kept))

    def never(share: float, note: str) -> None:
        pytest.fail("fitted again")

    again = fit(data, rows, FitRequest(QUICK, checkpoints=kept), never)
    np.testing.assert_array_equal(first.scores(data, fold.test)["booster"], again.scores(data, fold.test)["booster"])
    np.testing.assert_array_equal(first.validation()["booster"], again.validation()["booster"])
    np.testing.assert_array_equal(first.booster.importance, again.booster.importance)
    kept.clear()
    with pytest.raises(pytest.fail.Exception):
        fit(data, rows, FitRequest(QUICK, checkpoints=kept), never)


def test_scores_are_kept_apart_by_fold_and_settings(data: Dataset, tmp_path: Path) -> None:
    folds = [checkpoints.fold_folder(tmp_path, data, fold) for fold in fdh_folds(data)]
    assert len(set(folds)) == 4
    places = {Checkpoints(folds[0], BoosterSettings(seed=seed)).scores for seed in range(3)}
    assert len(places) == 3
    path = next(iter(places))
    assert checkpoints.read_scores(path) is None
    checkpoints.write_scores(path, {"booster": np.arange(3.0)})
    held = checkpoints.read_scores(path)
    assert held is not None
    np.testing.assert_array_equal(held["booster"], np.arange(3.0))


def test_what_other_code_left_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, settings = Checkpoints(tmp_path, QUICK), BoosterSettings()
    before = (kept.scores, kept.network, kept.booster(settings))
    assert before == (kept.scores, kept.network, kept.booster(settings))
    monkeypatch.setattr(checkpoints, "code", lambda: "another")
    assert not set(before) & {kept.scores, kept.network, kept.booster(settings)}


def test_code_is_every_source_of_its_folders(tmp_path: Path) -> None:
    assert {folder.name for folder in checkpoints.FOLDERS} == {"core", "common", "training", "models"}
    assert all((folder / "__init__.py").exists() for folder in checkpoints.FOLDERS)
    (tmp_path / "one.py").write_text("a = 1\n")
    before = sources_hash([tmp_path])
    (tmp_path / "one.py").write_text("a = 2\n")
    changed = sources_hash([tmp_path])
    (tmp_path / "two.py").write_text("")
    assert len({before, changed, sources_hash([tmp_path])}) == 3
