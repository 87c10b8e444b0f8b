"""The end of a process: asked for by a signal, and over within ten seconds in any case."""

import os
import signal
from collections.abc import Callable
from threading import Thread
from types import FrameType

from streaming import clock
from streaming.observe.logs import Log

END_SECONDS = 9.0
FORCED = 1
"""The exit status of an end by force."""


def when_asked(stop: Callable[[], None], log: Log) -> None:
    """Call `stop` at SIGTERM or SIGINT, and end the process by force where it has not ended soon after.

    That happens where a broker or a store that is gone is waited for. It is no worse than a kill, which everything
    that is kept outlives: what was not acknowledged is read again at the next start. The exit status tells.

    A thread hears of the signal by a pipe, and calls `stop`: Python's own handlers wait for the main thread, which may
    be in a client's library for half a minute.
    """
    hear, tell = os.pipe()
    os.set_blocking(tell, False)
    Thread(target=_end, args=(hear, stop, log), daemon=True, name="ending").start()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _noted)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)


def _noted(number: int, frame: FrameType | None) -> None:
    """Do nothing: the pipe has told already. Without a handler the signal would end the process at once."""
    del number, frame


def _end(hear: int, stop: Callable[[], None], log: Log) -> None:
    """Wait for a signal, then for the end."""
    os.read(hear, 1)
    stop()
    clock.sleep(END_SECONDS)
    log.say("ended by force", seconds=END_SECONDS, why="something that is gone was waited for; nothing is lost")
    os._exit(FORCED)
