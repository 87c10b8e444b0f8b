"""What label book and learning loop count, as Prometheus asks for it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from streaming.labels.learning import Learning
from streaming.observe.counts import Cells, Tally, counter, histogram

LABELS = "matched", "unmatched", "dropped", "stale", "rejected", "silent"
DECISIONS = "decisions", "repeated", "foreign", "reused"


class BookCounts:
    """A Prometheus collector of the label book's counts."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """Take what returns the counts, on any thread."""
        self._counts = counts

    def collect(self) -> Iterator[Any]:
        """Yield every family."""
        from prometheus_client.core import CounterMetricFamily

        held = self._counts()
        yield counter("fraud_labels", "Labels by what became of them", chosen(held, LABELS), "outcome")
        yield CounterMetricFamily("fraud_labels_known", "Known labels sent to the workers", value=held["known"])
        yield counter("fraud_book_decisions", "Decisions by what became of them", chosen(held, DECISIONS), "outcome")
        releases = Tally()
        releases.held = {("matched",): held["released"], ("early",): held["early_releases"]}
        yield counter("fraud_releases", "Held payments that went through, by when that was told", releases, "outcome")
        yield gauge("fraud_labels_early", "Payments that labels wait for", {(): held["early"]})


def chosen(held: Mapping[str, int], names: tuple[str, ...]) -> Tally:
    """Return some counts as a counter by name."""
    tally = Tally()
    tally.held = {(name,): held[name] for name in names}
    return tally


class LearningCounts:
    """A Prometheus collector of what is learned; see `LearningLoop.figures`."""

    def __init__(self, learning: Learning) -> None:
        """Take the learning loop in its process: what it shows was noted at the end of a period, for any thread."""
        self._learning = learning

    def collect(self) -> Iterator[Any]:
        """Yield every family; figures of the guard only where there were enough frauds for them."""
        told = self._learning.figures
        yield counter("fraud_refresh_events", "What happened to what is learned", self._learning.outlet.events, "kind")
        took: dict[tuple[str, ...], Cells] = {(): self._learning.took}
        yield histogram("fraud_refresh_step_seconds", "Time of the end of a period", took)
        yield gauge("fraud_refresh_seq", "Number of the newest version", {(): told.get("seq", 0)})
        yield gauge(
            "fraud_refresh_step_rms", "How far the newest version moves decisions", {(): told.get("step_rms", 0)}
        )
        yield gauge("fraud_labels_waiting", "Labels that wait in the gate", {(): told.get("waiting", 0)})
        sides = zip((("for",), ("against",)), told["evidence"], strict=True) if told.get("enough") else ()
        yield gauge("fraud_refresh_evidence", "Evidence of the guard; 20 is enough", dict(sides), "side")
        yield gauge("fraud_refresh_weight", "Weights of the mixture", named(told, "weights"), "expert")
        yield gauge("fraud_refresh_loss_nats", "Log-loss so far, by who said it", named(told, "losses"), "by")
        yield gauge("fraud_labels_held", "Labels that an alarm holds", by_source(told.get("held", {})), "source")
        yield gauge(
            "fraud_label_told_share", "Share of frauds told by the age of learning", named(told, "told"), "channel"
        )
        yield gauge("fraud_drift_psi", "Drift less chance: score and worst features", named(told, "drift"), "of")
        yield gauge("fraud_learned_ap", "Average precision at the age of learning", known(told, "ap"), "by", "untold")
        yield gauge(
            "fraud_learned_fraud_share", "Share of frauds at the age of learning", known(told, "fraud_share"), "by",
            "untold",
        )  # fmt: skip
        learned = Tally()
        learned.held = {tuple(name.split("/")): count for name, count in told.get("learned", {}).items()}
        yield counter("fraud_labels_learned", "Labels that were learned", learned, "source", "verdict")


def named(told: Mapping[str, Any], name: str) -> dict[tuple[str, ...], float]:
    """Return figures by name as a gauge by one label."""
    return {(key,): value for key, value in told.get(name, {}).items()}


def known(told: Mapping[str, Any], figure: str) -> dict[tuple[str, ...], float]:
    """Return a figure by who said it, with payments that nobody has spoken of as genuine, and corrected for them."""
    by = told.get("known", {})
    each = {(name, how): by[name].get(f"{figure}_{how}") for name in by for how in ("naive", "corrected")}
    return {place: value for place, value in each.items() if value is not None}


def by_source(held: Mapping[str, int]) -> dict[tuple[str, ...], float]:
    """Return what is held, by source; of merchants and devices, which no metric names, by kind.

    Two charts look at a source, and may hold the same labels.
    """
    found: dict[tuple[str, ...], float] = {}
    for chart, count in held.items():
        kind, _, key = chart.partition("/")
        of_source = kind.startswith("source")
        name = (key if of_source else kind,)
        found[name] = max(found.get(name, 0), count) if of_source else found.get(name, 0) + count
    return found


def gauge(name: str, text: str, values: Mapping[tuple[str, ...], float], *labels: str) -> Any:
    """Return a gauge's family."""
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
