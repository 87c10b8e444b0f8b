"""Payments at their intended times, and what came back: generator and reader, on another client than the worker's."""

import threading
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

CARDS, MERCHANTS, ZIPF = 5_000, 2_000, 1.2
BEGAN_NS, DAY_NS = 1_700_000_000_000_000_000, 86_400_000_000_000
PARTITIONS = 4


class Came(NamedTuple):
    """A message that came back: when (monotonic ns), and the level and marks of the decision that it is."""

    at: int
    level: str = ""
    marks: tuple[str, ...] = ()


class Told(msgspec.Struct):
    """What is read of a decision, or of a payment that was passed through."""

    id: str = ""
    tx_id: str = ""
    level: str = ""
    marks: tuple[str, ...] = ()


_told = msgspec.json.Decoder(Told).decode


def messages(rng: np.random.Generator, first: int, cards: int = CARDS) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield id, key and value of payments: merchants by a Zipf law, so that a few are hubs; amounts by card.

    A card pays twice a day in the stream's own time, however fast it is sent, so that few payments look like fraud.
    """
    number, step = first, DAY_NS // (2 * cards)
    usual = np.random.default_rng(0).lognormal(8.0, 0.8, cards)
    while True:
        payers, shops = rng.integers(0, cards, 1_000), np.minimum(rng.zipf(ZIPF, 1_000), MERCHANTS)
        amounts = np.maximum(usual[payers] * rng.lognormal(0.0, 0.4, 1_000), 100).astype(int)
        for card, shop, amount in zip(payers.tolist(), shops.tolist(), amounts.tolist(), strict=True):
            number += 1
            value = {
                "id": f"b{number}", "card": f"card{card}", "merchant": f"shop{shop}", "amount": amount,
                "happened_at": BEGAN_NS + number * step, "channel": "ecom", "mcc": 5732, "device": f"device{card}",
            }  # fmt: skip
            yield f"b{number}", f"card{card}".encode(), msgspec.json.encode(value)


class Reader:
    """Notes when each message of a topic came, by the payment's id; begins at the topic's end."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        """Read on a thread of its own from now on."""
        self.seen: dict[str, Came] = {}
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "fetch.wait.max.ms": 10})
        self._consumer.assign([TopicPartition(topic, n, self._end(topic, n)) for n in range(PARTITIONS)])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _end(self, topic: str, partition: int) -> int:
        return int(self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1])

    def _read(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.05)
            now = time.monotonic_ns()
            if message is not None and message.error() is None and message.value():
                told = _told(bytes(message.value() or b""))
                self.seen.setdefault(told.tx_id or told.id, Came(now, told.level, told.marks))


def generate(
    bootstrap: str, topic: str, rate: float, seconds: float, first: int, cards: int = CARDS
) -> Mapping[str, int]:
    """Send at a rate, whatever comes back; return each id with the time (monotonic ns) at which it was to go out."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "acks": "1"})
    source = messages(np.random.default_rng(first), first, cards)
    intended: dict[str, int] = {}
    began, step = time.monotonic_ns(), 1e9 / rate
    for number in range(int(rate * seconds)):
        due = began + int(number * step)
        while (left := due - time.monotonic_ns()) > 0:
            producer.poll(0)
            time.sleep(min(left / 1e9, 0.0005))
        tx_id, key, value = next(source)
        intended[tx_id] = due
        producer.produce(topic, key=key, value=value)
    producer.flush()
    return intended
