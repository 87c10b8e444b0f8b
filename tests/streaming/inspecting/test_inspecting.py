"""What a file holds is guessed as its owner would say it, and what is not certain is said."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from fraud.cli import app
from fraud.core.errors import DataError
from streaming.files.inspecting import text
from streaming.files.inspecting.guess import Guesser, kind_of
from streaming.files.inspecting.profile import profile_of, profiles
from streaming.files.inspecting.times import written
from streaming.files.values import mapping

ROWS = 400
DAY_ONE = datetime(2025, 3, 1, tzinfo=UTC)
TIMES = [DAY_ONE + timedelta(hours=3 * n, minutes=n % 60) for n in range(ROWS)]
rng = np.random.default_rng(5)
CARDS = [f"C{n}" for n in rng.integers(0, 40, ROWS)]
SHOPS = [f"Shop {n}" for n in rng.integers(0, 25, ROWS)]
FRAUD = [int(n % 4 == 1) for n in rng.integers(0, 16, ROWS)]
AMOUNTS = [round(float(x), 2) for x in rng.gamma(2.0, 800.0, ROWS)]


def csv(path: Path, columns: Mapping[str, Sequence[Any]], mark: str = ",") -> Path:
    lines = [mark.join(columns)] + [
        mark.join(f'"{cell}"' for cell in row) for row in zip(*columns.values(), strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def guessed(path: Path) -> mapping.Mapping:
    return Guesser(profiles(path)).guess().mapping


def clock(pattern: str) -> list[str]:
    return [time.strftime(pattern) for time in TIMES]


def test_american_export_is_guessed(tmp_path: Path) -> None:
    columns: dict[str, Sequence[Any]] = {
        "User": [n // 3 for n in range(ROWS)], "Card": [n % 3 for n in range(ROWS)], "Year": clock("%Y"),
        "Month": clock("%m"), "Day": clock("%d"), "Time": clock("%H:%M"), "Merchant Name": SHOPS, "MCC": [5411] * ROWS,
        "Amount": [f"(${x:,.2f})" if n % 9 == 0 else f"${x:,.2f}" for n, x in enumerate(AMOUNTS)],
        "Is Fraud?": ["Yes" if fraud else "No" for fraud in FRAUD],
    }  # fmt: skip
    found = guessed(csv(tmp_path / "a.csv", columns))
    said = found.columns
    assert (said.time, said.card) == (("Year", "Month", "Day", "Time"), ("User", "Card"))
    assert (said.merchant, said.amount, said.mcc, said.label) == ("Merchant Name", "Amount", "MCC", "Is Fraud?")
    assert found.time.pattern == "%Y %m %d %H:%M"
    how = found.amount
    assert (how.decimal, how.thousands, how.negative, how.currency) == (".", ",", "refund", "USD")


def test_german_export_is_guessed(tmp_path: Path) -> None:
    amounts = [f"{x:,.2f}".translate(str.maketrans(",.", ".,")) for x in AMOUNTS]
    columns: dict[str, Sequence[Any]] = {
        "Zeit (date)": clock("%d.%m.%Y %H:%M"), "customer": CARDS, "shop": SHOPS, "amount": amounts,
        "currency": ["EUR"] * ROWS, "fraud": FRAUD,
    }  # fmt: skip
    found = guessed(csv(tmp_path / "a.csv", columns, ";"))
    assert (found.time.pattern, found.amount.decimal, found.amount.thousands) == ("%d.%m.%Y %H:%M", ",", ".")
    assert (found.columns.card, found.columns.currency) == ("customer", "currency")


def test_json_with_objects_in_objects_is_guessed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = zip(TIMES, CARDS, AMOUNTS, FRAUD, strict=True)
    path.write_text(
        "\n".join(
            json.dumps(
                {"at": {"timestamp": int(time.timestamp())}, "payer": {"card": {"id": card}}, "amount": x, "label": bad}
            )
            for time, card, x, bad in rows
        )
    )
    found = guessed(path)
    assert (found.columns.time, found.columns.card) == ("at.timestamp", "payer.card.id")
    assert found.time.unit == "s"


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_counts_since_1970_are_told_by_their_size(unit: str) -> None:
    values = [int(time.timestamp()) * mapping.UNIT_NS["s"] // mapping.UNIT_NS[unit] for time in TIMES]
    how = written(profile_of("t", values))
    assert how is not None
    assert (how.time.unit, how.doubt) == (unit, "")


def test_counts_from_a_day_of_the_files_own_are_told_as_such() -> None:
    how = written(profile_of("t", [60 * n for n in range(ROWS)]))
    assert how is not None
    assert (how.time.unit, how.time.origin) == ("s", "2020-01-01")
    assert "a day that the file does not tell" in how.doubt
    assert written(profile_of("t", rng.integers(0, 900, ROWS).tolist())) is None


def test_days_and_months_are_told_apart_by_their_order_and_doubted_where_both_fit() -> None:
    days = [DAY_ONE + timedelta(days=n) for n in range(9)]
    for pattern in ("%d/%m/%Y", "%m/%d/%Y"):
        how = written(profile_of("t", [day.strftime(pattern) for day in days]))
        assert how is not None
        assert how.time.pattern == pattern
        assert "fits as well: look at days and months" in how.doubt


def test_what_cannot_be_guessed_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column holds times that are understood: expected one among card, x"):
        guessed(csv(tmp_path / "a.csv", {"card": CARDS, "x": SHOPS}))
    with pytest.raises(DataError, match="no column names who pays"):
        guessed(csv(tmp_path / "a.csv", {"time": clock("%Y-%m-%d %H:%M:%S"), "amount": AMOUNTS}))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (AMOUNTS, "number"),
        (["a", "b"] * 200, "category"),
        ([f"10.0.0.{n % 90}" for n in range(ROWS)], "entity"),
        ([f"text {n}" for n in range(ROWS)], "text"),
        (clock("%Y-%m-%d %H:%M:%S"), "time"),
    ],
)
def test_columns_left_over_are_sorted(values: list[Any], kind: str) -> None:
    assert kind_of(profile_of("x", values)) == kind


def inspected(*words: str) -> tuple[int, dict[str, Any], str]:
    result = CliRunner().invoke(app, ["inspect", *words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout.strip().splitlines()[-1]), result.output


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A file with a column that tells frauds, one that does not, a repeated id and a row that cannot be read."""
    times = clock("%m/%d/%Y %H:%M")
    times[7] = "soon"
    ids = [f"T{n}" for n in range(ROWS)]
    columns = {
        "trans_id": ids, "trans_time": times, "cc_num": CARDS, "merchant": SHOPS, "amt": AMOUNTS,
        "risk": ["high" if fraud else "low" for fraud in FRAUD], "noise": rng.integers(0, 3, ROWS).tolist(),
        "is_fraud": FRAUD,
    }  # fmt: skip
    return csv(tmp_path / "export.csv", columns)


def test_inspect_tells_rows_promise_and_what_to_run_next(export: Path) -> None:
    status, last, said = inspected(str(export), "--write-mapping", str(export.parent / "mine.toml"))
    assert (status, last["rows"], last["readable"], last["rejects"]) == (0, ROWS, ROWS - 1, {"time": 1})
    assert last["fraud_share"] == pytest.approx(sum(FRAUD[:7] + FRAUD[8:]) / (ROWS - 1))
    left = {one["name"]: one["ap"] for one in last["left"]}
    assert left["risk"] == 1.0
    assert left["noise"] < 0.6
    assert "next:" in said
    assert "fraud train" in said
    held = mapping.load(str(export.parent / "mine.toml"))
    assert (held.columns.card, held.columns.id, held.time.pattern) == ("cc_num", "trans_id", "%m/%d/%Y %H:%M")
    assert json.loads(json.dumps(text.changed(held))) == last["mapping"]


def test_mapping_that_was_written_is_read_back_and_used(export: Path) -> None:
    mine = str(export.parent / "mine.toml")
    guessed_first = inspected(str(export), "--write-mapping", mine)[1]
    again = inspected(str(export), "--mapping", mine)[1]
    assert {name: again[name] for name in ("rows", "readable", "rejects", "mapping", "left")} == {
        name: guessed_first[name] for name in ("rows", "readable", "rejects", "mapping", "left")
    }


def test_columns_left_over_are_written_as_own_ones_that_somebody_who_knows_them_takes_in(export: Path) -> None:
    mine = export.parent / "mine.toml"
    left = inspected(str(export), "--write-mapping", str(mine))[1]["left"]
    written = mine.read_text()
    assert not mapping.load(str(mine)).attrs.sources()["category"]
    assert '\n# [attrs.category]\n# risk = "risk"  # alone AP 1.000 on later days\n' in written
    mine.write_text(re.sub(r"(?m)^# (\[attrs|\w+ = )", r"\1", written))
    held = mapping.load(str(mine))
    kinds = {one["name"]: one["kind"] for one in left}
    wanted = {"number": {"number"}, "category": {"category", "entity"}}
    for kind, are in wanted.items():
        assert set(held.attrs.sources()[kind].values()) == {name for name in kinds if kinds[name] in are}
    assert inspected(str(export), "--mapping", str(mine))[1]["left"] == [
        one for one in left if one["kind"] in ("time", "text")
    ]


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("HS6 Code", "hs6_code"),
        ("Amount", "own_amount"),
        ("3ds", "c_3ds"),
        ("Größe", "gr_e"),
        ("log", "own_log"),
        ("", "c"),
    ],
)
def test_own_column_is_named_as_near_to_its_column_as_can_be(column: str, name: str) -> None:
    assert text.own_name(column) == name


def test_file_of_mostly_rejects_ends_with_status_1(export: Path) -> None:
    (export.parent / "mine.toml").write_text(
        '[columns]\ntime = "trans_time"\ncard = "cc_num"\n[time]\npattern = "%d.%m.%Y"\n'
    )
    assert inspected(str(export), "--mapping", str(export.parent / "mine.toml"))[0] == 1


def test_promise_goes_by_the_same_rows_where_one_cannot_be_told_apart(export: Path) -> None:
    lines = export.read_text(encoding="utf-8").splitlines()
    export.write_text("\n".join([*lines[:5], "torn", *lines[5:]]), encoding="utf-8")
    _, last, _ = inspected(str(export))
    assert last["rejects"] == {"time": 1, "fields": 1}
    assert {one["name"]: one["ap"] for one in last["left"]}["risk"] == 1.0
