"""An error that nobody foresaw ends the process, whatever threads are left."""

import subprocess
import sys

from tests.tree import ROOT

SCRIPT = """
import threading
from fraud import cli

@cli.app.command("breaks")
def breaks() -> None:
    threading.Thread(target=threading.Event().wait).start()
    raise RuntimeError("nobody thought of that")

cli.main()
"""


def test_unforeseen_error_ends_the_process_though_a_thread_is_left() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "breaks"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "RuntimeError: nobody thought of that" in done.stderr
