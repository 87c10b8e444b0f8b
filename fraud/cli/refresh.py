"""`fraud refresh`: what was learned from labels, version by version; pin one, go back, stop, resume."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.table import Table

from fraud.cli import options, orders, output

if TYPE_CHECKING:
    from models.online.snapshots import Event, Live, Snapshot

HELP = """See what was learned from labels, and say which of it payments get.

While refresh.enabled, 'fraud learn' learns from labels and publishes a version at the end of each period, and the
guard decides whether payments get it. pin, unpin, rollback, freeze and thaw are orders to it: they are sent, and
carried out between two periods; a command waits until that is done.
"""

app = typer.Typer(help=HELP, no_args_is_help=True)

Version = Annotated[str, typer.Argument(help="A version, as fraud refresh history shows it: 12-1a2b3c4d.")]


@app.command("history")
def history(
    last: Annotated[int, typer.Option(min=1, help="Show so many events, the newest.")] = 20,
    bootstrap: options.Bootstrap = None,
    settings: options.SettingsFile = None,
    prefix: options.Prefix = None,
    base: orders.Base = "",
) -> None:
    """Show what happened to what was learned, newest last, and which version payments get."""
    from models.online.snapshots import EVENT, LIVE, live_in
    from streaming.kafka.updates import newest

    kafka = orders.kafka_of(settings, bootstrap, prefix)
    found = newest(kafka, lambda held: sum(key.startswith(EVENT) for key in held) >= last)
    events = list(orders.events_in(found.items()))[-last:]
    chosen = orders.base_in(found, base)
    body = found.get(LIVE + chosen) or newest(kafka, lambda held: LIVE + chosen in held).get(LIVE + chosen)
    live = live_in(body) if body else None
    output.out.print(table_of(events))
    output.show(standing(live))
    told = [{"seq": one.seq, "at": one.at, "kind": one.kind, "text": one.text} for one in events]
    output.last_line({"base": chosen, "live": live, "events": told})


@app.command("show")
def show(
    version: Version,
    bootstrap: options.Bootstrap = None,
    settings: options.SettingsFile = None,
    prefix: options.Prefix = None,
) -> None:
    """Show one version: what it was learned on and from, how it is mixed, what the guard had seen."""
    from models.online.snapshots import decoded

    body = orders.snapshot_body(orders.kafka_of(settings, bootstrap, prefix), version)
    held = decoded(body)
    output.out.print(described(held))
    fields = msgspec.structs.asdict(held)
    del fields["changes"]
    output.last_line(fields)


@app.command("pin")
def pin(
    version: Version,
    bootstrap: options.Bootstrap = None,
    settings: options.SettingsFile = None,
    prefix: options.Prefix = None,
    base: orders.Base = "",
    by: orders.By = "",
    wait: orders.Wait = orders.SECONDS,
) -> None:
    """Have payments scored by one version, whatever is learned and whatever the guard says, until unpin."""
    from models.online.snapshots import decoded
    from streaming.messages.schema import Do, RefreshMessage

    kafka = orders.kafka_of(settings, bootstrap, prefix)
    held = decoded(orders.snapshot_body(kafka, version))
    orders.give(kafka, RefreshMessage(do=Do.PIN, version=version, base=base or held.base, by=orders.who(by)), wait)


ORDERS = {
    "unpin": "Let the guard decide again which version payments get.",
    "rollback": "Go back to what payments got before, until unpin; learning goes on beside it.",
    "freeze": "Have payments scored by the model as it was trained until thaw; learning goes on beside it.",
    "thaw": "End a freeze, or a pin: the guard decides again which version payments get.",
}
"""The orders that need no version, with what they do."""


def register(do: str, what: str) -> None:
    """Make a command of an order that needs no version."""

    @app.command(do, help=what)
    def order(
        bootstrap: options.Bootstrap = None,
        settings: options.SettingsFile = None,
        prefix: options.Prefix = None,
        base: orders.Base = "",
        by: orders.By = "",
        wait: orders.Wait = orders.SECONDS,
    ) -> None:
        from streaming.messages.schema import Do, RefreshMessage

        kafka = orders.kafka_of(settings, bootstrap, prefix)
        orders.give(kafka, RefreshMessage(do=Do(do), base=base, by=orders.who(by)), wait)


for name, help_text in ORDERS.items():
    register(name, help_text)


def table_of(events: "list[Event]") -> Table:
    """Return events as a table."""
    table = Table("event", "at (UTC)", "kind", "what happened")
    for event in events:
        table.add_row(str(event.seq), orders.when(event.at), event.kind, event.text)
    return table


def standing(live: "Live | None") -> str:
    """Return in a line what payments get."""
    if live is None:
        return "payments get the model as it was trained: no version was ever promoted"
    what = f"version {live.version}" if live.version else "the model as it was trained"
    pinned = ", pinned: fraud refresh unpin ends that" if live.pinned else ""
    return f"payments get {what} of {live.base} since {orders.when(live.at)} ({live.why}){pinned}"


def described(held: "Snapshot") -> Table:
    """Return a snapshot as a table."""
    import numpy as np

    from fraud.core.learning.mixture import EXPERTS

    changes = np.frombuffer(held.changes, "<f4").astype(np.float64)
    on, off = held.evidence
    rows = {
        "learned on": f"{held.base}, features {held.spec}, since {orders.when(held.since)}",
        "at": orders.when(held.at),
        "after": held.parent or "nothing",
        "why": held.why,
        "payments get it": "yes" if held.promoted else "no",
        "labels learned so far": ", ".join(f"{count} {name}" for name, count in sorted(held.labels.items())) or "none",
        "payments up to": orders.when(held.watermark),
        "weights": ", ".join(f"{name} {weight:.3f}" for name, weight in zip(EXPERTS, held.weights, strict=True)),
        "evidence": f"for {on:.2f}, against {off:.2f}; 20 is enough; switched {held.switches} times",
        "leaves changed": f"{np.count_nonzero(changes)} of {changes.size}, rms {np.sqrt(np.mean(changes**2)):.4f}",
        "labels below": ", ".join(f"{place} {number}" for place, number in sorted(held.positions.items())) or "-",
    }
    table = Table("version", held.version)
    for name, value in rows.items():
        table.add_row(name, value)
    return table
