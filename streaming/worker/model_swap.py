"""What the store says is to decide: noticed once a second, loaded off the path, swapped between two batches.

That is the release in force, where there is one; otherwise the model that the store points to.
"""

from collections.abc import Callable, Iterator, Sequence
from threading import Thread
from typing import Any, NamedTuple, Protocol

import msgspec

from fraud.core.engine import Strategy
from fraud.core.errors import ArtifactError, FraudError
from fraud.core.records import SECOND
from streaming import clock
from streaming.kafka.model_pointer import Pointer
from streaming.observe.logs import Log
from streaming.run import Swappable


class InUse(NamedTuple):
    """What a store says, as it keeps it, each empty when it was never set: the pointer to a model, and the release."""

    pointer: bytes = b""
    release: bytes = b""

    @property
    def decides(self) -> bytes:
        """Return what says what is to decide."""
        return self.release or self.pointer


class Chosen(NamedTuple):
    """What is to decide, made ready; `pointer` names the histories that it reads, None where there was no pointer."""

    pointer: Pointer | None
    strategy: Strategy


Load = Callable[[InUse, Strategy], Chosen]
"""Makes what a store says ready, warm; takes what was made before, whose model may be the same. Raises FraudError."""


class Pointing(Protocol):
    """What is asked of a store."""

    def in_use(self) -> tuple[bytes, bytes]:
        """Return what names the model in use, and the release in force, each empty when nothing was ever set."""


class ModelSwap:
    """Follows what a store says. `load` makes it ready; it runs in a thread of its own."""

    def __init__(self, store: Pointing, load: Load, strategy: Strategy, held: InUse | None) -> None:
        """Begin with what decides already, as the store said (`held`); None when no store has answered yet."""
        self._store, self._load = store, load
        self._held, self._last = held, strategy
        self._thread: Thread | None = None
        self._made: Chosen | None = None
        self._fault = ""

    @property
    def what(self) -> str:
        """Return what it is that the store says: a release, or a model."""
        return "release" if self._held is not None and self._held.release else "model"

    def look(self) -> None:
        """Ask the store; begin to load what it newly says. Raises what the store raises."""
        if self._thread is not None and self._thread.is_alive():
            return
        if (found := self._news()) is not None:
            self._thread = Thread(target=self._prepare, args=(found,), daemon=True)
            self._thread.start()

    def follow(self) -> None:
        """Ask a store that is back, and return once what it newly says is loaded.

        Raises:
            FraudError: when no store had answered before, and it cannot be loaded; and what the store raises.
        """
        first = self._held is None
        if (found := self._news()) is not None:
            self._prepare(found)
        if first and self._fault:
            raise ArtifactError(self._fault)

    def _news(self) -> InUse | None:
        """Return what the store says, if something else is to decide now."""
        found = InUse(*self._store.in_use())
        held, self._held = self._held or InUse(), found
        if not found.decides or found.decides == held.decides:
            return None
        self._fault, self._made = "", None
        return found

    def refused(self) -> str:
        """Return, once, why what the store says could not be loaded."""
        fault, self._fault = self._fault, ""
        return fault

    def loaded(self) -> Chosen | None:
        """Return, once, what has been loaded."""
        made, self._made = self._made, None
        return made

    def _prepare(self, found: InUse) -> None:
        try:
            made = self._load(found, self._last)
        except FraudError as error:
            self._fault = str(error)
        else:
            self._last, self._made = made.strategy, made


class Refusals:
    """How often what a store said could not be taken up, for metrics."""

    def __init__(self) -> None:
        """Nothing was refused yet."""
        self.count = 0

    def collect(self) -> Iterator[Any]:
        """Yield the metric, as Prometheus's client asks for it."""
        from prometheus_client.core import CounterMetricFamily

        help_text = "Releases, or models pointed to, that could not be taken up"
        yield CounterMetricFamily("fraud_release_refused", help_text, self.count)


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
        self.strategy, self.refusals = strategy, Refusals()
        self._swap, self._log = swap, log
        self._users, self._reread = users, reread

    def look(self) -> None:
        """Ask the store what is to decide; tell of what was refused, which leaves all as it is."""
        self._swap.look()
        if fault := self._swap.refused():
            self.refusals.count += 1
            self._log.say(f"{self._swap.what} refused", fault=fault)

    def swap(self) -> None:
        """Between two batches, go on with what has been loaded, if something has."""
        if (loaded := self._swap.loaded()) is None:
            return
        began, before = clock.monotonic_ns(), self.strategy.scorer
        pointer, self.strategy = loaded
        for use in self._users:
            use(self.strategy)
        if pointer is not None and self.strategy.scorer is not before:
            self._reread(pointer)
        spent = (clock.monotonic_ns() - began) // 1_000_000
        encoder = pointer.encoder if pointer else ""
        self._log.say(f"{self._swap.what} taken up", **named(self.strategy), encoder=encoder, ms=spent)


class EmbeddedRelease:
    """Follows the release of an embedded engine, whose state is its own: nothing is read again."""

    def __init__(self, engine: Swappable, swap: ModelSwap, say: Callable[[str], None]) -> None:
        """Take the engine; `say` is told, in a sentence, what was taken up or refused."""
        self._engine, self._swap, self._say = engine, swap, say
        self._looked_at = clock.monotonic_ns()

    def begin(self) -> None:
        """Before the first payment, take up what is in force.

        Raises:
            ArtifactError: when that cannot be loaded.
        """
        self._swap.follow()
        self.swap()

    def turn(self) -> None:
        """Between two batches, take up what is ready; once a second, ask what is in force."""
        now = clock.monotonic_ns()
        if now - self._looked_at >= SECOND:
            self._looked_at = now
            self.look()
        self.swap()

    def look(self) -> None:
        """Ask what is in force; begin to load it where that is new."""
        self._swap.look()
        if fault := self._swap.refused():
            self._say(f"release refused, what decided goes on: {fault}")

    def swap(self) -> None:
        """Between two batches, go on with what has been loaded; what was learned on the same model stays."""
        if (loaded := self._swap.loaded()) is None:
            return
        new, now = loaded.strategy, self._engine.strategy
        if new.scorer.version == now.scorer.version:
            new = msgspec.structs.replace(new, parameters=now.parameters, versions=now.versions)
        self._engine.replace_strategy(new)
        self._say(f"release {new.release} taken up: {new.scorer.version}, rules {new.rules.version}")


def named(strategy: Strategy) -> dict[str, str]:
    """Return what a log names of a strategy: the model, and of a release all that it consists of."""
    model = {"model": strategy.scorer.version}
    if not strategy.release:
        return model
    return model | {
        "release": strategy.release, "rules": strategy.rules.version, "policy": strategy.policy.version
    }  # fmt: skip
