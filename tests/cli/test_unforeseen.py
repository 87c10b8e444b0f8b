"""An error that nobody foresaw ends the process, whatever threads are left."""

import subprocess
import sys

import pytest

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
