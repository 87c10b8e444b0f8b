"""What was not taken as it came, by topic: refused, skipped, cut."""

from collections.abc import Iterator, Mapping
from typing import Any

from fraud.core.records import Arrival, Reject
from streaming.messages import bounds
from streaming.observe.counts import Tally, counter

FOREIGN = "foreign"
"""The code of what stands in a topic of ours and cannot be read as what we write there."""
ORIGINAL, HEADERS, TRACE = "original", "headers", "trace"


class OddRecords:
    """A Prometheus collector of records that were refused, skipped or cut.

    Refused ones have a dead letter. Skipped ones have none: they stand where only we write. Of cut ones a dead letter
    holds less than came (parts `original`, `headers`), or a decision carries less of a trace (`trace`).
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        """Take what to call the topics: their names without the site's prefix, by name."""
        self._names = names or {}
        self._refused, self._skipped, self._cut = Tally(), Tally(), Tally()
        self._wrong: Mapping[str, int] = {}

    def follow(self, wrong: Mapping[str, int]) -> None:
        """Tell from now on what a codec counts: values of own columns that are of another type, by name."""
        self._wrong = wrong

    def refuse(self, reject: Reject) -> None:
        """Count a record that goes to the dead letters, and what its letter leaves out."""
        topic = self._name(reject.position.topic)
        self._refused.add(topic, reject.code)
        if reject.length or len(reject.original) > bounds.LONGEST:
            self._cut.add(topic, ORIGINAL)
        if bounds.kept(reject.headers).left_out:
            self._cut.add(topic, HEADERS)

    def skip(self, topic: str, code: str = FOREIGN) -> int:
        """Count a record that is read past; return how many of that topic and code there were."""
        name = self._name(topic)
        self._skipped.add(name, code)
        return self._skipped.held[name, code]

    def take(self, arrival: Arrival, headers: bounds.Headers) -> None:
        """Count what an arrival left behind of the headers that it came with."""
        if headers and sum(name in bounds.CARRIED for name, _ in headers) > len(arrival.headers):
            self._cut.add(self._name(arrival.position.topic), TRACE)

    def collect(self) -> Iterator[Any]:
        """Yield every family, as Prometheus's client asks for it."""
        yield counter("fraud_rejects", "Messages that could not be used: dead letters", self._refused, "topic", "code")
        yield counter("fraud_skipped", "Records read past that are none of ours", self._skipped, "topic", "code")
        yield counter("fraud_cut", "Records of which less was kept or passed on than came", self._cut, "topic", "part")
        wrong = Tally()
        for name, times in list(self._wrong.items()):
            wrong.add(name, times=times)
        yield counter("fraud_own_values_wrong", "Values of own columns of another type: missing", wrong, "name")

    def _name(self, topic: str) -> str:
        """Return a topic's name without prefix and id."""
        plain = topic.partition("@")[0]
        return self._names.get(plain, plain)
