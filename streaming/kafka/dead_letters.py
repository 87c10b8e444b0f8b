"""Dead letters on Kafka: listed, shown, repaired and sent again to the topic that they came from."""

from collections.abc import Mapping
from typing import Any

import msgspec

from fraud.core.errors import DataError
from fraud.core.records import Reject
from streaming.files.dead_letters import MASKED, Letter, letter_of
from streaming.kafka import output_log
from streaming.kafka.topics import Topics, client_options, described
from streaming.messages import envelope
from streaming.settings import KafkaSection

REDRIVEN = "redriven"


class DeadTopic:
    """The dead-letter topic of a site. A letter's id is its source position, so a second delivery is the same one."""

    def __init__(self, kafka: KafkaSection) -> None:
        """Name the site; nothing is read yet."""
        self._kafka, self._topic = kafka, Topics.of(kafka).dead

    def letters(self) -> dict[str, Letter]:
        """Return the letters by id, in order, `redriven` set on those sent again."""
        partitions = described(self._kafka, [self._topic]).get(self._topic, {}).get("partitions", ())
        held: dict[str, Letter] = {}
        driven: set[str] = set()
        for record in output_log.records(self._kafka, {(self._topic, one["partition_index"]): 0 for one in partitions}):
            mark = envelope.header(record.headers, REDRIVEN)
            if mark is not None:
                driven.add(mark.decode())
            elif (letter := letter_in(record)) is not None:
                held.setdefault(letter.id, letter)
        return {name: msgspec.structs.replace(one, redriven=name in driven) for name, one in held.items()}

    def send(self, letters: Mapping[str, tuple[Letter, bytes]]) -> None:
        """Send repaired messages to the topics they came from, and note in the dead-letter topic that it was done."""
        from kafka import KafkaProducer

        producer = KafkaProducer(**{"acks": "all", **client_options(self._kafka, KafkaProducer)})
        try:
            for name, (letter, value) in letters.items():
                topic, key = letter.topic.partition("@")[0], key_of(value)
                producer.send(topic, value=value, key=key, headers=[(REDRIVEN, name.encode())]).get(30)
                producer.send(self._topic, value=b"", key=name.encode(), headers=[(REDRIVEN, name.encode())]).get(30)
        finally:
            producer.close()


def letter_in(record: Any) -> Letter | None:
    """Return the letter of a message, None for one that is none."""
    source = output_log.source_of(record.headers)
    if source is None:
        return None
    code, reason = (envelope.header(record.headers, name) or b"" for name in (envelope.CODE, envelope.REASON))
    seen_at = int(envelope.header(record.headers, envelope.SEEN_AT) or 0)
    masked = envelope.header(record.headers, envelope.MASKED) is not None
    reject = Reject(code.decode(), reason.decode(), record.value or b"", source, seen_at=seen_at, masked=masked)
    return letter_of(reject)


def repaired(letter: Letter, changes: Mapping[str, str], replacement: str) -> bytes:
    """Return a letter's message with some fields set, or another text in its place.

    Values are JSON where they can be read as such (12, true, null), text otherwise.

    Raises:
        DataError: when fields are to be set and the message is no JSON object, or card numbers were masked in it.
    """
    if replacement:
        return replacement.encode()
    if letter.masked:
        msg = f"letter {letter.id}: {MASKED}"
        raise DataError(msg)
    if not changes:
        return letter.bytes()
    try:
        content = msgspec.json.decode(letter.bytes(), type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        msg = f"letter {letter.id} is no JSON object ({error}): repair it with --as 'the whole message'"
        raise DataError(msg) from error
    return msgspec.json.encode({**content, **{name: value_of(text) for name, text in changes.items()}})


def value_of(text: str) -> Any:
    """Return a value as JSON says it, or the text itself."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError):
        return text


def key_of(value: bytes) -> bytes | None:
    """Return the key that a message belongs under: its card, or the transaction it speaks of."""
    try:
        content = msgspec.json.decode(value, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    key = content.get("card") or content.get("tx_id")
    return str(key).encode() if key else None
