"""The cache of extracted vectors: whole or absent, and what was written comes back."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as parquet
import pytest

from fraud.core.errors import DataError
from fraud.core.records import DAY
from fraud.training import dataset
from fraud.training.dataset import BLOCK, MATRIX, Dataset, Identity, Row
from tests.site import until
from tests.training.conftest import IDENTITY, NAMES, ROWS, history


def test_write_returns_every_row_in_order(data: Dataset) -> None:
    rows = list(history())
    np.testing.assert_array_equal(data.matrix, np.stack([row.values for row in rows]))
    assert data.time.tolist() == [row.tx.happened_at for row in rows]
    assert data.amount.tolist() == [row.tx.base_amount for row in rows]
    assert data.fraud.tolist() == [row.scenario for row in rows]
    names = {row.tx.card: code for row, code in zip(rows, data.card.tolist(), strict=True)}
    assert [names[row.tx.card] for row in rows] == data.card.tolist()
    assert data.card[0] == 0


def test_day_counts_from_the_midnight_before_the_first_row(data: Dataset) -> None:
    midnight = data.time[0] - data.time[0] % DAY
    assert data.day[0] == 0
    np.testing.assert_array_equal(data.day, [(at - midnight) // DAY for at in data.time.tolist()])


def test_cached_finds_only_the_same_identity(tmp_path: Path) -> None:
    dataset.write(tmp_path, IDENTITY, NAMES, list(history(50)))
    found = dataset.cached(tmp_path, IDENTITY)
    assert found is not None
    assert len(found.time) == 50
    for change in (
        {"data_hash": "x"},
        {"spec_version": "x"},
        {"label_delay": 1},
        {"settings": "x"},
        {"label_spread": 0.1},
    ):
        other = msgspec.convert({**msgspec.to_builtins(IDENTITY), **change}, Identity)
        assert dataset.cached(tmp_path, other) is None


def test_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[Row]:
        yield from history(3)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        dataset.write(tmp_path, IDENTITY, NAMES, broken())
    assert list(tmp_path.iterdir()) == []


def test_read_of_a_cut_matrix_is_refused_with_the_repair(tmp_path: Path) -> None:
    dataset.write(tmp_path, IDENTITY, NAMES, list(history(50)))
    path = tmp_path / IDENTITY.key / MATRIX
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match="remove the folder and extract again"):
        dataset.cached(tmp_path, IDENTITY)


def test_progress_is_told_by_blocks_and_at_the_end(tmp_path: Path) -> None:
    told: list[int] = []
    dataset.write(tmp_path, IDENTITY, NAMES, history(BLOCK + 5), told.append)
    assert told == [BLOCK, BLOCK + 5]


def test_write_of_no_rows_gives_an_empty_data_set(tmp_path: Path) -> None:
    empty = dataset.write(tmp_path, IDENTITY, NAMES, [])
    assert empty.matrix.shape == (0, len(NAMES))
    assert len(empty.day) == 0


def test_export_to_npz_holds_everything(tmp_path: Path, data: Dataset) -> None:
    dataset.export(data, tmp_path / "d.npz")
    with np.load(tmp_path / "d.npz") as archive:
        np.testing.assert_array_equal(archive["matrix"], data.matrix)
        assert archive["names"].tolist() == list(NAMES)
        np.testing.assert_array_equal(archive["fraud"], data.fraud)


def test_export_to_parquet_holds_everything(tmp_path: Path, data: Dataset) -> None:
    dataset.export(data, tmp_path / "d.parquet")
    table = parquet.read_table(tmp_path / "d.parquet")
    assert table.num_rows == ROWS
    np.testing.assert_array_equal(table["f_hour"].to_numpy(), data.matrix[:, 3])
    np.testing.assert_array_equal(table["time"].to_numpy(), data.time)


def test_export_to_another_suffix_is_refused(tmp_path: Path, data: Dataset) -> None:
    with pytest.raises(DataError, match=r"expected '\.npz' or '\.parquet'"):
        dataset.export(data, tmp_path / "d.xls")


def test_a_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with dataset.alone(tmp_path, IDENTITY, lambda: order.append("waits")):
            order.append("second")

    other = threading.Thread(target=second)
    with dataset.alone(tmp_path, IDENTITY, lambda: order.append("never")):
        other.start()
        until(lambda: "waits" in order, "the second writer's wait")
        order.append("first")
    other.join()
    assert order == ["waits", "first", "second"]


def test_two_processes_extract_a_file_once(tmp_path: Path) -> None:
    made = tmp_path / "made.parquet"
    simulate = ["simulate", "--cards", "150", "--days", "30", "--out", str(made)]
    subprocess.run([sys.executable, "-m", "fraud", *simulate], check=True)
    code = (
        "import sys; from pathlib import Path; from fraud.core.records import DAY\n"
        "from fraud.core.settings import Settings; from fraud.training.extraction import ExtractionRequest, extracted\n"
        f"made, cache = Path({str(made)!r}), Path({str(tmp_path / 'cache')!r})\n"
        "request = ExtractionRequest(made, 'native', 7 * DAY, Settings())\n"
        "print(len(extracted(request, cache, say=lambda text: print(text, file=sys.stderr)).time))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True) for _ in range(2)]
    found = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], found
    assert len({out for out, _ in found}) == 1
    assert sum("from " + str(tmp_path / "cache") in "".join(err.split("\n")) for _, err in found) == 1
