"""Which model payments are decided by, as the store says: asked for beside labels, gone on with between two periods."""

from collections.abc import Callable
from typing import Protocol

from fraud.core.engine import Strategy
from fraud.core.errors import StoreUnavailableError
from fraud.core.records import SECOND
from streaming.labels.learning import Successor
from streaming.observe.logs import Log

LATER = 10 * SECOND
"""A store that does not answer is asked again after so long: the label book waits for each answer."""


class Loaded(Protocol):
    """What is to decide, made ready."""

    @property
    def strategy(self) -> Strategy:
        """Return it."""


class Swap(Protocol):
    """Follows what a store says; see `streaming.worker.model_swap.ModelSwap`."""

    @property
    def what(self) -> str:
        """Return what it is that the store says."""

    def look(self) -> None:
        """Ask the store; begin to load what it newly says."""

    def refused(self) -> str:
        """Return, once, why what the store says could not be loaded."""

    def loaded(self) -> Loaded | None:
        """Return, once, what has been loaded."""


class Following:
    """Asks once a second what is to decide. What cannot be loaded, or not be asked, leaves the learner what it has."""

    def __init__(self, swap: Swap, made: Callable[[Strategy], Successor], log: Log) -> None:
        """Take who asks and loads, and what makes of that what a learner goes on with."""
        self._swap, self._made, self._log = swap, made, log
        self._next, self._gone = 0, False

    def turn(self, now: int) -> None:
        """Ask, if it is time for it at `now` (monotonic ns); tell of what was refused."""
        if now < self._next:
            return
        try:
            self._swap.look()
        except StoreUnavailableError as error:
            self._next = now + LATER
            if not self._gone:
                self._log.say("releases not known", error=str(error))
            self._gone = True
            return
        self._next, self._gone = now + SECOND, False
        if fault := self._swap.refused():
            self._log.say(f"{self._swap.what} refused", fault=fault)

    def successor(self) -> Successor | None:
        """Return, once, what a learner is to go on with."""
        loaded = self._swap.loaded()
        if loaded is None:
            return None
        made = self._made(loaded.strategy)
        self._log.say(f"{self._swap.what} taken up", model=made.base, release=loaded.strategy.release)
        return made
