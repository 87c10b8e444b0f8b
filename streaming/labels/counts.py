"""What the label book counts, as Prometheus asks for it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from streaming.observe.counts import Tally, counter

LABELS = "matched", "unmatched", "dropped", "stale", "rejected", "silent"
DECISIONS = "decisions", "repeated", "foreign"


class BookCounts:
    """A Prometheus collector of the label book's counts."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """Take what returns the counts, on any thread."""
        self._counts = counts

    def collect(self) -> Iterator[Any]:
        """Yield every family."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        held = self._counts()
        yield counter("fraud_labels", "Labels by what became of them", chosen(held, LABELS), "outcome")
        yield CounterMetricFamily("fraud_labels_known", "Known labels sent to the workers", value=held["known"])
        yield counter("fraud_book_decisions", "Decisions by what became of them", chosen(held, DECISIONS), "outcome")
        yield GaugeMetricFamily("fraud_labels_early", "Payments that labels wait for", value=held["early"])


def chosen(held: Mapping[str, int], names: tuple[str, ...]) -> Tally:
    """Return some counts as a counter by name."""
    tally = Tally()
    tally.held = {(name,): held[name] for name in names}
    return tally
