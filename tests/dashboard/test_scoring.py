"""Stored vectors scored again by real models: to the last digit what the path would say, or why that cannot be told."""

import numpy as np
import pytest

from features.spec import spec
from fraud.core.errors import ArtifactError
from fraud.core.records import BASE, Level, Values
from fraud.core.settings import Settings
from fraud.dashboard.scoring import SiteModels
from fraud.review.library import Rescored
from models.online.parameters import Parameters
from models.online.refreshed import Refreshing
from models.online.snapshots import encoded, snapshot_of
from streaming import wiring

BOOSTER, BLEND = "demo", "demo-blend"


@pytest.fixture(scope="module")
def models() -> SiteModels:
    return SiteModels(Settings())


@pytest.fixture(scope="module")
def values() -> Values:
    rng = np.random.default_rng(3)
    return rng.lognormal(1.0, 2.0, len(spec().names)).astype(np.float32)


def stored(values: Values, model: str = "older@1", log_odds: float | None = None) -> Rescored:
    return Rescored("tx1", spec().version, values, model, log_odds)


def test_model_of_its_own_features_scores_a_stored_vector_as_the_path_does(models: SiteModels, values: Values) -> None:
    scorer = wiring.scorer(BOOSTER, Settings(), spec().version)
    wanted = scorer.score(["tx1"], values[None, :])[0].value
    assert models.score(scorer.version, b"", stored(values)) == wanted


def test_learned_parameters_move_it_as_they_do_on_the_path(models: SiteModels, values: Values) -> None:
    scorer = wiring.scorer(BOOSTER, Settings(), spec().version)
    leaves = len(scorer.trees.leaf)  # type: ignore[attr-defined]
    changes = np.random.default_rng(4).normal(0, 0.02, (2, leaves)).astype(np.float32)
    made = snapshot_of(
        Parameters((0.2, 0.5, 0.3), changes), seq=3, base=scorer.version, spec=scorer.spec_version, at=9, promoted=True
    )
    served = Refreshing({Level.FULL: scorer}, scorer.trees).scorers(made)[Level.FULL]  # type: ignore[attr-defined]
    wanted = served.score(["tx1"], values[None, :])[0].value
    found = models.score(scorer.version, encoded(made), stored(values))
    assert found == pytest.approx(wanted, abs=1e-12)
    assert found != models.score(scorer.version, b"", stored(values))
    with pytest.raises(ArtifactError, match="it was learned on"):
        models.score(wiring.scorer(BLEND, Settings(), spec().version).version, encoded(made),
                     stored(values, wiring.scorer(BLEND, Settings(), spec().version).version, 0.1))  # fmt: skip


def test_blend_says_that_it_reads_what_is_not_stored_unless_it_scored_the_payment_itself(
    models: SiteModels, values: Values
) -> None:
    blend = wiring.scorer(BLEND, Settings(), spec().version).version
    with pytest.raises(ArtifactError, match="reads histories of card and merchant, which are not stored"):
        models.score(blend, b"", stored(values))
    assert models.score(blend, b"", stored(values, blend, 0.0)) == 0.5


def test_log_odds_that_are_stored_are_the_base_that_a_score_names() -> None:
    scorer = wiring.scorer(BOOSTER, Settings(), spec().version)
    score = scorer.score(["tx1"], np.full((1, len(spec().names)), np.nan, np.float32))[0]
    assert BASE in dict(score.parts)


@pytest.mark.parametrize(
    ("model", "features", "why"),
    [("nobody@1", "", "nobody"), (BOOSTER, "old", "reads features .*, and old are stored")],
)
def test_what_cannot_be_scored_says_why(
    models: SiteModels, values: Values, model: str, features: str, why: str
) -> None:
    name = wiring.scorer(model, Settings(), spec().version).version if model == BOOSTER else model
    with pytest.raises(ArtifactError, match=why):
        models.score(name, b"", stored(values)._replace(spec=features))


def test_rules_alone_score_any_vector_with_nothing(models: SiteModels, values: Values) -> None:
    assert models.score("rules", b"", stored(values)._replace(spec="old")) == 0.0
