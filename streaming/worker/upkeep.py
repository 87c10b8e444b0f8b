"""What a worker does between batches: once a second its gauges, rules and model, now and then its garbage."""

import gc
from typing import Protocol

from fraud.core.records import SECOND
from fraud.core.rules.blocked import book_under
from streaming import clock
from streaming.kafka.link import KafkaLink
from streaming.kafka.recovery import Mode
from streaming.observe.logs import Log
from streaming.observe.metrics import Metrics
from streaming.rule_file import ReloadingRules
from streaming.worker.fallback import FallbackEngine
from streaming.worker.model_swap import ModelInUse

REFRESH_NS = SECOND
COLLECT_NS, COLLECT_ALL_NS = 30 * SECOND, 600 * SECOND


FOUND = {
    "older": ("store is an older copy", "partitions"),
    "anew": ("topic was made anew", "partitions"),
    "lost": ("records let go before they were read", "records"),
}
"""What recoveries count, with the event that is logged of it and what is counted."""


class Copies(Protocol):
    """The rows that a worker keeps: bytes, and how many were at hand or read whole so far."""

    hits: int
    misses: int

    @property
    def bytes(self) -> int:
        """Return about how much memory they take."""


class Upkeep:
    """The work that belongs to no batch."""

    def __init__(
        self, link: KafkaLink, fallback: FallbackEngine, model: ModelInUse, copies: Copies, metrics: Metrics, log: Log
    ) -> None:
        """Take what is looked after."""
        self._copies = copies
        self._link, self._fallback, self._model = link, fallback, model
        self._metrics, self._log = metrics, log
        self._late = 0
        self._refreshed_at = self._collected_at = self._collected_all_at = clock.monotonic_ns()
        self._told = dict.fromkeys(FOUND, 0)

    def turn(self, *, idle: bool) -> None:
        """Do what is due; `idle` says that nothing waits."""
        now = clock.monotonic_ns()
        if now - self._refreshed_at >= REFRESH_NS:
            self._refreshed_at = now
            self._refresh()
        # Collections run when nothing waits, or rarely.
        if now - self._collected_at >= (SECOND if idle else COLLECT_NS):
            self._collected_at = now
            self._collect(now, idle=idle)

    def _collect(self, now: int, *, idle: bool) -> None:
        """Collect garbage among what is new; among everything rarely, for that takes as long as a budget.

        What has survived once is kept out of later collections: rows and answers, some 100,000 objects, held a decision
        up for 20 to 45 ms every second. They go when nobody holds them, as ever; only rings of them wait.
        """
        if idle and now - self._collected_all_at >= COLLECT_ALL_NS:
            self._collected_all_at = now
            gc.unfreeze()
        gc.collect(2 if idle else 1)
        if idle:
            gc.freeze()

    def _refresh(self) -> None:
        """Do what is done once a second: gauges, the model, changed rules."""
        link, gauges = self._link, self._metrics.gauges
        gauges.show_lag(link.lag())
        self._metrics.counts.commits(link.counts.commits, link.refusals.count)
        self._metrics.counts.late(link.late - self._late)
        self._late = link.late
        gauges.degraded.set(self._fallback.mode is not Mode.NORMAL)
        gauges.recoveries.set(link.counts.recoveries)
        gauges.store_restarts.set(self._fallback.restarts)
        self._tell_of_recoveries()
        gauges.store_older.set(link.counts.older)
        gauges.topics_anew.set(link.counts.anew)
        gauges.records_lost.set(link.counts.lost)
        # A store that is gone is asked by nobody on the path.
        if self._fallback.mode is Mode.NORMAL:
            with self._fallback.noticing():
                self._model.look()
        gauges.cache_bytes.set(self._copies.bytes)
        self._metrics.counts.rows(self._copies.hits, self._copies.misses)
        self._refresh_rules()

    def _tell_of_recoveries(self) -> None:
        """Log what was found where partitions were begun."""
        for name, (event, what) in FOUND.items():
            found = getattr(self._link.counts, name)
            if found > self._told[name]:
                self._log.say(event, **{what: found - self._told[name]})
                self._told[name] = found

    def _refresh_rules(self) -> None:
        rules = book_under(self._model.strategy.rules)
        if not isinstance(rules, ReloadingRules):
            return
        refused = rules.refused
        if rules.refresh():
            self._log.say("rules taken up", version=rules.version)
        elif rules.refused != refused:
            self._log.say("rules refused", fault=str(rules.fault))
        self._metrics.gauges.rules_refused.set(rules.refused)
