"""A worker, put together from settings and run."""

import gc
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from features.extractor import OnlineExtractor
from features.stores.redis import RedisStore
from fraud.core.engine import Engine, Lateness, Strategy
from fraud.core.errors import ArtifactError
from fraud.core.records import (
    DAY,
    SECOND,
    Answer,
    Arrival,
    Intake,
    KnownLabel,
    LabelSource,
    Level,
    Position,
    Transaction,
    Verdict,
)
from streaming import clock
from streaming.kafka.link import KafkaLink, Link
from streaming.kafka.model_pointer import Pointer, pointer_in
from streaming.messages.codec import Codec, Limits
from streaming.observe.logs import Log
from streaming.observe.metrics import Health, Metrics, Pages
from streaming.observe.stages import TimedScorer, TimedStore, Watch
from streaming.rule_file import ReloadingRules
from streaming.run import Handler
from streaming.settings import ServiceSettings, changed, rates
from streaming.wiring import build
from streaming.worker.deadlines import Ladder
from streaming.worker.fallback import FallbackEngine, RulesFallback, work
from streaming.worker.model_swap import ModelSwap
from streaming.worker.standby import take_turn

REFRESH_NS = SECOND
SWITCH_SECONDS = 0.0005
COLLECT_NS = 30 * SECOND


class Clocked:
    """The engine with its time split into stages."""

    def __init__(self, engine: Handler, watch: Watch) -> None:
        """Wrap an engine whose store and scorer are timed by the same watch."""
        self._engine, self._watch = engine, watch

    def handle(self, batch: Sequence[Arrival]) -> list[Answer]:
        """Handle a batch; what no part claims is features."""
        began = clock.monotonic_ns()
        answers = self._engine.handle(batch)
        spent = self._watch.spent
        parts = sum(spent[stage] for stage in ("read", "model", "reasons", "write"))
        spent["features"] = max(clock.monotonic_ns() - began - parts, 0)
        return answers


class Service:
    """One worker: everything it is made of, and its loop."""

    def __init__(self, settings: ServiceSettings, number: int, member: str = "", standby: Path | None = None) -> None:
        """Load the model, compile and warm up, connect, and begin to listen; partitions come with `run`.

        With `standby`, a folder of locks, it waits before it connects until no other process works as `member`.

        Raises:
            FraudError: when a part is missing or does not answer; the message names it and the repair.
        """
        self._settings = settings
        member = member or f"{socket.gethostname()}-{number}"
        self.log = Log(f"worker-{number}")
        self.metrics, self.health, self._watch = Metrics(), Health(), Watch()
        base = build(settings)
        warm_up(base.engine)
        self._strategy = base.strategy
        self._turn = take_turn(standby, member) if standby else None
        self.store = open_store(settings)
        pointer = self._follow_pointer()
        extractor = OnlineExtractor(TimedStore(self.store, self._watch))
        lateness = Lateness(settings.lateness.allowed)
        self._engine = Engine(extractor, self.store, self._timed(self._strategy), None, lateness)
        self._ladder = Ladder(settings.serving.budget, (Level.FULL, *self._strategy.reduced))
        self.link = KafkaLink(
            Link(
                kafka=settings.kafka,
                codec=Codec(rates(settings), Limits(ahead=settings.lateness.future)),
                store=self.store,
                member=member,
                batch=settings.engine.batch,
                durable_after=settings.store.durable_after,
                ladder=self._ladder,
                watch=self._watch,
                pointer=pointer,
            )
        )
        self._alone = RulesFallback(self._strategy, len(extractor.names), extractor.version)
        self.guarded = FallbackEngine(Clocked(self._engine, self._watch), self.store, self._alone, self.link)
        self._pages = self._listen()
        self._refreshed_at = self._collected_at = clock.monotonic_ns()
        self._was_degraded = False

    def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        self._show_build()
        port = self._pages.port if self._pages else None
        for fault in self.store.faults():
            self.log.say("store set up badly", fault=fault)
        self.log.say("started", model=self._strategy.scorer.version, http_port=port, group=self._settings.kafka.group)
        # What start-up made stays; collections run when nothing waits, or rarely.
        # The client's threads give way soon: with the default of 5 ms each round trip may wait that long for its turn.
        sys.setswitchinterval(SWITCH_SECONDS)
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            work(self.link, self.guarded, self._between)
        finally:
            self.log.say("stopped", **self.link.counts)
            self.store.close()
            if self._pages:
                self._pages.close()

    def _show_build(self) -> None:
        strategy, build_info = self._strategy, self.metrics.build
        build_info.clear()
        scorer = strategy.scorer
        build_info.labels(scorer.version, scorer.spec_version, strategy.policy.version, strategy.rules.version).set(1)

    # ---- the model that the store points to

    def _follow_pointer(self) -> Pointer | None:
        """Use the model that the store points to, if it points to one; follow the pointer from here on."""
        text = self.store.pointer()
        pointer = pointer_in(text)
        if pointer is not None and pointer.version != self._strategy.scorer.version:
            self._strategy = self._load(pointer)
        self._takeup = ModelSwap(self.store, self._load, text)
        return pointer

    def _load(self, pointer: Pointer) -> Strategy:
        """Return the strategy of a pointer, warm, with the rules in use.

        Raises:
            ArtifactError: when the model is not there, or not in that version.
        """
        settings = changed(self._settings, "model", name=pointer.model)
        parts = build(settings)
        if parts.strategy.scorer.version != pointer.version:
            msg = (
                f"the store points to {pointer.version}, but {settings.model.folder} holds "
                f"{parts.strategy.scorer.version}: put that version there, or run 'fraud state reencode' for this one"
            )
            raise ArtifactError(msg)
        warm_up(parts.engine)
        return msgspec.structs.replace(parts.strategy, rules=self._strategy.rules)

    def _timed(self, strategy: Strategy) -> Strategy:
        return msgspec.structs.replace(strategy, scorer=TimedScorer(strategy.scorer, self._watch))

    def _take_up(self, pointer: Pointer, strategy: Strategy) -> None:
        """Swap the model between two batches, and read again what its histories lack."""
        began = clock.monotonic_ns()
        self._strategy = strategy
        self._engine.replace_strategy(self._timed(strategy))
        self._alone.replace_strategy(strategy)
        self.link.take_up(pointer)
        self._show_build()
        spent = (clock.monotonic_ns() - began) // 1_000_000
        self.log.say("model taken up", model=strategy.scorer.version, encoder=pointer.encoder, ms=spent)

    def _between(self, intake: Intake, answers: Sequence[Answer]) -> bool:
        spent, link = self._watch.spent, self.link
        idle = not intake.arrivals and not intake.rejects
        if not idle:
            self.metrics.batch_done(intake, answers, spent)
            handled = sum(spent[stage] for stage in ("decode", "read", "features", "model", "reasons", "write"))
            if intake.arrivals:
                scored = spent["model"] + spent["reasons"]
                self._ladder.learn(intake.arrivals[0].level, handled, scored, link.ack_ns)
        if link.degraded != self._was_degraded:
            self._was_degraded = link.degraded
            self.log.say("store gone" if link.degraded else "store back", decided_by_rules=self.guarded.degraded)
        if not link.degraded and (made := self._takeup.taken()) is not None:
            self._take_up(*made)
        now = clock.monotonic_ns()
        if now - self._refreshed_at >= REFRESH_NS:
            self._refreshed_at = now
            self._slow_things()
        if now - self._collected_at >= (SECOND if idle else COLLECT_NS):
            self._collected_at = now
            gc.collect(2 if idle else 1)
        self.health.turn([] if link.assigned and not link.degraded else self._missing())
        return True

    def _missing(self) -> list[str]:
        waits = [] if self.link.assigned else ["partitions"]
        return [*waits, "the state store"] if self.link.degraded else waits

    def _slow_things(self) -> None:
        """Do what is done once a second: lag, changed rules, what is said about the store."""
        link, metrics = self.link, self.metrics
        for (topic, partition), lag in link.lag().items():
            metrics.lag.labels(topic, str(partition)).set(lag)
        metrics.degraded.set(link.degraded)
        metrics.recoveries.set(link.counts["recoveries"])
        metrics.store_restarts.set(self.guarded.restarts)
        self._takeup.look()
        if fault := self._takeup.refused():
            self.log.say("model refused", fault=fault)
        rules = self._strategy.rules
        if isinstance(rules, ReloadingRules):
            refused = rules.refused
            if rules.refresh():
                self.log.say("rules taken up", version=rules.version)
            elif rules.refused != refused:
                self.log.say("rules refused", fault=str(rules.fault))
            metrics.rules_refused.set(rules.refused)

    def _listen(self) -> Pages | None:
        serving = self._settings.serving
        return Pages(serving.host, serving.http, self.metrics, self.health) if serving.http >= 0 else None


def open_store(settings: ServiceSettings) -> RedisStore:
    """Return the state store of the settings, connected."""
    store = settings.store
    return RedisStore(store.url, timeout=store.timeout / SECOND, retry_horizon=settings.engine.retry_horizon)


def warm_up(engine: Any) -> None:
    """Run a few made-up events through an engine that is thrown away: compiled loops load, first calls are slow."""
    when = 1_700_000_000_000_000_000
    for number in range(3):
        for size in (1, 2, 4):
            batch = [
                Arrival(payment(f"w{number}-{size}-{one}", when), Position("warm", 0, 100 * number + 10 * size + one))
                for one in range(size)
            ]
            engine.handle(batch)
    engine.handle([Arrival(verdict(when), Position("warm-labels", 0, 1))])


def payment(tx_id: str, when: int) -> Transaction:
    """Return a made-up payment."""
    return Transaction(
        id=tx_id, card="warm", merchant="warm", device="warm", amount=1, base_amount=1, happened_at=when, seen_at=when
    )


def verdict(when: int) -> KnownLabel:
    """Return a made-up verdict on one of them."""
    return KnownLabel(
        tx_id="w0-1-0",
        verdict=Verdict.FRAUD,
        source=LabelSource.CHARGEBACK,
        happened_at=when + DAY,
        seen_at=when + DAY,
        card="warm",
        merchant="warm",
        paid_at=when,
        base_amount=1,
    )
