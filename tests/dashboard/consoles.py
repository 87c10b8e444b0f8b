"""`fraud console` as a process, and people who come to it by HTTP."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx

from tests.dashboard.site import PASSWORD
from tests.tree import ROOT


@contextmanager
def started(
    *words: str, environment: Mapping[str, str] | None = None
) -> Iterator[tuple["subprocess.Popen[bytes]", dict[str, str]]]:
    """Run a console until left, on any free port; yield it with its first line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fraud", "console", *words, "--port", "0", "--tied"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def set_up(told: Mapping[str, str]) -> httpx.Client:
    """Make the first account by the link, and return who is signed in with it."""
    client = httpx.Client(base_url=told["address"])
    csrf = re.search(r'name="csrf" value="([\w-]+)"', client.get(told["set_up"]).text)
    assert csrf is not None
    form = {"name": "Ada", "email": "ada@example.org", "password": PASSWORD, "csrf": csrf[1]}
    answer = client.post(told["set_up"], data=form, headers={"origin": told["address"]})
    assert answer.status_code == 303, answer.text
    return client


def figures(address: str) -> dict[str, int]:
    """Return what a console says of itself."""
    text = httpx.get(f"{address}/metrics").text
    return {name: int(value) for name, value in re.findall(r"^fraud_console_(\w+) (\d+)$", text, re.MULTILINE)}
