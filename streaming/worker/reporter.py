"""What a worker tells of each batch: metrics, what levels cost, the store coming and going, readiness."""

from collections.abc import Sequence

from fraud.core.records import SECOND, Answer, Explainer, Intake, Transaction
from streaming import clock
from streaming.kafka.link import KafkaLink
from streaming.kafka.recovery import Mode
from streaming.observe.logs import Log
from streaming.observe.metrics import Health, Metrics
from streaming.observe.stages import Watch
from streaming.worker.deadlines import LatencyBudget, Spent
from streaming.worker.fallback import FallbackEngine

PATIENCE_NS = 30 * SECOND
"""How long commits may be refused before a worker says that it is not ready: what it answers is read again."""


class Reporter:
    """Tells of batches."""

    def __init__(
        self,
        link: KafkaLink,
        fallback: FallbackEngine,
        budget: LatencyBudget,
        watch: Watch,
        metrics: Metrics,
        health: Health,
        log: Log,
    ) -> None:
        """Take what is told of, and who is told."""
        self._link, self._fallback = link, fallback
        self._budget, self._watch = budget, watch
        self._metrics, self._health, self._log = metrics, health, log
        self._store_down = self._refused = False

    def batch(self, intake: Intake, answers: Sequence[Answer]) -> None:
        """Tell of a batch."""
        if intake.arrivals or intake.rejects:
            self._metrics.batch_done(intake, answers, self._watch.spent)
        if self._fallback.mode is Mode.NORMAL:
            self._learn_cost(intake, answers)
        self._tell_of_store()

    def turn(self) -> None:
        """Tell that the loop turned, and what is missing for being ready."""
        self._tell_of_commits()
        waits = [] if self._link.assigned else ["partitions"]
        if self._fallback.mode is not Mode.NORMAL:
            waits.append("the state store")
        refused = self._link.refusals.since
        if refused and clock.monotonic_ns() - refused > PATIENCE_NS:
            waits.append("commits")
        self._health.turn(waits)

    def _learn_cost(self, intake: Intake, answers: Sequence[Answer]) -> None:
        """Let the budget learn from a batch of payments; one of labels alone says nothing of a level."""
        taken = next((arrival for arrival in intake.arrivals if isinstance(arrival.event, Transaction)), None)
        if taken is None:
            return
        spent = self._watch.spent
        given = Spent(
            events=len(intake.arrivals) + len(intake.rejects),
            total=self._watch.taken,
            model=spent["model"],
            reasons=spent["reasons"],
            closing=spent["write"] + spent["publish"],
            explained=sum(answer.decision.explainer is Explainer.MODEL for answer in answers),
            publishing=self._link.ack_ns,
        )
        self._budget.learn(taken.level, given)

    def _tell_of_commits(self) -> None:
        """Log that commits are refused, and that one was taken again."""
        refusals = self._link.refusals
        if (refusals.since > 0) != self._refused:
            self._refused = not self._refused
            if self._refused:
                self._log.say("commits refused", why=refusals.why)
            else:
                self._log.say("commits taken again", refused=refusals.count)

    def _tell_of_store(self) -> None:
        """Log that the store is gone, and that it is back once all it may have lost is being read again."""
        mode = self._fallback.mode
        if mode is not Mode.BEGIN_AGAIN and (mode is Mode.STORE_DOWN) != self._store_down:
            self._store_down = not self._store_down
            event = "store gone" if self._store_down else "store back"
            self._log.say(event, decided_by_rules=self._fallback.by_rules)
