"""What a worker hears of beside its payments: listened for on a thread, taken up between two batches."""

from abc import ABC, abstractmethod
from threading import Event, Thread

from streaming.observe.logs import Log

FIRST_LOOK, AGAIN_SECONDS, STOP_SECONDS = 10.0, 2.0, 2.0


class Listener(ABC):
    """Hears of something on a thread, and changes what decides between two batches.

    A subclass says how it listens and what it takes up. Whatever fails on the thread is told, and tried again.
    """

    by_rules = False
    """Whether what was heard counts too while the store is gone and rules alone decide."""

    def __init__(self, what: str, log: Log) -> None:
        """Name what is heard of; nothing is read before `begin`."""
        self._what, self._log = what, log
        self._looked, self._stopped = Event(), Event()
        self._thread = Thread(target=self._run, daemon=True, name=what)

    # ---- on the path

    def begin(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def take_up(self, patience: float = FIRST_LOOK) -> None:
        """Before the first payment, take up what is there, waiting for it for so many seconds at most."""
        if not self._looked.wait(patience):
            self._log.say(f"{self._what} not known yet", seconds=patience)
        self.swap()

    @abstractmethod
    def swap(self) -> None:
        """Between two batches, take up what was heard."""

    def close(self) -> None:
        """Listen no more; the last question is not waited for long."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    # ---- on the thread

    @abstractmethod
    def _listen(self) -> None:
        """Listen until it is stopped; return to begin anew. `_looked` is set once all that was there is known."""

    @abstractmethod
    def _trouble(self, fault: str) -> None:
        """Tell that nothing is heard now."""

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except Exception as error:
                self._trouble(str(error))
                self._stopped.wait(AGAIN_SECONDS)
