"""`fraud simulate` of streams that know their optimum."""

import json
from pathlib import Path

import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from fraud.cli import app
from fraud.core import metrics


def _made(out: Path, *arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(app, ["simulate", "--out", str(out), "--days", "40", *arguments])
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(("stream", "cards"), [("long-memory", "12"), ("text", "60"), ("rings", "300")])
def test_simulate_writes_the_optimum_and_prints_its_average_precision(stream: str, cards: str, tmp_path: Path) -> None:
    out = tmp_path / "traffic.parquet"
    made = _made(out, "--stream", stream, "--cards", cards)
    table = parquet.read_table(out)
    fraud, optimum = table["fraud"].to_numpy(), table["optimum"].to_numpy()
    assert made["rows"] == len(optimum)
    assert made["optimum_ap"] == pytest.approx(metrics.average_precision(fraud, optimum), abs=1e-4)


def test_simulate_of_other_streams_says_nothing_of_an_optimum(tmp_path: Path) -> None:
    out = tmp_path / "traffic.parquet"
    assert _made(out, "--cards", "50").keys() == {"rows", "frauds", "file"}
    assert "optimum" not in parquet.read_table(out).column_names


def test_simulate_lists_every_stream(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["simulate", "--list"]).stdout
    assert all(f"\n{stream}: " in shown for stream in ("rich", "long-memory", "text", "rings"))
