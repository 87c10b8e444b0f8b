"""Dead letters on Kafka: listed, shown, repaired and sent again to the topic that they came from."""

from collections.abc import Iterable, Mapping
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
        self._kafka, self._topics = kafka, Topics.of(kafka)

    def letters(self) -> dict[str, Letter]:
        """Return the letters by id, in order, `redriven` set on those sent again. What is no letter is left out."""
        dead = self._topics.dead
        partitions = described(self._kafka, [dead]).get(dead, {}).get("partitions", ())
        held: dict[str, Letter] = {}
        driven: set[str] = set()
        for record in output_log.records(self._kafka, {(dead, one["partition_index"]): 0 for one in partitions}):
            if (letter := letter_in(record)) is not None:
                held.setdefault(letter.id, letter)
            elif (mark := last(record.headers, REDRIVEN)) is not None:
                driven.add(mark)
        return {name: msgspec.structs.replace(one, redriven=name in driven) for name, one in held.items()}

    def message(self, letter: Letter, changes: Mapping[str, str], replacement: str) -> bytes:
        """Return what is to be sent again in place of a letter; see `repaired`.

        Raises:
            DataError: when the letter does not come from an input of this site, or holds no more than a part of its
                message and nothing is to take its place, or cannot be repaired.
        """
        topic, topics = topic_of(letter), self._topics
        inputs = topics.transactions, topics.labels, topics.actions, topics.known
        if topic not in inputs:
            msg = f"letter {letter.id} names topic {topic!r}, no input of this site: expected {', '.join(inputs)}"
            raise DataError(msg)
        return repaired(letter, changes, replacement)

    def send(self, letters: Mapping[str, tuple[Letter, bytes]]) -> None:
        """Send repaired messages to the topics they came from, and note in the dead-letter topic that it was done."""
        from kafka import KafkaProducer

        producer = KafkaProducer(**{"acks": "all", **client_options(self._kafka, KafkaProducer)})
        try:
            for name, (letter, value) in letters.items():
                note = [(REDRIVEN, name.encode())]
                producer.send(topic_of(letter), value=value, key=key_of(value), headers=note).get(30)
                producer.send(self._topics.dead, value=b"", key=name.encode(), headers=note).get(30)
        finally:
            producer.close()


def topic_of(letter: Letter) -> str:
    """Return the topic that a letter's message stood in."""
    return letter.topic.partition("@")[0]


def last(headers: Iterable[tuple[str, bytes | None]], name: str) -> str | None:
    """Return the last header of a name as text, None without one.

    Releases before put a sender's own headers in front of ours, under whatever name they had.
    """
    found = [value for key, value in headers if key == name]
    return (found[-1] or b"").decode(errors="replace") if found else None


def letter_in(record: Any) -> Letter | None:
    """Return the letter of a message, None for one that is none."""
    try:
        source = envelope.position_in((last(record.headers, envelope.SOURCE) or "").encode())
    except DataError:
        return None
    code, reason = (last(record.headers, name) or "" for name in (envelope.CODE, envelope.REASON))
    masked = last(record.headers, envelope.MASKED) is not None
    reject = Reject(
        code, reason, record.value or b"", source, (), number_in(last(record.headers, envelope.SEEN_AT)), masked
    )
    length, sha256 = number_in(last(record.headers, envelope.LENGTH)), last(record.headers, envelope.SHA256) or ""
    return letter_of(msgspec.structs.replace(reject, length=length, sha256=sha256))


def number_in(text: str | None) -> int:
    """Return a whole number, 0 for what is none."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 20 else 0


def repaired(letter: Letter, changes: Mapping[str, str], replacement: str) -> bytes:
    """Return a letter's message with some fields set, or another text in its place.

    Values are JSON where they can be read as such (12, true, null), text otherwise.

    Raises:
        DataError: when the letter holds a part of its message, or one whose card numbers were masked, or fields are to
            be set and it is no JSON object.
    """
    if replacement:
        return replacement.encode()
    if letter.masked:
        msg = f"letter {letter.id}: {MASKED}"
        raise DataError(msg)
    if letter.length:
        msg = (
            f"letter {letter.id} holds the first {len(letter.bytes())} of {letter.length} bytes: send another message "
            "in its place with --as 'the whole message'; the original stands at that offset while its topic keeps it"
        )
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
