"""`fraud evaluate --protocol prequential --learn`: figures of the very decisions, told by the file or by labels."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from fraud.cli import app
from fraud.cli.prequential import Asked, seen
from fraud.core import metrics
from fraud.core.errors import FraudError
from fraud.training import prequential
from models import registry
from streaming.files.labels import LabelFile
from streaming.files.table import Table
from streaming.files.values import mapping


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with payments and their labels."""
    folder = tmp_path_factory.mktemp("made")
    words = [
        "--set",
        "fraud_share=0.08",
        "--set",
        "chargeback_days=2",
        "--set",
        "day=8",
        "--cards",
        "60",
        "--days",
        "16",
    ]
    files = ["--out", str(folder / "data.parquet"), "--labels-out", str(folder / "labels.csv")]
    assert call("simulate", "--stream", "shift", *files, *words)["frauds"] > 50
    return folder


def call(*words: str) -> dict[str, Any]:
    """Run a command; return its last line."""
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def evaluated(made: Path, *words: str) -> dict[str, Any]:
    common = ["--protocol", "prequential", "--learn", "--every", "2h", "--models-from", "demo-young", "--json"]
    return call("evaluate", "--data", str(made / "data.parquet"), "--split", "0.3", *common, *words)


@pytest.fixture(scope="module")
def found(made: Path) -> dict[str, Any]:
    return evaluated(made, "--label-delay", "1d", "--plots", str(made / "pictures"))


def test_all_figures_are_there_and_rest_on_the_payments_after_the_split(made: Path, found: dict[str, Any]) -> None:
    rows = Table(made / "data.parquet", mapping.load("native")).count()
    assert found["payments"] == pytest.approx(0.7 * (rows or 0), abs=2)
    assert sum(week["rows"] for week in found["weeks"]) == found["payments"]
    for name in ("gain", "interval", "log_loss", "slope", "top_1pct", "gate", "guard", "refreshes", "held"):
        assert name in found
    assert found["refreshes"] > 0
    assert found["model"].startswith("demo-young@")


def test_frozen_figures_are_those_of_the_model_alone(made: Path, found: dict[str, Any]) -> None:
    out = made / "alone.jsonl"
    words = ["--label-delay", "1d", "--model", "demo-young", "--out", str(out), "--dead", str(made / "dead.jsonl")]
    # the gate lets features see labels up to a period later, so it is on here too
    made.joinpath("fraud.toml").write_text('[gate]\nenabled = true\n[refresh]\nevery = "2h"\n')
    call("replay", "--data", str(made / "data.parquet"), "--settings", str(made / "fraud.toml"), "--json", *words)
    truth = prequential.truths(Table(made / "data.parquet", mapping.load("native")).rows(), 0)
    ready = prequential.ready_at(truth, 0.3)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    after = [row for row in rows if prequential_time(row) >= ready]
    fraud = np.array([truth.by_id[row["tx_id"]].fraud for row in after])
    p = np.array([row["model_score"] for row in after])
    assert len(after) == found["payments"]
    assert found["pooled"][0] == pytest.approx(metrics.average_precision(fraud, p), abs=0.02)


def prequential_time(row: dict[str, Any]) -> int:
    """Return when the payment of a decision was made, ns."""
    from streaming.messages.times import from_text

    at = row["happened_at"]
    return at if isinstance(at, int) else from_text(at)


def test_pictures_are_drawn(made: Path, found: dict[str, Any]) -> None:
    del found
    drawn = {path.name for path in (made / "pictures").iterdir()}
    assert {"weeks.png", "gain.png", "calibration.png", "precision_recall.png"} <= drawn


def test_labels_with_their_own_times_are_taken_and_figures_as_known_differ(made: Path) -> None:
    found = evaluated(made, "--labels", str(made / "labels.csv"))
    known = found["as_known"]
    assert 0 < known["told_share"][0] < 1
    assert known["refreshed"]["fraud_share_corrected"] > known["refreshed"]["fraud_share_naive"]


def test_model_that_has_seen_what_it_is_judged_by_is_refused(made: Path, tmp_path: Path) -> None:
    data, toml = str(made / "data.parquet"), tmp_path / "fraud.toml"
    toml.write_text(f'[gate]\nenabled = true\npatience = "7h"\n[model]\nfolder = "{tmp_path}"\n')
    words = ["--settings", str(toml), "--models", str(tmp_path), "--name", "mine", "--cache", str(tmp_path / "cache")]
    kept = call("train", "--data", data, "--label-delay", "1d", "--model", "booster", "--quick", *words)
    with pytest.raises(FraudError, match=f"none of them is in use: fraud models promote mine {kept['version']}"):
        registry.card_of(tmp_path, "mine")
    call("models", "promote", "mine", kept["version"], "--models", str(tmp_path))
    card = registry.card_of(tmp_path, "mine")
    assert (card.gate["patience"], card.gate["every"]) == ("7h", "1m")
    assert card.gate["merchant"]["alarm"] == 8
    common = ["--protocol", "prequential", "--learn", "--models-from", "mine", "--label-delay", "1d", "--every", "6h"]
    with pytest.raises(FraudError, match=r"--split 0.5 judges .* it has seen; take --split") as refused:
        call("evaluate", "--data", data, "--settings", str(toml), *common)
    split = re.findall(r"take --split (\S+)", str(refused.value))[0]
    found = call("evaluate", "--data", data, "--settings", str(toml), "--split", split, *common, "--json")
    assert found["model"] == f"mine@{card.version}"


@pytest.mark.parametrize(("until", "told"), [(0, "does not say how far"), (9, ""), (10, "of another file, and is")])
def test_model_that_may_have_seen_what_it_is_judged_by_is_told_of(made: Path, until: int, told: str) -> None:
    given = Asked(*[None] * len(Asked._fields))._replace(data=made / "data.parquet")  # type: ignore[arg-type]
    scorer = SimpleNamespace(version="mine@1", card=SimpleNamespace(until=until, data_hash="another"))
    said = seen(given, scorer, np.arange(20), ready=10)
    assert told in said
    assert bool(said) is bool(told)


def test_without_learn_it_says_what_is_missing(made: Path) -> None:
    with pytest.raises(FraudError, match="give --learn too"):
        call("evaluate", "--data", str(made / "data.parquet"), "--protocol", "prequential")


def test_truths_of_labels_are_the_last_that_is_no_silence(made: Path) -> None:
    rows = list(Table(made / "data.parquet", mapping.load("native")).rows())
    said = prequential.truths(rows, None, LabelFile(made / "labels.csv"))
    told = prequential.truths(rows, 0)
    assert len(said.by_id) == len(told.by_id)
    frauds = {name for name, one in said.by_id.items() if one.fraud}
    assert frauds <= {name for name, one in told.by_id.items() if one.fraud}
    assert len(frauds) > 30
