"""What a fit will cost before it starts: time and peak memory, from constants measured once."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fraud.training import booster as boosting
from fraud.training.booster import BoosterSettings
from fraud.training.dataset import FRAUD, Dataset
from fraud.training.fitting import FitRequest
from fraud.training.sampling import VALIDATED_ONE_IN, Shares
from fraud.training.splits import Slices

SIDE_BYTES = (64 * 32 + 20 * 16 + 20 * 32) * 4
"""Tokens of one side of one payment."""
BLOCK, BLOCK_BYTES, CODE_BYTES, HISTORY_BYTES = 16, 16 * 20 * 4, 32 * 4, 7_616
LOADED_BYTES = 450 << 20
"""Torch and the rest of the process."""
CHANGES_A_ROW = 2
"""A payment, and most often its verdict."""
ENCODED_AT_ONCE = 2_048
"""`encoder.BLOCKS`, which only a machine with torch can import."""

# Measured with torch 2.13 at width 48, two threads on two cores of a 2020s server: seconds. A GPU takes less.
SECONDS_A_CHANGE = 1.0e-6
SECONDS_A_STEP = 9.5e-4
SECONDS_A_READING = 6.0e-5
SECONDS_A_SCORE = 1.8e-4
SECONDS_A_BLOCK = 3.2e-5
SECONDS_A_LEARNED_BLOCK = 1.0e-4
MEASURED_WIDTH = 48


class Forecast(NamedTuple):
    """Time, peak memory, and how many rows are learned from in all epochs (0: of a booster)."""

    seconds: float
    bytes: int
    learned: int

    @property
    def said(self) -> str:
        """Return time and memory in words."""
        minutes = self.seconds / 60
        time = f"{minutes:.0f} min" if minutes >= 1 else f"{self.seconds:.0f} s"
        return f"about {time}, {self.bytes / 2**30:.1f} GiB of memory"


def forecast(data: Dataset, rows: Slices, request: FitRequest, tested: int = 0) -> Forecast:
    """Return what a fit on these rows takes, and scoring `tested` rows after it."""
    settings = request.settings
    if isinstance(settings, BoosterSettings):
        cost = boosting.forecast(data, rows, settings)
        return Forecast(cost.seconds, cost.bytes, 0)
    booster = boosting.forecast(data, rows, settings.booster)
    sides = request.tokens.sides if request.tokens is not None else 2
    network, epochs = settings.network, settings.network.epochs
    drawn = drawn_rows(data, rows, network.shares, network.least_rows)
    work = sides / 2 * network.width / MEASURED_WIDTH
    blocks = len(data.time) * sides // BLOCK
    encoder_blocks = min(ENCODED_AT_ONCE, blocks)
    changes = len(data.time) * CHANGES_A_ROW * (2 * epochs + 3)
    scored = len(rows.validation) * (epochs / VALIDATED_ONE_IN + 1) + tested
    seconds = (
        changes * SECONDS_A_CHANGE * sides / 2
        + epochs * drawn * (SECONDS_A_STEP * work + SECONDS_A_READING)
        + scored * (SECONDS_A_SCORE * work + SECONDS_A_READING)
        + blocks * SECONDS_A_BLOCK
        + network.encoder_steps * encoder_blocks * SECONDS_A_LEARNED_BLOCK
    )
    # an epoch's tokens stand in memory twice, while they are put together
    held = 2 * drawn * sides * SIDE_BYTES + blocks * (BLOCK_BYTES + CODE_BYTES)
    held += (int(data.card.max(initial=0)) + int(data.merchant.max(initial=0)) + 2) * HISTORY_BYTES
    return Forecast(booster.seconds + seconds, max(booster.bytes, held) + LOADED_BYTES, epochs * drawn)


def free_bytes() -> int:
    """Return the memory that can be had, 0 where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    held = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(held.get("MemAvailable", "0").split()[0]) * 1024


def summed(costs: Sequence[Forecast]) -> Forecast:
    """Return what several fits take, one after the other."""
    seconds, learned = sum(cost.seconds for cost in costs), sum(cost.learned for cost in costs)
    return Forecast(seconds, max(cost.bytes for cost in costs), learned)


def drawn_rows(data: Dataset, rows: Slices, shares: Shares, least: int) -> int:
    """Return how many rows an epoch learns from: every fraud, and shares of the easy, middling and hard genuine.

    At least `least` genuine ones, where there are.
    """
    frauds = int(np.count_nonzero(data.fraud[rows.train] == FRAUD))
    genuine = len(rows.train) - frauds
    return frauds + max(
        int(genuine * (0.9 * shares.easy + 0.08 * shares.middle + 0.02 * shares.hard)), min(least, genuine)
    )
