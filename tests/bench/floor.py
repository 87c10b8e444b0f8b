"""The floor of the load test: read, produce, wait for the acknowledgement, commit behind; nothing else.

python -m tests.bench.floor BOOTSTRAP SOURCE SINK
"""

import sys
import time

from kafka import KafkaConsumer, KafkaProducer


def main() -> None:
    """Pass messages through until killed, with the settings that the worker uses."""
    bootstrap, source, sink = sys.argv[1:4]
    consumer = KafkaConsumer(
        source, bootstrap_servers=bootstrap, group_id="floor", group_instance_id="floor", enable_auto_commit=False,
        auto_offset_reset="earliest", isolation_level="read_committed", fetch_max_wait_ms=100,
    )  # fmt: skip
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, acks="all", max_in_flight_requests_per_connection=1, linger_ms=0
    )
    committed = time.monotonic()
    while True:
        found = consumer.poll(50, max_records=32)
        sent = [
            producer.send(sink, key=record.key, value=record.value, partition=record.partition)
            for records in found.values()
            for record in records
        ]
        for future in sent:
            future.get(30)
        if time.monotonic() - committed > 0.1:
            consumer.commit_async()
            committed = time.monotonic()


if __name__ == "__main__":
    main()
