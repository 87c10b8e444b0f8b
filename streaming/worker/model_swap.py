"""The model that the store points to: noticed once a second, loaded off the path, swapped between two batches."""

from collections.abc import Callable, Sequence
from threading import Thread
from typing import Protocol

from fraud.core.engine import Strategy
from fraud.core.errors import ArtifactError, FraudError
from streaming import clock
from streaming.kafka.model_pointer import Pointer, pointer_in
from streaming.observe.logs import Log

Load = Callable[[Pointer], Strategy]


class Pointing(Protocol):
    """What is asked of a store."""

    def pointer(self) -> bytes:
        """Return what names the model in use, empty when nothing was ever set."""


class ModelSwap:
    """Follows the pointer. `load` makes the strategy of a pointer, warm; it runs in a thread of its own."""

    def __init__(self, store: Pointing, load: Load, text: bytes | None = b"") -> None:
        """Begin at the pointer that is in use already, as the store gave it; None when no store has answered yet."""
        self._store, self._load = store, load
        self._text = text
        self._thread: Thread | None = None
        self._made: tuple[Pointer, Strategy] | None = None
        self._fault = ""

    def look(self) -> None:
        """Ask the store; begin to load what it newly points to. Raises what the store raises."""
        if self._thread is not None and self._thread.is_alive():
            return
        if (text := self._news()) is not None:
            self._thread = Thread(target=self._prepare, args=(text,), daemon=True)
            self._thread.start()

    def follow(self) -> None:
        """Ask a store that is back, and return once what it newly points to is loaded.

        Raises:
            FraudError: when no store had answered before, and the model cannot be loaded; and what the store raises.
        """
        first = self._text is None
        if (text := self._news()) is not None:
            self._prepare(text)
        if first and self._fault:
            raise ArtifactError(self._fault)

    def _news(self) -> bytes | None:
        """Return what the store points to, if that is new."""
        text = self._store.pointer()
        held, self._text = self._text or b"", text
        if not text or text == held:
            return None
        self._fault, self._made = "", None
        return text

    def refused(self) -> str:
        """Return, once, why what was pointed to could not be loaded."""
        fault, self._fault = self._fault, ""
        return fault

    def loaded(self) -> tuple[Pointer, Strategy] | None:
        """Return, once, what has been loaded."""
        made, self._made = self._made, None
        return made

    def _prepare(self, text: bytes) -> None:
        try:
            pointer = pointer_in(text)
            if pointer is not None:
                self._made = pointer, self._load(pointer)
        except FraudError as error:
            self._fault = str(error)


class ModelInUse:
    """The strategy that a worker decides by, and all that is told when it changes."""

    def __init__(
        self,
        strategy: Strategy,
        swap: ModelSwap,
        log: Log,
        users: Sequence[Callable[[Strategy], None]],
        reread: Callable[[Pointer], None],
    ) -> None:
        """Take who decides by the strategy; `reread` reads again what the histories of a new model lack."""
        self.strategy = strategy
        self._swap, self._log = swap, log
        self._users, self._reread = users, reread

    def look(self) -> None:
        """Ask the store for its pointer; tell of a model that was refused."""
        self._swap.look()
        if fault := self._swap.refused():
            self._log.say("model refused", fault=fault)

    def swap(self) -> None:
        """Between two batches, go on with the model that has been loaded, if one has."""
        if (loaded := self._swap.loaded()) is None:
            return
        began = clock.monotonic_ns()
        pointer, self.strategy = loaded
        for use in self._users:
            use(self.strategy)
        self._reread(pointer)
        spent = (clock.monotonic_ns() - began) // 1_000_000
        self._log.say("model taken up", model=self.strategy.scorer.version, encoder=pointer.encoder, ms=spent)
