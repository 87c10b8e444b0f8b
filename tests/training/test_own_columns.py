"""A fit reads own numbers and words, keeps codes and what is usual, and says what each column is worth."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fraud.core.attributes.values import word_hash
from fraud.core.records import BASE, DAY, Level, Score
from fraud.training import checkpoints
from fraud.training.booster import fit
from fraud.training.dataset import Dataset, Identity, Row, write
from fraud.training.fitting import FitRequest
from fraud.training.own import coded, codes_of, own_places
from fraud.training.train import train, usual_slices
from fraud.training.worth import TOGETHER, Worth
from models import registry
from models.boosting.scorer import Booster
from tests.training.conftest import NAMES, history
from tests.training.quick import QUICK

OWN = ("attrs.age", "attrs.noise", "attrs.sort")
IDENTITY = Identity("own", "spec-2", 7 * DAY, attrs={"age": "number", "noise": "number", "sort": "category"})
BAD, GOOD = ("transfer", "cash out"), ("payment", "debit", "top up")


def rows() -> Iterator[Row]:
    """Yield the made-up history, each row with an age, a noise and a sort that betrays most frauds."""
    rng = np.random.default_rng(1)
    for row in history():
        fraud = row.scenario == 1
        sorts = BAD if rng.random() < (0.8 if fraud else 0.1) else GOOD
        sort = str(rng.choice(sorts)) if rng.random() < 0.95 else ""
        more = [rng.normal(30 if fraud else 40, 10), rng.normal(), word_hash(sort) if sort else np.nan]
        tx = msgspec.structs.replace(row.tx, attrs={"sort": sort or None})
        yield row._replace(tx=tx, values=np.append(row.values, np.array(more, np.float32)))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return that history on disk."""
    return write(Path(tmp_path_factory.mktemp("own")), IDENTITY, (*NAMES, *OWN), rows())


@pytest.fixture(scope="module")
def trained(own: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[registry.Card, Booster]:
    """Return a saved model of it, loaded again."""
    root = tmp_path_factory.mktemp("models")
    made = train(own, root, "own", 1, "booster", FitRequest(QUICK))
    return made.card, Booster.of(registry.load(root, "own", attrs=IDENTITY.attrs))


def test_words_are_counted_by_their_texts(own: Dataset) -> None:
    assert set(own.meta.words["sort"]) == {*BAD, *GOOD}


def test_codes_are_in_order_of_frequency_in_their_rows_alone(own: Dataset) -> None:
    at, place = usual_slices(own), own_places(own)[2]
    hashes = codes_of(own, at.train).hashes(place).tolist()
    assert set(hashes[-2:]) == {word_hash(word) for word in BAD}
    often = [int(np.count_nonzero(own.matrix[at.train, place] == each)) for each in hashes]
    assert often == sorted(often, reverse=True)


def test_card_names_own_columns_and_the_words_that_have_a_code(trained: tuple[registry.Card, Booster]) -> None:
    card, _ = trained
    assert card.attrs == IDENTITY.attrs
    assert isinstance(card.words, dict)
    assert set(card.words["sort"]) == {*BAD, *GOOD}
    assert set(card.words["sort"][-2:]) == set(BAD)


def test_model_scores_words_that_it_has_never_seen_as_rare_ones(trained: tuple[registry.Card, Booster]) -> None:
    _, booster = trained
    row = np.array([50, 2, 1, 12, 25, 0, word_hash("transfer")], np.float32)
    new, rare = row.copy(), row.copy()
    new[-1], rare[-1] = word_hash("never seen"), word_hash("nor this")
    scores = booster.raw(np.stack([row, new, rare]))
    assert scores[0] > scores[1] == scores[2]


def test_reason_tells_a_word_beside_the_commonest(trained: tuple[registry.Card, Booster]) -> None:
    _, booster = trained
    row = np.array([20, 1, 0, 12, 40, 0, word_hash("transfer")], np.float32)
    (scored,) = booster.score(["t"], row[None, :])
    told = booster.explain(row, Score("t", scored.value, booster.version, Level.FULL, ((BASE, 0.0),))).reasons
    (reason,) = [one for one in told if one.code == "other"]
    usual = next(word for word in GOOD if f"usual '{word}'" in reason.text)
    assert reason.text == f"Sort 'transfer', usual '{usual}'"


def test_worth_tells_apart_what_helps_and_what_does_not(own: Dataset) -> None:
    made = fit(own, usual_slices(own), QUICK)
    told = {one.name: one for one in made.worth}
    assert [*told][:2] == [TOGETHER, "attrs.sort"]
    assert told[TOGETHER].low > 0.05
    assert told["attrs.sort"].low > 0.05
    assert abs(told["attrs.noise"].gain) < 0.1 * told["attrs.sort"].gain


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (Worth("attrs.a", 0.25, 0.2, 0.3), "attrs.a +0.250 [0.200, 0.300]"),
        (Worth("attrs.a", 0.001, -0.01, 0.01), "attrs.a +0.001 [-0.010, 0.010] (no gain)"),
        (Worth("attrs.a", -0.01, -0.02, -0.001), "attrs.a -0.010 [-0.020, -0.001] (costs)"),
    ],
)
def test_worth_is_said_with_a_verdict(one: Worth, said: str) -> None:
    assert str(one) == said


def test_worth_survives_a_killed_fit(own: Dataset, tmp_path: Path) -> None:
    made = fit(own, usual_slices(own), QUICK)
    checkpoints.write_booster(tmp_path / "booster", made)
    again = checkpoints.read_booster(tmp_path / "booster")
    assert again is not None
    assert again.worth == made.worth
    assert again.trees.raw(own.matrix[:500]).tolist() == made.trees.raw(own.matrix[:500]).tolist()


def test_fit_without_own_columns_says_nothing_of_them(data: Dataset, tmp_path: Path) -> None:
    made = train(data, tmp_path, "plain", 1, "booster", FitRequest(QUICK))
    assert made.made.fitted.booster.worth == ()
    content = (tmp_path / "plain" / made.card.version / "card.json").read_text()
    assert '"attrs"' not in content
    assert '"words"' not in content
    assert not {"code_columns", "own_usual"} & registry.load(tmp_path, "plain").arrays.keys()


def test_coded_matrix_gives_codes_for_the_rows_that_are_asked(own: Dataset) -> None:
    codes = codes_of(own, usual_slices(own).train)
    asked = np.array([5, 3, 900])
    found = coded(own, codes).matrix[asked]
    assert found.tobytes() == codes.applied(np.asarray(own.matrix[asked])).tobytes()


def test_columns_that_change_their_meaning_are_said_to_cost(own: Dataset) -> None:
    at = usual_slices(own)
    shift = np.array(own.matrix)
    place = own_places(own)[0]
    shift[:, place] = own.fraud * 50.0
    shift[at.validation, place] = 50.0 - shift[at.validation, place]
    told = fit(own._replace(matrix=shift), at, QUICK).worth[0]
    assert told.high < 0
    assert "(costs)" in str(told)
