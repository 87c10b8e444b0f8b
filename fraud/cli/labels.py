"""`fraud labels`: what the gate holds of the labels, and what becomes of it."""

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.table import Table

from fraud.cli import options, orders, output
from fraud.core.errors import DataError, nearest

if TYPE_CHECKING:
    from streaming.settings import KafkaSection

HELP = """See which labels the gate holds, and release or drop them.

With gate.enabled, labels that do not fit what the base model said of their payments are held by source, merchant or
device once an alarm is raised: neither entity state nor the learner see them until somebody decides.
"""

app = typer.Typer(help=HELP, no_args_is_help=True)

Chart = Annotated[str, typer.Argument(help="The chart that alarmed, as fraud labels held shows it: source/analyst.")]


@app.command("held")
def held(
    bootstrap: options.Bootstrap = None,
    settings: options.SettingsFile = None,
    prefix: options.Prefix = None,
    base: orders.Base = "",
) -> None:
    """Show what is held: the chart that alarmed, how many labels since when, and some of them."""
    found = charts(orders.kafka_of(settings, bootstrap, prefix), base)
    table = Table("chart", "labels", "since (UTC)", "such as")
    for name, one in found.items():
        table.add_row(name, str(one["count"]), orders.when(one["since"]), ", ".join(map(shown, one["examples"])))
    output.out.print(table)
    output.last_line({"charts": found, "held": sum(one["count"] for one in found.values())})


@app.command("release")
def release(
    chart: Chart,
    bootstrap: options.Bootstrap = None,
    settings: options.SettingsFile = None,
    prefix: options.Prefix = None,
    base: orders.Base = "",
    by: orders.By = "",
    wait: orders.Wait = orders.SECONDS,
) -> None:
    """Let the labels of a chart through: they are taken in and learned, and the chart begins anew."""
    deal("release", chart, orders.kafka_of(settings, bootstrap, prefix), base, by, wait)


@app.command("drop")
def drop(
    chart: Chart,
    bootstrap: options.Bootstrap = None,
    settings: options.SettingsFile = None,
    prefix: options.Prefix = None,
    base: orders.Base = "",
    by: orders.By = "",
    wait: orders.Wait = orders.SECONDS,
) -> None:
    """Throw the labels of a chart away, as if they had never come; the chart begins anew."""
    deal("drop", chart, orders.kafka_of(settings, bootstrap, prefix), base, by, wait)


def deal(do: str, chart: str, kafka: "KafkaSection", base: str, by: str, wait: float) -> None:
    """Give an order about a chart that holds labels; raise DataError for any other."""
    from streaming.messages.schema import Deal, LabelsMessage

    found = charts(kafka, base)
    if chart not in found:
        said = f"those with an alarm are {', '.join(found)}" if found else "none has an alarm"
        msg = f"chart '{chart}' holds nothing: {said}.{nearest(chart, found)} See: fraud labels held"
        raise DataError(msg)
    orders.give(kafka, LabelsMessage(do=Deal(do), chart=chart, base=base, by=orders.who(by)), wait)


def charts(kafka: "KafkaSection", base: str) -> dict[str, dict[str, Any]]:
    """Return what the gate holds by chart, as published at the end of the last period in which it changed."""
    from streaming.kafka.updates import HELD, newest

    found = newest(kafka, lambda held: any(key.startswith(HELD) and (not base or key == HELD + base) for key in held))
    body = found.get(HELD + orders.base_in(found, base))
    return msgspec.json.decode(body, type=dict[str, dict[str, Any]]) if body else {}


def shown(example: Any) -> str:
    """Return a held label as a cell shows it."""
    return " ".join(map(str, example)) if isinstance(example, list | tuple) else str(example)
