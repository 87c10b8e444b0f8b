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
from fraud.core.settings import Settings
from fraud.simulate import stream
from fraud.training import dataset
from fraud.training.dataset import BLOCK, MATRIX, Dataset, Identity, Row
from fraud.training.extraction import ExtractionRequest
from streaming.files import column_file
from tests.site import until
from tests.training.conftest import IDENTITY, NAMES, ROWS, history

IDS = [f"T{number}" for number in range(ROWS)]


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


def test_ids_are_kept_in_the_order_of_the_rows(tmp_path: Path) -> None:
    made = dataset.write(tmp_path, IDENTITY, NAMES, list(history(50)))
    assert dataset.ids_of(made, tmp_path) == [row.tx.id for row in history(50)]
    path = tmp_path / IDENTITY.key / dataset.IDS
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(DataError, match="holds 49 ids of 50 rows; remove the folder"):
        dataset.ids_of(made, tmp_path)
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        dataset.ids_of(made, tmp_path)


def test_progress_is_told_by_blocks_and_at_the_end(tmp_path: Path) -> None:
    told: list[int] = []
    dataset.write(tmp_path, IDENTITY, NAMES, history(BLOCK + 5), told.append)
    assert told == [BLOCK, BLOCK + 5]


def test_write_of_no_rows_gives_an_empty_data_set(tmp_path: Path) -> None:
    empty = dataset.write(tmp_path, IDENTITY, NAMES, [])
    assert empty.matrix.shape == (0, len(NAMES))
    assert len(empty.day) == 0


def test_export_to_npz_holds_everything(tmp_path: Path, data: Dataset) -> None:
    dataset.export(data, IDS, tmp_path / "d.npz")
    with np.load(tmp_path / "d.npz") as archive:
        np.testing.assert_array_equal(archive["matrix"], data.matrix)
        assert archive["names"].tolist() == list(NAMES)
        np.testing.assert_array_equal(archive["fraud"], data.fraud)
        assert archive["tx_id"].tolist() == IDS


def test_export_to_parquet_holds_everything(tmp_path: Path, data: Dataset) -> None:
    dataset.export(data, IDS, tmp_path / "d.parquet")
    table = parquet.read_table(tmp_path / "d.parquet")
    assert table.num_rows == ROWS
    np.testing.assert_array_equal(table["f_hour"].to_numpy(), data.matrix[:, 3])
    np.testing.assert_array_equal(table["time"].to_numpy(), data.time)
    assert table["tx_id"].to_pylist() == IDS


def test_export_to_another_suffix_is_refused(tmp_path: Path, data: Dataset) -> None:
    with pytest.raises(DataError, match=r"expected '\.npz' or '\.parquet'"):
        dataset.export(data, [], tmp_path / "d.xls")


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


EXTRACTS = """
import sys
from pathlib import Path
from fraud.core.records import DAY
from fraud.core.settings import Settings
from fraud.training.extraction import ExtractionRequest, extracted
request = ExtractionRequest(Path(sys.argv[1]), "native", 7 * DAY, Settings())
data = extracted(request, Path(sys.argv[2]), say=lambda text: print(text.split(" ")[0], flush=True))
print(len(data.time), flush=True)
"""


def test_two_processes_extract_a_file_once(tmp_path: Path) -> None:
    made, cache = tmp_path / "made.parquet", tmp_path / "cache"
    traffic = stream("fdh").make(cards=20, days=5)
    column_file.write(made, traffic.columns())
    request = ExtractionRequest(made, "native", 7 * DAY, Settings())
    identity = request.identity(request.table())
    with dataset.alone(cache, identity, lambda: pytest.fail("waited")):
        both = [extracts(made, cache, tmp_path / name) for name in ("one", "two")]
        until(lambda: said(tmp_path) == [["another"], ["another"]], "both to wait")
    assert [process.wait(60) for process in both] == [0, 0]
    rows = str(len(traffic))
    assert said(tmp_path) == [["another", rows], ["another", "vectors", rows]]


def extracts(made: Path, cache: Path, out: Path) -> "subprocess.Popen[bytes]":
    """Start a process that takes a file's vectors from the cache or extracts them."""
    with out.open("wb") as file:
        return subprocess.Popen([sys.executable, "-c", EXTRACTS, str(made), str(cache)], stdout=file)


def said(folder: Path) -> list[list[str]]:
    """Return what each process has said so far, by its first word: it waits, it found vectors; and how many rows."""
    return sorted((folder / name).read_text().splitlines() for name in ("one", "two"))
