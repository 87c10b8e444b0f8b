"""Scripted refreshes for tests: snapshots of small random changes, as a learner would publish them."""

from collections.abc import Mapping

import msgspec
import numpy as np

from fraud.core.engine import Strategy
from fraud.core.ports import Scorer
from fraud.core.records import Level
from models.boosting.trees import Trees
from models.online.parameters import Parameters
from models.online.snapshots import Snapshot, snapshot_of
from streaming import wiring


def trees_of(strategy: Strategy) -> Trees:
    """Return the trees whose leaves are learned on."""
    trees: Trees = strategy.scorer.trees  # type: ignore[attr-defined]
    return trees


def scripted(strategy: Strategy, seq: int, size: float = 0.1) -> Snapshot:
    """Return the snapshot of one refresh; the same for the same number."""
    changes = np.random.default_rng(seq).normal(0, size, (2, len(trees_of(strategy).leaf)))
    parameters = Parameters((0.2, 0.3, 0.5), changes.astype(np.float32))
    base, spec = strategy.scorer.version, strategy.scorer.spec_version
    labels = {"chargeback/fraud": seq, "silence/genuine": 40 * seq}
    return snapshot_of(parameters, seq=seq, base=base, spec=spec, at=seq, since=1, labels=labels, promoted=True)


def scorers_of(strategy: Strategy, *snapshots: Snapshot) -> dict[str, Mapping[Level, Scorer]]:
    """Return the scorers of snapshots, by version."""
    made = wiring.refreshing(strategy)
    assert made is not None
    return {snapshot.version: made.scorers(snapshot) for snapshot in snapshots}


def knowing(strategy: Strategy, versions: Mapping[str, Mapping[Level, Scorer]], in_force: str = "") -> Strategy:
    """Return a strategy that can score by some versions, one of them in force."""
    return msgspec.structs.replace(strategy, parameters=in_force, versions=versions)
