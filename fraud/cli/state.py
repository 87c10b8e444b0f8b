"""`fraud state`: rebuild the state store, make histories for another model, upgrade it, erase a card."""

from pathlib import Path
from typing import Annotated

import typer

from fraud.cli import options, output
from fraud.cli.token import CARD, names_of

app = typer.Typer(
    help="Rebuild the state store, have it serve another model, upgrade it, or erase a card from it.",
    no_args_is_help=True,
)


@app.command("rebuild")
def rebuild(
    bootstrap: options.Bootstrap = None,
    store: options.Store = None,
    settings: options.SettingsFile = None,
    group: options.Group = None,
    prefix: options.Prefix = None,
    work: Annotated[Path, typer.Option("--work", help="Folder for a copy of how far it has come.")] = Path(
        "build/rebuild"
    ),
) -> None:
    """Fill an empty state store from the topics, up to what the workers have committed; it refuses while workers run.

    A copy of Redis' file, put back, is the better repair where there is one: what the topics no longer hold is in no
    row that is made here. One that was killed is gone on with by the same command.
    """
    from streaming import service_wiring

    found = options.service(settings, bootstrap=bootstrap, store=store, group=group, prefix=prefix)
    job = service_wiring.rebuild(found, work)
    output.say(f"{job.total:,} payments, {job.resumed:,} of them done before: some {job.estimate // 60 + 1} minutes")
    with output.progress("rebuild", job.total, "records") as step:
        result = job.run(step)
    output.last_line(result)


@app.command("reencode")
def reencode(
    model: options.ModelName = None,
    models: options.Models = None,
    bootstrap: options.Bootstrap = None,
    store: options.Store = None,
    settings: options.SettingsFile = None,
    group: options.Group = None,
    prefix: options.Prefix = None,
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


@app.command("upgrade")
def upgrade(store: options.Store = None, settings: options.SettingsFile = None) -> None:
    """Take over every row that an earlier release has written and no payment has touched since; workers may run.

    A row is taken over when it is touched; until all are, a row that is new is looked for in the old format as well.
    """
    from streaming.service_wiring import open_store

    with output.progress("upgrade", None, "rows") as step:
        rows = open_store(options.service(settings, store=store)).upgrade(lambda done, total: step(done, f"of {total}"))
    output.last_line({"rows": rows})


@app.command("forget")
def forget(
    card: Annotated[str, typer.Argument(help=CARD)],
    store: options.Store = None,
    settings: options.SettingsFile = None,
) -> None:
    """Erase a card and its pairs from the state store; first answers that name it go within the retry horizon."""
    from streaming.service_wiring import open_store

    found = options.service(settings, store=store)
    names, opened = names_of(card, found), open_store(found)
    output.last_line({"records": sum(opened.forget(name) for name in names)})
