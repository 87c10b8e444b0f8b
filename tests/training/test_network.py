"""The network's fit: the prior is exact, a seed is a model, a killed fit goes on, codes learn from far away."""

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from fraud.core.errors import SettingsError
from fraud.core.records import DAY
from fraud.training import encoder
from fraud.training.dataset import Dataset
from fraud.training.network import (
    NetworkFit,
    NetworkSettings,
    Trainer,
    corrected_loss,
    fit_network,
)
from fraud.training.splits import Slices, slices, span_before
from models.tgn.tgnn import NetworkConfig
from tests.training.made_tokens import MadeTokens

SETTINGS = NetworkSettings(
    epochs=3, width=16, heads=2, columns=4, bins=4, encoder_steps=5, threads=1, easy_share=0.2, least_rows=1
)


@pytest.fixture(scope="module")
def rows(data: Dataset) -> Slices:
    last = int(data.time[-1])
    return slices(data, span_before(last, 7 * DAY, int(data.time[0]) + 20 * DAY, 30 * DAY))


def config(data: Dataset, settings: NetworkSettings = SETTINGS) -> NetworkConfig:
    return NetworkConfig(columns=data.names, bins=settings.bins, width=settings.width, heads=settings.heads)


def score(rows: Slices) -> np.ndarray:
    return np.random.default_rng(0).random(len(rows.inner))


def fit(
    data: Dataset, rows: Slices, settings: NetworkSettings = SETTINGS, checkpoint: Path | None = None, stop: int = 99
) -> NetworkFit:
    """Fit; raise KeyboardInterrupt once `stop` epochs are done."""

    def step(done: float, what: str) -> None:
        if ":" in what and round(done * settings.epochs) > stop:
            raise KeyboardInterrupt

    tokens = MadeTokens(len(data.time))
    return fit_network(data, tokens, rows, score(rows), config(data, settings), settings, step, checkpoint)


def weights(made: NetworkFit) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in made.network.state_dict().values())


def test_corrected_loss_has_its_minimum_at_the_true_odds() -> None:
    """Of 10,000 rows 2 % are frauds; half of the genuine ones have chance .03 of being drawn, the others .5."""
    genuine, frauds = 4_900, 100
    loss_of = {}
    truth = math.log(frauds / genuine)
    for logit in (truth - 0.3, truth, truth + 0.3):
        total = 0.0
        for share in (0.03, 0.5):
            at = torch.tensor([[logit]], dtype=torch.float64)
            for label, count in ((0.0, genuine * share), (1.0, float(frauds))):
                one = corrected_loss(at, torch.tensor([label]), torch.tensor([math.log(share)]), 0.3)
                total += count * float(one)
        loss_of[logit] = total
    assert min(loss_of, key=loss_of.__getitem__) == truth


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(data: Dataset, rows: Slices) -> None:
    short = msgspec.structs.replace(SETTINGS, epochs=1)
    first = weights(fit(data, rows, short))
    assert weights(fit(data, rows, short)) == first
    assert weights(fit(data, rows, msgspec.structs.replace(short, seed=1))) != first


def test_a_killed_fit_goes_on_to_the_same_weights(data: Dataset, rows: Slices, tmp_path: Path) -> None:
    whole = fit(data, rows)
    with pytest.raises(KeyboardInterrupt):
        fit(data, rows, checkpoint=tmp_path / "c.ckpt", stop=1)
    resumed = fit(data, rows, checkpoint=tmp_path / "c.ckpt")
    assert weights(resumed) == weights(whole)
    np.testing.assert_array_equal(resumed.validation, whole.validation)
    assert resumed.curve == whole.curve


def test_a_checkpoint_of_other_settings_is_not_taken_up(data: Dataset, rows: Slices, tmp_path: Path) -> None:
    short = msgspec.structs.replace(SETTINGS, epochs=1)
    fit(data, rows, short, tmp_path / "c.ckpt")
    other = msgspec.structs.replace(short, seed=3)
    assert weights(fit(data, rows, other, tmp_path / "c.ckpt")) == weights(fit(data, rows, other))


@pytest.mark.parametrize("steps", [5, 0])
def test_encoder_learns_first_and_then_stands_still(
    data: Dataset, rows: Slices, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "LEAST", 1)
    settings = msgspec.structs.replace(SETTINGS, encoder_steps=steps, epochs=2)
    made = fit(data, rows, settings)
    start = Trainer(data, MadeTokens(len(data.time)), config(data), settings)
    before, after = (one.encoder.code.weight.detach() for one in (start.network, made.network))
    assert not torch.equal(before, after)
    assert made.trainer.settled is (steps > 0)
    assert torch.equal(made.trainer.network.encoder.code.weight, after) is (steps > 0)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"easy_share": 0.0}, "easy_share"), ({"width": 50}, "multiple of heads"), ({"epochs": 0}, "epochs")],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, float], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        NetworkSettings(**change)  # type: ignore[arg-type]
