"""The one logistic solver: the optimum, from anywhere, and what is held stays."""

import numpy as np
import pytest

from models import logistic


def problem(seed: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    columns = np.column_stack([rng.normal(0, scale, (5_000, 2)), np.ones(5_000)])
    return columns, rng.random(5_000) < 1 / (1 + np.exp(-columns @ np.array([1.5, -0.5, -3.0])))


def slope(columns: np.ndarray, fraud: np.ndarray, weights: np.ndarray) -> np.ndarray:
    p = 1 / (1 + np.exp(-np.clip(columns @ weights, -500, 500)))
    found: np.ndarray = columns.T @ (p - fraud) + logistic.RIDGE * weights
    return found


@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0])
@pytest.mark.parametrize("start", [0.0, 30.0, -300.0])
def test_fit_ends_where_the_slope_is_nothing(scale: float, start: float) -> None:
    columns, fraud = problem(0, scale)
    weights = logistic.fit(columns, fraud, np.full(3, start), np.ones(3, np.bool_))
    assert np.abs(slope(columns, fraud, weights)).max() < 1e-4


def test_what_is_not_free_keeps_its_start() -> None:
    columns, fraud = problem(1, 1.0)
    weights = logistic.fit(columns, fraud, np.array([0.0, -0.25, 0.0]), np.array([True, False, True]))
    assert weights[1] == -0.25
    assert np.abs(slope(columns, fraud, weights)[[0, 2]]).max() < 1e-4
