"""Learning until a day and deciding from it on: what is decided was never seen, and what was seen is told of."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fraud.cli import app
from fraud.core.records import DAY
from fraud.simulate import fdh
from streaming.files import column_file

DAYS, DAY_OF_TEST = 60, 45
START = fdh.Fdh().start
WHEN = "2018-05-16"


def call(*words: str) -> tuple[dict[str, Any], str]:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.strip().splitlines()[-1]), result.output


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a history, and a model that was trained until a day."""
    folder = tmp_path_factory.mktemp("unseen")
    traffic = fdh.generate(fdh.Fdh(cards=150, terminals=200, days=DAYS, seed=3, radius=20.0))
    column_file.write(folder / "p.parquet", traffic.columns())
    words = ["--until", WHEN, "--name", "mine", "--quick", "--no-plots", "--label-delay", "1d", "--seed", "1"]
    call("train", *source(folder), *words, "--cache", str(folder / "cache"), "--runs", str(folder / "runs"))
    return folder


def source(folder: Path) -> list[str]:
    return ["--data", str(folder / "p.parquet"), "--models", str(folder / "models")]


def replayed(folder: Path, *more: str, out: str) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    file = folder / out
    last, said = call(
        "replay", *source(folder), "--label-delay", "1d", "--model", "mine", "--out", str(file), "--dead",
        str(folder / "dead"), *more,
    )  # fmt: skip
    return [json.loads(line) for line in file.read_text().splitlines()], last, said


def version(folder: Path) -> dict[str, Any]:
    (held,) = [path for path in (folder / "models" / "mine").iterdir() if path.is_dir()]
    card: dict[str, Any] = json.loads((held / "card.json").read_text())
    return card


def test_model_learns_nothing_of_what_was_not_known_on_the_day(site: Path) -> None:
    assert START + 30 * DAY < version(site)["until"] <= START + (DAY_OF_TEST - 1) * DAY


def test_replay_from_a_day_decides_what_comes_after_as_a_whole_replay_would(site: Path) -> None:
    whole, last_of_whole, said_of_whole = replayed(site, out="whole.jsonl")
    later, last, said = replayed(site, "--from", WHEN, out="later.jsonl")
    after = [one for one in whole if one["happened_at"] >= START + DAY_OF_TEST * DAY]
    assert 0 < len(later) < len(whole)
    assert [(one["tx_id"], one["score"], one["reasons"]) for one in later] == [
        (one["tx_id"], one["score"], one["reasons"]) for one in after
    ]
    assert last["absorbed"] + last["decisions"] == last_of_whole["decisions"]
    assert "was fitted on payments of this file" in said_of_whole
    assert "was fitted" not in said


def test_moment_that_is_none_is_refused(site: Path) -> None:
    result = CliRunner().invoke(app, ["replay", *source(site), "--from", "soon"])
    assert "--from soon: expected a day or a time" in str(result.exception)
