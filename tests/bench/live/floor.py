"""The floor of the load test: read, produce, wait for the acknowledgement, commit behind; nothing else.

    python -m tests.bench.live.floor BOOTSTRAP SOURCE SINK LIBRARY

The clients are those of the worker, with its settings.
"""

import sys
import time
from collections.abc import Sequence

from streaming.kafka.client import Commit, Place
from streaming.messages.envelope import Outgoing
from streaming.service_wiring import consumer_of, producer_of
from streaming.settings import KafkaSection

COMMIT_SECONDS, BATCH, POLL_MS = 0.1, 32, 50


class Anybody:
    """A member of the group to whom its partitions mean nothing."""

    def take_partitions(self, places: Sequence[Place]) -> None:
        """Take them."""

    def give_partitions(self, places: Sequence[Place]) -> None:
        """Give them up."""


def main() -> None:
    """Pass messages through until killed."""
    bootstrap, source, sink, library = sys.argv[1:5]
    # Named by its topic: two floors of one library, as `--against` has them, are two groups.
    kafka = KafkaSection(bootstrap=bootstrap, group=f"floor-{source}", library=library)  # type: ignore[arg-type]
    producer, consumer = producer_of(kafka), consumer_of(kafka, kafka.group, kafka.group)
    consumer.subscribe([source], Anybody())
    committed, reached = time.monotonic(), dict[Place, Commit]()
    while True:
        found = consumer.poll(POLL_MS, BATCH)
        sent = [
            producer.send(Outgoing(sink, b"", record.value or b"", (), record.partition))
            for records in found.values()
            for record in records
        ]
        for each in sent:
            producer.wait(each)
        reached |= {place: Commit(records[-1].offset + 1) for place, records in found.items()}
        if reached and time.monotonic() - committed > COMMIT_SECONDS:
            consumer.commit(reached, lambda _: None, wait=False)
            committed = time.monotonic()


if __name__ == "__main__":
    main()
