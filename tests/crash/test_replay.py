"""A replay that breaks off leaves no half file, and what it goes on to write is the whole one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pyarrow import parquet

from fraud.core.errors import StateError
from fraud.core.records import DAY
from fraud.core.settings import PathsSection, Settings
from fraud.simulate import stream
from streaming import wiring
from streaming.files import column_file
from streaming.files.spool import NAME
from streaming.replay.job import Replay, Request


class BrokeOffError(Exception):
    """What a test throws in the middle of a run."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of some payments with labels."""
    path = tmp_path_factory.mktemp("data") / "traffic.parquet"
    column_file.write(path, stream("fdh").make(cards=60, terminals=60, radius=30, days=6).columns())
    return path


def replay(data: Path, folder: Path, out: str | None, state: bool = True) -> Replay:
    settings = msgspec.structs.replace(Settings(), paths=PathsSection(dead=str(folder / "dead.jsonl")))
    return wiring.replay(
        Request(
            data=data,
            mapping="native",
            delay=2 * DAY,
            settings=settings,
            out=folder / out if out else None,
            state=folder / "state" if state else None,
            every=100,
        )
    )


def breaking_at(events: int) -> Callable[[int], None]:
    def step(done: int) -> None:
        if done >= events:
            raise BrokeOffError

    return step


def broken_off(job: Replay, events: int) -> None:
    with pytest.raises(BrokeOffError):
        job.run(breaking_at(events))


def content(path: Path) -> Any:
    return parquet.read_table(path).to_pylist() if path.suffix == ".parquet" else path.read_bytes()


@pytest.mark.parametrize("out", ["decisions.jsonl", "decisions.parquet"])
def test_replay_broken_off_twice_ends_with_the_whole_file(data: Path, tmp_path: Path, out: str) -> None:
    expected = replay(data, tmp_path / "whole", out, state=False).run(lambda done: None)
    for events in (150, 420):
        broken_off(replay(data, tmp_path, out), events)
        assert not (tmp_path / out).exists()
    last = replay(data, tmp_path, out).run(lambda done: None)
    assert last["sha256"] == expected["sha256"]
    assert content(tmp_path / out) == content(tmp_path / "whole" / out)
    assert len(content(tmp_path / out)) >= last["decisions"] > 300


def test_replay_run_again_after_its_end_writes_the_same_file(data: Path, tmp_path: Path) -> None:
    replay(data, tmp_path, "one.jsonl").run(lambda done: None)
    replay(data, tmp_path, "two.jsonl").run(lambda done: None)
    assert content(tmp_path / "one.jsonl") == content(tmp_path / "two.jsonl")


def test_replay_without_state_that_breaks_off_leaves_no_file_of_that_name(data: Path, tmp_path: Path) -> None:
    broken_off(replay(data, tmp_path, "decisions.jsonl", state=False), 150)
    assert not (tmp_path / "decisions.jsonl").exists()


def test_replay_that_began_without_out_refuses_it_later(data: Path, tmp_path: Path) -> None:
    broken_off(replay(data, tmp_path, None), 250)
    with pytest.raises(StateError, match="leave --out out or use another --state folder"):
        replay(data, tmp_path, "decisions.jsonl").run(lambda done: None)


def test_replay_whose_spool_was_removed_says_so(data: Path, tmp_path: Path) -> None:
    broken_off(replay(data, tmp_path, "decisions.jsonl"), 250)
    (tmp_path / "state" / NAME).unlink()
    with pytest.raises(StateError, match="the file was removed"):
        replay(data, tmp_path, "decisions.jsonl").run(lambda done: None)
