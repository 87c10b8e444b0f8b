"""`fraud replay --state` killed by SIGKILL at any moment and started again ends as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from fraud.simulate import stream
from streaming.files import column_file

EVERY = 500
ANSWERS = ("events", "decisions", "alerts", "rejects", "sha256")
START = [sys.executable, "-m", "fraud.cli"]


class Job(NamedTuple):
    """One replay: where it writes."""

    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "decisions.jsonl"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def command(self, data: Path) -> list[str]:
        words = ["replay", "--data", str(data), "--label-delay", "2d", "--model", "demo", "--batch", "16", "--json"]
        where = ["--out", str(self.out), "--dead", str(self.folder / "dead.jsonl")]
        return [*START, *words, *where, "--state", str(self.state), "--every", str(EVERY)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of some thousand payments with labels."""
    path = tmp_path_factory.mktemp("data") / "traffic.parquet"
    column_file.write(path, stream("fdh").make(cards=400, terminals=200, radius=15, days=12).columns())
    return path


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Job]:
    """Return the last line of a run that was never cut off, and the run."""
    job = Job(tmp_path_factory.mktemp("whole"))
    return finished(job, data), job


def finished(job: Job, data: Path) -> dict[str, Any]:
    """Run a job to its end; return its last line."""
    done = subprocess.run(job.command(data), capture_output=True, text=True, check=True)
    last: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return last


def snapshots(job: Job) -> set[str]:
    return {path.name for path in job.state.glob("*.snapshot")}


def killed(job: Job, data: Path, more: int, rng: np.random.Generator) -> bool:
    """Start a job, kill it a moment after it has written `more` snapshots; tell whether it still ran.

    The moment is up to 60 looks at the folder, so that it is hit anywhere: reading, writing, saving.
    """
    before, seen, looks = snapshots(job), set[str](), int(rng.integers(60))
    with subprocess.Popen(job.command(data), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and (len(seen) < more or looks > 0):
            time.sleep(0.001)
            looks -= len(seen) >= more
            seen |= snapshots(job) - before
        os.kill(process.pid, signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def test_killed_replay_goes_on_to_the_same_digest_and_file(
    data: Path, whole: tuple[dict[str, Any], Job], tmp_path: Path
) -> None:
    expected, uninterrupted = whole
    job, rng = Job(tmp_path), np.random.default_rng(7)
    assert all([killed(job, data, more, rng) for more in (1, 2, 3)])
    assert not job.out.exists()
    last = finished(job, data)
    assert {name: last[name] for name in ANSWERS} == {name: expected[name] for name in ANSWERS}
    assert job.out.read_bytes() == uninterrupted.out.read_bytes()
