"""The demo's run: simulated traffic, absorbed fast up to now, then paced; nothing outside this process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fraud.cli import options, output
from fraud.cli.demo_console import RELEASES
from fraud.cli.demo_site import Till
from fraud.cli.panel import Board, Learning
from fraud.cli.screen import Screen, when
from fraud.core.fields import Duration
from fraud.core.records import DAY, HOUR, Answer, Intake, Label
from fraud.simulate.shift import Shift, generate
from fraud.simulate.source import Pace, SimulatedSource
from streaming import clock
from streaming.feeds.topic_log import TopicLog
from streaming.files.decisions import Tee
from streaming.labels.learning import Closed, HeldChart
from streaming.observe.latency import Latencies
from streaming.release_wiring import followed
from streaming.run import Handler, run
from streaming.settings import ServiceSettings, changed
from streaming.wiring import outside

WARM_DAYS, CHANGE_DAY = 24, 26
TRAFFIC = Shift(cards=300, merchants=120, days=150, fraud_share=0.025, rate=2.2, chargeback_days=3.0, day=CHANGE_DAY)
"""Small, with frauds often and chargebacks in days; tactics change two days after the demo begins to be live."""
EVERY, MATURITY, DEADLINE = Duration(3 * HOUR), Duration(3 * DAY), Duration(14 * DAY)
SECONDS_A_DAY, BATCH = 86_400, 32
CHANGED = "from today on fraudsters do what the model has never seen"


class Watch:
    """Count what goes by between batches, and say when time is up."""

    def __init__(self, screen: Screen, since: int, seconds: float) -> None:
        """Take the instant (ns, simulated) at which history ends, and the real seconds to run after it (0: no end)."""
        self.decisions = self.alerts = self.labels = 0
        self.latencies = Latencies()
        self._screen, self._since, self._seconds = screen, since, seconds
        self._end: int | None = None

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

    def __init__(self, engine: Handler, watch: Watch, screen: Screen) -> None:
        """Wrap an engine."""
        self._engine, self._watch, self._screen = engine, watch, screen

    def handle(self, batch: Sequence[Any]) -> list[Answer]:
        """Handle a batch and note the time each of its transactions took."""
        began = clock.monotonic_ns()
        answers = self._engine.handle(batch)
        if self._screen.live and answers:
            self._watch.latencies.add(clock.monotonic_ns() - began, len(answers))
        return answers


class Lesson:
    """What is shown of learning: the panel at each refresh, events as they come, the change of tactics on its day."""

    def __init__(self, board: Board, screen: Screen, changes_at: int) -> None:
        """Take where it is shown, and when tactics change, ns of the stream."""
        self._board, self._screen, self._changes_at = board, screen, changes_at
        self._figures: Mapping[str, Any] = {}
        self._period = 0

    def told(self, closed: Closed, held: Mapping[str, HeldChart], at: int) -> None:
        """Show what the learner has to say, but not that it refreshed: the panel does."""
        del held, at
        for event in closed.events:
            if self._screen.live and event.kind != "refreshed":
                self._board.event(when(event.at), event.kind, event.text)

    def at(self, now: int, figures: Callable[[], Mapping[str, Any]]) -> None:
        """Show how learning stands at `now`, once a refresh period."""
        if now // EVERY == self._period:
            return
        self._period, self._figures = now // EVERY, figures()
        if self._changes_at and now >= self._changes_at:
            self._changes_at = 0
            if self._screen.live:
                self._board.event(when(now), "tactics", CHANGED)
        if self._screen.live:
            self._board.show(standing(when(now), self._figures), now)

    def result(self) -> dict[str, Any]:
        """Return what the last line tells of learning."""
        if not self._figures:
            return {}
        now, counts = standing("", self._figures), self._figures["counts"]
        return {
            "parameters": now.version, "refreshes": counts.get("refreshed", 0), "promoted": counts.get("promoted", 0),
            "reverted": counts.get("reverted", 0), "learned": sum(now.learned.values()),
            "held": sum(now.held.values()), "gain": None if now.gain is None else round(now.gain, 4),
        }  # fmt: skip


def standing(day: str, figures: Mapping[str, Any]) -> Learning:
    """Return a learning loop's figures as the panel shows them."""
    losses, learned = figures["losses"], dict[str, int]()
    for name, count in figures.get("learned", {}).items():
        source = name.partition("/")[0]
        learned[source] = learned.get(source, 0) + count
    return Learning(
        day, figures["live"], figures["counts"].get("refreshed", 0), figures["on"], figures["evidence"],
        tuple(figures.get("weights", {"frozen": 1.0}).values()), losses["labels"], losses["frauds"],
        losses["frozen"], losses["served"], losses["mixture"], learned, figures["held"], figures["waiting"],
    )  # fmt: skip


def demo_settings(file: Path | None, model: str) -> ServiceSettings:
    """Return the settings of a file as the demo runs them: learning on, by the stream's own time, which runs fast."""
    found = options.settings(file, model=model, learn=True)
    found = found if found.rules.file else changed(found, "rules", file="default")
    found = changed(found, "refresh", every=EVERY, clock="stream")
    return changed(changed(found, "learning", maturity=MATURITY), "labels", deadline=DEADLINE)


def embedded(
    screen: Screen, *, seed: int, day_seconds: float, seconds: float, model: str, settings: Path | None, console: Path
) -> dict[str, Any]:
    """Run the demo, with the log in folder `console` that it shares with a console; return its last line."""
    traffic = generate(replace(TRAFFIC, seed=seed))
    since = TRAFFIC.start + WARM_DAYS * DAY
    pace = Pace(clock.monotonic_ns, clock.sleep, SECONDS_A_DAY / day_seconds, since)
    watch = Watch(screen, since, seconds)
    board = Board(DAY)
    lesson = Lesson(board, screen, TRAFFIC.start + CHANGE_DAY * DAY)
    log = TopicLog(console)
    found = changed(demo_settings(settings, model), "paths", releases=console / RELEASES)
    made = outside(found, log, since, lesson.told)
    parts, till = made.parts, Till(board, made.parts.engine.release)
    source = made.over(SimulatedSource(traffic, batch=BATCH, pace=pace), till.obey)
    release = followed(found, parts, output.say, made.engine)
    release.begin()

    def between(intake: Intake, answers: Sequence[Answer]) -> bool:
        release.turn()
        for answer in answers if screen.live else ():
            till.hear(answer.decision)
        if parts.learning is not None and intake.arrivals:
            lesson.at(intake.arrivals[-1].event.seen_at, parts.learning.figures)
        return watch.between(intake, answers)

    try:
        with board:
            run(source, Timed(made.engine, watch, screen), Tee(screen, made.sink), between)
    except KeyboardInterrupt:
        pass
    return {**watch.result(), **till.result(), **lesson.result()}
