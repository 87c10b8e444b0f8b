"""The end of a process: asked for by a signal, and over within ten seconds in any case."""

import os
import signal
from collections.abc import Callable
from threading import Timer
from types import FrameType

from streaming.observe.logs import Log

END_SECONDS = 9.0
FORCED = 1
"""The exit status of an end by force."""


def when_asked(stop: Callable[[], None], log: Log) -> None:
    """Call `stop` at SIGTERM or SIGINT, and end the process by force where it has not ended soon after.

    That happens where a broker or a store that is gone is waited for. It is no worse than a kill, which everything
    that is kept outlives: what was not acknowledged is read again at the next start. The exit status tells.
    """
    signals = signal.SIGTERM, signal.SIGINT

    def asked(number: int, frame: FrameType | None) -> None:
        del number, frame
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        last = Timer(END_SECONDS, end_by_force, (log,))
        last.daemon = True
        last.start()
        stop()

    for each in signals:
        signal.signal(each, asked)


def end_by_force(log: Log) -> None:
    """End now, whatever is waited for."""
    log.say("ended by force", seconds=END_SECONDS, why="something that is gone was waited for; nothing is lost")
    os._exit(FORCED)
