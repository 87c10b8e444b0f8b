"""Is the store back? Asked again and again in a thread of its own: a store that hangs keeps whoever asks it waiting."""

from collections.abc import Callable
from threading import Event, Thread

from fraud.core.errors import StoreRestartedError, StoreUnavailableError

FIRST_WAIT, LONGEST_WAIT, STOP_SECONDS = 0.1, 1.0, 2.0


class Probe:
    """Asks whether a store is back. `reopen` connects to it, and raises StoreUnavailableError while nothing answers."""

    def __init__(self, reopen: Callable[[], None]) -> None:
        """Take what is called; nothing is asked before `begin`."""
        self._reopen = reopen
        self._thread: Thread | None = None
        self._back, self._stopped = Event(), Event()
        self._fault: Exception | None = None

    def begin(self) -> None:
        """Ask from now on, until the store is back; a second call before that does nothing."""
        if self._thread is not None and self._thread.is_alive() and not self._back.is_set():
            return
        self._back.clear()
        self._thread = Thread(target=self._ask, daemon=True, name="probe")
        self._thread.start()

    @property
    def back(self) -> bool:
        """Tell whether the store has answered; raise what it answered when that is a fault that no waiting mends."""
        if self._fault is not None:
            raise self._fault
        return self._back.is_set()

    def close(self) -> None:
        """Ask no more; the last question is not waited for long."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def _ask(self) -> None:
        pause = FIRST_WAIT
        while not self._stopped.is_set():
            try:
                self._reopen()
            except (StoreUnavailableError, StoreRestartedError):
                self._stopped.wait(pause)
                pause = min(2 * pause, LONGEST_WAIT)
            except Exception as error:
                self._fault = error
                return
            else:
                self._back.set()
                return
