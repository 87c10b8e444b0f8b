"""What a worker tells of each batch: metrics, what levels cost, the store coming and going, readiness."""

from collections.abc import Sequence

from fraud.core.records import Answer, Intake
from streaming.kafka.link import KafkaLink
from streaming.kafka.recovery import Mode
from streaming.observe.logs import Log
from streaming.observe.metrics import Health, Metrics
from streaming.observe.stages import Watch
from streaming.worker.deadlines import LevelChooser
from streaming.worker.fallback import FallbackEngine

HANDLED = ("decode", "read", "features", "model", "reasons", "write")


class Reporter:
    """Tells of batches."""

    def __init__(
        self,
        link: KafkaLink,
        fallback: FallbackEngine,
        levels: LevelChooser,
        watch: Watch,
        metrics: Metrics,
        health: Health,
        log: Log,
    ) -> None:
        """Take what is told of, and who is told."""
        self._link, self._fallback = link, fallback
        self._levels, self._watch = levels, watch
        self._metrics, self._health, self._log = metrics, health, log
        self._store_down = False

    def batch(self, intake: Intake, answers: Sequence[Answer]) -> None:
        """Tell of a batch."""
        if intake.arrivals or intake.rejects:
            self._metrics.batch_done(intake, answers, self._watch.spent)
        if intake.arrivals:
            self._learn_cost(intake)
        self._tell_of_store()

    def turn(self) -> None:
        """Tell that the loop turned, and what is missing for being ready."""
        waits = [] if self._link.assigned else ["partitions"]
        self._health.turn(waits if self._fallback.mode is Mode.NORMAL else [*waits, "the state store"])

    def _learn_cost(self, intake: Intake) -> None:
        spent = self._watch.spent
        handled, scored = sum(spent[stage] for stage in HANDLED), spent["model"] + spent["reasons"]
        self._levels.learn(intake.arrivals[0].level, handled, scored, self._link.ack_ns)

    def _tell_of_store(self) -> None:
        """Log that the store is gone, and that it is back once all it may have lost is being read again."""
        mode = self._fallback.mode
        if mode is not Mode.BEGIN_AGAIN and (mode is Mode.STORE_DOWN) != self._store_down:
            self._store_down = not self._store_down
            event = "store gone" if self._store_down else "store back"
            self._log.say(event, decided_by_rules=self._fallback.by_rules)
