"""Files of every kind are read; nothing is lost; columns and rows give the same."""

import gzip
import lzma
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from fraud.core.errors import DataError, MappingError
from fraud.core.records import Kind, Reject, Verdict
from streaming.files import table
from streaming.files.table import Table
from streaming.files.values import mapping
from streaming.files.values.lines import records
from streaming.files.values.mapping import Mapping
from streaming.files.values.rows import Row

PLAIN = mapping.parse(
    '[columns]\ntime = "time"\ncard = "card"\nmerchant = "shop"\namount = "amount"\nlabel = "bad"', "t"
)
FULL = mapping.parse(re.sub(r"(?m)^# (\w+ =)", r"\1", mapping.EXAMPLE.partition("[constants]")[0]), "example")
HEADER = b"time,card,shop,amount,bad\n"
GOOD = b"2026-01-31T12:00:00Z,c1,s1,12.34,1\n"


def read(path: Path, content: bytes, use: Mapping = PLAIN) -> list[Row | Reject]:
    path.write_bytes(content)
    return list(Table(path, use).rows())


def rows_of(found: list[Row | Reject]) -> list[Row]:
    assert all(isinstance(item, Row) for item in found), found
    return [item for item in found if isinstance(item, Row)]


def rejects_of(found: list[Row | Reject]) -> list[Reject]:
    return [item for item in found if isinstance(item, Reject)]


def test_csv_plain_is_read_with_defaults(tmp_path: Path) -> None:
    (row,) = rows_of(read(tmp_path / "a.csv", HEADER + GOOD))
    tx = row.tx
    assert (tx.id, tx.card, tx.merchant, tx.amount, tx.base_amount) == ("R000000000", "c1", "s1", 1234, 1234)
    assert (tx.happened_at, tx.seen_at, row.verdict) == (1_769_860_800 * 10**9, 1_769_860_800 * 10**9, Verdict.FRAUD)
    assert (tx.kind, tx.currency, tx.device) == (Kind.PAYMENT, "EUR", None)


@pytest.mark.parametrize(("ending", "pack"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])
def test_csv_packed_is_read(tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]) -> None:
    assert len(rows_of(read(tmp_path / f"a.csv{ending}", pack(HEADER + GOOD * 3)))) == 3


@pytest.mark.parametrize("mark", [b";", b"\t", b"|"])
def test_csv_with_another_delimiter_is_recognised(tmp_path: Path, mark: bytes) -> None:
    assert len(rows_of(read(tmp_path / "a.csv", (HEADER + GOOD).replace(b",", mark)))) == 1


def test_csv_with_byte_order_mark_quotes_and_windows_line_ends_is_read(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf"time","card","shop","amount","bad"\r\n"2026-01-31","c ""1""","s,\n1","1","0"\r\n\r\n'
    (reject,) = rejects_of(read(tmp_path / "a.csv", content))
    assert (reject.code, reject.original) == ("merchant", content.partition(b"\r\n")[2][:-4])
    (row,) = rows_of(read(tmp_path / "a.csv", content.replace(b",\n1", b",1")))
    assert (row.tx.card, row.tx.merchant, row.verdict) == ('c "1"', "s,1", Verdict.GENUINE)


BROKEN: list[tuple[bytes, str, str]] = [
    (b"2026-01-31,c1,s1,1", "fields", "the row has 4 fields, the header has 5: quote a field that holds ','"),
    (b"2026-01-31,c1,s1,1,0,9", "fields", "the row has 6 fields, the header has 5"),
    (b"yesterday,c1,s1,1,0", "time", "time 'yesterday' is not ISO 8601: expected 2026-01-31T12:00:00Z"),
    (b"2026-02-30,c1,s1,1,0", "time", "time '2026-02-30' is not ISO 8601"),
    (b"1066-10-14,c1,s1,1,0", "time", "time '1066-10-14' is out of range"),
    (b",c1,s1,1,0", "time", "time '' is not ISO 8601"),
    (b"2026-01-31,,s1,1,0", "card", "card '' is no id: expected 1 to 256 printable characters"),
    (b"2026-01-31,c\x01,s1,1,0", "card", "card 'c\\x01' is no id"),
    (b"2026-01-31,c1," + b"s" * 300 + b",1,0", "merchant", "is no id: expected 1 to 256"),
    (b"2026-01-31,c1,s1,ten,0", "amount", "amount 'ten' is not a number: expected digits with a decimal '.'"),
    (b"2026-01-31,c1,s1,nan,0", "amount", "amount 'nan' is not a number"),
    (b"2026-01-31,c1,s1,-5,0", "amount", "amount '-5' is out of range: expected 0 or more; where negative"),
    (b"2026-01-31,c1,s1,1e300,0", "amount", "is out of range"),
    (b'2026-01-31,"c1"x,s1,1,0', "csv", "the row is no CSV"),
    (b'2026-01-31,"c1,s1,1,0', "csv", "the row is no CSV"),
    (b"2026-01-31,c\xff,s1,1,0", "utf8", "byte 12 of the row is not UTF-8: convert the file to UTF-8"),
]


@pytest.mark.parametrize("around", [0, 1, 200])
def test_csv_with_broken_rows_of_every_kind_rejects_each_and_loses_nothing(tmp_path: Path, around: int) -> None:
    content = HEADER + b"".join(GOOD * around + line + b"\n" for line, _, _ in BROKEN) + GOOD * around
    found = read(tmp_path / "a.csv", content)
    rejects = rejects_of(found)
    assert len(found) == len(BROKEN) + around * (len(BROKEN) + 1)
    for index, (reject, (line, code, reason)) in enumerate(zip(rejects, BROKEN, strict=True)):
        number = index * (around + 1) + around
        assert (reject.code, reject.original, reject.position.offset) == (code, line, number)
        assert reject.reason.startswith(f"row {number + 1}: ")
        assert reason in reject.reason


def test_csv_with_a_broken_row_keeps_the_numbers_of_those_after_it(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", HEADER + GOOD + b"broken\n" + GOOD)
    assert [item.tx.id for item in found if isinstance(item, Row)] == ["R000000000", "R000000002"]


OBJECT = {"time": "2026-01-31T12:00:00Z", "card": "c1", "shop": 7, "amount": 12.34, "bad": True}
JSON_BROKEN: list[tuple[bytes, str]] = [
    (b"{", "json"),
    (b"[1]", "json"),
    (b"\xff", "json"),
    (msgspec.json.encode({**OBJECT, "card": {"id": 1}}), "json"),
    (msgspec.json.encode({**OBJECT, "card": None}), "card"),
    (msgspec.json.encode({**OBJECT, "time": 5}), "time"),
    (msgspec.json.encode({**OBJECT, "amount": "x"}), "amount"),
    (b"[" * 50_000, "json"),
]


@pytest.mark.parametrize("around", [1, 100])
def test_jsonl_with_broken_lines_rejects_each_and_loses_nothing(tmp_path: Path, around: int) -> None:
    good = msgspec.json.encode(OBJECT) + b"\n"
    content = b"".join(good * around + line + b"\n" for line, _ in JSON_BROKEN) + b"\n"
    found = read(tmp_path / "a.jsonl", content)
    assert [(item.original, item.code) for item in rejects_of(found)] == JSON_BROKEN
    assert len(found) == len(JSON_BROKEN) * (around + 1)
    first = found[0]
    assert isinstance(first, Row)
    assert (first.tx.merchant, first.tx.amount, first.verdict) == ("7", 1234, Verdict.FRAUD)


def write_parquet(path: Path, **columns: Any) -> list[Row | Reject]:
    base = {"time": ["2026-01-31"] * 2, "card": ["c"] * 2, "shop": ["s"] * 2, "amount": [1.0] * 2, "bad": [0, 1]}
    parquet.write_table(pa.table({**base, **columns}), path)
    return list(Table(path, PLAIN).rows())


@pytest.mark.parametrize(
    ("name", "column", "code"),
    [
        ("time", pa.array([None, 0], pa.timestamp("ms")), "time"),
        ("time", pa.array([5, 0]), "time"),
        ("card", pa.array([None, "c"]), "card"),
        ("amount", pa.array([None, 1.0]), "amount"),
        ("amount", pa.array([float("inf"), 1.0]), "amount"),
    ],
)
def test_parquet_with_a_bad_cell_rejects_its_row_as_json(tmp_path: Path, name: str, column: Any, code: str) -> None:
    found = write_parquet(tmp_path / "a.parquet", **{name: column})
    assert len(found) == 2
    reject = rejects_of(found)[0]
    assert reject.code == code
    assert set(msgspec.json.decode(reject.original)) == {"time", "card", "shop", "amount", "bad"}


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([Decimal("0.07"), Decimal("12.34")]), [7, 1234]),
        (pa.array([0.07, 0.125]), [7, 13]),
        (pa.array([3, 4], pa.int8()), [300, 400]),
        (pa.array(["0.07", "1e2"]), [7, 10000]),
    ],
)
def test_parquet_amounts_of_any_type_are_exact(tmp_path: Path, column: Any, expected: list[int]) -> None:
    assert [row.tx.amount for row in rows_of(write_parquet(tmp_path / "a.parquet", amount=column))] == expected


def test_file_without_a_mapped_column_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"amount = 'amount', but .* Did you mean 'amounts'"):
        read(tmp_path / "a.csv", HEADER.replace(b"amount", b"amounts"))


@pytest.mark.parametrize(("name", "reason"), [("a.xlsx", "expected .csv, .parquet or .jsonl"), ("a.csv", "is empty")])
def test_file_that_cannot_be_read_at_all_is_an_error(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read(tmp_path / name, b"")


def test_file_that_is_missing_is_an_error() -> None:
    with pytest.raises(DataError, match="does not exist"):
        Table(Path("nowhere.csv"), PLAIN).rows()


NUMBERS = st.one_of(
    st.integers(-3, 10**10).map(str),
    st.decimals(0, 10**6, places=2).map(str),
    st.sampled_from(["", "0.005", "0.125", "1e3", "1e999999", "nan", "-0", "+5", " 7", "1_0", "٣", "0x1", "inf"]),
)
MOMENTS = st.one_of(
    st.datetimes().map(str),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.sampled_from(["2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00+02:00", "20260131", "", "2026-W05-1", "x"]),
)
SECONDS = st.one_of(NUMBERS, st.integers(0, 2 * 10**9).map(str), st.sampled_from(["1.5", "1.0000000001", "-1"]))
NAMES = st.sampled_from(["c1", "c2", "", " c1 ", "c\x7f", "é", "1.0", "a" * 257])
WORDS = st.sampled_from(["", "refund", "Payment", "gift", "EUR", "usd", "JPY", "XXX", "1", "0", "true", "2", "5411"])


def compare(path: Path, use: Mapping, cells: list[dict[str, str]], patch: pytest.MonkeyPatch) -> None:
    names = list(dict.fromkeys(use.slots()))
    batch = pa.table({name: pa.array([cell[name] for cell in cells], pa.string()) for name in names})
    parquet.write_table(batch, path)
    found: list[list[Row | Reject]] = []
    for small in (10**9, 0):
        with patch.context() as local:
            local.setattr(table, "SMALL", max(small, 1))
            if small:
                local.setattr("streaming.files.values.columns.ColumnReader.read", refuse)
            found.append(list(Table(path, use).rows()))
    assert found[0] == found[1]


def refuse(*_: object) -> list[Row]:
    from streaming.files.values.cells import NotPlainError

    raise NotPlainError


@pytest.mark.parametrize("unit", ["iso", "s", "ms", "us", "ns"])
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_columns_give_the_same_as_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: str, data: st.DataObject
) -> None:
    use = msgspec.structs.replace(FULL, time=msgspec.structs.replace(FULL.time, unit=unit))
    kinds: dict[str, st.SearchStrategy[str]] = {
        name: WORDS if role in {"kind", "currency", "label", "mcc"} else NAMES for role, (name,) in use.roles().items()
    }
    kinds["amount"] = NUMBERS
    kinds["timestamp"] = kinds["reported"] = MOMENTS if unit == "iso" else SECONDS
    cells = data.draw(st.lists(st.fixed_dictionaries(kinds), min_size=1, max_size=6))
    compare(tmp_path / "a.parquet", use, cells, monkeypatch)


def odd_lines() -> Iterator[st.SearchStrategy[bytes]]:
    yield st.binary(max_size=30).filter(lambda line: b"\n" not in line)
    yield st.sampled_from([b'"', b'a"', b'"a\nb",', b'""', b"\r", GOOD[:-1], b'"x",c1,s1,1,0'])


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.one_of(*odd_lines()), max_size=40))
def test_csv_given_any_lines_loses_no_byte(tmp_path: Path, lines: list[bytes]) -> None:
    kept = b"".join(records((line + b"\n" for line in b"\n".join(lines).split(b"\n")), ",", 5))
    assert kept.split() == b"\n".join(lines).split()
    found = read(tmp_path / "a.csv", HEADER + b"\n".join(lines))
    assert [item.position.offset for item in rejects_of(found)] == [
        number for number, item in enumerate(found) if isinstance(item, Reject)
    ]
