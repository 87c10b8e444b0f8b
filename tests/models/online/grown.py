"""A base out of thin air: trees that part payments by single features, and a world that they know half of."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fraud.core.records import (
    HOUR,
    Action,
    Decision,
    FeatureVector,
    Label,
    LabelSource,
    Level,
    Verdict,
    Versions,
)
from models.boosting.trees import Trees
from models.online.refresher import Base

TREES = 4
LEAVES = 2 * TREES
VERSION = "grown@1"


def trees() -> Trees:
    """Return trees of one split each: tree n asks whether feature n is above 0."""
    count = TREES
    return Trees(
        roots=np.arange(count, dtype=np.int32), feature=np.arange(count, dtype=np.int32), threshold=np.zeros(count),
        missing=np.zeros(count, np.uint8), left=(-1 - 2 * np.arange(count)).astype(np.int32),
        right=(-2 - 2 * np.arange(count)).astype(np.int32), node_count=np.full(count, 100.0), leaf=np.zeros(LEAVES),
        leaf_count=np.full(LEAVES, 50.0), features=count,
    )  # fmt: skip


def base(version: str = VERSION) -> Base:
    """Return the base to learn on."""
    return Base(version, "spec", trees())


class World:
    """Payments every minute; feature 0 above 0 means fraud more often than the base says."""

    def __init__(self, count: int, seed: int = 0, *, start: int = HOUR) -> None:
        """Draw so many payments."""
        rng = np.random.default_rng(seed)
        self.values: NDArray[np.float32] = rng.normal(0, 1, (count, TREES)).astype(np.float32)
        self.logit = rng.normal(-5, 2, count)
        self.p = 1 / (1 + np.exp(-self.logit))
        self.fraud = rng.random(count) < 1 / (1 + np.exp(-self.logit - 1.5 * (self.values[:, 0] > 0)))
        self.at = start + np.arange(count) * HOUR // 60
        self.merchant = rng.integers(0, 50, count)

    def decision(self, row: int, *, version: str = VERSION, action: Action = Action.APPROVE) -> Decision:
        """Return the decision on a payment."""
        at = int(self.at[row])
        return Decision(
            tx_id=f"T{row}", version=0, action=action, score=float(self.p[row]), reasons=(), level=Level.FULL,
            versions=Versions(version, "spec", "policy", "rules"), seen_at=at, happened_at=at, card=f"C{row % 97}",
            merchant=f"M{self.merchant[row]}", base_amount=1_000 + row % 7, channel="web",
            parts=(("base", float(self.logit[row])), ("exit", 0.0)), model_score=float(self.p[row]),
        )  # fmt: skip

    def vector(self, row: int) -> FeatureVector:
        """Return the vector that a payment was scored on."""
        return FeatureVector(f"T{row}", self.values[row], "spec", int(self.at[row]))

    def label(
        self, row: int, after: int, *, source: LabelSource = LabelSource.CHARGEBACK, flipped: Sequence[int] = ()
    ) -> Label:
        """Return what a source tells of a payment, `after` ns after it."""
        at = int(self.at[row]) + after
        verdict = Verdict.FRAUD if bool(self.fraud[row]) != (row in flipped) else Verdict.GENUINE
        return Label(tx_id=f"T{row}", verdict=verdict, happened_at=at, seen_at=at, source=source)
