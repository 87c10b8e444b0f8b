"""A stranger's data, by the commands of the README: read, train, replay, evaluate, explain, dead letters."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from fraud.cli import app
from fraud.core.errors import SettingsError
from fraud.simulate import fdh

MAPPING = """
[columns]
time = "when"
card = "customer no"
merchant = "shop"
amount = "value"
label = "outcome"
id = "ref"

[label]
fraud = ["chargeback"]
genuine = ["ok"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV that no mapping ships for, and its mapping."""
    path = tmp_path_factory.mktemp("stranger")
    traffic = fdh.generate(fdh.Fdh(cards=150, terminals=300, days=60, seed=3, radius=15.0))
    with (path / "mine.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ref", "when", "customer no", "shop", "value", "outcome", "noise"])
        for tx, fraud in zip(traffic.transactions(), traffic.fraud.tolist(), strict=True):
            when = str(np.datetime64(tx.happened_at, "ns").astype("datetime64[s]"))
            outcome = "chargeback" if fraud else "ok"
            writer.writerow([tx.id, when, tx.card, tx.merchant, f"{tx.amount / 100:.2f}", outcome, "x"])
    (path / "mine.toml").write_text(MAPPING)
    return path


def call(folder: Path, *words: str) -> dict[str, Any]:
    """Run a command; return its last line."""
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    last: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return last


def source(folder: Path) -> list[str]:
    return ["--data", str(folder / "mine.csv"), "--mapping", str(folder / "mine.toml"), "--label-delay", "7d"]


@pytest.fixture(scope="module", params=["booster", "blend"])
def trained(folder: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the last line of a training; the model's name is that of its kind."""
    where = ["--models", str(folder / "models"), "--cache", str(folder / "cache"), "--no-plots", "--quick"]
    return call(folder, "train", *source(folder), "--model", request.param, "--name", request.param, *where)


def words(folder: Path, trained: dict[str, Any]) -> list[str]:
    return ["--model", trained["name"], "--models", str(folder / "models"), "--dead", str(folder / "dead.jsonl")]


def replayed(folder: Path, trained: dict[str, Any], *more: str) -> dict[str, Any]:
    return call(folder, "replay", *source(folder), *words(folder, trained), *more)


def test_stranger_trains_a_model(trained: dict[str, Any]) -> None:
    assert trained["name"] in {"booster", "blend"}
    assert trained["metrics"]["ap"] > 0.2


def test_trained_model_is_listed_and_shown(folder: Path, trained: dict[str, Any]) -> None:
    where = ["--models", str(folder / "models")]
    listed = CliRunner().invoke(app, ["models", "list", *where]).stdout
    assert any(trained["name"] in line and "7d late" in line for line in listed.splitlines()), listed
    shown = CliRunner().invoke(app, ["models", "show", trained["name"], *where]).stdout
    assert f'"version": "{trained["version"]}"' in shown


def test_replay_under_another_label_delay_warns(folder: Path, trained: dict[str, Any]) -> None:
    data = source(folder)[:-1]
    result = CliRunner().invoke(app, ["replay", *data, "1d", *words(folder, trained)], catch_exceptions=False)
    assert "was trained with labels 7d late, here they come 1d late" in result.stderr
    same = CliRunner().invoke(app, ["replay", *data, "7d", *words(folder, trained)], catch_exceptions=False)
    assert "warning" not in same.stderr


def test_model_trained_on_varied_delays_serves_them_without_a_warning(folder: Path) -> None:
    where = ["--models", str(folder / "models"), "--cache", str(folder / "cache"), "--no-plots", "--quick"]
    call(folder, "train", *source(folder), "--delay-spread", "0.3", "--name", "varied", *where)
    shown = CliRunner().invoke(app, ["models", "show", "varied", "--models", str(folder / "models")]).stdout
    assert '"label_spread": 0.3' in shown
    near = ["replay", *source(folder)[:-1], "6d", *words(folder, {"name": "varied"})]
    assert "warning" not in CliRunner().invoke(app, near, catch_exceptions=False).stderr


@pytest.mark.parametrize("spread", ["-0.1", "1", "nan"])
def test_spread_that_is_no_share_is_refused(folder: Path, spread: str) -> None:
    asked = ["train", *source(folder), f"--delay-spread={spread}", "--name", "x", "--cache", str(folder / "cache")]
    with pytest.raises(SettingsError, match="expected a share from 0 to below 1"):
        CliRunner().invoke(app, asked, catch_exceptions=False)


def test_replay_gives_the_same_digest_whatever_the_batch(folder: Path, trained: dict[str, Any]) -> None:
    first = replayed(folder, trained, "--batch", "32")
    second = replayed(folder, trained, "--batch", "5")
    assert first["decisions"] > 10_000
    assert first["alerts"] > 0
    assert first["sha256"] == second["sha256"]


def test_replay_that_was_cut_off_goes_on_to_the_same_digest(folder: Path, trained: dict[str, Any]) -> None:
    whole = replayed(folder, trained)
    kept_in = folder / f"state-{trained['name']}"
    state = ["--state", str(kept_in), "--every", "3000"]
    kept = replayed(folder, trained, *state)
    again = replayed(folder, trained, *state)
    assert kept["sha256"] == again["sha256"] == whole["sha256"]
    assert list(kept_in.glob("*.snapshot"))


def test_explain_shows_the_stored_reasons(folder: Path, trained: dict[str, Any]) -> None:
    replayed(folder, trained, "--out", str(folder / "d.jsonl"))
    lines = [json.loads(line) for line in (folder / "d.jsonl").read_text().splitlines()]
    alert = next(line for line in lines if line["action"] != "approve" and line["reasons"])
    shown = call(folder, "explain", alert["tx_id"], "--decisions", str(folder / "d.jsonl"))
    assert shown["reasons"] == alert["reasons"]


def test_evaluate_judges_on_what_came_after(folder: Path) -> None:
    result = call(folder, "evaluate", *source(folder), "--cache", str(folder / "cache"), "--quick", "--json")
    assert set(result["mean"]) == {"ap", "auc", "cp100", "recall_at_1pct"}
    assert result["mean"]["auc"] > 0.6


BROKEN = """ref,when,customer no,shop,value,outcome,noise
A1,2026-01-01T00:00:00,C1,M1,10.00,ok,x
A2,2026-01-01T00:00:01,C1,M1
A3,yesterday,C1,M1,10.00,ok,x
A4,2026-01-01T00:00:03,,M1,10.00,ok,x
A5,2026-01-01T00:00:04,C1,M1,ten,ok,x
A6,2026-01-01T00:00:05,C1,M1,-3,ok,x
A7,2026-01-01T00:00:06,C1,M1,99999999999,ok,x
A8,3026-01-01T00:00:06,C1,M1,1.00,ok,x
A9,2026-01-01T00:00:07,C1,M1,7.50,chargeback,x
"""


def test_broken_rows_are_named_and_kept(folder: Path) -> None:
    (folder / "broken.csv").write_text(BROKEN)
    dead = folder / "broken-dead.jsonl"
    options = ["--data", str(folder / "broken.csv"), "--mapping", str(folder / "mine.toml"), "--dead", str(dead)]
    result = call(folder, "replay", *options, "--label-delay", "none")
    assert (result["decisions"], result["rejects"]) == (2, 7)
    listed = CliRunner().invoke(app, ["dead", "list", "--file", str(dead)]).stdout
    for row, word in (
        (2, "fields"),
        (3, "yesterday"),
        (4, "card"),
        (5, "ten"),
        (6, "-3"),
        (7, "99999999999"),
        (8, "3026"),
    ):
        assert any(f"row {row}:" in line and word in line for line in listed.splitlines()), (row, listed)
    shown = CliRunner().invoke(app, ["dead", "show", "broken.csv-0-4", "--file", str(dead)]).stdout
    assert BROKEN.splitlines()[5] in shown
