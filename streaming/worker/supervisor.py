"""Several workers on one machine: one process each, started again when it dies."""

import signal
import subprocess
import sys
from collections.abc import Callable
from types import FrameType

from fraud.core.errors import REPAIR
from streaming import clock

PAUSE = 0.1
END_SECONDS = 9.5
"""A little more than a worker takes, whatever is gone."""
FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0


class Child:
    """One worker process."""

    def __init__(self, number: int, command: list[str], say: Callable[[str], None]) -> None:
        """Start it; `say` is told of every death."""
        self.number, self._command, self._say = number, command, say
        self._wait = FIRST_WAIT
        self._due = 0
        self.process = subprocess.Popen(command)

    def tend(self) -> bool:
        """Start it again when it died, a little later each time it dies at once; return False where that is in vain."""
        status = self.process.poll()
        if status == REPAIR:
            self._say(f"worker {self.number} cannot go on as things are set up, its message stands above: ending all")
            return False
        if status is not None:
            self._start_again(status)
        return True

    def _start_again(self, status: int) -> None:
        now = clock.monotonic_ns()
        if not self._due:
            self._say(f"worker {self.number} ended with status {status}: starting it again in {self._wait:g} s")
            self._due = now + int(self._wait * 1e9)
            self._wait = min(2 * self._wait, LONGEST_WAIT)
        elif now >= self._due:
            self._due = 0
            self.process = subprocess.Popen(self._command)


def supervise(workers: int, http: int | None, say: Callable[[str], None]) -> int:
    """Run workers until SIGTERM or SIGINT, then let each finish its batch; `say` is told when one dies.

    Return the exit status: that of a worker that nothing but a repair brings back, after the others were ended.
    """
    ended = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal ended
        del number, frame
        ended = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    children = [Child(number, command(number, http), say) for number in range(workers)]
    well = True
    while well and not ended:
        clock.sleep(PAUSE)
        well = all(child.tend() for child in children)
    for child in children:
        child.process.terminate()
    for child in children:
        end(child.process)
    return 0 if well else REPAIR


def end(process: "subprocess.Popen[bytes]") -> None:
    """Wait for a worker that was asked to end; one that hangs is killed."""
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def command(number: int, http: int | None) -> list[str]:
    """Return this process's own command for one worker."""
    words = without(sys.argv[1:], "--workers", "--http")
    port = [] if http is None else ["--http", str(http + number if http > 0 else http)]
    return [sys.executable, "-m", "fraud", *words, "--number", str(number), *port]


def without(words: list[str], *names: str) -> list[str]:
    """Return the words less some options and their values.

    >>> without(["run", "--workers", "3", "--model", "m", "--http=1"], "--workers", "--http")
    ['run', '--model', 'm']
    """
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in names:
            skip = True
        elif word.split("=")[0] not in names:
            kept.append(word)
    return kept
