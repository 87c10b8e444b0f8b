"""Labels with their own times and sources: written by `fraud simulate`, taken in by `fraud replay` when they say."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fraud.cli import app
from fraud.core.errors import FraudError
from fraud.core.records import DAY, Arrival, Label
from streaming.replay import job
from streaming.run import run

MAPPED = ["--mapping", "native"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with payments, and their labels as CSV and as Parquet."""
    folder = tmp_path_factory.mktemp("made")
    for suffix in (".csv", ".parquet"):
        words = ["--out", str(folder / "data.parquet"), "--labels-out", str(folder / f"labels{suffix}")]
        words += ["--set", "fraud_share=0.1", "--set", "chargeback_days=2", "--cards", "60", "--days", "12"]
        last = call("simulate", "--stream", "rich", *words)
        assert last["labels_file"].endswith(f"labels{suffix}")
        assert last["labels"] > 50
    return folder


def call(*words: str) -> dict[str, Any]:
    """Run a command; return its last line."""
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def replay(made: Path, *words: str) -> dict[str, Any]:
    dead = ["--dead", str(made / "dead.jsonl")]
    return call("replay", "--data", str(made / "data.parquet"), "--model", "demo", "--json", *dead, *words)


def labels(made: Path, suffix: str = ".csv") -> list[str]:
    return ["--labels", str(made / f"labels{suffix}")]


def test_replay_takes_every_label_of_the_file_and_none_of_the_data(made: Path) -> None:
    without = replay(made, "--label-delay", "none")
    given = replay(made, *labels(made))
    count = len((made / "labels.csv").read_text().splitlines()) - 1
    assert given["events"] == without["events"] + count
    assert given["sha256"] != without["sha256"]


def test_replay_is_the_same_for_every_kind_of_file_and_batch(made: Path) -> None:
    whole = replay(made, *labels(made))
    for words in (labels(made, ".parquet"), [*labels(made), "--batch", "1"], [*labels(made), "--batch", "500"]):
        assert replay(made, *words)["sha256"] == whole["sha256"]


def test_replay_goes_by_the_times_of_the_file(made: Path, tmp_path: Path) -> None:
    """The same verdicts, known ten days later, are another history."""
    head, *rows = (made / "labels.csv").read_text().splitlines()
    names = [name.strip('"') for name in head.split(",")]
    at, seen = names.index("happened_at"), names.index("seen_at")
    moved = []
    for row in rows:
        cells = row.split(",")
        for place in (at, seen):
            cells[place] = str(int(cells[place]) + 10 * DAY)
        moved.append(",".join(cells))
    (tmp_path / "late.csv").write_text("\n".join([head, *moved]))
    assert replay(made, "--labels", str(tmp_path / "late.csv"))["sha256"] != replay(made, *labels(made))["sha256"]


def test_labels_of_a_replay_keep_their_sources_and_come_in_order_of_time(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrivals: list[Arrival] = []
    whole = run

    def noting(source: Any, engine: Any, sink: Any, between: Any) -> None:
        def noted(intake: Any, answers: Any) -> bool:
            arrivals.extend(intake.arrivals)
            return bool(between(intake, answers))

        whole(source, engine, sink, noted)

    monkeypatch.setattr("streaming.replay.job.run", noting)
    replay(made, *labels(made))
    seen = [arrival.event.seen_at for arrival in arrivals]
    assert seen == sorted(seen)
    told = [arrival.event for arrival in arrivals if isinstance(arrival.event, Label)]
    assert {label.source.value for label in told} == {"analyst", "chargeback"}
    assert {label.verdict.value for label in told} == {"fraud", "genuine"}


def test_replay_with_labels_that_was_cut_off_goes_on_and_gives_the_same_answer(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CutOffError(Exception):
        """What a test throws in the middle of a run."""

    def cut(self: job.Replay, source: Any, step: Any, intake: Any) -> bool:
        result = between(self, source, step, intake)
        if source.read_items > 900:
            raise CutOffError
        return result

    between = job.Replay._between
    words = [*labels(made), "--state", str(tmp_path / "state"), "--every", "200"]
    monkeypatch.setattr(job.Replay, "_between", cut)
    with pytest.raises(CutOffError):
        replay(made, *words)
    monkeypatch.setattr(job.Replay, "_between", between)
    assert replay(made, *words)["sha256"] == replay(made, *labels(made))["sha256"]
    with pytest.raises(FraudError, match="holds snapshots of another replay"):
        replay(made, *labels(made, ".parquet"), "--state", str(tmp_path / "state"))


def test_replay_refuses_a_delay_beside_labels_with_times_of_their_own(made: Path) -> None:
    with pytest.raises(FraudError, match=r"--labels .* and --label-delay 1d both say when verdicts are known"):
        replay(made, *labels(made), "--label-delay", "1d")


def test_simulate_names_the_option_whose_file_has_an_unknown_suffix(tmp_path: Path) -> None:
    words = ["simulate", "--out", str(tmp_path / "a.csv"), "--cards", "50", "--days", "3", "--labels-out", "labels.txt"]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, FraudError)
    assert str(result.exception).startswith("--labels-out labels.txt: expected a name that ends in .parquet, .csv")
    assert not (tmp_path / "a.csv").exists()
