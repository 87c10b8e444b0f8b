"""`fraud labels`: what the gate holds of the labels, and what becomes of it."""

from collections.abc import Iterable
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


DEALS = {
    "release": "Let the labels of a chart through: they are taken in and learned, and the chart begins anew.",
    "drop": "Throw the labels of a chart away, as if they had never come; the chart begins anew.",
}
"""What can be done with labels that are held."""


def register(do: str, what: str) -> None:
    """Make a command of what can be done with the labels of a chart."""

    @app.command(do, help=what)
    def deal(
        chart: Chart,
        bootstrap: options.Bootstrap = None,
        settings: options.SettingsFile = None,
        prefix: options.Prefix = None,
        base: orders.Base = "",
        by: orders.By = "",
        wait: orders.Wait = orders.SECONDS,
    ) -> None:
        from streaming.messages.schema import Deal, LabelsMessage

        kafka = orders.kafka_of(settings, bootstrap, prefix)
        need_held(chart, charts(kafka, base))
        orders.give(kafka, LabelsMessage(do=Deal(do), chart=chart, base=base, by=orders.who(by)), wait)


for name, help_text in DEALS.items():
    register(name, help_text)


def need_held(chart: str, found: Iterable[str]) -> None:
    """Raise DataError for a chart that holds no labels; `found` are those that do."""
    names = list(found)
    if chart not in names:
        said = f"those with an alarm are {', '.join(names)}" if names else "none has an alarm"
        msg = f"chart '{chart}' holds nothing: {said}.{nearest(chart, names)} See: fraud labels held"
        raise DataError(msg)


def charts(kafka: "KafkaSection", base: str) -> dict[str, dict[str, Any]]:
    """Return what the gate holds by chart, as published at the end of the last period in which it changed."""
    from streaming.kafka.updates import HELD, newest

    found = newest(kafka, lambda held: any(key.startswith(HELD) and (not base or key == HELD + base) for key in held))
    body = found.get(HELD + orders.base_in(found, base))
    return msgspec.json.decode(body, type=dict[str, dict[str, Any]]) if body else {}


def shown(example: Any) -> str:
    """Return a held label as a cell shows it."""
    return " ".join(map(str, example)) if isinstance(example, list | tuple) else str(example)
