"""`fraud run`, `fraud learn`, `fraud topics`: the service."""

from pathlib import Path
from typing import Annotated

import typer

from fraud.cli import options, output

Bootstrap = Annotated[
    str | None, typer.Option("--bootstrap", help="Addresses of Kafka, HOST:PORT, separated by commas.")
]
Store = Annotated[
    str | None, typer.Option("--store", help="State store: redis://HOST:PORT/0, rediss:// or redis+cluster://.")
]
Group = Annotated[str | None, typer.Option("--group", help="Consumer group of the workers.")]
Prefix = Annotated[str | None, typer.Option("--prefix", help="Put before every topic's name.")]
Delivery = Annotated[
    str | None, typer.Option("--delivery", help="fast (default) or transactional, for readers with read_committed.")
]

topics_app = typer.Typer(help="Create the topics, and show what is there.", no_args_is_help=True)


def run(
    bootstrap: Bootstrap = None,
    store: Store = None,
    model: options.ModelName = None,
    models: options.Models = None,
    rules: options.Rules = None,
    settings: options.SettingsFile = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes, each restarted when it dies.")] = 1,
    group: Group = None,
    prefix: Prefix = None,
    delivery: Delivery = None,
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
        from fraud.cli.supervise import supervise

        supervise(workers, http)
        return
    from streaming import service_wiring

    service_wiring.worker(found, number, member, standby).run()


@topics_app.command("create")
def create(
    bootstrap: Bootstrap = None,
    settings: options.SettingsFile = None,
    prefix: Prefix = None,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each: at most so many workers share them.")] = 4,
    replication: Annotated[int, typer.Option(help="Copies of each; -1 asks the brokers' default.")] = -1,
) -> None:
    """Create the topics that are missing, kept for 32 days, so that a lost store can be rebuilt from them."""
    from streaming.kafka import topics

    kafka = options.service(settings, bootstrap=bootstrap, prefix=prefix).kafka
    made = topics.create(kafka, partitions, replication)
    for name in made:
        output.show(f"created {name}")
    output.last_line({"created": len(made), "topics": len(list(topics.Topics.of(kafka)))})


@topics_app.command("list")
def list_topics(bootstrap: Bootstrap = None, settings: options.SettingsFile = None, prefix: Prefix = None) -> None:
    """List the topics with their partitions; exit status 1 when one is missing."""
    from streaming.kafka import topics

    kafka = options.service(settings, bootstrap=bootstrap, prefix=prefix).kafka
    names = list(topics.Topics.of(kafka))
    found = topics.described(kafka, names)
    for name in names:
        state = f"{len(found[name]['partitions'])} partitions" if name in found else "MISSING: fraud topics create"
        output.show(f"{name:<20} {state}")
    output.last_line({"topics": len(found), "missing": len(names) - len(found)})
    if len(found) < len(names):
        raise typer.Exit(1)


def learn(
    bootstrap: Bootstrap = None,
    state: Annotated[Path | None, typer.Option(help="Folder of the waiting vectors; default build/state.")] = None,
    settings: options.SettingsFile = None,
    group: Group = None,
    prefix: Prefix = None,
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


state_app = typer.Typer(
    help="Rebuild the state store, have it serve another model, or erase a card from it.", no_args_is_help=True
)


@state_app.command("rebuild")
def rebuild(
    bootstrap: Bootstrap = None,
    store: Store = None,
    settings: options.SettingsFile = None,
    group: Group = None,
    prefix: Prefix = None,
) -> None:
    """Fill an empty state store from the topics, up to what the workers have committed; stop the workers first."""
    from streaming import service_wiring

    found = options.service(settings, bootstrap=bootstrap, store=store, group=group, prefix=prefix)
    job = service_wiring.rebuild(found)
    with output.progress("rebuild", job.total, "records") as step:
        result = job.run(step)
    output.last_line(result)


@state_app.command("reencode")
def reencode(
    model: options.ModelName = None,
    models: options.Models = None,
    bootstrap: Bootstrap = None,
    store: Store = None,
    settings: options.SettingsFile = None,
    group: Group = None,
    prefix: Prefix = None,
) -> None:
    """Make the histories that a model reads, from the topics, and have every worker take the model up.

    The workers go on meanwhile; each swaps between two batches, publishes nothing twice and loses nothing. A model that
    reads no histories is taken up at once. What the store points to comes before the settings of a worker.
    """
    from streaming import service_wiring

    found = options.service(
        settings, bootstrap=bootstrap, store=store, model=model, models=models, group=group, prefix=prefix
    )
    job = service_wiring.reencode(found)
    with output.progress("reencode", max(job.total, 1), "records") as step:
        result = job.run(step)
    output.last_line(result)


@state_app.command("forget")
def forget(
    card: Annotated[str, typer.Argument(help="The card's token.")],
    store: Store = None,
    settings: options.SettingsFile = None,
) -> None:
    """Erase a card and its pairs from the state store; first answers that name it go within the retry horizon."""
    from streaming.service_wiring import open_store

    records = open_store(options.service(settings, store=store)).forget(card)
    output.last_line({"records": records})
