"""What `fraud refresh` and `fraud labels` share: the newest of what the learner published, and orders to it."""

import getpass
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli import options, output
from fraud.core.errors import ArtifactError, DataError, nearest

if TYPE_CHECKING:
    from models.online.snapshots import Event
    from streaming.messages.schema import LabelsMessage, RefreshMessage
    from streaming.settings import KafkaSection

Base = Annotated[
    str, typer.Option("--base", help="NAME@VERSION of the model that is learned on; default: the one in use.")
]
By = Annotated[str, typer.Option("--by", help="Who gives the order; default: your login name.")]
Wait = Annotated[
    float, typer.Option("--wait", min=0, help="Seconds to wait until the learner has done it; 0: do not wait.")
]
SECONDS = 30.0
SHOWN = 5
SECOND_NS = 1_000_000_000


def kafka_of(settings: Any, bootstrap: str | None, prefix: str | None) -> "KafkaSection":
    """Return where Kafka is."""
    return options.service(settings, bootstrap=bootstrap, prefix=prefix).kafka


def base_in(found: Mapping[str, bytes], base: str = "") -> str:
    """Return the base asked for, else the one of which the newest was published; `""` when nothing was."""
    from streaming.kafka.updates import HELD, LIVE

    bases = [key.partition("/")[2] for key in found if key.startswith((LIVE, HELD))]
    if base and bases and base not in bases:
        msg = f"nothing is learned on '{base}': there is {', '.join(dict.fromkeys(bases))}.{nearest(base, bases)}"
        raise DataError(msg)
    return base or (bases[-1] if bases else "")


def snapshot_body(kafka: "KafkaSection", version: str) -> bytes:
    """Return a published snapshot; raise DataError, naming the nearest and the newest ones, when there is none."""
    from streaming.kafka.updates import SNAPSHOT, newest

    key = SNAPSHOT + version
    found = newest(kafka, lambda held: key in held)
    if key in found:
        return found[key]
    known = [name.removeprefix(SNAPSHOT) for name in found if name.startswith(SNAPSHOT)]
    said = f"the newest are {', '.join(known[: -SHOWN - 1 : -1])}" if known else "none was published yet"
    msg = f"there is no snapshot '{version}': {said}.{nearest(version, known)} See: fraud refresh history"
    raise DataError(msg)


def give(kafka: "KafkaSection", order: "RefreshMessage | LabelsMessage", wait: float) -> None:
    """Send an order, wait until the learner says what came of it, and show that; exit status 1 unless it was done."""
    from streaming.kafka.updates import open_updates

    reader = open_updates(kafka, at_end=True)
    try:
        place = send(kafka, order)
        event = answer_to(reader, place, wait) if wait else None
    finally:
        reader.close()
    if event is None:
        unanswered(place, wait)
        return
    output.show(f"{event.kind}: {event.text}")
    output.last_line({"event": event.seq, "kind": event.kind, "text": event.text, "order": place})
    if event.kind == "refused":
        raise typer.Exit(1)


def send(kafka: "KafkaSection", order: "RefreshMessage | LabelsMessage") -> str:
    """Send an order; return where it stands, as the learner's answer names it."""
    from kafka import KafkaProducer

    from fraud.core.records import Position
    from streaming.kafka.topics import Topics, client_options, ids
    from streaming.messages.actions import of_action
    from streaming.messages.envelope import position_text

    topic = Topics.of(kafka).actions
    named = f"{topic}@{ids(kafka, [topic])[topic]}"
    producer = KafkaProducer(**{"acks": "all", **client_options(kafka, KafkaProducer)})
    try:
        sent = producer.send(topic, value=of_action(order), key=order.base.encode() or None).get(SECONDS)
    finally:
        producer.close()
    return position_text(Position(named, sent.partition, sent.offset)).decode()


def answer_to(reader: Any, place: str, wait: float) -> "Event | None":
    """Return the event that answers an order, None when none comes in time."""
    from streaming import clock

    until = clock.monotonic_ns() + int(wait * SECOND_NS)
    while clock.monotonic_ns() < until:
        for event in events_in(reader.poll()):
            if event.details.get("order") == place:
                return event
    return None


def events_in(records: Iterable[tuple[str, bytes]]) -> "Iterator[Event]":
    """Yield the events among records of `model-updates`, by key and value; what cannot be read is left out."""
    from models.online.snapshots import EVENT, event_in

    for key, body in records:
        if key.startswith(EVENT):
            with suppress(ArtifactError):
                yield event_in(body)


def unanswered(place: str, wait: float) -> None:
    """Say that an order was sent and what to look at; exit status 1 when an answer was waited for."""
    output.last_line({"event": None, "order": place})
    if wait:
        output.say(
            f"no answer within {wait:g} s. The order stands at {place}, and is carried out when a learner takes it up: "
            "is 'fraud learn' running, with refresh.enabled, on this prefix? What it could not read is in 'fraud dead "
            "list --bootstrap ...', what it did in 'fraud refresh history'."
        )
        raise typer.Exit(1)


def who(by: str) -> str:
    """Return who gives an order."""
    try:
        return by or getpass.getuser()
    except (KeyError, OSError):
        return ""


def when(at: int) -> str:
    """Return a time, ns UTC, as people read it."""
    from streaming.messages.times import to_text

    return to_text(at)[:19].replace("T", " ") if at else "-"
