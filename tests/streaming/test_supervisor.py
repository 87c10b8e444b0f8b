"""Workers on one machine: one that dies is reported, and started again a little later each time."""

import sys

import pytest

from fraud.core.errors import BEGIN_AGAIN, REPAIR
from streaming.worker.supervisor import Child, without
from tests.site import until


def test_worker_that_dies_is_reported_and_started_again_later_each_time() -> None:
    said: list[str] = []
    child = Child(3, [sys.executable, "-c", "raise SystemExit(7)"], said.append)
    first = child.process.pid

    def died_twice() -> bool:
        child.tend()
        return len(said) == 2

    until(died_twice, "the worker to die twice")
    head = "worker 3 ended with status 7: starting it again in"
    assert said == [f"{head} 0.2 s", f"{head} 0.4 s"]
    assert child.process.pid != first


@pytest.mark.parametrize(("status", "well"), [(REPAIR, False), (BEGIN_AGAIN, True), (1, True), (0, True)])
def test_worker_is_started_again_unless_somebody_has_to_mend_something(status: int, *, well: bool) -> None:
    said: list[str] = []
    child = Child(3, [sys.executable, "-c", f"raise SystemExit({status})"], said.append)
    child.process.wait()
    assert child.tend() is well
    assert ("starting it again" in said[0], "ending all" in said[0]) == (well, not well)


def test_worker_that_lives_is_left_alone() -> None:
    said: list[str] = []
    child = Child(0, [sys.executable, "-c", "import signal; signal.pause()"], said.append)
    try:
        first = child.process
        child.tend()
        assert (child.process is first, said) == (True, [])
    finally:
        child.process.kill()
        child.process.wait()


def test_command_of_one_worker_lacks_what_is_said_of_all() -> None:
    words = ["run", "--workers", "3", "--model", "m", "--http=1"]
    assert without(words, "--workers", "--http") == ["run", "--model", "m"]
