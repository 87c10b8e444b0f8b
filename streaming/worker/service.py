"""A worker's process: its loop from start to SIGTERM."""

import gc
import sys
from collections.abc import Sequence
from typing import Protocol

import msgspec

from fraud.core.records import Answer, Intake
from streaming.ending import when_asked
from streaming.kafka.link import KafkaLink
from streaming.kafka.recovery import Mode
from streaming.observe.logs import Log
from streaming.observe.metrics import Pages
from streaming.run import run
from streaming.worker.catch_up import CatchUp
from streaming.worker.fallback import FallbackEngine
from streaming.worker.model_swap import ModelInUse
from streaming.worker.reporter import Reporter
from streaming.worker.upkeep import Upkeep

SWITCH_SECONDS = 0.0005


class Store(Protocol):
    """What the process itself asks of the state store."""

    def faults(self) -> list[str]:
        """Return what is set up badly, a sentence each."""

    def close(self) -> None:
        """Release the connections."""


class Heard(Protocol):
    """What a process hears of on a thread, and is asked for between two batches."""

    by_rules: bool
    """Whether it is asked too while the store is gone and rules alone decide."""

    def swap(self) -> None:
        """Take up what was heard."""

    def close(self) -> None:
        """Hear no more."""


class Service:
    """One worker. `streaming.service_wiring` puts it together; partitions come with `run`."""

    def __init__(
        self,
        link: KafkaLink,
        fallback: FallbackEngine,
        model: ModelInUse,
        heard: Sequence[Heard],
        reporter: Reporter,
        upkeep: Upkeep,
        catch_up: CatchUp,
        store: Store,
        log: Log,
        pages: Pages | None,
        group: str,
    ) -> None:
        """Take the parts; `heard` is what is listened for beside payments. `group` is told when it starts."""
        self._link, self._fallback, self._model, self._heard = link, fallback, model, heard
        self._reporter, self._upkeep, self._catch_up = reporter, upkeep, catch_up
        self._store, self._log, self._pages = store, log, pages
        self._group = group

    def run(self) -> None:
        """Run until SIGTERM or SIGINT: then the batch in hand is finished and committed, within ten seconds.

        Raises:
            DeliveryError: when something was not acknowledged, or the last commit not taken.
            TopicReplacedError: when a topic is no more the one that this began with.
        """
        # First of all: who reads that it has started may end it at once.
        when_asked(self._link.stop, self._log)
        if self._fallback.mode is Mode.NORMAL:
            self._tell_faults()
        port = self._pages.port if self._pages else None
        self._log.say("started", model=self._model.strategy.scorer.version, http_port=port, group=self._group)
        prepare_interpreter()
        try:
            run(self._link, self._fallback, self._link, self._between)
        finally:
            self._log.say("stopped", **msgspec.structs.asdict(self._link.counts))
            for listener in self._heard:
                listener.close()
            self._catch_up.close()
            self._fallback.close()
            self._store.close()
            if self._pages:
                self._pages.close()

    def _tell_faults(self) -> None:
        with self._fallback.noticing():
            for fault in self._store.faults():
                self._log.say("store set up badly", fault=fault)

    def _between(self, intake: Intake, answers: Sequence[Answer]) -> bool:
        """Do what is done between two batches."""
        self._reporter.batch(intake, answers)
        normal = self._fallback.mode is Mode.NORMAL
        if normal:
            self._model.swap()
        for listener in self._heard:
            if normal or listener.by_rules:
                listener.swap()
        self._catch_up.turn()
        self._upkeep.turn(idle=not intake.arrivals and not intake.rejects)
        self._reporter.turn()
        return True


def prepare_interpreter() -> None:
    """Set the interpreter up for short waits.

    What start-up made stays, so it is never collected; `Upkeep` collects the rest when nothing waits. The client's
    threads give way soon: with the default of 5 ms each round trip may wait that long for its turn.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.disable()
