"""The promises of the Scorer port, on every implementation."""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from features.spec import spec
from fraud.core.evidence import MOST_EVENTS, as_kept, packed, unpacked
from fraud.core.ports import Histories, Scorer
from fraud.core.records import BASE, EXIT, Explanation, Level, Score
from models.reasons.catalogue import INTERACTION, MATERIAL
from tests.contract.scorers import ROWS, SCORERS, Sample, ScorerCase, blend, sample

ALL = list(range(ROWS))
BLOCK = (16, 20)
CODE = 32


class Made(NamedTuple):
    """A scorer with its case."""

    case: ScorerCase
    scorer: Scorer

    def histories(self, of: Sample) -> Histories | None:
        """Return what the scorer is given beside the matrix."""
        return of.histories if self.case.encoder and self.case.given else None

    def score(self, of: Sample) -> list[Score]:
        """Return the scores of a sample."""
        return self.scorer.score(of.ids, of.matrix, self.histories(of))

    def explain(self, of: Sample, row: int) -> Explanation:
        """Return what is said of one row of a sample."""
        score = self.score(of)[row]
        return self.scorer.explain(of.matrix[row], score, self.histories(of), row)


@pytest.fixture(scope="module", params=SCORERS, ids=lambda case: case.name)
def made(request: pytest.FixtureRequest) -> Made:
    return Made(request.param, request.param.make())


@pytest.fixture(scope="module")
def rows() -> Sample:
    untouched()
    return sample()


@pytest.fixture(scope="module")
def whole(made: Made, rows: Sample) -> list[Score]:
    """Return the scores of all rows in one batch."""
    return made.score(rows)


def riskiest(whole: list[Score]) -> list[int]:
    """Return the rows that would be explained: those of the highest scores."""
    return sorted(ALL, key=lambda row: -whole[row].value)[:4]


def content(of: Sample) -> list[bytes]:
    """Return all that a scorer is given, as bytes."""
    tokens = of.histories.all
    return [array.tobytes() for array in (of.matrix, tokens.raw, tokens.sums, tokens.codes, tokens.text)]


@cache
def untouched() -> list[bytes]:
    """Return the content of the sample before any scorer has seen it."""
    return content(sample())


# --- scores ----------------------------------------------------------------------------------------------------------


def test_there_is_a_score_for_each_row_in_order(whole: list[Score], rows: Sample) -> None:
    assert [score.tx_id for score in whole] == rows.ids


def test_a_score_is_a_probability(whole: list[Score]) -> None:
    assert all(0.0 <= score.value <= 1.0 for score in whole)


def test_a_score_names_version_and_level(made: Made, whole: list[Score]) -> None:
    assert made.scorer.version
    assert {score.model_version for score in whole} == {made.scorer.version}
    assert {score.level for score in whole} == {made.case.level}


def test_shares_of_a_score_are_finite_and_have_one_name_each(whole: list[Score]) -> None:
    for score in whole:
        assert all(math.isfinite(share) for _, share in score.parts)
        assert len(dict(score.parts)) == len(score.parts)


def test_a_model_s_score_carries_its_log_odds_and_its_exit(whole: list[Score]) -> None:
    for score in whole:
        parts = dict(score.parts)
        if score.level is Level.RULES:
            assert not parts.keys() & {BASE, EXIT}
        else:
            # What was learned since stands beside the base that it was learned on.
            whole_odds = parts[BASE] + parts.get("refreshed", 0.0)
            assert 1 / (1 + math.exp(-whole_odds)) == pytest.approx(score.value, rel=1e-9)
            assert parts[EXIT] in {0.0, 1.0, 2.0}


def test_spec_version_is_empty_or_that_of_the_features(made: Made) -> None:
    assert made.scorer.spec_version in {"", spec().version}


@pytest.mark.parametrize("size", [1, 2, 5, 33])
def test_a_score_does_not_depend_on_the_size_of_its_batch(
    made: Made, whole: list[Score], rows: Sample, size: int
) -> None:
    parts = [made.score(rows.of(ALL[begin : begin + size])) for begin in range(0, ROWS, size)]
    assert [score for part in parts for score in part] == whole


def test_a_score_does_not_depend_on_the_other_rows(made: Made, whole: list[Score], rows: Sample) -> None:
    order = np.random.default_rng(4).permutation(ROWS).tolist()
    assert made.score(rows.of(order)) == [whole[row] for row in order]
    assert made.score(rows.of([5, 5, 9, 5])) == [whole[5], whole[5], whole[9], whole[5]]


def test_scoring_twice_gives_the_same_and_leaves_its_input_alone(made: Made, whole: list[Score], rows: Sample) -> None:
    assert made.score(rows) == whole
    assert content(rows) == untouched()


def test_no_rows_have_no_scores(made: Made, rows: Sample) -> None:
    assert made.score(rows.of([])) == []


def test_a_row_of_which_nothing_is_known_has_a_score(made: Made, rows: Sample) -> None:
    known = rows.of([0])
    known.matrix[:] = np.nan
    for part in (known.histories.all.raw, known.histories.all.sums, known.histories.all.codes):
        part[:] = 0
    (score,) = made.score(known)
    assert 0.0 <= score.value <= 1.0


# --- reasons ---------------------------------------------------------------------------------------------------------


def test_effects_are_finite_and_the_strongest_comes_first(made: Made, whole: list[Score], rows: Sample) -> None:
    for row in riskiest(whole):
        told = made.explain(rows, row).reasons
        effects = [abs(reason.effect) for reason in told if reason.code != INTERACTION.name]
        assert all(math.isfinite(reason.effect) for reason in told)
        assert effects == sorted(effects, reverse=True)
        assert INTERACTION.name not in [reason.code for reason in told[:-1]]


def test_each_reason_has_a_code_of_its_own_and_a_sentence(made: Made, whole: list[Score], rows: Sample) -> None:
    for row in riskiest(whole):
        reasons = made.explain(rows, row).reasons
        assert all(reason.code and reason.text for reason in reasons)
        assert len({reason.code for reason in reasons}) == len(reasons)


def test_each_reason_has_raised_the_score_and_says_what_would_be_without_it(
    made: Made, whole: list[Score], rows: Sample
) -> None:
    for row in riskiest(whole):
        for reason in made.explain(rows, row).reasons:
            assert reason.effect >= MATERIAL
            assert reason.code == INTERACTION.name or (reason.without is not None and 0.0 <= reason.without <= 1.0)


def test_evidence_names_spec_and_model_and_survives_its_bytes(made: Made, whole: list[Score], rows: Sample) -> None:
    for row in riskiest(whole):
        told = made.explain(rows, row)
        if whole[row].level is Level.RULES:
            assert told == ((), None)
            continue
        assert told.evidence is not None
        assert (told.evidence.spec, told.evidence.model) == (spec().version, made.scorer.version)
        assert unpacked(packed(told.evidence)) == told.evidence
        effects = dict(told.evidence.effects)
        assert all(effects[reason.code] == as_kept(reason.effect) for reason in told.reasons)


def test_evidence_holds_events_of_the_histories_that_were_read(made: Made, whole: list[Score], rows: Sample) -> None:
    for row in riskiest(whole):
        proof, taken = made.explain(rows, row).evidence, int(dict(whole[row].parts).get(EXIT, 0))
        if proof is None or not taken:
            assert proof is None or proof.events == ()
            continue
        assert len(proof.events) in (0, taken + 1)
        for side, events in enumerate(proof.events):
            named = {(tx % 2**64, us * 1_000) for tx, us in rows.histories.events(row, taken + 1)[side].tolist()}
            assert len(events) <= MOST_EVENTS
            assert {(one.tx_hash, one.happened_at) for one in events} <= named - {(0, 0)}


def test_explaining_changes_nothing(made: Made, whole: list[Score], rows: Sample) -> None:
    first, second, *_ = riskiest(whole)
    told = made.explain(rows, first)
    made.explain(rows, second)
    assert made.explain(rows, first) == told
    assert made.score(rows) == whole
    assert content(rows) == untouched()


def test_reasons_do_not_depend_on_the_other_rows(made: Made, whole: list[Score], rows: Sample) -> None:
    for row in riskiest(whole):
        assert made.explain(rows.of([3, row, 7]), 1) == made.explain(rows, row)


# --- codes -----------------------------------------------------------------------------------------------------------


def test_encoder_is_empty_for_a_scorer_that_reads_no_histories(made: Made) -> None:
    assert bool(made.scorer.encoder) is made.case.encoder


@pytest.mark.parametrize("case", [case for case in SCORERS if case.encoder], ids=lambda case: case.name)
def test_each_block_is_encoded_by_itself(case: ScorerCase) -> None:
    scorer = case.make()
    blocks: NDArray[np.float32] = np.random.default_rng(6).normal(size=(7, *BLOCK)).astype(np.float32)
    codes = scorer.encode(blocks)
    assert codes.shape == (7, CODE)
    assert codes.dtype == np.float32
    alone = np.concatenate([scorer.encode(blocks[place : place + 1]) for place in range(7)])
    assert alone.tobytes() == codes.tobytes()
    assert scorer.encode(blocks[::-1].copy())[::-1].tobytes() == codes.tobytes()


# --- the sample ------------------------------------------------------------------------------------------------------


def test_sample_has_payments_that_take_every_exit_and_some_that_are_explained(rows: Sample) -> None:
    by_name = {case.name: Made(case, case.make()) for case in SCORERS}
    blended = by_name["blend"].score(rows)
    assert {dict(score.parts)["exit"] for score in blended} == set(range(len(blend().exits)))
    for name in ("booster", "blend", "network", "early"):
        scores = by_name[name].score(rows)
        assert all(by_name[name].explain(rows, row).reasons for row in riskiest(scores)[:1]), name
        told = [by_name[name].explain(rows, row).evidence for row in riskiest(scores)]
        if name in ("blend", "network"):
            assert any(one is not None and any(one.events) for one in told), name
        assert max(score.value for score in scores) > 0.5, name
