"""An error that nobody foresaw ends the process, whatever threads are left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streaming.worker.standby import take_turn
from tests.tree import ROOT

BREAKS = """
import threading
from fraud import cli

@cli.app.command("breaks")
def breaks() -> None:
    threading.Thread(target=threading.Event().wait).start()
    raise RuntimeError("nobody thought of that")

cli.main()
"""


THREAD = """
import threading
from fraud import cli

def broken() -> None:
    raise RuntimeError("nobody thought of that")

@cli.app.command("breaks")
def breaks() -> None:
    threading.Thread(target=broken).start()
    threading.Event().wait()

cli.main()
"""


@pytest.mark.parametrize("script", [BREAKS, THREAD], ids=["main thread", "another thread"])
def test_unforeseen_error_ends_the_process_though_a_thread_is_left(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script, "breaks"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "RuntimeError: nobody thought of that" in done.stderr


def test_standby_goes_on_when_a_thread_of_the_one_at_work_ends_unforeseen(tmp_path: Path) -> None:
    """Neither its main thread, which waits, nor what a client has left keeps the lock."""
    lock = f"from streaming.worker.standby import take_turn; held = take_turn(pathlib.Path({str(tmp_path)!r}), 'one')\n"
    script = THREAD.replace("    threading.Thread(", f"    import pathlib; {lock}    threading.Thread(")
    first = subprocess.Popen([sys.executable, "-c", script, "breaks"], cwd=ROOT, stderr=subprocess.DEVNULL)
    assert first.wait(60) == 1
    os.close(take_turn(tmp_path, "one", lambda: pytest.fail("the lock is held")))
