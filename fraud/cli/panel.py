"""What the demo shows of learning, under the alerts: parameters, guard, gain, labels; lines without a terminal."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from rich.console import Group
from rich.live import Live as LiveDisplay
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fraud.cli import output

BAR = 18
PASSES = 20.0


class Learning(NamedTuple):
    """How learning stands. Losses are sums over labels learned, nats; `learned` counts by source, `held` by chart.

    `frozen` is what the base lost, `served` what payments were decided by, `refreshed` what was learned, used or not:
    None where nobody tells.
    """

    day: str
    version: str = ""
    refreshes: int = 0
    on: bool = False
    evidence: tuple[float, float] = (0.0, 0.0)
    weights: Sequence[float] = (1.0, 0.0, 0.0)
    labels: int = 0
    frauds: int = 0
    frozen: float = 0.0
    served: float = 0.0
    refreshed: float | None = None
    learned: Mapping[str, int] = {}
    held: Mapping[str, int] = {}
    waiting: int = 0
    drifted: Mapping[str, float] = {}

    @property
    def gain(self) -> float | None:
        """Return by which share of its log-loss the frozen model is beaten; None before there is a label."""
        return 1 - self.served / self.frozen if self.labels and self.frozen > 0 else None


def lines(now: Learning) -> list[tuple[str, Text]]:
    """Return the panel's rows: what each is of, and how it stands."""
    return [
        ("parameters", _parameters(now)),
        ("guard", _guard(now)),
        ("gain so far", _gain(now)),
        ("labels", _labels(now)),
        *([("drift", _drift(now))] if now.drifted else []),
    ]


def drawn(now: Learning) -> Panel:
    """Return the panel."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True, min_width=12)
    table.add_column(overflow="ellipsis", no_wrap=True)
    for name, text in lines(now):
        table.add_row(name, text)
    return Panel(
        Group(table), title=f"learning · {now.day}", title_align="left", border_style="green" if now.on else "dim"
    )


def told(now: Learning) -> str:
    """Return the panel in lines, for what is no terminal."""
    return "\n".join([f"-- {now.day}", *(f"   {name:<12} {text.plain}" for name, text in lines(now))])


def _parameters(now: Learning) -> Text:
    if not now.version:
        return Text.assemble(("frozen model", "bold"), f" · {now.refreshes} refreshes computed, none in force")
    frozen, slow, fast = (f"{weight:.0%}" for weight in now.weights)
    mixed = f" · refresh {now.refreshes} · {frozen} frozen, {slow} slow, {fast} fast"
    return Text.assemble((now.version, "bold green"), mixed)


def _guard(now: Learning) -> Text:
    on, off = now.evidence
    if now.on:
        return Text.assemble(("on ", "bold green"), f" against it {meter(off)} {shown(off)} of {PASSES:g}")
    return Text.assemble(("off", "bold"), f" for it {meter(on)} {shown(on)} of {PASSES:g}")


def meter(evidence: float) -> str:
    """Return evidence as a bar that is full at 20."""
    full = round(min(max(evidence / PASSES, 0.0), 1.0) * BAR)
    return "█" * full + "░" * (BAR - full)


def shown(evidence: float) -> str:
    """Return evidence in few characters."""
    return f"{evidence:.1f}" if evidence < 1_000 else f"{evidence:.0e}".replace("e+0", "e").replace("e+", "e")


def _gain(now: Learning) -> Text:
    if now.gain is None:
        return Text("no label to judge it by yet", style="dim")
    each = [loss / now.labels for loss in (now.frozen, now.served)]
    style = "bold green" if now.gain > 0 else "bold red"
    of = f" of log-loss, {each[0]:.4f} to {each[1]:.4f} · {now.labels:,} payments, {now.frauds:,} frauds"
    unused = f" · unused {1 - now.refreshed / now.frozen:+.1%}" if not now.on and now.refreshed is not None else ""
    return Text.assemble((f"{now.gain:+.1%}", style), of, unused)


def _labels(now: Learning) -> Text:
    learned = ", ".join(f"{source} {count:,}" for source, count in now.learned.items()) or "none"
    held = sum(now.held.values())
    style = "bold red" if held else ""
    by = f" ({', '.join(now.held)})" if held else ""
    return Text.assemble(f"learned: {learned} · wait {now.waiting:,} · held by the gate ", (f"{held:,}{by}", style))


def _drift(now: Learning) -> Text:
    return Text(", ".join(f"{name} {psi:.2f}" for name, psi in list(now.drifted.items())[:4]), style="yellow")


class Board:
    """The panel on the screen: drawn under what is printed on a terminal, a few lines now and then without one."""

    def __init__(self, every: int) -> None:
        """Without a terminal tell how things stand each `every` ns of the stream."""
        self._every = every
        self._told_at = 0
        self._live = LiveDisplay(console=output.out, refresh_per_second=4, transient=True)
        self._terminal = output.out.is_terminal

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Take the panel off the screen."""
        if self._terminal:
            self._live.stop()

    def show(self, now: Learning, at: int) -> None:
        """Show how learning stands at `at`, ns of the stream."""
        if self._terminal:
            self._live.update(drawn(now))
        elif at - self._told_at >= self._every:
            self._told_at = at
            output.show(told(now))

    def event(self, day: str, kind: str, text: str, of: str = "learning") -> None:
        """Print, among the alerts, what somebody has to say: the learner unless another one is named."""
        output.out.print(Text.assemble((f"{of:<9} ", "bold magenta"), (f"{kind:<9} ", "magenta"), f"{day}  {text}"))
