"""The product from Python: the same rows, vectors, decisions and words as by the commands."""

import json
import math
import runpy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from fraud import api
from fraud.cli import app
from fraud.core.errors import DataError, MappingError, SettingsError
from fraud.simulate import fdh
from streaming.files import column_file

ROOT = Path(__file__).parents[2]
ONE: dict[str, Any] = {"id": "A", "card": "C", "merchant": "M", "amount": 1_000, "happened_at": "2026-01-31T12:00:00Z"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history of the handbook's process, as a CSV."""
    path = tmp_path_factory.mktemp("api") / "p.csv"
    column_file.write(path, fdh.generate(fdh.Fdh(cards=60, terminals=120, days=40, seed=3, radius=15.0)).columns())
    return path


@pytest.fixture(scope="module")
def payments(file: Path) -> pd.DataFrame:
    return api.read(file)


def call(*words: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    last: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return last


def test_read_gives_every_payment_in_order_with_its_verdict(file: Path, payments: pd.DataFrame) -> None:
    lines = file.read_text().splitlines()
    assert len(payments) == len(lines) - 1 > 1_000
    assert payments["happened_at"].is_monotonic_increasing
    assert str(payments["happened_at"].dtype).endswith("UTC]")
    assert 0 < payments["fraud"].sum() < len(payments)
    assert payments.attrs["account"] == {"read": len(payments), "rejects": {}, "unlabelled": 0}


def test_read_tells_what_was_refused_and_takes_nothing_where_most_rows_were(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('[columns]\ntime = "t"\ncard = "c"\namount = "a"\n')
    (tmp_path / "some.csv").write_text("t,c,a\n2026-01-01,C,1\n2026-01-02,C,2\n2026-01-03,C,ten\n")
    (tmp_path / "most.csv").write_text("t,c,a\n2026-01-01,C,1\n2026-01-02,C,x\n2026-01-03,C,ten\n")
    some = api.read(tmp_path / "some.csv", str(tmp_path / "m.toml"))
    assert (len(some), some.attrs["account"]["rejects"]) == (2, {"amount": 1})
    assert some["fraud"].isna().all()
    with pytest.raises(DataError, match=r"most rows cannot be used.*rejected for amount: 2"):
        api.read(tmp_path / "most.csv", str(tmp_path / "m.toml"))
    with pytest.raises(MappingError):
        api.read(tmp_path / "some.csv", "fdh")


def test_features_are_those_that_models_are_fitted_on_and_that_export_writes(file: Path, tmp_path: Path) -> None:
    made = api.features(file, label_delay="7d", cache=tmp_path / "cache")
    out = tmp_path / "v.parquet"
    call("models", "export", "--data", str(file), "--out", str(out), "--cache", str(tmp_path / "other"))
    written = parquet.read_table(out).to_pandas()
    assert written["tx_id"].tolist() == made.index.tolist() == api.read(file)["id"].tolist()
    names = [name for name in written.columns if name.startswith("f_")]
    assert [name[2:] for name in names] == made.columns[2:].tolist()
    np.testing.assert_array_equal(written[names].to_numpy(), made.iloc[:, 2:].to_numpy())
    assert (written["fraud"].to_numpy() == made["fraud"].to_numpy(dtype=int)).all()


def test_scores_of_many_are_those_of_a_replay(file: Path, payments: pd.DataFrame, tmp_path: Path) -> None:
    made = api.Scorer("demo").score_many(payments)
    out = tmp_path / "d.jsonl"
    how = ["--label-delay", "none", "--model", "demo", "--out", str(out), "--dead", str(tmp_path / "dead.jsonl")]
    call("replay", "--data", str(file), *how)
    rows = {one["tx_id"]: one for one in map(json.loads, out.read_text().splitlines())}
    assert made.index.tolist() == list(rows)
    assert made["score"].tolist() == [one["score"] for one in rows.values()]
    assert made["action"].tolist() == [one["action"] for one in rows.values()]
    assert made["reasons"].tolist() == [[r["code"] for r in one["reasons"]] for one in rows.values()]


def test_scores_one_payment_after_another_and_explains_whatever_was_decided(payments: pd.DataFrame) -> None:
    scorer = api.Scorer("demo")
    made = scorer.score_many(payments)
    held = made[made["action"] != "approve"]
    assert [one.code for one in scorer.explain(held.index[0])] == held["reasons"].iloc[0]
    approved = made[made["action"] == "approve"].index
    assert any(scorer.explain(name) for name in approved)
    last = payments.iloc[-1]
    later = {**ONE, "card": last["card"], "merchant": last["merchant"], "happened_at": last["happened_at"]}
    assert scorer.score(later).tx_id == "A"
    assert scorer.vector("A")["card_count_30d"] > 0
    assert math.isnan(scorer.vector(made.index[0])["card_since_first"])


@pytest.mark.parametrize(
    "when",
    [
        1_769_860_800_000_000_000,
        np.datetime64("2026-01-31T12:00:00"),
        pd.Timestamp("2026-01-31T13:00:00+01:00"),
        datetime(2026, 1, 31, 12, tzinfo=UTC),
        "2026-01-31T12:00:00Z",
    ],
)
def test_times_of_all_kinds_are_the_same_moment(when: object) -> None:
    assert api.Scorer("rules").score({**ONE, "happened_at": when}).happened_at == 1_769_860_800_000_000_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"amount": -1}, "amount"),
        ({"card": ""}, "card"),
        ({"happened_at": "soon"}, "happened_at is 'soon'"),
        ({"happened_at": None}, "happened_at"),
        ({"happened_at": pd.Timestamp("2026-01-31")}, "without a zone"),
        ({"currency": "XXX"}, "currency"),
    ],
)
def test_payment_that_the_wire_refuses_is_refused_in_words(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        api.Scorer("rules").score({**ONE, **change})


def test_payment_that_was_not_scored_has_no_reasons() -> None:
    for asked in (api.Scorer("rules").explain, api.Scorer("rules").vector):
        with pytest.raises(DataError, match="'A' was not scored here"):
            asked("A")


def test_label_delay_that_is_none_is_refused(file: Path) -> None:
    with pytest.raises(SettingsError, match="label_delay"):
        api.features(file, label_delay="soon")


def test_example_runs_and_evaluates(capsys: pytest.CaptureFixture[str]) -> None:
    found = runpy.run_path(str(ROOT / "docs" / "example.py"))
    assert len(found["decisions"]) == len(found["payments"]) == len(found["features"])
    assert found["result"]["mean"]["auc"] > 0.6
    said = capsys.readouterr().out
    assert f"{found['worst']}: " in said
    assert "new-1: " in said
