"""The comparisons are fair: what the other models read was known at the time, and they learn what is there."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from fraud.core.records import DAY, SECOND
from fraud.training import protocols
from fraud.training.dataset import Dataset, Identity, Meta
from fraud.training.splits import Span
from models.boosting.trees import F64
from tests.bench.peers import bitcoin, common, readings

torch = pytest.importorskip("torch")
pytest.importorskip("torch_geometric")

from tests.bench.peers import messages, tgn  # noqa: E402

ROWS, CARDS, TERMINALS = 6_000, 60, 30


def stream(seed: int = 0) -> Dataset:
    """Return 60 days of payments; those at a third of the terminals of a high amount are fraud."""
    rng = np.random.default_rng(seed)
    time = np.sort(rng.integers(0, 60 * DAY, ROWS))
    card, terminal = (rng.integers(0, most, ROWS).astype(np.int32) for most in (CARDS, TERMINALS))
    amount = rng.integers(100, 10_000, ROWS)
    fraud = ((terminal < TERMINALS // 3) & (amount > 6_000)).astype(np.int8)
    meta = Meta(Identity("", "", messages.DELAY), (), ROWS)
    return Dataset(meta, np.empty((ROWS, 0), np.float32), time, card, terminal, amount, fraud, fraud)


def fold_of(data: Dataset) -> protocols.Fold:
    """Return one that learns until day 45 and is tested from day 52 on."""
    return protocols.Fold("late", Span(0, 0, 0, 45 * DAY), np.flatnonzero(data.time >= 52 * DAY))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learn from small batches and all payments, so that few of them suffice."""
    monkeypatch.setattr(tgn, "TRAIN_BATCH", 200)
    monkeypatch.setattr(tgn, "KEPT", 1.0)


def given(epochs: int) -> argparse.Namespace:
    return argparse.Namespace(seed=0, rate=3e-3, epochs=epochs, falling=False)


@pytest.mark.usefixtures("small")
def test_tgn_learns_which_terminals_are_bad() -> None:
    torch.manual_seed(0)
    data = stream()
    fold = fold_of(data)
    model = tgn.Tgn(messages.edges(data, labels=True))
    *_, last = tgn.train(model, data, fold, given(4), "test")
    amount_alone = protocols.measure(data, fold.test, data.amount[fold.test].astype(np.float64))
    assert last["ap"] > amount_alone["ap"] + 0.2


def test_tgn_scores_do_not_change_with_what_comes_later() -> None:
    data = stream()
    fold, half = fold_of(data), ROWS - 300
    before = (fold.test < half).nonzero()[0]
    assert len(before)
    first, second = scored(data, fold), scored(changed_after(data, half), fold)
    np.testing.assert_array_equal(first[before], second[before])
    assert not np.array_equal(first, second)


def changed_after(data: Dataset, row: int) -> Dataset:
    """Return the same stream until a row, another one from there."""
    other = stream(1)
    card, merchant, fraud = (
        np.concatenate([getattr(data, name)[:row], getattr(other, name)[row:]])
        for name in ("card", "merchant", "fraud")
    )
    return data._replace(card=card, merchant=merchant, fraud=fraud)


def scored(data: Dataset, fold: protocols.Fold) -> F64:
    torch.manual_seed(0)
    return tgn.test(tgn.Tgn(messages.edges(data, labels=True)), data, fold)


def test_verdicts_hold_what_is_known_a_week_late_also_of_the_last_of_many_entities() -> None:
    data = stream()
    entity = data.merchant + np.int32(2**20)
    found, seconds = messages.verdicts(data, entity), data.time // SECOND
    for row in (0, 1_000, ROWS - 1):
        known = (entity == entity[row]) & (seconds <= seconds[row] - 7 * 86_400)
        month = known & (seconds > seconds[row] - 37 * 86_400)
        counts = np.log1p(known.sum()) / 5, np.log1p(data.fraud[known].sum())
        share = data.fraud[month].sum() / max(int(month.sum()), 1)
        newest = 2 * data.fraud[known][-1] - 1 if known.any() else 0
        np.testing.assert_allclose(found[row, :4], [*counts, share, newest], rtol=1e-5)
        frauds = seconds[known & (data.fraud == 1)]
        age = (seconds[row] - frauds[-1]) / 86_400 if len(frauds) else np.inf
        assert found[row, 4] == pytest.approx(np.exp(-age / 14), rel=1e-5)


def test_cost_counts_scoring_and_absorbing_of_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tgn, "TIMED", {1: 3, 32: 2})
    rows = tgn.cost(tgn.Tgn(messages.edges(stream(), labels=False)), 100)
    assert [row["batch"] for row in rows] == [1, 32]
    assert all(0 < row["score_us"] < row["us"] for row in rows)


BOTH = next(reading for reading in readings.READINGS if reading.name == "both sides")


def edge_list(path: Path, *, tail: int = 0, flipped: bool = False) -> Path:
    """Write 400 ratings among 20 users, of which the last `tail` differ; `flipped` turns all labels around."""
    rng, other = np.random.default_rng(0), np.random.default_rng(1)
    lines = ["u,i,ts,label,idx"]
    for row in range(400):
        drawn = rng.integers(0, 20, 2), int(rng.random() < 0.2)
        ends, label = drawn if row < 400 - tail else (other.integers(0, 20, 2), int(other.random() < 0.5))
        lines.append(f"{ends[0]},{ends[1]},{row * 3_600.0},{label ^ flipped},{row}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def vectors(source: Path, delay: str = "none") -> Dataset:
    return readings.extracted(source, BOTH, delay, source.parent / source.stem).data


def test_both_sides_reads_every_rating_twice_and_labels_it_once(tmp_path: Path) -> None:
    data = vectors(edge_list(tmp_path / "a.csv"))
    assert len(data.time) == 800
    assert (data.fraud[::2] >= 0).all()
    assert (data.fraud[1::2] == -1).all()
    assert set(data.amount[::2].tolist()) | set(data.amount[1::2].tolist()) == {100, 1_000}


def test_both_sides_knows_a_user_as_rater_before_the_first_rating_received(tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    path.write_text("u,i,ts,label,idx\n1,2,0.0,0,1\n2,3,60.0,0,2\n", encoding="utf-8")
    data = vectors(path)
    assert data.matrix[2, data.names.index("card_count_1d")] == 1
    assert data.matrix[2, data.names.index("card_since_last")] == 60


def test_both_sides_vectors_do_not_change_with_later_ratings(tmp_path: Path) -> None:
    one, other = vectors(edge_list(tmp_path / "a.csv")), vectors(edge_list(tmp_path / "b.csv", tail=100))
    np.testing.assert_array_equal(one.matrix[:600], other.matrix[:600])
    assert not np.array_equal(one.matrix[600:], other.matrix[600:], equal_nan=True)


def test_labels_never_known_change_no_vector_and_labels_at_once_do(tmp_path: Path) -> None:
    one, other = edge_list(tmp_path / "a.csv"), edge_list(tmp_path / "b.csv", flipped=True)
    np.testing.assert_array_equal(vectors(one).matrix, vectors(other).matrix)
    assert not np.array_equal(vectors(one, "0s").matrix, vectors(other, "0s").matrix, equal_nan=True)


def test_readings_are_chosen_on_rows_before_the_test(tmp_path: Path) -> None:
    data = vectors(edge_list(tmp_path / "a.csv"))
    tested = protocols.chronological_fold(data, common.SPLIT).test
    folds = readings.inner_folds(data)
    assert len(folds) == 3
    assert all(0 < len(fold.test) and data.time[fold.test[-1]] < data.time[tested[0]] for fold in folds)


def test_running_share_reads_earlier_labels_of_the_rated_user_only(tmp_path: Path) -> None:
    data = vectors(edge_list(tmp_path / "a.csv"))
    fold = protocols.chronological_fold(data, 0.5)
    share = bitcoin.running_share(data, fold)
    last = data._replace(fraud=np.where(np.arange(800) >= 700, 1 - np.abs(data.fraud), data.fraud).astype(np.int8))
    np.testing.assert_array_equal(share[fold.test <= 700], bitcoin.running_share(last, fold)[fold.test <= 700])
