"""Work that goes on until it is stopped: as the only one on its database, and begun again after whatever fails."""

from collections.abc import Callable
from threading import Event
from typing import Protocol

import msgspec

from fraud.core.records import SECOND
from fraud.dashboard.sole import Held, sole
from fraud.review.database import Database
from streaming import clock
from streaming.observe.logs import Log

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds until it is tried again after a failure, doubled each time up to the longest."""


class Trouble(msgspec.Struct):
    """What stands in the way of work that is tried again; `fault` says why it does not go on now, empty while it does.

    `works` tells whether this process is the one that works on the database.
    """

    failures: int = 0
    fault: str = ""
    works: bool = False

    def met(self, fault: Exception) -> bool:
        """Count a failure; tell whether it is another one than the last.

        A database's error may hold values behind its first line, so no more of it is kept.
        """
        self.failures += 1
        had, text = self.fault, str(fault)
        self.fault = f"{type(fault).__name__}: {text.splitlines()[0][:200] if text else ''}"
        return self.fault != had

    def clear(self) -> None:
        """Note that nothing stands in the way any more."""
        self.fault = ""


class Task(Protocol):
    """Work in pieces. What a piece leaves undone when it fails is done by the next one that begins."""

    name: str
    """What it is to its database, where there is one at a time: a key of `sole.KEYS`."""

    @property
    def figures(self) -> Trouble:
        """Return what stands in its way."""

    def begin(self) -> None:
        """Make ready, from what the database says."""

    def turn(self, stop: Event) -> None:
        """Do a piece, or wait for one a moment; `stop` ends waiting."""

    def end(self) -> None:
        """Release what `begin` or a piece has opened; called after a failure of them too."""


class Routine:
    """Something that is done every so often."""

    def __init__(self, every: int, work: Callable[[], object]) -> None:
        """Take the span (ns) and the work, which is done for the first time at once."""
        self._every, self._work = every, work
        self._due = 0

    def run(self) -> None:
        """Do it when it is due."""
        if (now := clock.monotonic_ns()) >= self._due:
            self._due = now + self._every
            self._work()


def work(task: Task, database: Database, log: Log, stop: Event) -> None:
    """Do a task until `stop` is set, while no other process does it; a new failure is told once."""
    pause = FIRST_PAUSE

    def went_well() -> None:
        nonlocal pause
        pause = FIRST_PAUSE
        task.figures.clear()

    while not stop.is_set():
        try:
            # Whoever waits for another one's end has a database that answers.
            with sole(database, task.name, stop, went_well) as held:
                if held is not None:
                    _pieces(task, held, stop, went_well)
        except Exception as fault:
            # Whatever it was, nothing was half done: a console that gives up would help nobody.
            if task.figures.met(fault):
                log.say(f"{task.name} waits", why=task.figures.fault)
            stop.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _pieces(task: Task, held: Held, stop: Event, went_well: Callable[[], None]) -> None:
    still_ours = Routine(SECOND, held.check)
    task.figures.works = True
    try:
        task.begin()
        while not stop.is_set():
            still_ours.run()
            task.turn(stop)
            went_well()
    finally:
        task.figures.works = False
        task.end()
