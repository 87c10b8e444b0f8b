"""A lock keeps other processes out, and is free when its holder is gone, however that ended."""

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fraud.common.locks import locked, take
from tests.site import until

HOLDER = """
import sys
from pathlib import Path
from fraud.common.locks import locked
with locked(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.readline()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """Return another process that holds the lock until it reads a line."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    return process


def ended(process: subprocess.Popen[str], *, killed: bool) -> None:
    """End a process, by force or by letting it finish."""
    if killed:
        process.kill()
        process.wait()
    process.communicate("\n")


def alone(path: Path) -> bool:
    """Say whether even a reader's lock would have to wait: what two waiters could share keeps none of them out."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@pytest.mark.parametrize("killed", [True, False])
@pytest.mark.parametrize("kind", ["new file", "folder"])
def test_lock_of_another_process_is_waited_for_until_it_ends(tmp_path: Path, killed: bool, kind: str) -> None:
    path = tmp_path if kind == "folder" else tmp_path / "it.lock"
    other, order = holder(path), list[str]()

    def second() -> None:
        with locked(path, lambda: order.append("waits")):
            order.append("second" if alone(path) else "second, but not alone")

    thread = threading.Thread(target=second)
    thread.start()
    until(lambda: "waits" in order, "the wait for the lock")
    assert order == ["waits"]
    ended(other, killed=killed)
    thread.join()
    assert order == ["waits", "second"]


def test_free_lock_is_taken_without_a_wait_and_again_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError), locked(tmp_path / "it.lock", lambda: pytest.fail("waited")):
            raise RuntimeError


def test_lock_that_was_taken_is_held_until_its_descriptor_is_closed(tmp_path: Path) -> None:
    descriptor, waited = take(tmp_path / "it.lock"), threading.Event()

    def second() -> None:
        with locked(tmp_path / "it.lock", waited.set):
            pass

    thread = threading.Thread(target=second)
    thread.start()
    assert waited.wait(10)
    assert thread.is_alive()
    os.close(descriptor)
    thread.join(10)
    assert not thread.is_alive()


def test_locks_of_different_names_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with locked(tmp_path / "one"), locked(tmp_path / "two", lambda: pytest.fail("waited")):
        pass
