"""A small LightGBM model on awkward data: missing values, ties, constants, repeated features on a path."""

from typing import NamedTuple

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from fraud.training.lightgbm_text import parse
from models.boosting.trees import Trees

ROWS, FEATURES = 4_000, 12


class Fitted(NamedTuple):
    """The reference model, its trees as arrays, and rows to score."""

    reference: lightgbm.Booster
    trees: Trees
    rows: NDArray[np.float32]


def awkward(seed: int, rows: int = ROWS) -> NDArray[np.float32]:
    """Return rows with NaN, ties, exact zeros, huge values and a constant column."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, FEATURES)).astype(np.float32)
    x[:, 1] = np.round(x[:, 1] * 2)
    x[:, 2] = np.where(rng.random(rows) < 0.5, 0.0, x[:, 2])
    x[:, 3] *= np.float32(1e30)
    x[rng.random((rows, FEATURES)) < 0.1] = np.nan
    x[:, 4] = 1.0
    x[:, 5] = np.nan_to_num(x[:, 5])
    return x


def train(rows: NDArray[np.float32], trees: int = 40, **settings: object) -> lightgbm.Booster:
    """Fit a booster with one output on a target that depends on pairs of columns and on what is missing."""
    known = np.nan_to_num(rows)
    logit = known[:, 0] * known[:, 1] + 2 * known[:, 2] + np.isnan(rows[:, 6]) + np.sign(known[:, 3])
    target = logit + np.random.default_rng(9).normal(size=len(rows)) > 1
    fixed = {
        "objective": "binary", "num_leaves": 15, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1, "seed": 1,
        "deterministic": True, "force_col_wise": True,
    }  # fmt: skip
    return lightgbm.train({**fixed, **settings}, lightgbm.Dataset(rows, target), trees)


@pytest.fixture(scope="session")
def fitted() -> Fitted:
    """Return a fitted model and rows that it has not seen, with NaN also where training had none."""
    reference = train(awkward(0))
    unseen = awkward(1, 700)
    unseen[:50] = np.nan
    unseen[50:60] = 0
    return Fitted(reference, parse(reference.model_to_string()), unseen)
