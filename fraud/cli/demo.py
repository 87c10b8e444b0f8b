"""`fraud demo`: the embedded path with traffic, decisions on the screen as they are made."""

from pathlib import Path
from typing import Annotated

import typer

from fraud.cli import options, output
from fraud.cli.screen import Screen

CONSOLE = Path("build/demo/console")
OPENING = (
    "Warming up: compiled loops, and 24 days of history, from which the model has learned already. Then a day passes "
    "in {day:g} s; on the third day fraudsters change their tactics. Under the alerts: what is learned from labels."
)


def demo(
    seconds: Annotated[float, typer.Option(help="End after this many seconds; 0 runs until Ctrl-C.")] = 0.0,
    seed: Annotated[int, typer.Option(help="The traffic is a function of this number.")] = 7,
    day_seconds: Annotated[float, typer.Option(help="How many real seconds a simulated day takes.")] = 12.0,
    model: Annotated[str, typer.Option(help="The model that scores; 'rules' always exists.")] = "demo-young",
    settings: options.SettingsFile = None,
    console: Annotated[
        Path,
        typer.Option(
            file_okay=False, help="Folder of the log that the console reads and writes; emptied at the start."
        ),
    ] = CONSOLE,
    kafka: Annotated[
        str | None, typer.Option(help="Run on this Kafka (HOST:PORT) with --redis, as in production.")
    ] = None,
    redis: Annotated[str, typer.Option(help="The state store of --kafka.")] = "redis://127.0.0.1:6379/0",
) -> None:
    """Show payments scored live: simulated traffic with fraud, features, model, rules, decisions with reasons.

    Nothing else is needed: state is in this process. With --kafka and --redis the same runs as a site would run it: a
    worker and the label book as processes, topics `demo.*`. Past traffic is absorbed first, as fast as it goes, so that
    cards and merchants have a history; then time runs, a simulated day in `--day-seconds`. Analysts speak within
    minutes, chargebacks come in days, of most payments nobody ever speaks; two days in, fraudsters change their
    tactics. Parameters are refreshed every three hours of the stream: a panel shows their version, guard, gain and
    labels, without a terminal a few lines do each day.

    A console runs beside it, a process of its own; its address is printed with a link that makes your account there.
    What is ordered there is carried out as a site would do it: lines that begin with `site` say what became of held
    payments, and those that went through are reported to the label book. Each demo begins anew, without any release.

    The last line counts decisions, alerts and labels, gives the latency from a payment's arrival to its decision,
    counts payments released and refused as ordered, and says what was learned: version in force, refreshes, labels
    learned and held, gain in log-loss on the frozen model.
    """
    if kafka is not None:
        from fraud.cli.demo_live import live

        output.last_line(
            live(
                kafka=kafka, redis=redis, seed=seed, day_seconds=day_seconds, seconds=seconds, model=model,
                settings=settings,
            )
        )  # fmt: skip
        return
    from fraud.cli.demo_console import beside
    from fraud.cli.demo_embedded import embedded

    output.say(OPENING.format(day=day_seconds))
    with beside(console, settings, model):
        output.last_line(
            embedded(
                Screen(), seed=seed, day_seconds=day_seconds, seconds=seconds, model=model, settings=settings,
                console=console,
            )
        )  # fmt: skip
