"""What commands show: progress on standard error, results on standard output, the last line as JSON."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

EVERY = 2_048
"""Progress is drawn after this many steps at the earliest, so that it costs nothing per event."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False)


class Step(Protocol):
    """What a long task calls as it goes on."""

    def __call__(self, done: int, note: str = "") -> None:
        """Say how many units are done in all, and in a few words what is being done."""


@contextmanager
def progress(what: str, total: int | None, unit: str = "events") -> Iterator[Step]:
    """Show a bar with speed and time left on standard error; quiet when it is not a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit} {{task.fields[speed]}}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total, speed="")
        drawn = -EVERY

        def step(done: int, note: str = "") -> None:
            nonlocal drawn
            if done - drawn < EVERY and done != total and not note:
                return
            drawn = done
            rate = bar.tasks[0].speed
            shown = f"{rate:,.0f}/s" if rate else ""
            bar.update(task, completed=done, speed=shown, description=note or what)

        yield step


def say(text: str) -> None:
    """Print a line of progress or explanation to standard error."""
    err.print(text)


def warn(text: str) -> None:
    """Print a warning to standard error, as it is."""
    err.print(f"warning: {text}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def account(sentences: Sequence[str], dead: str = "") -> None:
    """Say what became of a file's rows: the first sentence plainly, as the rest is to be looked at, as warnings."""
    say(sentences[0])
    for sentence in sentences[1:]:
        warn(sentence)
    if dead and any(sentence.startswith("rejected") for sentence in sentences):
        say(f"rejected rows are kept: fraud dead list --file {dead}")


def show(text: str) -> None:
    """Print a line of result to standard output, as it is."""
    out.print(text, markup=False)


def last_line(result: Mapping[str, Any]) -> None:
    """Print the result that other programs read: one JSON object, the last line of standard output."""
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    sys.stdout.flush()
