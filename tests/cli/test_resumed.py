"""A replay that is resumed goes on with the same content, whatever its files are called."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fraud.cli import app
from fraud.core.errors import StateError

MAPPING = '[columns]\nid = "id"\ntime = "t"\ncard = "c"\namount = "a"\n'
ROWS = [f"T{number},2026-01-{1 + number // 10:02d},C{number % 7},{number}.00" for number in range(1, 200)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file with its mapping, and a state that a replay of it has left."""
    (tmp_path / "m.toml").write_text(MAPPING)
    written(tmp_path / "a.csv", ROWS)
    replay(tmp_path)
    return tmp_path


def written(path: Path, rows: list[str]) -> None:
    path.write_text("\n".join(["id,t,c,a", *rows, ""]))


def replay(folder: Path, name: str = "a.csv", mapping: str = "m.toml") -> dict[str, Any]:
    words = ["replay", "--data", str(folder / name), "--mapping", str(folder / mapping), "--label-delay", "none"]
    words += ["--state", str(folder / "state"), "--every", "50", "--dead", str(folder / "dead.jsonl")]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    last: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return last


def test_same_content_under_other_names_goes_on(folder: Path) -> None:
    whole = replay(folder)["sha256"]
    (folder / "a.csv").rename(folder / "b.csv")
    (folder / "m.toml").rename(folder / "n.toml")
    assert replay(folder, "b.csv", "n.toml")["sha256"] == whole


def test_other_content_under_the_same_name_is_refused(folder: Path) -> None:
    written(folder / "a.csv", [*ROWS[:-1], ROWS[-1].replace(".00", ".01")])
    with pytest.raises(StateError, match="holds snapshots of another replay"):
        replay(folder)


def test_other_mapping_under_the_same_name_is_refused(folder: Path) -> None:
    (folder / "m.toml").write_text(MAPPING + '[amount]\nnegative = "refund"\n')
    with pytest.raises(StateError, match="holds snapshots of another replay"):
        replay(folder)
