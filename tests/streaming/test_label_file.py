"""Labels in files: read with their times and sources, in order; a row at fault is named with value and expectation."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow
import pytest
from pyarrow import parquet

from fraud.core.errors import DataError
from fraud.core.records import SECOND, Label, LabelSource, Verdict
from fraud.simulate import stream
from streaming.files import column_file
from streaming.files.labels import LabelFile
from streaming.messages.times import from_text

NOON = from_text("2026-01-31T12:00:00Z")
HEAD = "tx_id,verdict,source,happened_at"
LATER = Label(
    tx_id="a", verdict=Verdict.FRAUD, source=LabelSource.CHARGEBACK, happened_at=NOON + SECOND, seen_at=NOON + SECOND
)
EARLIER = Label(
    tx_id="b", verdict=Verdict.GENUINE, source=LabelSource.ANALYST, happened_at=NOON, seen_at=NOON
)  # fmt: skip


def csv(folder: Path, *rows: str, head: str = HEAD) -> Path:
    path = folder / "labels.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def of_csv(folder: Path) -> Path:
    return csv(folder, "a,fraud,chargeback,2026-01-31T13:00:01+01:00", f"b,Genuine, analyst ,{NOON}")


def of_parquet(folder: Path) -> Path:
    table = {
        "tx_id": ["a", "b"], "verdict": ["fraud", "genuine"], "source": ["chargeback", "analyst"],
        "happened_at": pyarrow.array([LATER.happened_at, NOON], pyarrow.timestamp("ns", "UTC")), "noise": [1, 2],
    }  # fmt: skip
    parquet.write_table(pyarrow.table(table), folder / "labels.parquet")
    return folder / "labels.parquet"


def of_lines(folder: Path) -> Path:
    rows = [
        {"tx_id": "a", "verdict": "fraud", "source": "chargeback", "happened_at": LATER.happened_at},
        {
            "tx_id": "b",
            "verdict": "genuine",
            "source": "analyst",
            "happened_at": "2026-01-31T12:00:00Z",
            "version": None,
        },
    ]
    path = folder / "labels.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return path


@pytest.mark.parametrize("write", [of_csv, of_parquet, of_lines], ids=["csv", "parquet", "jsonl"])
def test_labels_are_read_in_the_order_in_which_they_were_seen(write: Callable[[Path], Path], tmp_path: Path) -> None:
    found = LabelFile(write(tmp_path))
    assert (len(found), list(found)) == (2, [EARLIER, LATER])


def test_labels_of_one_instant_come_as_they_stand_in_the_file(tmp_path: Path) -> None:
    rows = [f"{name},fraud,analyst,{NOON}" for name in "cabfed"]
    assert [label.tx_id for label in LabelFile(csv(tmp_path, *rows))] == list("cabfed")


def test_labels_with_a_time_of_their_own_at_which_they_were_seen_go_by_it(tmp_path: Path) -> None:
    head = f"{HEAD},seen_at,version"
    path = csv(tmp_path, f"a,fraud,analyst,{NOON},{NOON + 9},2", f"b,fraud,analyst,{NOON + 1},,", head=head)
    found = [(label.tx_id, label.happened_at, label.seen_at, label.version) for label in LabelFile(path)]
    assert found == [("b", NOON + 1, NOON + 1, 0), ("a", NOON, NOON + 9, 2)]


def test_file_without_labels_has_none(tmp_path: Path) -> None:
    assert list(LabelFile(csv(tmp_path))) == []


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_labels_that_a_stream_knows_are_written_and_read_back_to_themselves(suffix: str, tmp_path: Path) -> None:
    traffic = stream("rich").make(cards=60, days=20, fraud_share=0.1, chargeback_days=3.0)
    path = tmp_path / f"labels{suffix}"
    column_file.write(path, traffic.verdicts().columns())
    known = list(traffic.labels())
    assert {label.source for label in known} == {LabelSource.ANALYST, LabelSource.CHARGEBACK}
    assert {label.version for label in known} == {0, 1}
    assert list(LabelFile(path)) == known


EXPECTED_TIME = "expected RFC 3339 with a zone, such as 2026-01-31T12:00:00Z, or whole nanoseconds since 1970 UTC"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("a,frod,analyst,1700000000000000000",
         "verdict is 'frod': expected one of genuine, fraud, withdrawn. Did you mean 'fraud'?"),
        ("a,,analyst,1700000000000000000", "verdict is '': expected one of genuine, fraud, withdrawn."),
        ("a,fraud,analist,1700000000000000000",
         "source is 'analist': expected one of chargeback, analyst, silence. Did you mean 'analyst'?"),
        (",fraud,analyst,1700000000000000000", "tx_id '' is no id: expected 1 to 256 printable characters"),
        ("a,fraud,analyst,", f"happened_at is '': {EXPECTED_TIME}"),
        ("a,fraud,analyst,2026-01-31", f"happened_at is '2026-01-31': {EXPECTED_TIME}"),
        ("a,fraud,analyst,2026-13-31T00:00:00Z", f"happened_at is '2026-13-31T00:00:00Z': {EXPECTED_TIME}"),
        ("a,fraud,analyst,1700000000", "'1700000000': expected a time of 2000 to 2100; is it in another unit?"),
        ("a,fraud", "the row has 2 fields, the header has 4: quote a field that holds ','"),
    ],
)  # fmt: skip
def test_row_at_fault_is_named_with_its_value_and_what_was_expected(row: str, told: str, tmp_path: Path) -> None:
    path = csv(tmp_path, f"b,genuine,analyst,{NOON}", row, f"c,genuine,analyst,{NOON}")
    with pytest.raises(DataError) as fault:
        LabelFile(path)
    assert str(fault.value).startswith(f"{path} row 2: ")
    assert told in str(fault.value)


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (
            "2026-01-31T11:00:00Z,0",
            "row 1: seen_at is 2026-01-31T11:00:00.000000000Z, before happened_at 2026-01-31T12",
        ),
        ("soon,0", "row 1: seen_at is 'soon': expected RFC 3339"),
        (",-1", "row 1: version is '-1': expected a whole number from 0 to 2147483647"),
        (",two", "row 1: version is 'two': expected a whole number"),
    ],
)
def test_faults_of_the_columns_that_may_be_left_out_are_named_too(cells: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as fault:
        LabelFile(csv(tmp_path, f"a,fraud,analyst,{NOON},{cells}", head=f"{HEAD},seen_at,version"))
    assert told in str(fault.value)


@pytest.mark.parametrize("value", [1.7e18, datetime(1999, 1, 1, tzinfo=UTC), None], ids=["float", "1999", "null"])
def test_cell_of_parquet_that_is_no_time_is_named(value: Any, tmp_path: Path) -> None:
    table = {"tx_id": ["a"], "verdict": ["fraud"], "source": ["analyst"], "happened_at": [value]}
    parquet.write_table(pyarrow.table(table), tmp_path / "labels.parquet")
    with pytest.raises(DataError, match=r"labels\.parquet row 1: happened_at is .*: expected "):
        LabelFile(tmp_path / "labels.parquet")


def test_file_that_lacks_a_column_is_refused_with_the_nearest_that_it_has(tmp_path: Path) -> None:
    path = csv(tmp_path, head="tx_id,verdict,source,happend_at")
    with pytest.raises(DataError, match=r"has no column 'happened_at', .* Did you mean 'happend_at'\?"):
        LabelFile(path)


@pytest.mark.parametrize(("name", "told"), [("none.csv", "does not exist"), ("labels.txt", "are not read: expected")])
def test_file_that_cannot_be_read_at_all_is_refused(name: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=told):
        LabelFile(tmp_path / name)
