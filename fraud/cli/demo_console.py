"""The console beside the demo: a process of its own, so that the latency that the demo tells is the path's own."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from fraud.cli import output
from fraud.cli.console import absent_libraries
from streaming.feeds.topic_log import TopicLog

DESK, RELEASES = "desk", "releases"
"""Below the log's folder: the console's database, its key, and what it says; and what was put in force."""
PORT = 8_600
PATIENCE_SECONDS = 5.0
WITHOUT = "No console: its libraries are not installed here (extra 'console'); everything else runs."
# Whoever watches a demo is alone: what waited for a second person would never leave.
ALONE = {
    "FRAUD_REVIEW__RULES_SECOND": "false", "FRAUD_REVIEW__FOUR_EYES_FROM": "0", "FRAUD_REVIEW__BLIND_SHARE": "0",
}  # fmt: skip


@contextmanager
def beside(log: Path, settings: Path | None, model: str) -> Iterator[None]:
    """Run a console on the log of the embedded engine while a block runs; without its libraries say so, and go on.

    A demo begins anew: the log is emptied first, for its payments have the same names each time, and so is what an
    earlier one has put in force, which would stand above the model that was asked for.

    Raises:
        DeliveryError: when another demo writes to that log.
    """
    TopicLog(log).empty()
    for left in (DESK, RELEASES):
        shutil.rmtree(log / left, ignore_errors=True)
    if absent_libraries():
        output.say(WITHOUT)
        yield
        return
    desk = log / DESK
    desk.mkdir(parents=True)
    shown = {"FRAUD_MODEL__NAME": model, "FRAUD_PATHS__RELEASES": str(log / RELEASES)} | (
        {"FRAUD_RULES__FILE": "default"} if settings is None else {}
    )
    with (desk / "console.log").open("ab") as said:
        process = subprocess.Popen(
            command(log, desk, settings), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said,
            env=os.environ | ALONE | shown,
        )  # fmt: skip
    threading.Thread(target=introduce, args=(process, desk), daemon=True).start()
    try:
        yield
    finally:
        end(process)


def command(log: Path, desk: Path, settings: Path | None) -> list[str]:
    """Return the command line of the console."""
    words = ["--feed", str(log), "--database", f"sqlite:///{desk / 'console.db'}", "--keys", str(desk), "--tied"]
    words += ["--port", str(free_port()), *(["--settings", str(settings)] if settings is not None else [])]
    return [sys.executable, "-m", "fraud", "console", *words]


def free_port() -> int:
    """Return the console's own port, or 0 for any other one where somebody has it."""
    try:
        with socket.create_server(("127.0.0.1", PORT)):
            return PORT
    except OSError:
        return 0


def introduce(process: "subprocess.Popen[bytes]", desk: Path) -> None:
    """Say where the console is, once it listens; or that it has ended, and where it says why."""
    line = process.stdout.readline() if process.stdout is not None else b""
    if not line:
        output.say(f"The console has ended; {desk / 'console.log'} says why. Everything else runs.")
        return
    told = msgspec.json.decode(line, type=dict[str, str])
    output.say(f"The console is at {told['address']}")
    output.say("Make your account there, once, within an hour:")
    output.err.print(told["set_up"], soft_wrap=True)


def end(process: "subprocess.Popen[bytes]") -> None:
    """End the console: closing its standard input is enough, also where this process dies before it comes here."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
