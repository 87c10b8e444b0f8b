"""The console as a process: its first line, the first account, death at any moment, commands beside it."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.tree import ROOT

PASSWORD = "correct horse battery"


def words(folder: Path, *more: str) -> list[str]:
    paths = ["--database", f"sqlite:///{folder / 'console.db'}", "--keys", str(folder / "keys")]
    return [sys.executable, "-m", "fraud", "console", *paths, *more]


@contextmanager
def console(folder: Path, *more: str) -> Iterator[tuple["subprocess.Popen[bytes]", dict[str, str]]]:
    """Run a console on an empty folder of topics; yield it with its first line."""
    process = subprocess.Popen(
        [*words(folder, "--feed", str(folder / "topics"), "--port", "0", "--tied", *more)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def command(folder: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words(folder, *more), cwd=ROOT, capture_output=True, text=True, check=False)


def set_up(told: dict[str, str]) -> httpx.Client:
    """Make the first account by the link, and return who is signed in with it."""
    client = httpx.Client(base_url=told["address"])
    csrf = re.search(r'name="csrf" value="([\w-]+)"', client.get(told["set_up"]).text)
    assert csrf is not None
    form = {"name": "Ada", "email": "ada@example.org", "password": PASSWORD, "csrf": csrf[1]}
    answer = client.post(told["set_up"], data=form, headers={"origin": told["address"]})
    assert answer.status_code == 303, answer.text
    return client


@pytest.mark.slow
def test_console_that_is_killed_goes_on_with_its_accounts_and_its_log(tmp_path: Path) -> None:
    with console(tmp_path) as (process, told):
        client = set_up(told)
        assert client.get("/queue").status_code == 200
        assert client.get("/readyz").text == "ready\n"
        process.send_signal(signal.SIGKILL)
    with console(tmp_path) as (_, again):
        assert again["set_up"] == ""
        client.base_url = httpx.URL(again["address"])
        assert client.get("/queue.json").json()["rows"] == []
        assert client.post("/sign-out").status_code == 403
        client.close()
    verified = audit(tmp_path)
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout.splitlines()[-1])["rows"] == 2


def audit(folder: Path) -> "subprocess.CompletedProcess[str]":
    paths = ["--database", f"sqlite:///{folder / 'console.db'}", "--keys", str(folder / "keys")]
    call = [sys.executable, "-m", "fraud", "audit", "verify", *paths, "--feed", str(folder / "topics")]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_console_ends_with_whoever_started_it(tmp_path: Path) -> None:
    with console(tmp_path) as (process, _):
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
