"""The served scorer: the base to the bit where nothing was learned, the mixture where something was, its own reason."""

import math

import msgspec
import numpy as np
import pytest

from fraud.core.errors import ArtifactError
from fraud.core.evidence import as_kept
from fraud.core.learning.outcomes import log_odds, probability
from fraud.core.records import Explanation, Level, Reason, Score
from models.blend import Early
from models.boosting.trees import Trees
from models.online import leaves as lv
from models.online.parameters import CLIP, Parameters, experts, mixed, neutral
from models.online.refreshed import PART, Refreshed, Refreshing
from models.online.snapshots import Snapshot, snapshot_of
from models.reasons.catalogue import INTERACTION, LEARNED, MATERIAL
from models.reasons.lately import lately_of, moved, with_lately
from models.reasons.reading import Lately
from tests.contract.scorers import Sample, blend, booster, refreshed, refreshed_blend, sample, shipped_trees


def learned(trees: Trees, seed: int = 1) -> Parameters:
    """Return parameters as if something had been learned of every leaf."""
    changes = np.random.default_rng(seed).normal(0, 0.1, (2, len(trees.leaf))).astype(np.float32)
    return Parameters((0.2, 0.3, 0.5), changes)


def sums_of(trees: Trees, parameters: Parameters, some: Sample) -> list[list[float]]:
    sums = lv.sums(lv.reached(trees, some.matrix), parameters.changes.astype(np.float64))
    return [list(map(float, row)) for row in sums]


def test_scores_without_anything_learned_are_the_base_to_the_bit() -> None:
    some, trees = sample(), shipped_trees("demo")
    idle = Refreshed(booster(), lv.LeafSums(trees), neutral(len(trees.leaf)))
    assert idle.score(some.ids, some.matrix) == booster().score(some.ids, some.matrix)


def test_scores_are_the_mixture_of_what_the_learner_itself_computes() -> None:
    some, trees = sample(), shipped_trees("demo")
    parameters = learned(trees)
    made = Refreshed(booster(), lv.LeafSums(trees), parameters)
    base = np.array([log_odds(score.value) for score in booster().score(some.ids, some.matrix)])
    expected = experts(base, np.array(sums_of(trees, parameters, some))) @ np.asarray(parameters.weights)
    found = [score.value for score in made.score(some.ids, some.matrix)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_correction_is_cut_at_the_bound_that_the_parameters_carry() -> None:
    trees = shipped_trees("demo")
    far = Parameters((0.0, 1.0, 0.0), np.ones((2, len(trees.leaf)), np.float32))
    assert mixed(far, 0.5, [50.0, -50.0]) == pytest.approx(probability(CLIP))
    assert mixed(far._replace(clip=1.0), 0.5, [50.0, -50.0]) == pytest.approx(probability(1.0))
    down = far._replace(weights=(0.0, 0.0, 1.0), clip=1.0)
    assert mixed(down, 0.5, [50.0, -50.0]) == pytest.approx(probability(-1.0))
    assert experts(np.zeros(1), np.array([[50.0, -50.0]]), 1.0)[0, 1:] == pytest.approx(
        [probability(1.0), probability(-1.0)]
    )


def test_part_says_what_was_added_in_log_odds() -> None:
    some = sample()
    for before, after in zip(
        booster().score(some.ids, some.matrix), refreshed().score(some.ids, some.matrix), strict=True
    ):
        added = dict(after.parts)[PART]
        assert probability(log_odds(before.value) + added) == pytest.approx(after.value)


def test_scores_name_their_parameters_moved_or_not() -> None:
    some, trees = sample(), shipped_trees("demo")
    idle = Refreshed(booster(), lv.LeafSums(trees), neutral(len(trees.leaf)), "3-abcdef01")
    assert {score.parameters for score in idle.score(some.ids, some.matrix)} == {"3-abcdef01"}
    assert {score.parameters for score in refreshed().score(some.ids, some.matrix)} == {"7-0123abcd"}
    assert {score.parameters for score in booster().score(some.ids, some.matrix)} == {""}


def test_exits_of_a_blend_read_its_own_probability() -> None:
    some = sample()
    base = blend().score(some.ids, some.matrix, some.histories)
    found = refreshed_blend().score(some.ids, some.matrix, some.histories)
    assert len({dict(score.parts)["exit"] for score in base}) > 1
    assert [score.parts[: len(one.parts)] for score, one in zip(found, base, strict=True)] == [s.parts for s in base]
    assert [score.value for score in found] != [score.value for score in base]


def test_parameters_of_other_trees_are_refused() -> None:
    trees = shipped_trees("demo")
    with pytest.raises(ArtifactError, match="one a leaf needed"):
        Refreshed(booster(), lv.LeafSums(trees), neutral(len(trees.leaf) - 1))


# --- scorers of a snapshot -------------------------------------------------------------------------------------------


def published(trees: Trees, **fields: object) -> Snapshot:
    given = {"seq": 4, "base": blend().version, "spec": blend().spec_version, "at": 9, "since": 5, **fields}
    return snapshot_of(learned(trees), labels={"chargeback/fraud": 2, "silence/genuine": 40}, **given)


def test_a_snapshot_changes_each_level_that_a_model_scores_and_names_itself() -> None:
    some, trees = sample(), blend().trees
    made = Refreshing({Level.FULL: blend(), Level.EARLY: Early(blend())}, trees)
    made.warm()
    scorers = made.scorers(published(trees))
    assert set(scorers) == {Level.FULL, Level.EARLY}
    early, full = scorers[Level.EARLY], scorers[Level.FULL]
    assert (early.encoder, full.encoder) == ("", blend().encoder)
    assert {s.parameters for s in early.score(some.ids, some.matrix)} == {published(trees).version}
    expected = Refreshed(blend(), lv.LeafSums(trees), learned(trees)).score(some.ids, some.matrix, some.histories)
    found = full.score(some.ids, some.matrix, some.histories)
    assert [score.value for score in found] == [score.value for score in expected]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"base": "other@1"}, "it was learned on other@1"),
        ({"spec": "old"}, "it was learned on features old"),
    ],
)
def test_a_snapshot_of_something_else_makes_no_scorers(fields: dict[str, object], why: str) -> None:
    made = Refreshing({Level.FULL: blend()}, blend().trees)
    with pytest.raises(ArtifactError, match=why):
        made.scorers(published(blend().trees, **fields))
    with pytest.raises(ArtifactError, match="damaged or changed"):
        made.scorers(msgspec.structs.replace(published(blend().trees), seq=5))
    with pytest.raises(ArtifactError, match="other trees"):
        made.scorers(published(shipped_trees("demo")))


# --- reasons ---------------------------------------------------------------------------------------------------------

SINCE = 1_793_620_800_000_000_000


@pytest.mark.parametrize("name", ["booster", "blend"])
def test_reasons_are_the_base_s_and_one_more_that_says_what_was_learned(name: str) -> None:
    some = sample()
    base, made = (booster(), refreshed()) if name == "booster" else (blend(), refreshed_blend())
    histories = some.histories if name == "blend" else None
    told = 0
    for row, (before, after) in enumerate(
        zip(base.score(some.ids, some.matrix, histories), made.score(some.ids, some.matrix, histories), strict=True)
    ):
        reasons, proof = made.explain(some.matrix[row], after, histories, row)
        lately = [reason for reason in reasons if reason.code == LEARNED.name]
        rest = tuple(reason for reason in reasons if reason.code != LEARNED.name)
        own, effect = base.explain(some.matrix[row], before, histories, row), dict(after.parts)[PART]
        assert rest == tuple(moved(reason, effect) for reason in own.reasons)
        assert [one.effect for one in lately] == [effect] * (effect >= MATERIAL)
        assert [one.without for one in lately] == [pytest.approx(before.value)] * len(lately)
        assert proof is not None
        assert own.evidence is not None
        assert proof.effects == (*own.evidence.effects, (LEARNED.name, as_kept(effect)))
        told += len(lately)
    assert 0 < told < len(some.ids)


def test_sentence_says_of_how_many_payments_and_since_when() -> None:
    lately = lately_of({"chargeback/fraud": 90, "analyst/fraud": 6, "silence/genuine": 41_224}, SINCE)
    assert lately == Lately(41_320, 96, SINCE)
    (reason,) = with_lately(Explanation(), np.zeros(1, np.float32), lately, 0.4, 0.0).reasons
    assert reason == Reason(
        LEARNED.name,
        "What was learned of 41320 payments since 2026-11-02 12:00 UTC, 96 frauds among them, speaks for fraud",
        0.4,
        0.5,
    )


def test_probabilities_without_a_group_are_moved_as_the_score_was() -> None:
    base = Reason("a", "", 0.4, 0.5), Reason("b", "", 0.3, 1.0), Reason(INTERACTION.name, "", 0.2)
    told = with_lately(Explanation(base), np.zeros(1, np.float32), Lately(), -math.log(3)).reasons
    assert [reason.without for reason in told] == [pytest.approx(0.25), 1.0, None]


@pytest.mark.parametrize(
    ("effect", "order"),
    [(0.5, "labi"), (0.3, "albi"), (0.06, "abli"), (0.049, "abi"), (-0.9, "abi")],
)
def test_reason_stands_by_its_effect_before_what_facts_add_together(effect: float, order: str) -> None:
    base = Reason("a", "", 0.4), Reason("b", "", 0.2), Reason(INTERACTION.name, "", 0.9)
    told = with_lately(Explanation(base), np.zeros(1, np.float32), Lately(3, 1, 0), effect).reasons
    names = {LEARNED.name: "l", INTERACTION.name: "i"}
    assert "".join(names.get(reason.code, reason.code) for reason in told) == order


def test_what_was_learned_of_nothing_is_no_reason_and_no_fraud_is_not_counted_as_a_ground() -> None:
    none = with_lately(Explanation(()), np.zeros(1, np.float32), Lately(), 0.5).reasons
    (genuine,) = with_lately(Explanation(()), np.zeros(1, np.float32), Lately(3, 0, 0), 0.5).reasons
    assert none == ()
    assert genuine.text == "What was learned of 3 payments since 1970-01-01 00:00 UTC, speaks for fraud"


def test_scores_of_frozen_and_neutral_parameters_have_no_reason_of_their_own() -> None:
    some, trees = sample(), shipped_trees("demo")
    idle = Refreshed(booster(), lv.LeafSums(trees), neutral(len(trees.leaf)), "3-abcdef01")
    score: Score = max(idle.score(some.ids, some.matrix), key=lambda each: each.value)
    row = some.ids.index(score.tx_id)
    assert idle.explain(some.matrix[row], score) == booster().explain(some.matrix[row], score)
