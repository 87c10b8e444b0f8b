"""One process of a name works; the next one goes on when it ends, however it ends."""

import subprocess
import sys
from pathlib import Path

from tests.site import until

HOLD = """
import sys, time
from pathlib import Path
from streaming.worker.standby import take_turn
turn = take_turn(Path(sys.argv[1]), "one")
print("working", flush=True)
time.sleep(600)
"""


def start(folder: Path, name: str) -> "subprocess.Popen[bytes]":
    """Start a process that waits for its turn and says when it has it."""
    with (folder / name).open("wb") as out:
        return subprocess.Popen([sys.executable, "-c", HOLD, str(folder / "turns")], stdout=out, cwd=Path.cwd())


def test_second_process_waits_until_the_first_is_killed(tmp_path: Path) -> None:
    first = start(tmp_path, "first")
    second = None
    try:
        until(lambda: (tmp_path / "first").read_text() == "working\n", "the first one's turn")
        second = start(tmp_path, "second")
        held = tmp_path / "turns" / "one.lock"
        until(lambda: waits_for(second.pid, held), "the second one to wait")
        assert (tmp_path / "second").read_text() == ""
        first.kill()
        until(lambda: (tmp_path / "second").read_text() == "working\n", "the second one's turn")
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.wait()


def waits_for(pid: int, path: Path) -> bool:
    """Tell whether the kernel lists a process among those that wait for a file's lock."""
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    number = str(path.stat().st_ino)
    return any("->" in line and str(pid) in line and line[-3].endswith(f":{number}") for line in lines)
