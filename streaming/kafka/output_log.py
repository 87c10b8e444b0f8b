"""Read the end of the output: which positions have been answered, and with what."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from fraud.core.errors import DataError
from fraud.core.records import Answer, Position
from streaming.kafka.topics import client_options
from streaming.messages import envelope
from streaming.settings import KafkaSection

POLL_MS = 200


def consumer(kafka: KafkaSection, **options: Any) -> Any:
    """Return a consumer that belongs to no group and sees committed messages only."""
    from kafka import KafkaConsumer

    return KafkaConsumer(
        **{
            "enable_auto_commit": False,
            "isolation_level": "read_committed",
            "auto_offset_reset": "earliest",
            "fetch_max_wait_ms": 50,
            **client_options(kafka),
            **options,
        }
    )


def records(kafka: KafkaSection, starts: Mapping[tuple[str, int], int], **options: Any) -> Iterator[Any]:
    """Yield what stands in some partitions from given offsets up to their ends as they are now."""
    from kafka import TopicPartition

    reader = consumer(kafka, **options)
    try:
        begins = {TopicPartition(*partition): offset for partition, offset in starts.items()}
        reader.assign(list(begins))
        ends = reader.end_offsets(list(begins))
        first = reader.beginning_offsets(list(begins))
        for partition, offset in begins.items():
            reader.seek(partition, max(offset, first[partition]))
        while any(reader.position(partition) < ends[partition] for partition in begins):
            for partition, found in reader.poll(POLL_MS).items():
                yield from (record for record in found if record.offset < ends[partition])
    finally:
        reader.close()


class Answered(msgspec.Struct):
    """What the output says of one input partition: the offset after the last answered, and the answers."""

    resume: int = 0
    answers: list[Answer] = []
    output: int = 0


def answered(found: Iterable[Any], inputs: Mapping[tuple[str, int], str], *, decisions: str) -> dict[Any, Answered]:
    """Return, for each (output topic, partition), what has been answered.

    `inputs` names the input topic with its id, as positions do; what speaks of another one, deleted since, is left out.
    """
    held: dict[tuple[str, int], Answered] = {key: Answered() for key in inputs}
    for record in found:
        key = record.topic, record.partition
        state = held[key]
        state.output = max(state.output, record.offset + 1)
        position = source_of(record.headers)
        if position is None or position.topic != inputs[key]:
            continue
        state.resume = max(state.resume, position.offset + 1)
        if record.topic == decisions:
            answer = envelope.answer_in(record.value, record.headers)
            if answer.repeat_of is None:
                state.answers.append(answer)
    return held


def source_of(headers: Iterable[tuple[str, bytes]]) -> Position | None:
    """Return the source position of a message, None when it names none."""
    value = envelope.header(headers, envelope.SOURCE)
    try:
        return envelope.position_in(value) if value is not None else None
    except DataError:
        return None
