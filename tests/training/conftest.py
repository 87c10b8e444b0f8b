"""A small made-up history: frauds by amount and at a few bad merchants, three hundred days of forty cards."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fraud.core.records import DAY, HOUR, Transaction, Verdict
from fraud.training.dataset import Dataset, Identity, Row, write

NAMES = ("amount", "card_amount_vs_median", "merchant_fraud_run", "hour")
IDENTITY = Identity("made-up", "spec-1", 7 * DAY)
START = 1_600_000_000 * 1_000_000_000
ROWS = 12_000


def history(rows: int = ROWS, days: int = 160, cards: int = 150) -> Iterator[Row]:
    """Yield rows in order of time; one in 30 is a fraud, most of which the features betray."""
    rng = np.random.default_rng(4)
    times = np.sort(rng.integers(START, START + days * DAY, rows))
    for i, at in enumerate(times.tolist()):
        fraud = bool(rng.random() < 1 / 30)
        amount = int(rng.lognormal(8, 0.5) * (3 if fraud and rng.random() < 0.6 else 1))
        run = rng.poisson(3.0 if fraud and rng.random() < 0.6 else 0.05)
        card = int(rng.integers(cards))
        tx = Transaction(
            id=str(i), card=f"c{card}", merchant=f"m{i % 37}", amount=amount, base_amount=amount,
            happened_at=at, seen_at=at,
        )  # fmt: skip
        vector = np.array([amount / 100, amount / 3_000, run or np.nan, at % DAY / HOUR], dtype=np.float32)
        yield Row(tx, vector, Verdict.FRAUD if fraud else Verdict.GENUINE, int(fraud))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return the history as a data set on disk."""
    return write(Path(tmp_path_factory.mktemp("cache")), IDENTITY, NAMES, history())
