"""The topic `model-updates`: what the learner has published, read from its end backwards, or followed; without a group.

Keys say what a record is: `snapshot/VERSION`, `live/BASE`, `event/SEQ`, `held/BASE`, `period/BASE`. Of one key the
newest holds. What the values mean is known to those who ask (`models/online/snapshots.py`).
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from fraud.core.errors import SettingsError
from streaming.kafka import output_log
from streaming.kafka.topics import Topics
from streaming.messages.envelope import UNREADABLE
from streaming.settings import KafkaSection

SNAPSHOT, LIVE, EVENT, HELD = "snapshot/", "live/", "event/", "held/"
PERIOD = "period/"
"""The end of a period, its time in `at` (UTC ns): the learner's sign of life, whether or not it learned anything.

`version` is the newest by then, "" for none, `positions` is up to where labels were learned: by it, or, where it is the
one of before, they moved nothing. An embedded engine has none of both.
"""
ANSWER_MS = 50
BACK = 200
"""Records that are read at first, from the end; four times as many where they were not enough."""


class Named(msgspec.Struct):
    """What is read of a record to know which version it names."""

    version: str


class Update(NamedTuple):
    """One record: its key, and its value, empty where the key was taken away."""

    key: str
    value: bytes


class UpdateReader:
    """Follows the topic. Kafka keeps the order, for there is one partition."""

    def __init__(self, consumer: Any, place: Any) -> None:
        """Take a consumer that stands in that partition; see `open_updates`."""
        self._consumer, self._place = consumer, place

    def poll(self, wait_ms: int = output_log.POLL_MS) -> list[Update]:
        """Return what is new, in order; empty when nothing came within `wait_ms`."""
        found = self._consumer.poll(wait_ms).get(self._place, ())
        return [update_of(record) for record in found]

    def close(self) -> None:
        """Release the consumer."""
        self._consumer.close()


def open_updates(kafka: KafkaSection, *, at_end: bool = False, wait_ms: int = ANSWER_MS) -> UpdateReader:
    """Return a reader that begins at the topic's begin, or with `at_end` behind what is there now.

    While nothing comes the broker is asked every `wait_ms`.

    Raises:
        SettingsError: when no broker answers or there is no such topic.
    """
    reader, place = _assigned(kafka, wait_ms)
    end = reader.end_offsets([place])[place]
    reader.seek(place, end if at_end else reader.beginning_offsets([place])[place])
    return UpdateReader(reader, place)


def newest(kafka: KafkaSection, enough: Callable[[Mapping[str, bytes]], bool]) -> dict[str, bytes]:
    """Return the newest values by key, in order of their records, from so far back that they are `enough`, or all.

    A month of refreshes each minute is half a GB, so what is wanted is looked for from the end.

    Raises:
        SettingsError: when no broker answers or there is no such topic.
    """
    reader, place = _assigned(kafka)
    try:
        begin, end = reader.beginning_offsets([place])[place], reader.end_offsets([place])[place]
        found: dict[str, bytes] = {}
        back, start = BACK, end
        while start > begin and not enough(found):
            start, back = max(end - back, begin), 4 * back
            found = _between(reader, place, start, end)
        return found
    finally:
        reader.close()


def everything(found: Mapping[str, bytes]) -> bool:
    """Tell `newest` to read all that is there."""
    del found
    return False


def in_force(kafka: KafkaSection, base: str) -> dict[str, bytes]:
    """Return the records that say what payments get on a base, the snapshot first; empty when nothing was ever live.

    Raises:
        SettingsError: when no broker answers or there is no such topic.
    """
    found = newest(kafka, lambda held: _keys_in_force(held, base) <= held.keys())
    return {key: found[key] for key in sorted(_keys_in_force(found, base), reverse=True) if key in found}


def update_of(record: Any) -> Update:
    """Return a record of the topic as what it says."""
    return Update((record.key or b"").decode(errors="replace"), record.value or b"")


def _keys_in_force(held: Mapping[str, bytes], base: str) -> set[str]:
    """Return the keys of the records that say what payments get, as far as they are known.

    One that cannot be read names no version: whoever takes it up refuses it.
    """
    key, version = LIVE + base, ""
    with suppress(*UNREADABLE):
        version = msgspec.json.decode(held.get(key, b""), type=Named).version
    return {key, SNAPSHOT + version} if version else {key}


def _assigned(kafka: KafkaSection, wait_ms: int = ANSWER_MS) -> tuple[Any, Any]:
    """Return a consumer, and the partition that it reads."""
    from kafka import TopicPartition

    place = TopicPartition(Topics.of(kafka).updates, 0)
    reader = output_log.consumer(kafka, fetch_max_wait_ms=wait_ms, allow_auto_create_topics=False)
    if not reader.partitions_for_topic(place.topic):
        reader.close()
        msg = f"no topic {place.topic} at {kafka.bootstrap}: make it with 'fraud topics create'"
        raise SettingsError(msg)
    reader.assign([place])
    return reader, place


def _between(reader: Any, place: Any, start: int, end: int) -> dict[str, bytes]:
    """Return the newest value of each key in a stretch of the topic, in order of the records that hold."""
    found: dict[str, bytes] = {}
    reader.seek(place, start)
    while reader.position(place) < end:
        for record in reader.poll(output_log.POLL_MS).get(place, ()):
            if record.offset < end:
                update = update_of(record)
                found.pop(update.key, None)
                if update.value:
                    found[update.key] = update.value
    return found
