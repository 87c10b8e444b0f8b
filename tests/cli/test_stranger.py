"""A stranger's data, by the commands of the README: read, train, replay, evaluate, explain, dead letters."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from fraud.cli import app
from fraud.core.errors import DataError, SettingsError
from fraud.core.settings import Settings
from fraud.simulate import fdh
from streaming.replay import snapshots

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
FIT = ["--quick", *(f"--set={part}.threads=1" for part in ("booster", "network"))]
FIT += [f"--set=network.{setting}" for setting in ("epochs=1", "encoder_steps=3", "width=16", "heads=2")]
"""A small fit of both parts."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV that no mapping ships for, the rows of a fifth of its cards and its first rows once more, its mapping."""
    path = tmp_path_factory.mktemp("stranger")
    traffic = fdh.generate(fdh.Fdh(cards=80, terminals=160, days=45, seed=3, radius=15.0))
    head, rows = ["ref", "when", "customer no", "shop", "value", "outcome", "noise"], []
    for tx, fraud in zip(traffic.transactions(), traffic.fraud.tolist(), strict=True):
        when = str(np.datetime64(tx.happened_at, "ns").astype("datetime64[s]"))
        outcome = "chargeback" if fraud else "ok"
        rows.append([tx.id, when, tx.card, tx.merchant, f"{tx.amount / 100:.2f}", outcome, "x"])
    cards = sorted({row[2] for row in rows})[::5]
    files = {"mine.csv": rows, "some.csv": [row for row in rows if row[2] in cards], "few.csv": rows[:200]}
    for name, chosen in files.items():
        with (path / name).open("w", newline="") as file:
            csv.writer(file).writerows([head, *chosen])
    (path / "mine.toml").write_text(MAPPING)
    return path


def call(folder: Path, *words: str, status: int = 0) -> dict[str, Any]:
    """Run a command; return its last line."""
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == status, result.output
    last: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return last


def source(folder: Path, name: str = "mine.csv", delay: str = "7d") -> list[str]:
    return ["--data", str(folder / name), "--mapping", str(folder / "mine.toml"), "--label-delay", delay]


@pytest.fixture(scope="module", params=["booster", "blend"])
def trained(folder: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the last line of a training; the model's name is that of its kind."""
    name = request.param
    return call(folder, "train", *source(folder), "--model", name, "--name", name, *where(folder))


@pytest.fixture(scope="module")
def whole(folder: Path, trained: dict[str, Any]) -> dict[str, Any]:
    """Return the last line of a replay that was left alone; its decisions lie in `decisions_of`."""
    return replayed(folder, trained, "--out", str(decisions_of(folder, trained)))


def decisions_of(folder: Path, trained: dict[str, Any]) -> Path:
    return folder / f"{trained['name']}.jsonl"


def where(folder: Path) -> list[str]:
    return ["--models", str(folder / "models"), "--cache", str(folder / "cache"), "--no-plots", *FIT]


def words(folder: Path, trained: dict[str, Any]) -> list[str]:
    return ["--model", trained["name"], "--models", str(folder / "models"), "--dead", str(folder / "dead.jsonl")]


def replayed(folder: Path, trained: dict[str, Any], *more: str) -> dict[str, Any]:
    return call(folder, "replay", *source(folder, "some.csv"), *words(folder, trained), *more)


def test_stranger_trains_a_model(trained: dict[str, Any]) -> None:
    assert trained["name"] in {"booster", "blend"}
    assert trained["metrics"]["ap"] > 0.6


def test_trained_model_is_listed_and_shown(folder: Path, trained: dict[str, Any]) -> None:
    models = ["--models", str(folder / "models")]
    listed = CliRunner().invoke(app, ["models", "list", *models]).stdout
    assert any(trained["name"] in line and "7d late" in line for line in listed.splitlines()), listed
    shown = CliRunner().invoke(app, ["models", "show", trained["name"], *models]).stdout
    assert f'"version": "{trained["version"]}"' in shown


def test_replay_under_another_label_delay_warns(folder: Path, trained: dict[str, Any]) -> None:
    said = {}
    for delay in ("1d", "7d"):
        replay = ["replay", *source(folder, "few.csv", delay), *words(folder, trained)]
        said[delay] = CliRunner().invoke(app, replay, catch_exceptions=False).stderr
    assert "was trained with labels 7d late, here they come 1d late" in said["1d"]
    assert "warning" not in said["7d"]


def test_model_trained_on_varied_delays_serves_them_without_a_warning(folder: Path) -> None:
    call(folder, "train", *source(folder), "--delay-spread", "0.3", "--name", "varied", *where(folder))
    shown = CliRunner().invoke(app, ["models", "show", "varied", "--models", str(folder / "models")]).stdout
    assert '"label_spread": 0.3' in shown
    for delay, warned in (("6d", False), ("1d", True)):
        replay = ["replay", *source(folder, "few.csv", delay), *words(folder, {"name": "varied"})]
        assert ("warning" in CliRunner().invoke(app, replay, catch_exceptions=False).stderr) is warned


@pytest.mark.parametrize("spread", ["-0.1", "1", "nan"])
def test_spread_that_is_no_share_is_refused(folder: Path, spread: str) -> None:
    asked = ["train", *source(folder), f"--delay-spread={spread}", "--name", "x", "--cache", str(folder / "cache")]
    with pytest.raises(SettingsError, match="expected a share from 0 to below 1"):
        CliRunner().invoke(app, asked, catch_exceptions=False)


def test_replay_gives_the_same_digest_whatever_the_batch(
    folder: Path, trained: dict[str, Any], whole: dict[str, Any]
) -> None:
    assert Settings().engine.batch != 5
    assert whole["decisions"] == len((folder / "some.csv").read_text().splitlines()) - 1 > 1_000
    assert whole["alerts"] > 100
    assert whole["sha256"] == replayed(folder, trained, "--batch", "5")["sha256"]


def test_replay_that_was_cut_off_goes_on_to_the_same_digest(
    folder: Path, trained: dict[str, Any], whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_in = folder / f"state-{trained['name']}"
    state = ["--state", str(kept_in), "--every", "300"]
    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "save", interrupted_after(3))
        cut = ["replay", *source(folder, "some.csv"), *words(folder, trained), *state]
        assert CliRunner().invoke(app, cut).exit_code != 0
    (first, last) = sorted(int(path.stem) for path in kept_in.glob("*.snapshot"))
    assert 300 < first < last < whole["events"] / 2
    again = replayed(folder, trained, *state)
    assert (again["decisions"], again["sha256"]) == (whole["decisions"], whole["sha256"])


def interrupted_after(count: int) -> Callable[[Path, Any], Path]:
    """Return what saves snapshots and, after so many, ends the run as Ctrl-C does."""
    save, done = snapshots.save, []

    def saved(folder: Path, snapshot: Any) -> Path:
        done.append(save(folder, snapshot))
        if len(done) == count:
            raise KeyboardInterrupt
        return done[-1]

    return saved


@pytest.mark.usefixtures("whole")
def test_explain_shows_the_stored_reasons(folder: Path, trained: dict[str, Any]) -> None:
    path = decisions_of(folder, trained)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    alert = next(line for line in lines if line["action"] != "approve" and line["reasons"])
    shown = call(folder, "explain", alert["tx_id"], "--decisions", str(path))
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
    result = call(folder, "replay", *options, "--label-delay", "none", status=1)
    assert (result["decisions"], sum(result["rejects"].values())) == (2, 7)
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


def test_explain_of_what_is_no_file_of_decisions_says_so(folder: Path) -> None:
    for name in ("mine.csv", "none.parquet"):
        (folder / "none.parquet").write_bytes(b"PAR1")
        result = CliRunner().invoke(app, ["explain", "T1", "--decisions", str(folder / name)])
        assert isinstance(result.exception, DataError)
        assert "holds no decisions" in str(result.exception)


def test_counts_below_one_are_refused_by_simulate(folder: Path) -> None:
    result = CliRunner().invoke(app, ["simulate", "--out", str(folder / "z.csv"), "--cards", "0"])
    assert result.exit_code == 2


def test_file_with_a_header_only_is_refused_in_words(folder: Path) -> None:
    (folder / "head.csv").write_text((folder / "mine.csv").read_text().splitlines()[0] + "\n")
    source = ["--data", str(folder / "head.csv"), "--mapping", str(folder / "mine.toml"), "--cache", str(folder / "c")]
    result = CliRunner().invoke(app, ["evaluate", *source])
    assert "the file holds no payment" in str(result.exception)
