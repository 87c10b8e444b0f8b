"""The demo's run: simulated traffic, absorbed fast up to now, then paced; nothing outside this process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fraud.cli.screen import Screen
from fraud.core.records import DAY, Answer, Intake, Label
from fraud.simulate import fdh
from fraud.simulate.source import Pace, SimulatedSource
from fraud.simulate.traffic import Traffic
from streaming import clock
from streaming.observe.latency import Latencies
from streaming.run import Parts, run
from streaming.settings import changed, read_settings
from streaming.wiring import build

CARDS, TERMINALS, DAYS, WARM_DAYS = 2_000, 4_000, 120, 15
LABEL_DELAY = 7 * DAY
SECONDS_A_DAY = 86_400


class Watch:
    """Count what goes by between batches, and say when time is up."""

    def __init__(self, screen: Screen, traffic: Traffic, since: int, seconds: float) -> None:
        """Take the instant (ns, simulated) at which history ends, and the real seconds to run after it (0: no end)."""
        self.decisions = self.alerts = self.labels = 0
        self.latencies = Latencies()
        self._screen, self._since, self._seconds = screen, since, seconds
        self._total = len(traffic)
        self._end: int | None = None
        self._began = clock.monotonic_ns()

    def between(self, intake: Intake, answers: Sequence[Answer]) -> bool:
        """Count a batch; return False when the time is up."""
        live = bool(intake.arrivals) and intake.arrivals[-1].event.seen_at >= self._since
        if live and not self._screen.live:
            self._begin()
        if self._screen.live:
            self._count(intake, answers)
        return self._end is None or clock.monotonic_ns() < self._end

    def result(self) -> dict[str, Any]:
        """Return the demo's last line."""
        return {
            "decisions": self.decisions,
            "alerts": self.alerts,
            "labels": self.labels,
            "p50_ms": self.latencies.quantile_ms(0.50),
            "p99_ms": self.latencies.quantile_ms(0.99),
        }

    def _begin(self) -> None:
        self._screen.live = True
        if self._seconds:
            self._end = clock.monotonic_ns() + int(self._seconds * 1e9)

    def _count(self, intake: Intake, answers: Sequence[Answer]) -> None:
        self.decisions += len(answers)
        self.alerts += sum(answer.alert is not None for answer in answers)
        self.labels += sum(isinstance(arrival.event, Label) for arrival in intake.arrivals)


class Timed:
    """The engine with a stop-watch: how long each live transaction waited for its answer."""

    def __init__(self, parts: Parts, watch: Watch, screen: Screen) -> None:
        """Wrap an engine."""
        self._engine, self._watch, self._screen = parts.engine, watch, screen

    def handle(self, batch: Sequence[Any]) -> list[Answer]:
        """Handle a batch and note the time each of its transactions took."""
        began = clock.monotonic_ns()
        answers = self._engine.handle(batch)
        if self._screen.live and answers:
            self._watch.latencies.add(clock.monotonic_ns() - began, len(answers))
        return answers


def embedded(
    screen: Screen, *, seed: int, day_seconds: float, seconds: float, model: str, settings: Path | None
) -> dict[str, Any]:
    """Run the demo; return its last line."""
    traffic = fdh.generate(fdh.Fdh(cards=CARDS, terminals=TERMINALS, days=DAYS, seed=seed, radius=8.0))
    since = traffic.transaction(0).happened_at // DAY * DAY + WARM_DAYS * DAY
    pace = Pace(clock.monotonic_ns, clock.sleep, SECONDS_A_DAY / day_seconds, since)
    source = SimulatedSource(traffic, delay=LABEL_DELAY, batch=32, pace=pace)
    found = changed(read_settings(settings), "model", name=model)
    parts = build(found if found.rules.file else changed(found, "rules", file="default"))
    watch = Watch(screen, traffic, since, seconds)
    try:
        run(source, Timed(parts, watch, screen), screen, watch.between)
    except KeyboardInterrupt:
        pass
    return watch.result()
