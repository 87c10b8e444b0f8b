"""`fraud replay`: a history through the live engine, to decisions and a digest."""

import resource
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli import options, output
from fraud.core.errors import SettingsError

if TYPE_CHECKING:
    from models.registry import Card

LEARNED = (
    "learned: {refreshes:,} refreshes, one each {every} at most; switched on {promoted} times, off {reverted} times; "
    "{held:,} labels held"
)

LabelDelay = Annotated[
    str | None,
    typer.Option(
        "--label-delay",
        help="How long after a payment its verdict is known: 7d, 1h, 30m; 'none' for no labels; 7d.",
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="Labels with their own times, in place of those of the data: CSV, Parquet or JSON Lines with columns "
        "tx_id, verdict, source, happened_at."
    ),
]
Since = Annotated[
    str | None,
    typer.Option("--from", help="Payments before this day or time only add to the state; none is written."),
]
Learn = Annotated[
    bool,
    typer.Option(
        "--learn",
        help="Learn from the labels as they come: gate, refreshes and guard, every refresh.every of the stream.",
    ),
]


def replay(
    data: options.Data,
    mapping: options.MappingName = "native",
    label_delay: LabelDelay = None,
    labels: Labels = None,
    model: options.ModelName = None,
    out: Annotated[Path | None, typer.Option(help="Write decisions here: .parquet or .jsonl.")] = None,
    models: options.Models = None,
    rules: options.Rules = None,
    settings: options.SettingsFile = None,
    dead: Annotated[Path | None, typer.Option(help="Where rows that cannot be read go; build/dead.jsonl.")] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Events taken at once; the answers do not depend on it.")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="Keep snapshots here; a run that was cut off goes on.")] = None,
    every: Annotated[int, typer.Option(help="Events between two snapshots.")] = 200_000,
    since: Since = None,
    learn: Learn = False,
    json: options.Json = False,
) -> None:
    """Replay a history through the live engine, as fast as it goes.

    Events go in order of when they were known: each payment at its time, its label after `--label-delay`, in the
    features as well. With `--labels` they come at the times that the file tells, from the sources that it names, and
    payments that it leaves out are labelled by silence alone. The same data, model and rules give the same decisions,
    to the last digit: the last line carries a sha256 over them. With `--state`, a run that was killed continues and
    gives the same answer.

    With `--from` payments before that time are taken in as history and not written: the way to see what a model that
    was trained with `--until` makes of days that it has never seen.

    With `--learn` the model's parameters are refreshed from the labels, as `fraud learn` does it for a service; labels
    wait for the end of their refresh period. The last line then counts refreshes, and labels that are held.
    """
    from streaming import wiring
    from streaming.replay.job import Request

    if labels is not None and label_delay is not None:
        msg = f"--labels {labels} and --label-delay {label_delay} both say when verdicts are known: give one of them"
        raise SettingsError(msg)
    found = options.settings(settings, model=model, models=models, rules=rules, dead=dead, batch=batch, learn=learn)
    delay = None if labels is not None else options.label_delay(label_delay or "7d", found)
    request = Request(
        data=data, mapping=mapping, delay=delay, out=out, state=state, every=every, settings=found, labels=labels,
        since=options.moment(since, "--from"),
    )  # fmt: skip
    job = wiring.replay(request)
    if labels is None and (warning := wiring.delay_warning(job.scorer, delay)):
        output.warn(warning)
    with output.progress("replay", job.total) as step:
        result = job.run(step)
    output.account(job.account.sentences(), found.paths.dead)
    if job.seen and (warning := known(data, job.scorer.card, job.seen)):  # type: ignore[attr-defined]
        output.warn(warning)
    if not json:
        tell(result, LEARNED.format(**result, every=found.refresh.every) if learn else "")
    output.last_line(result)
    if job.account.mostly_rejects:
        raise typer.Exit(1)


def known(data: Path, card: "Card", seen: int) -> str:
    """Return what to say of payments that the model in use was fitted on; "" where it was fitted on another file."""
    from streaming.files.table import file_hash
    from streaming.messages.times import to_text

    if file_hash(data) != card.data_hash:
        return ""
    after = to_text(card.until + 10**9)[:19]
    return (
        f"{card.name} {card.version} was fitted on payments of this file: {seen:,} of these decisions are on such of "
        f"that time, and figures drawn from them are too good; --from {after}Z leaves them out"
    )


def tell(result: dict[str, Any], learned: str) -> None:
    """Say what came of a replay, and of learning where there was any."""
    output.say(f"{result['decisions']:,} decisions, {result['alerts']:,} alerts")
    output.say(f"labels: {', '.join(f'{count:,} {name}' for name, count in result['labels'].items())}")
    if learned:
        output.say(learned)
    output.say(f"memory at the end: {peak_mib():,.0f} MiB at most")


def peak_mib() -> float:
    """Return the greatest memory this process has held, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
