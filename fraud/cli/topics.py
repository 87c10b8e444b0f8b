"""`fraud topics`: create the topics, and show what is there."""

from typing import Annotated

import typer

from fraud.cli import options, output

app = typer.Typer(help="Create the topics, and show what is there.", no_args_is_help=True)


@app.command("create")
def create(
    bootstrap: options.Bootstrap = None,
    settings: options.SettingsFile = None,
    prefix: options.Prefix = None,
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


@app.command("list")
def list_topics(
    bootstrap: options.Bootstrap = None, settings: options.SettingsFile = None, prefix: options.Prefix = None
) -> None:
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
