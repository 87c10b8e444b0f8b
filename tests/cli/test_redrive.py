"""`fraud dead redrive`: rows that could not be read, repaired and driven in again."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from fraud.cli import app

MAPPING = """
[columns]
time = "when"
card = "card"
merchant = "shop"
amount = "value"
currency = "money"
label = "fraud"
label_time = "told"
"""
CSV = """when,card,shop,value,money,fraud,told
2026-01-01T00:00:00,C1,M1,10.00,EUR,0,
2026-01-01T00:01:00,C1,M1,11.00,NOK,1,2026-01-03T00:00:00
2026-01-01T00:02:00,C1,M2,twelve,EUR,0,
2026-01-01T00:03:00,,M2,13.00,EUR,0,
"""


def call(*words: str) -> tuple[int, dict[str, Any], str]:
    """Run a command; return its exit status, last line and whole output."""
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, json.loads(result.stdout.strip().splitlines()[-1]), result.stdout


@pytest.fixture
def dead(tmp_path: Path) -> Path:
    """A dead-letter file with three letters, beside mine.csv and mine.toml."""
    (tmp_path / "mine.csv").write_text(CSV)
    (tmp_path / "mine.toml").write_text(MAPPING)
    file = tmp_path / "dead.jsonl"
    status, result, _ = call("replay", *where(tmp_path), "--dead", str(file))
    assert status == 1, "most rows are rejects"
    assert (result["decisions"], result["read"], sum(result["rejects"].values())) == (1, 4, 3)
    return file


def where(folder: Path) -> list[str]:
    return ["--data", str(folder / "mine.csv"), "--mapping", str(folder / "mine.toml")]


def redrive(dead: Path, *more: str) -> tuple[int, dict[str, Any], str]:
    return call("dead", "redrive", *more, *where(dead.parent), "--file", str(dead), "--out", str(out(dead)))


def out(dead: Path) -> Path:
    return dead.parent / "repaired.jsonl"


def test_redrive_without_a_repair_keeps_letters_dead_and_names_why(dead: Path) -> None:
    status, result, text = redrive(dead)
    assert (status, result) == (1, {"redriven": 0, "dead": 3})
    assert "row 3" in text
    assert "twelve" in text
    assert not out(dead).exists()


def test_redrive_after_a_rate_is_set_takes_the_row_with_its_label_and_number(dead: Path) -> None:
    settings = dead.parent / "fraud.toml"
    settings.write_text("[money.rates]\nNOK = 0.1\n")
    status, result, _ = redrive(dead, "mine.csv-0-1", "--settings", str(settings))
    assert (status, result) == (0, {"redriven": 1, "dead": 0})
    row = json.loads(out(dead).read_text())
    assert (row["id"], row["amount"], row["currency"], row["fraud"]) == ("R000000001", 1100, "NOK", "1")
    replay = ["--data", str(out(dead)), "--mapping", "redriven", "--settings", str(settings)]
    _, again, _ = call("replay", *replay, "--dead", str(dead.parent / "none.jsonl"))
    assert (again["events"], again["rejects"]) == (2, {})


def test_redrive_with_set_repairs_a_column_and_marks_the_letter(dead: Path) -> None:
    assert redrive(dead, "mine.csv-0-2", "--set", "value=12.00")[1] == {"redriven": 1, "dead": 0}
    assert redrive(dead, "--set", "card=C9", "--set", "money=EUR")[1] == {"redriven": 2, "dead": 0}
    assert redrive(dead)[1] == {"redriven": 0, "dead": 0}
    assert [json.loads(line)["card"] for line in out(dead).read_text().splitlines()] == ["C1", "C9", "C9"]


def test_redrive_as_other_text_reads_that_row(dead: Path) -> None:
    text = "2026-01-01T00:02:00,C1,M2,12.00,EUR,0,"
    assert redrive(dead, "mine.csv-0-2", "--as", text)[1]["redriven"] == 1
    assert json.loads(out(dead).read_text())["amount"] == 1200


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mine.csv-0-9"], "no letter 'mine.csv-0-9'"),
        (["--set", "valu=1"], "Did you mean 'value'?"),
        (["--set", "value"], "NAME=VALUE"),
        (["--as", "x"], "3 are chosen"),
    ],
)
def test_redrive_with_a_wrong_option_says_what_was_expected(dead: Path, words: list[str], said: str) -> None:
    options = [*words, *where(dead.parent), "--file", str(dead), "--out", str(out(dead))]
    result = CliRunner().invoke(app, ["dead", "redrive", *options])
    assert said in str(result.exception)
    assert not out(dead).exists()


def test_redrive_of_a_parquet_row_keeps_its_time(tmp_path: Path) -> None:
    when = pa.array([1_700_000_000_000_000_000], pa.timestamp("ns"))
    table = pa.table({"when": when, "card": ["C1"], "shop": [""], "value": [-1.0]})
    parquet.write_table(table, tmp_path / "mine.parquet")
    mapping = '[columns]\ntime = "when"\ncard = "card"\nmerchant = "shop"\namount = "value"\n'
    (tmp_path / "mine.toml").write_text(mapping)
    source = ["--data", str(tmp_path / "mine.parquet"), "--mapping", str(tmp_path / "mine.toml")]
    dead = tmp_path / "dead.jsonl"
    assert call("replay", *source, "--dead", str(dead))[1]["rejects"] == {"amount": 1}
    repair = ["--set", "shop=M1", "--set", "value=1"]
    place = ["--file", str(dead), "--out", str(out(dead))]
    assert call("dead", "redrive", *source, *repair, *place)[1]["redriven"] == 1
    assert json.loads(out(dead).read_text())["happened_at"] == 1_700_000_000_000_000_000


def test_letters_of_two_files_of_one_name_are_two(tmp_path: Path) -> None:
    dead, twelve = tmp_path / "dead.jsonl", {}
    for day, value in (("d1", "twelve"), ("d2", "much")):
        folder = tmp_path / day
        folder.mkdir()
        (folder / "mine.toml").write_text(MAPPING)
        (folder / "mine.csv").write_text(CSV.splitlines()[0] + f"\n2026-01-01T00:00:00,{day},M1,{value},EUR,0,\n")
        call("replay", *where(folder), "--dead", str(dead))
        twelve[day] = where(folder)
    repair = ["--file", str(dead), "--set", "value=99.99", "--out", str(out(dead))]
    ambiguous = CliRunner().invoke(app, ["dead", "redrive", *twelve["d2"], *repair, "mine.csv-0-0"])
    assert "is of 2 files of that name: expected mine.csv-0-0@" in str(ambiguous.exception)
    ids = [
        line.split()[0]
        for line in CliRunner().invoke(app, ["dead", "list", "--file", str(dead)]).stdout.splitlines()[:2]
    ]
    other = CliRunner().invoke(app, ["dead", "redrive", *twelve["d2"], *repair, ids[0]])
    assert "is of another file named mine.csv" in str(other.exception)
    assert call("dead", "redrive", *twelve["d2"], *repair)[1] == {"redriven": 1, "dead": 0}
    assert [json.loads(line)["card"] for line in out(dead).read_text().splitlines()] == ["d2"]
    assert "dead" in CliRunner().invoke(app, ["dead", "list", "--file", str(dead)]).stdout.splitlines()[0].split()[1]
