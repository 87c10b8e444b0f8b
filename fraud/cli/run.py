"""`fraud run`: the service."""

from pathlib import Path
from typing import Annotated

import typer

from fraud.cli import options, output


def run(
    bootstrap: options.Bootstrap = None,
    store: options.Store = None,
    model: options.ModelName = None,
    models: options.Models = None,
    rules: options.Rules = None,
    settings: options.SettingsFile = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes, each restarted when it dies.")] = 1,
    group: options.Group = None,
    prefix: options.Prefix = None,
    delivery: options.Delivery = None,
    http: Annotated[
        int | None, typer.Option(help="Port of /metrics, /livez, /readyz; worker K takes port + K.")
    ] = None,
    number: Annotated[int, typer.Option(help="This worker's number; --workers sets it.")] = 0,
    member: Annotated[str, typer.Option(help="This worker's lasting name; default: host and number.")] = "",
    standby: Annotated[
        Path | None,
        typer.Option(help="Folder of locks: of several processes of one member, one works, the others wait, warm."),
    ] = None,
) -> None:
    """Score transactions from Kafka with state in Redis, until SIGTERM.

    Transactions come on topic `transactions`, verdicts by way of `fraud learn`; decisions leave on `decisions`, alerts
    on `alerts`, what cannot be read on `transactions.dead`. A worker that is killed goes on where it was: nothing is
    lost, nothing counts twice. Make the topics first: fraud topics create.
    """
    found = options.service(
        settings, bootstrap=bootstrap, store=store, model=model, models=models, rules=rules, group=group,
        prefix=prefix, delivery=delivery, http=http,
    )  # fmt: skip
    if workers > 1:
        from streaming.worker.supervisor import supervise

        supervise(workers, http, output.say)
        return
    from streaming import service_wiring

    service_wiring.worker(found, number, member, standby).run()
