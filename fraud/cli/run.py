"""`fraud run`: the service."""

from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraud.cli import options, output
from fraud.core.errors import StoreUnavailableError

if TYPE_CHECKING:
    from streaming.settings import ServiceSettings


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
    number: Annotated[int | None, typer.Option(help="This worker's number; --workers sets it.")] = None,
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

    Once a release is in force (fraud release) it stands above --model and --rules: other ones are refused here.
    """
    found = options.service(
        settings, bootstrap=bootstrap, store=store, model=model, models=models, rules=rules, group=group,
        prefix=prefix, delivery=delivery, http=http,
    )  # fmt: skip
    if number is None:  # a worker that is started again by its supervisor goes on, whatever was put in force since
        need_agreement(found, model, rules)
    if workers > 1:
        from streaming.worker.supervisor import supervise

        raise typer.Exit(supervise(workers, http, output.say))
    from streaming import service_wiring

    service_wiring.worker(found, number or 0, member, standby).run()


def need_agreement(settings: "ServiceSettings", model: str | None, rules: Path | None) -> None:
    """Raise ReleaseError where the command line names another model, or other rules, than the release in force.

    A store that does not answer is no reason not to start: rules decide until it does.
    """
    if model is None and rules is None:
        return
    from streaming import release_wiring, releasing
    from streaming.settings import card_numbers

    with suppress(StoreUnavailableError):
        with closing(release_wiring.open_releases(settings)) as releases:
            live = releases.live()
        releasing.need_agreement(live, model, None if rules is None else str(rules), card_numbers(settings))
