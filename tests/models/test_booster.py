"""The booster behind the Scorer port, from the registry to reasons."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fraud.core.errors import ArtifactError
from fraud.core.ports import Scorer
from fraud.core.records import Level
from models import registry
from models.boosting.scorer import Booster, weights
from models.calibration import Beta
from models.registry import Artifact, Card
from models.rules_only import RulesOnly
from tests.models.conftest import FEATURES, Fitted

NAMES = tuple(f"card_amount_{i}" for i in range(FEATURES))


def card(features: tuple[str, ...] = NAMES) -> Card:
    return Card(
        kind="booster", name="b", created=0, data_hash="", spec_version="s", features=features, label_delay=0, seed=0
    )


@pytest.fixture
def booster(fitted: Fitted) -> Booster:
    return Booster(card(), fitted.trees, Beta(1.2, 0.9, 0.1))


def test_booster_from_the_registry_scores_as_before(tmp_path: Path, fitted: Fitted, booster: Booster) -> None:
    saved = registry.save(tmp_path, card(), weights(fitted.trees, Beta(1.2, 0.9, 0.1)))
    loaded = Booster.of(registry.load(tmp_path, "b", spec_version="s"))
    assert loaded.version == f"b@{saved.version}"
    assert loaded.spec_version == "s"
    ids = [str(i) for i in range(len(fitted.rows))]
    values = [s.value for s in loaded.score(ids, fitted.rows)]
    assert values == [s.value for s in booster.score(ids, fitted.rows)]
    assert all(0 < value < 1 for value in values)


@pytest.mark.parametrize("batch", [1, 2, 3, 33, 64, 65])
def test_score_of_a_row_does_not_depend_on_its_batch(fitted: Fitted, booster: Booster, batch: int) -> None:
    ids = [str(i) for i in range(len(fitted.rows))]
    whole = booster.score(ids, fitted.rows)
    parts = []
    for start in range(0, len(ids), batch):
        parts += booster.score(ids[start : start + batch], fitted.rows[start : start + batch])
    assert parts == whole


def test_score_of_an_empty_batch_is_empty(booster: Booster) -> None:
    assert booster.score([], np.zeros((0, FEATURES), dtype=np.float32)) == []


def test_explain_sums_what_raised_the_score(fitted: Fitted, booster: Booster) -> None:
    row = fitted.rows[100]
    (score,) = booster.score(["x"], fitted.rows[100:101])
    contributions = booster.contributions(row)
    assert contributions.sum() == pytest.approx(booster.raw(row[None])[0], abs=1e-12)
    proof = booster.explain(row, score).evidence
    assert proof is not None
    assert (proof.spec, proof.model, proof.events) == ("s", score.model_version, ())
    assert dict(proof.effects) == {"amount": pytest.approx(contributions[:-1].sum())}


def test_explain_says_what_would_be_had_nothing_been_known(fitted: Fitted) -> None:
    booster = Booster(card(("amount", *NAMES[1:])), fitted.trees, Beta(0.9, 1.1, 0.3))
    row = max(fitted.rows[100:], key=lambda one: booster.raw(one[None])[0])
    base = booster.contributions(row)[-1]
    (known,) = booster.knowing(row, np.ones((1, FEATURES), np.uint8))
    assert known == pytest.approx(booster.score(["x"], row[None])[0].value, abs=1e-12)
    (unknown,) = booster.knowing(row, np.zeros((1, FEATURES), np.uint8))
    assert unknown == pytest.approx(Beta(0.9, 1.1, 0.3).probabilities([base])[0], abs=1e-12)
    (reason,) = booster.explain(row, booster.score(["x"], row[None])[0]).reasons
    assert reason.code == "amount"
    assert reason.without == pytest.approx(unknown)


def test_explain_has_no_evidence_where_none_is_asked_for(fitted: Fitted) -> None:
    booster, row = Booster(card(), fitted.trees, Beta()), fitted.rows[100]
    (score,) = booster.score(["x"], row[None])
    reasons = booster.explain(row, score).reasons
    booster.evidence = False
    assert booster.explain(row, score) == (reasons, None)


def test_booster_of_another_kind_is_refused(fitted: Fitted) -> None:
    other = Card(**{**{f: getattr(card(), f) for f in card().__struct_fields__}, "kind": "network"})
    with pytest.raises(ArtifactError, match="of kind 'network', expected 'booster'"):
        Booster.of(Artifact(other, weights(fitted.trees, Beta())))


def test_booster_without_calibration_is_refused(fitted: Fitted) -> None:
    with pytest.raises(ArtifactError, match="no calibration"):
        Booster.of(Artifact(card(), fitted.trees.arrays()))


def test_booster_with_too_few_names_is_refused(fitted: Fitted) -> None:
    with pytest.raises(ArtifactError, match="names 3 features, its trees take 12"):
        Booster(card(NAMES[:3]), fitted.trees, Beta())


def test_rules_only_scores_zero_and_says_so() -> None:
    scorer: Scorer = RulesOnly()
    (score,) = scorer.score(["x"], np.zeros((1, 3), dtype=np.float32))
    assert (score.tx_id, score.value, score.level, score.model_version) == ("x", 0.0, Level.RULES, "rules")
    assert scorer.explain(np.zeros(3, dtype=np.float32), score) == ((), None)


def test_serving_a_booster_imports_no_training_library() -> None:
    code = (
        "import sys, models.boosting.scorer, models.registry, models.rules_only\n"
        "heavy = {'lightgbm', 'sklearn', 'pandas', 'matplotlib', 'torch'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
