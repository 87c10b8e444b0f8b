"""`fraud learn`: the label book, and the learner."""

from pathlib import Path
from typing import Annotated

import typer

from fraud.cli import options


def learn(
    bootstrap: options.Bootstrap = None,
    store: options.Store = None,
    state: Annotated[Path | None, typer.Option(help="Folder of the waiting vectors; default build/state.")] = None,
    settings: options.SettingsFile = None,
    model: options.ModelName = None,
    models: options.Models = None,
    group: options.Group = None,
    prefix: options.Prefix = None,
    new_file: Annotated[
        bool,
        typer.Option("--new-file", help="Go on without a file that is lost: verdicts on payments of before find none."),
    ] = False,
    http: Annotated[int | None, typer.Option(help="Port of /metrics, /livez and /readyz.")] = None,
) -> None:
    """Keep the label book: join verdicts with the payments they speak of, until SIGTERM; learn where refresh.enabled.

    Decisions and labels come in; what changes what holds of a payment leaves on topic `labels.known` for the workers,
    exactly once. Payments wait for their verdict on disk; silence past a deadline means genuine where the payment went
    through. With refresh.enabled the model in use learns from them, and versions leave on `model-updates`: see fraud
    refresh, and fraud labels for what the gate holds. That is the model of the release in force (fraud release), which
    --store is asked for all the time; --model where none ever was. A second one on the same --state waits until the
    first has ended, and goes on. The last line says what became of the labels.
    """
    from streaming import learner_wiring

    found = options.service(
        settings, bootstrap=bootstrap, store=store, group=group, prefix=prefix, http=http, model=model, models=models
    )
    learner_wiring.label_service(found, state or Path(found.paths.state), anew=new_file).run()
