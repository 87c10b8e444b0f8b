"""Records at the edges of what Kafka takes: for tests that send them to every topic, and for `make fuzz`.

Neither client sends all of them: kafka-python refuses headers without a value, confluent-kafka names that are no UTF-8.
"""

import json
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer
from kafka import KafkaProducer

CODECS = "gzip", "snappy", "lz4", "zstd"
LIMIT = 1_048_576
"""Bytes of a batch that the topics take."""
NEAR = LIMIT - 96
MIB = 1_048_576

RawHeaders = tuple[tuple[str, bytes | None], ...]


class RawName(str):
    """A header's name that is sent as bytes that are no UTF-8."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        return b"n\xff\xfe"


class Edge(NamedTuple):
    """One record; `codec` compresses it."""

    name: str
    value: bytes | None = b"{}"
    key: bytes | None = b"k"
    headers: RawHeaders = ()
    codec: str = "none"


def of_any_topic() -> list[Edge]:
    """Return records that are nothing to anybody."""
    deep = b"[" * 50_000
    return [
        Edge("tombstone", None),
        Edge("neither key nor value", None, None),
        Edge("empty", b"", b""),
        Edge("no object", b"[]"),
        Edge("empty object", b"{}"),
        Edge("key that is no text", b"{}", b"\xff\xfe\x00"),
        Edge("long key", b"{}", b"k" * 1_000_000),
        Edge("bytes", bytes(range(256))),
        Edge("no text within JSON", b'{"id":"\xff\xfe","tx_id":"\xff"}'),
        Edge("half a surrogate", b'{"id":"\\ud800","card":"\\ud800","tx_id":"\\ud800"}'),
        Edge("deep", deep),
        Edge("deep within", b'{"id":' + deep),
        Edge("number without end", b'{"id":"a","version":1' + b"0" * 5_000 + b"}"),
        Edge("near the limit", b"x" * NEAR),
        Edge("near the limit, JSON", b'{"id":"' + b"x" * (NEAR - 20) + b'"}'),
        Edge("large when unpacked", b"x" * 5_000_000, codec="gzip"),
        Edge("too large when unpacked", bytes(104 * MIB), codec="zstd"),
        Edge("header without value", headers=(("spring_json_header_types", None), ("traceparent", None))),
        Edge("header without name", headers=(("", b"v"),)),
        Edge("header that is no text", headers=(("h", b"\xff\xfe"), ("traceparent", b"\xff"))),
        Edge("name that is no text", headers=((RawName("n"), b"v"), ("fine", b"v"))),
        Edge("name that does not print", headers=(("a\nb\x1b[2J", b"v"),)),
        Edge("many headers", headers=tuple((f"h{n}", b"v") for n in range(5_000))),
        Edge("long header", headers=(("h", b"v" * 1_000_000),)),
        Edge("long trace", headers=(("tracestate", b"v" * 1_000_000),)),
        Edge("headers of ours", headers=OURS),
        Edge("event that is none", b"{" * 100, headers=(("content-type", b"application/cloudevents+json"),)),
        Edge("long event", b'{"id":"e","data":"' + b"x" * 900_000 + b'"}', headers=STRUCTURED),
        Edge("Avro of a registry", b"\x00\x00\x00\x00\x07\x02\x04id\x06abc"),
        Edge("Debezium", b'{"schema":{"type":"struct"},"payload":{"before":null,"after":{"id":1},"op":"c"}}'),
    ]


OURS: RawHeaders = (
    ("source", b"labels@abc/0/7"),
    ("source", b"\xff"),
    ("code", b"\xff"),
    ("reason", b"because"),
    ("seen-at", b"yesterday"),
    ("repeat-of", b"x"),
    ("redriven", b"\xff"),
    ("vector", b"\x01\xff"),
    ("evidence", b"\x02"),
    ("original-length", b"-1"),
)
STRUCTURED: RawHeaders = (("content-type", b"application/cloudevents+json; charset=utf-8"),)


def drawn(rng: random.Random, count: int, good: Sequence[bytes]) -> list[Edge]:
    """Return records put together at random out of odd values, keys, headers and codecs; some values are `good`."""
    edges = of_any_topic()
    values: list[bytes | None] = [edge.value for edge in edges if len(edge.value or b"") < 700_000]
    names = [
        "",
        "h",
        "source",
        "code",
        "seen-at",
        "traceparent",
        "content-type",
        "ce_id",
        "ce_specversion",
        "\0",
        "\u1f4b3",
    ]

    def header(longest: int) -> tuple[str, bytes | None]:
        name = RawName("n") if rng.random() < 0.05 else rng.choice(names)
        size = rng.choice((0, 1, 30, 2_000, longest))
        return name, None if rng.random() < 0.2 and not isinstance(name, RawName) else rng.randbytes(size)

    def edge(number: int) -> Edge:
        value = rng.choice(good) if rng.random() < 0.3 else rng.choice(values)
        many = rng.choice((0, 0, 1, 3, 40))
        headers = tuple(header(200_000 // max(many, 1)) for _ in range(many))
        key = rng.choice((b"k", b"", b"\xff\xfe", rng.randbytes(5_000)))
        return Edge(f"drawn {number}", value, key, headers, rng.choice(("none", *CODECS)))

    return [edge(number) for number in range(count)]


def huge_numbers(good: bytes) -> list[Edge]:
    """Return a good message with each of its numbers, and each of its times, beyond 64 bits."""
    content = json.loads(good)
    numbers = [name for name, value in content.items() if isinstance(value, int) and not isinstance(value, bool)]
    times = [name for name in content if name.endswith("_at") and isinstance(content[name], str)]
    odd = [(name, 10**30) for name in numbers] + [(name, "9999-12-31T23:59:59.000000000Z") for name in times]
    return [Edge(f"{name} without end", json.dumps({**content, name: value}).encode()) for name, value in odd]


def less_a_field(good: bytes) -> list[Edge]:
    """Return a good message without each of its fields, as another release or system may write it."""
    content = json.loads(good)
    return [
        Edge(f"without {name}", json.dumps({key: value for key, value in content.items() if key != name}).encode())
        for name in content
    ]


class EdgeSender:
    """Sends records as they are; waits until the broker has them."""

    def __init__(self, bootstrap: str) -> None:
        """Connect when something is sent."""
        self._bootstrap = bootstrap
        self._plain: dict[str, Producer] = {}
        self._raw: KafkaProducer | None = None

    def send(self, topic: str, edges: Iterable[Edge], partitions: Sequence[int] = (0,)) -> list[str]:
        """Send each to each partition; return the names of those that the broker refused for that topic."""
        refused: list[str] = []
        for edge in edges:
            for partition in partitions:
                (self._send_raw if is_raw(edge) else self._send_plain)(topic, edge, partition, refused.append)
        return refused

    def close(self) -> None:
        """Leave."""
        if self._raw is not None:
            self._raw.close()

    def _send_plain(self, topic: str, edge: Edge, partition: int, refuse: Callable[[str], None]) -> None:
        def delivered(error: KafkaError | None, _: Any) -> None:
            if error is not None:
                refuse(edge.name)

        if edge.codec not in self._plain:
            # One record a batch: what does not fit the topic is refused alone.
            options = {"message.max.bytes": 200_000_000, "compression.type": edge.codec, "batch.num.messages": 1}
            self._plain[edge.codec] = Producer(
                {"bootstrap.servers": self._bootstrap, "linger.ms": 0, "log_level": 0, **options}
            )
        beside: dict[str, Any] = {"key": edge.key, "headers": list(edge.headers), "partition": partition}
        try:
            self._plain[edge.codec].produce(topic, edge.value, on_delivery=delivered, **beside)
        except KafkaException:
            refuse(edge.name)
        self._plain[edge.codec].flush(60)

    def _send_raw(self, topic: str, edge: Edge, partition: int, refuse: Callable[[str], None]) -> None:
        del refuse
        if self._raw is None:
            self._raw = KafkaProducer(bootstrap_servers=self._bootstrap.split(","), acks="all")
        headers = [(name, value or b"") for name, value in edge.headers]
        self._raw.send(topic, key=edge.key, value=edge.value, headers=headers, partition=partition).get(30)


def is_raw(edge: Edge) -> bool:
    """Tell whether a record has a header's name that only kafka-python sends."""
    return any(isinstance(name, RawName) for name, _ in edge.headers)


def compressed(good: bytes) -> list[Edge]:
    """Return a good message in each codec."""
    return [Edge(codec, good, codec=codec) for codec in CODECS]
