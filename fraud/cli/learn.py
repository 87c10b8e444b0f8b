"""`fraud learn`: the label book."""

from pathlib import Path
from typing import Annotated

import typer

from fraud.cli import options


def learn(
    bootstrap: options.Bootstrap = None,
    state: Annotated[Path | None, typer.Option(help="Folder of the waiting vectors; default build/state.")] = None,
    settings: options.SettingsFile = None,
    group: options.Group = None,
    prefix: options.Prefix = None,
    http: Annotated[int | None, typer.Option(help="Port of /livez and /readyz.")] = None,
) -> None:
    """Keep the label book: join verdicts with the payments they speak of, until SIGTERM.

    Decisions and labels come in; each verdict that was not known before leaves on topic `labels.known` for the workers,
    exactly once. Payments wait for their verdict on disk; silence past a deadline means genuine. Run one: a second one
    of the same group ends the first.
    """
    from fraud.core.labels import Deadlines
    from streaming.labels.pending import SqlitePending
    from streaming.labels.service import LabelService, until_stopped
    from streaming.messages.codec import Codec
    from streaming.observe.logs import Log
    from streaming.observe.metrics import Health, Metrics, Pages
    from streaming.settings import rates

    found = options.service(settings, bootstrap=bootstrap, group=group, prefix=prefix, http=http)
    folder = state or Path(found.paths.state)
    deadlines = Deadlines(found.labels.deadline, dict(found.labels.by_channel))
    link = LabelService(
        found.kafka,
        Codec(rates(found)),
        SqlitePending(folder / f"waiting-{found.kafka.group}.db"),
        deadlines,
    )
    log, health = Log("book"), Health()
    pages = Pages(found.serving.host, found.serving.http, Metrics(), health) if found.serving.http >= 0 else None
    log.say("started", http_port=pages.port if pages else None, group=found.kafka.group)
    until_stopped(link, health, log)
