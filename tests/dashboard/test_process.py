"""The console as a process: its first line, the first account, death at any moment, commands beside it."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.dashboard.consoles import set_up, started
from tests.tree import ROOT


def paths(folder: Path) -> list[str]:
    return ["--database", f"sqlite:///{folder / 'console.db'}", "--keys", str(folder / "keys")]


def topics(folder: Path) -> tuple[str, str]:
    """Return the words that name an empty folder of topics."""
    return "--feed", str(folder / "topics")


def command(folder: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "fraud", "console", *paths(folder), *more],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_console_that_is_killed_goes_on_with_its_accounts_and_its_log(tmp_path: Path) -> None:
    with started(*paths(tmp_path), *topics(tmp_path)) as (process, told):
        client = set_up(told)
        assert client.get("/queue").status_code == 200
        assert client.get("/readyz").text == "ready\n"
        process.send_signal(signal.SIGKILL)
    with started(*paths(tmp_path), *topics(tmp_path)) as (_, again):
        assert again["set_up"] == ""
        client.base_url = httpx.URL(again["address"])
        assert client.get("/queue.json").json()["rows"] == []
        assert client.post("/sign-out").status_code == 403
        client.close()
    verified = audit(tmp_path)
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout.splitlines()[-1])["rows"] == 2


def audit(folder: Path) -> "subprocess.CompletedProcess[str]":
    call = [sys.executable, "-m", "fraud", "audit", "verify", *paths(folder), *topics(folder)]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_console_ends_with_whoever_started_it(tmp_path: Path) -> None:
    with started(*paths(tmp_path), *topics(tmp_path)) as (process, _):
        pass
    assert process.returncode == 0 or -process.returncode == signal.SIGTERM


@pytest.mark.slow
def test_commands_make_tables_and_invites(tmp_path: Path) -> None:
    assert command(tmp_path, "migrate").returncode == 0
    made = command(tmp_path, "invite", "--role", "lead", "--email", "lea@example.org")
    told: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    assert told["link"].startswith("http://127.0.0.1:8600/invite/")
    assert (told["role"], told["email"]) == ("lead", "lea@example.org")
    refused = command(tmp_path, "invite", "--role", "boss")
    assert refused.returncode == 2
    assert "expected viewer, analyst, lead or admin" in refused.stderr


@pytest.mark.slow
def test_help_says_where_passwords_and_tls_belong(tmp_path: Path) -> None:
    told = " ".join(command(tmp_path, "--help").stdout.split())
    assert "kafka.client" in told
    assert "FRAUD_CONSOLE__DATABASE" in told
