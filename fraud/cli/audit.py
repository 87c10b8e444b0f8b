"""`fraud audit`: whether the console's audit log is whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraud.cli import options, output
from fraud.cli.console import Database, KeysFolder, console_settings, need_console

if TYPE_CHECKING:
    from fraud.review.audit import Head
    from streaming.messages.feed import Feed, Record
    from streaming.settings import ServiceSettings

HELP = """Check the console's audit log.

Each row carries a MAC over itself and the row before, made with a key that is not in the database. The newest row is
published each day on topic actions, so that an end that was cut off is found too.
"""

app = typer.Typer(help=HELP, no_args_is_help=True)
SHOWN = 20
SILENT = 5
"""Seconds without a record after which there is none: a broker that is busy takes one or two for the first."""


@app.command("verify")
def verify(
    database: Database = None,
    keys: KeysFolder = None,
    feed: Annotated[
        Path | None, typer.Option("--feed", help="Topics of an embedded engine, a folder, with the published heads.")
    ] = None,
    bootstrap: Annotated[
        str | None, typer.Option("--bootstrap", help="Kafka with the published heads; without it none are compared.")
    ] = None,
    prefix: options.Prefix = None,
    settings: options.SettingsFile = None,
) -> None:
    """Check every row of the audit log: edited, removed, cut, written without the key; exit status 1 for a fault."""
    need_console()
    from fraud.dashboard.keys import audit_key
    from fraud.dashboard.process import database_of
    from fraud.review.audit import Audit

    found = console_settings(
        settings, bootstrap=bootstrap, prefix=prefix, database=database, host=None, port=None, keys=keys
    )
    audit = Audit(audit_key(Path(found.console.keys), make=False))
    heads = list(published(found, feed, bootstrap is not None))
    with database_of(found.console) as opened, opened.read() as connection:
        verified = audit.verify(connection, heads)
    for fault in verified.faults[:SHOWN]:
        output.show(f"row {fault.seq}: {fault.what}")
    told = {"rows": verified.rows, "head": verified.head.mac, "heads": len(heads), "faults": len(verified.faults)}
    output.last_line(told)
    if verified.faults:
        raise typer.Exit(1)


def published(settings: "ServiceSettings", folder: Path | None, kafka: bool) -> "Iterator[Head]":
    """Yield the heads of the log that were published, from the folder or Kafka; none where neither is named."""
    from fraud.core.actions import AuditHead
    from fraud.core.records import Position
    from fraud.review.audit import Head
    from streaming.feeds.kafka import KafkaFeed
    from streaming.feeds.topic_log import TopicLog
    from streaming.kafka.topics import Topics
    from streaming.messages.actions import action_in

    topics = [Topics.of(settings.kafka).actions]
    if folder is not None or kafka:
        feed: Feed = TopicLog(folder).feed(topics) if folder is not None else KafkaFeed(settings.kafka, topics)
        for record in everything(feed):
            place = Position(record.topic, record.partition, record.offset)
            if isinstance(said := action_in(record.value, place, record.at), AuditHead):
                yield Head(said.seq, said.mac)


def everything(feed: "Feed") -> "Iterator[Record]":
    """Yield all records that are there now.

    Offsets may end in marks of transactions, which nobody is given: nothing for some seconds is the end too.
    """
    feed.start({})
    try:
        ends = dict(feed.ends())
        reached: dict[tuple[str, int], int] = {}
        silent = 0
        while silent < SILENT and any(reached.get(place, 0) < end for place, end in ends.items()):
            records = feed.poll(1.0)
            silent = 0 if records else silent + 1
            for record in records:
                reached[record.topic, record.partition] = record.offset + 1
                yield record
    finally:
        feed.close()
