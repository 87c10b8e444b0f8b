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
    from streaming import service_wiring

    found = options.service(settings, bootstrap=bootstrap, group=group, prefix=prefix, http=http)
    service_wiring.label_service(found, state or Path(found.paths.state)).run()
