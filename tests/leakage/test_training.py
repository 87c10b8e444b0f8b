"""What is trained on is what was seen live, and nothing is learned from a verdict before it was known."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fraud.core.records import DAY, Answer, Arrival, Reject
from fraud.core.settings import ModelSection, Settings
from fraud.simulate import SimulatedSource, Traffic, stream
from fraud.training import protocols
from fraud.training.dataset import Dataset, Identity, write
from fraud.training.extraction import converted
from fraud.training.protocols import Fold
from fraud.training.splits import Rows, between, slices, span_before
from streaming import wiring
from streaming.files import column_file
from streaming.files.table import Table
from streaming.files.values import mapping
from streaming.replay import extraction as extracting
from streaming.replay import history
from streaming.run import run
from streaming.wiring import build
from tests.leakage.engines import AbsorbsFirst

DELAY = 2 * DAY
LEAST = 1_000


class Kept:
    """A sink that keeps the vectors of the answers."""

    def __init__(self) -> None:
        self.vectors: list[bytes] = []

    def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
        assert not rejects
        self.vectors += [answer.vector.values.tobytes() for answer in answers if answer.vector]

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Return a week of payments with frauds among them, so that labels move vectors."""
    return stream("fdh").make(cards=150, terminals=60, radius=30, days=7)


@pytest.fixture(scope="module")
def live(traffic: Traffic) -> list[bytes]:
    """Return the vectors that the live path scored, by the demo's model, in batches of 7."""
    settings = msgspec.structs.replace(Settings(), model=ModelSection(name="demo"))
    sink = Kept()
    run(SimulatedSource(traffic, delay=DELAY, batch=7), build(settings).engine, sink, lambda *_: True)
    return sink.vectors


@pytest.fixture(scope="module")
def file(traffic: Traffic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the traffic as a file, labels and all."""
    path = tmp_path_factory.mktemp("history") / "traffic.parquet"
    column_file.write(path, traffic.columns())
    return path


def extracted(file: Path, cache: Path) -> Dataset:
    """Return what `fraud train` would fit on."""
    extraction = wiring.extraction(Table(file, mapping.load("native")), DELAY)
    identity = Identity("made-up", extraction.spec_version, DELAY)
    return write(cache, identity, extraction.names, converted(extraction))


def not_as_live(data: Dataset, live: list[bytes]) -> int:
    """Return how many rows differ, in any bit, from the vector scored live."""
    assert len(data.matrix) == len(live) > LEAST
    return sum(row.tobytes() != vector for row, vector in zip(np.asarray(data.matrix), live, strict=True))


def test_training_rows_are_the_live_vectors_to_the_last_bit(file: Path, live: list[bytes], tmp_path: Path) -> None:
    assert not_as_live(extracted(file, tmp_path), live) == 0


def test_comparison_reports_labels_that_come_at_once(
    file: Path, live: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def undelayed(rows: Iterator[Any], delay: int | None, spread: float = 0.0) -> Iterator[Arrival | Reject]:
        del delay, spread
        return history.history(rows, 0)

    monkeypatch.setattr(extracting, "history", undelayed)
    assert not_as_live(extracted(file, tmp_path), live) > 100


def test_comparison_reports_an_extraction_that_absorbs_first(
    file: Path, live: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.wiring.Engine", AbsorbsFirst)
    assert not_as_live(extracted(file, tmp_path), live) > LEAST


# --- folds -----------------------------------------------------------------------------------------------------------


def learned_too_early(data: Dataset, fold: Fold) -> Rows:
    """Return the rows that a fold learns from or chooses on, whose verdict came at or after its first test row."""
    used: Rows = np.unique(np.concatenate(slices(data, fold.span)))
    early: Rows = used[data.time[used] + data.meta.identity.label_delay >= data.time[fold.test].min()]
    return early


def with_delay(data: Dataset, delay: int) -> Dataset:
    identity = msgspec.structs.replace(data.meta.identity, label_delay=delay)
    return data._replace(meta=msgspec.structs.replace(data.meta, identity=identity))


def fdh_folds(data: Dataset) -> list[Fold]:
    return [fold for kind in ("long", "week") for fold in protocols.fdh_folds(data, kind)]


def chronological(data: Dataset) -> list[Fold]:
    return [protocols.chronological_fold(data, split) for split in (0.6, 0.85)]


def greedy(data: Dataset) -> list[Fold]:
    """Broken: learns from everything that was paid before the test, verdict known or not."""
    ready = int(np.quantile(data.time, 0.8))
    span = span_before(ready, DELAY, int(data.time[0]), 7 * DAY, gap=0)
    return [Fold("greedy", span, between(data, ready + 1, int(data.time[-1]) + 1))]


@pytest.fixture(scope="module")
def long_history(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return what the protocols ask of a history: times, verdicts, cards; the vectors do not matter here."""
    made = stream("fdh").make(cards=300, terminals=600, radius=15, days=160)
    rows = len(made)
    path = tmp_path_factory.mktemp("long")
    empty = write(path, Identity("made-up", "spec", DELAY), ("amount",), [])
    return empty._replace(
        matrix=np.zeros((rows, 1), np.float32),
        time=made.happened_at,
        card=made.card.astype(np.int32),
        merchant=made.merchant.astype(np.int32),
        amount=made.amount,
        fraud=made.fraud.astype(np.int8),
        scenario=np.zeros(rows, np.int8),
    )


@pytest.mark.parametrize("delay", [0, DAY, 7 * DAY])
@pytest.mark.parametrize("folds", [fdh_folds, chronological])
def test_a_fold_learns_only_from_verdicts_known_before_its_test(
    long_history: Dataset, folds: Callable[[Dataset], list[Fold]], delay: int
) -> None:
    data = with_delay(long_history, delay)
    for fold in folds(data):
        assert len(slices(data, fold.span).train) > LEAST
        assert learned_too_early(data, fold).size == 0, fold.name


def test_chronological_fold_honours_a_delay_of_a_month(long_history: Dataset) -> None:
    data = with_delay(long_history, 30 * DAY)
    assert [learned_too_early(data, fold).size for fold in chronological(data)] == [0, 0]


def test_check_reports_a_fold_that_learns_from_verdicts_of_the_future(long_history: Dataset) -> None:
    data = with_delay(long_history, 7 * DAY)
    assert all(learned_too_early(data, fold).size > 100 for fold in greedy(data))
