"""One list of reason codes: whole, without overlap, and the same whoever gives the reasons."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from features.spec import spec
from fraud.core.ports import Tokens
from fraud.core.records import Score
from models import blend, registry
from models.blend import Blend
from models.boosting import scorer
from models.boosting.scorer import Booster
from models.boosting.trees import Trees
from models.calibration import Beta
from models.reasons import catalogue, coalitions
from models.reasons.catalogue import CODES, GROUPS, Part, matches
from models.reasons.of_blend import Explainer
from models.reasons.reading import Reading
from models.registry import Card
from tests.core.rules.asking import said
from tests.models.histories import DAY, Blended, Held, Reckoning, event, fraud, score, summary, tokens

F32 = NDArray[np.float32]

SHIPPED = Path(__file__).parents[2] / "models" / "artifacts"
NAMES = spec().names
NEUTRAL = np.zeros(len(NAMES), np.float32)


def stump(feature: int, gain: float) -> Trees:
    """Return one tree that adds `gain` where a feature is above a half."""
    one, none = np.ones(1), np.zeros(1, np.int32)
    return Trees(
        none, np.array([feature], np.int32), np.array([0.5]), np.zeros(1, np.uint8), np.array([-1], np.int32),
        np.array([-2], np.int32), one * 2, np.array([0.0, gain]), np.ones(2), len(NAMES),
    )  # fmt: skip


def card() -> Card:
    return Card(
        kind="booster", name="test", created=0, data_hash="", spec_version="", features=NAMES, label_delay=0, seed=0
    )


# ---- the list


@pytest.mark.parametrize("name", NAMES)
def test_feature_of_the_spec_is_in_exactly_one_group(name: str) -> None:
    assert len([code.name for code in CODES if matches(code, name)]) == 1


def test_features_that_the_catalogue_names_exist() -> None:
    patterns = [pattern for code in CODES for pattern in code.features]
    assert [p for p in patterns if not any(matches(CODES[0]._replace(features=(p,)), name) for name in NAMES)] == []


@pytest.mark.parametrize("part", Part)
def test_part_of_the_history_is_in_exactly_one_group(part: Part) -> None:
    assert len([code.name for code in GROUPS if part in code.history]) == 1


def test_codes_are_unique_and_written_alike() -> None:
    names = [code.name for code in CODES]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z]+(-[a-z]+)?", name)] == []


def test_codes_do_not_collide_with_those_of_rules_and_lists() -> None:
    given = said("rule r : when amount > 0 then note").reasons + said('list r block card { "C1" }').reasons
    spaces = [reason.code.removesuffix("r") for reason in given]
    assert spaces == ["rule:", "list:"]
    assert [code.name for code in CODES if code.name.startswith(tuple(spaces))] == []


def test_codes_that_need_a_history_speak_for_no_feature() -> None:
    assert [code.name for code in CODES if code.needs_history] == ["descriptor", "interaction"]
    assert not any(code.features for code in CODES if code.needs_history)


def test_kinds_are_those_of_the_scorers() -> None:
    assert (catalogue.BOOSTER, catalogue.BLEND, catalogue.NETWORK) == (scorer.KIND, blend.BLEND, blend.NETWORK)


def test_game_of_all_groups_is_planned_for() -> None:
    assert len(GROUPS) <= coalitions.MOST


FULL = tokens(
    {side: [fraud(DAY, c26=1), *[event(DAY)] * 9] for side in range(3)}, {},
    {side: [summary(9, 9, 1, DAY)] for side in range(3)}, sides=3,
)  # fmt: skip


@pytest.mark.parametrize("value", [np.nan, 0.0, 3.0])
@pytest.mark.parametrize("history", [None, FULL], ids=["vector", "history"])
def test_sentences_of_two_codes_never_say_the_same(value: float, history: Tokens | None) -> None:
    read = Reading({name: place for place, name in enumerate(NAMES)}, np.full(len(NAMES), value, np.float32),
                   "ring_degree", history)  # fmt: skip
    told = [text for code in CODES if (text := code.words(read)) is not None]
    assert len(set(told)) == len(told)


# ---- the same codes whoever gives them


@pytest.mark.parametrize("place", range(len(NAMES)), ids=NAMES)
def test_change_of_one_feature_has_the_same_code_in_booster_network_and_blend(place: int) -> None:
    row = NEUTRAL.copy()
    row[place] = 1.0
    booster = Booster(card(), stump(place, 1.0), Beta())
    network = Reckoning(lambda matrix, read: matrix[:, place].astype(np.float64), range(len(NAMES)))
    reading = Explainer(Blended(NAMES, stump(place, 0.0), network, NEUTRAL))
    early = Explainer(Blended(NAMES, stump(place, 1.0), network, NEUTRAL))
    proof = booster.explain(row, Score("t", 0.9, "test@1")).evidence
    assert proof is not None
    given = [
        proof.effects,
        early.explain(row, score(0)).effects,
        reading.explain(row, score(1), Held(tokens({}))).effects,
    ]
    named = [code.name for code in CODES if matches(code, NAMES[place])]
    assert [[code for code, _ in effects] for effects in given] == [named] * 3


# ---- what the shipped models say


def rows(count: int) -> F32:
    """Return random vectors, some values missing."""
    rng = np.random.default_rng(5)
    drawn = rng.lognormal(1.0, 2.0, (count, len(NAMES))).astype(np.float32)
    drawn[rng.random(drawn.shape) < 0.2] = np.nan
    return drawn


def test_codes_of_the_shipped_booster_are_in_the_catalogue() -> None:
    booster, matrix = Booster.of(registry.load(SHIPPED, "demo")), rows(100)
    scores = booster.score([str(i) for i in range(100)], matrix)
    given = {r.code for row, one in zip(matrix, scores, strict=True) for r in booster.explain(row, one).reasons}
    assert len(given) > 5
    assert given <= {code.name for code in CODES if booster.card.kind in code.kinds}


def test_codes_of_the_shipped_blend_are_in_the_catalogue() -> None:
    model, matrix = Blend.of(registry.load(SHIPPED, "demo-blend")), rows(100)
    history = tokens(
        {0: [event(60.0), fraud(DAY, c26=1), event(DAY, c31=1)], 1: [fraud(DAY, c31=1), event(DAY)] * 5},
        {1: [fraud(30 * DAY)]},
        {0: [summary(160, 140, 2, 90 * DAY, last_fraud=40 * DAY)]},
        model.network.sides,
    )
    told = [model.explain(row, score(1), Held(history)) for row in matrix]
    given = {code for one in told if one.evidence is not None for code, _ in one.evidence.effects}
    assert "interaction" in given
    assert (
        {reason.code for one in told for reason in one.reasons}
        <= given
        <= {code.name for code in CODES if model.card.kind in code.kinds}
    )
