"""Fitting: repeatable, learns what is there, keeps the prior, and makes an artifact that scores."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fraud.core import metrics
from fraud.core.errors import ArtifactError, SettingsError
from fraud.training.booster import ROWS_FOR_THREADS, BoosterSettings, fit, forecast, parameters, thinned
from fraud.training.dataset import FRAUD, Dataset
from fraud.training.fitting import FitRequest
from fraud.training.network import Epoch
from fraud.training.plots import draw_all, expected_groups, learning
from fraud.training.train import train, usual_slices
from models import registry
from models.boosting.scorer import Booster
from tests.training.conftest import NAMES
from tests.training.quick import QUICK


def test_fit_twice_gives_the_same_bits(data: Dataset) -> None:
    rows = usual_slices(data)
    settings = msgspec.structs.replace(QUICK, row_share=0.7, feature_share=0.7, genuine_per_fraud=15, least_genuine=0)
    first, second = fit(data, rows, settings), fit(data, rows, settings)
    assert first.calibration == second.calibration
    np.testing.assert_array_equal(first.trees.raw(data.matrix), second.trees.raw(data.matrix))


def test_fit_learns_what_betrays_a_fraud(data: Dataset) -> None:
    made = fit(data, usual_slices(data), QUICK)
    later = usual_slices(data).validation
    fraud = data.fraud[later] == FRAUD
    alone = [metrics.average_precision(fraud, np.nan_to_num(data.matrix[later, i])) for i in range(4)]
    assert metrics.average_precision(fraud, made.validation) > 1.2 * max(alone)
    assert {NAMES[i] for i in np.argsort(-made.importance)[:2]} == {"amount", "merchant_fraud_run"}


def test_fit_ignores_verdicts_outside_its_rows(data: Dataset) -> None:
    rows = usual_slices(data)
    flipped = 1 - data.fraud
    flipped[rows.train] = data.fraud[rows.train]
    first, second = fit(data, rows, QUICK), fit(data._replace(fraud=flipped), rows, QUICK)
    np.testing.assert_array_equal(first.trees.raw(data.matrix), second.trees.raw(data.matrix))


def test_fit_on_a_share_of_the_genuine_keeps_the_prior(data: Dataset) -> None:
    rows = usual_slices(data)
    settings = msgspec.structs.replace(QUICK, genuine_per_fraud=9, least_genuine=0, patience=0)
    made = fit(data, rows, settings)
    mean = np.mean(1 / (1 + np.exp(-made.trees.raw(data.matrix[rows.train]))))
    assert mean == pytest.approx((data.fraud[rows.train] == FRAUD).mean(), rel=0.1)


def test_thinned_keeps_every_fraud_and_weighs_the_genuine() -> None:
    fraud = np.arange(10_000) % 100 == 0
    kept, weight = thinned(fraud, BoosterSettings(genuine_per_fraud=20, least_genuine=0))
    assert weight is not None
    assert fraud[kept].sum() == fraud.sum()
    assert weight.sum() == pytest.approx(10_000, rel=0.05)
    assert set(weight[fraud[kept]]) == {1.0}
    assert len(kept) == pytest.approx(100 + 2_000, rel=0.1)


@pytest.mark.parametrize("settings", [BoosterSettings(genuine_per_fraud=0), BoosterSettings(least_genuine=20_000)])
def test_thinned_keeps_all_of_a_small_history(settings: BoosterSettings) -> None:
    kept, weight = thinned(np.arange(10_000) % 100 == 0, settings)
    assert len(kept) == 10_000
    assert weight is None


def test_fit_without_rows_to_choose_on_keeps_the_given_number_of_trees(data: Dataset) -> None:
    rows = usual_slices(data)
    made = fit(data, rows._replace(validation=rows.validation[:3]), QUICK)
    assert made.rounds == QUICK.trees == len(made.trees.roots)
    assert len(made.validation) == 0
    assert made.calibration == (1.0, 1.0, 0.0)


def test_fit_tells_its_progress(data: Dataset) -> None:
    told: list[tuple[int, str]] = []
    made = fit(data, usual_slices(data), QUICK, lambda done, what: told.append((done, what)))
    assert told[0] == (1, "choosing")
    assert told[-1] == (made.rounds, "final fit")


@pytest.mark.parametrize(
    "wrong", [{"leaves": 33}, {"leaves": 1}, {"feature_share": 0.0}, {"row_share": 1.5}, {"trees": 0}]
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        msgspec.structs.replace(QUICK, **wrong)


def test_forecast_grows_with_rows_and_trees(data: Dataset) -> None:
    rows = usual_slices(data)
    few = forecast(data, rows._replace(train=rows.train[:500], inner=rows.inner[:100]), QUICK)
    usual, more = (forecast(data, rows, msgspec.structs.replace(QUICK, trees=trees)) for trees in (40, 400))
    assert 0 < few.seconds < usual.seconds < more.seconds
    assert 0 < few.bytes < usual.bytes


def test_train_saves_an_artifact_that_scores_as_fitted(tmp_path: Path, data: Dataset) -> None:
    trained = train(data, tmp_path, "mine", 77, "booster", FitRequest(QUICK))
    loaded = Booster.of(registry.load(tmp_path, "mine", spec_version="spec-1"))
    card = loaded.card
    assert (card.created, card.data_hash, card.features, card.label_delay) == (
        77, "made-up", NAMES, data.meta.identity.label_delay,
    )  # fmt: skip
    assert card.until == data.time[trained.made.rows.train].max() < data.time[-1]
    fraud = data.fraud[trained.made.rows.validation] == FRAUD
    booster = trained.made.fitted.booster
    assert card.metrics["ap"] == metrics.average_precision(fraud, booster.validation)
    assert card.libraries.keys() == {"lightgbm", "numpy", "numba"}
    raw = booster.trees.raw(data.matrix).tolist()
    np.testing.assert_array_equal(loaded.probabilities(data.matrix), booster.calibration.probabilities(raw))


def test_train_under_a_reserved_name_is_refused_before_fitting(tmp_path: Path, data: Dataset) -> None:
    def never(done: float, what: str) -> None:
        pytest.fail("a fit was started")

    with pytest.raises(ArtifactError, match="is taken"):
        train(data, tmp_path, "rules", 0, "booster", FitRequest(QUICK), never)


def test_draw_all_writes_every_picture(tmp_path: Path, data: Dataset) -> None:
    rng, rows = np.random.default_rng(0), len(data.time)
    scores = {kind: rng.random(rows) for kind in ("booster", "network", "blend")}
    curve = [Epoch(0.5, 0.1, 0.3), Epoch(0.4, 0.2, 0.2)]
    paths = draw_all(tmp_path / "run", data.fraud == FRAUD, scores, (NAMES, np.arange(4.0)), curve)
    assert [path.stem for path in paths] == ["precision_recall", "calibration", "scores", "importance", "learning"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_calibration_groups_hold_equally_many_expected_frauds() -> None:
    probability = np.random.default_rng(0).beta(0.1, 10, 5_000)
    groups = expected_groups(probability, 15)
    assert np.array_equal(np.sort(np.concatenate(groups)), np.arange(5_000))
    assert len(groups) == 15
    expected = [float(probability[part].sum()) for part in groups]
    assert max(expected) < 1.2 * min(expected)
    assert all(probability[one].max() <= probability[two].min() for one, two in pairwise(groups))
    assert [part.tolist() for part in expected_groups(np.array([0.5]), 15)] == [[0]]
    assert expected_groups(np.zeros(0), 15) == []


def test_learning_draws_each_loss_on_its_own_scale_and_marks_what_is_kept() -> None:
    figure = learning([Epoch(0.5, 0.1, 0.3), Epoch(0.4, 0.2, 0.2)])
    drawn, judged, precision = figure.axes
    shown = [np.asarray(axes.get_lines()[0].get_ydata()).tolist() for axes in (drawn, judged, precision)]
    assert shown == [[0.5, 0.4], [0.1, 0.2], [0.3, 0.2]]
    legend = precision.get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == "kept: epoch 1"


def test_few_rows_are_fitted_by_one_thread_and_threads_that_wait_do_not_spin(data: Dataset) -> None:
    chosen = BoosterSettings(threads=4)
    assert parameters(chosen, ROWS_FOR_THREADS)["num_threads"] == 4
    assert parameters(chosen, ROWS_FOR_THREADS - 1)["num_threads"] == 1
    code = (
        "from fraud.training import booster; import os; booster.load_lightgbm(); print(os.environ['OMP_WAIT_POLICY'])"
    )
    env = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    for given, used in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        done = subprocess.run([sys.executable, "-c", code], env=env | given, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == used
