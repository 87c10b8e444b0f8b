"""`fraud inspect`: what a file holds, and a mapping for it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table as Shown

from fraud.cli import options, output

if TYPE_CHECKING:
    from streaming.files.inspecting.guess import Guess
    from streaming.files.inspecting.survey import Promise, Survey

DELAY = "7d"
MONTHS = 24


def inspect(
    data: Annotated[Path, typer.Argument(help="A file, a folder or a pattern: CSV, Parquet or JSON Lines.")],
    write_mapping: Annotated[
        Path | None, typer.Option(help="Write the mapping here, to be looked over and used.")
    ] = None,
    mapping: Annotated[
        str | None, typer.Option("--mapping", help="Read by this mapping in place of a guessed one.")
    ] = None,
    settings: options.SettingsFile = None,
    json: options.Json = False,
) -> None:
    """Say what a file of payments holds, and guess a mapping for it.

    Times, amounts, labels and the rest are guessed from the columns' names and first 50,000 values; what is not certain
    is said. The whole file is then read by that mapping: five payments as they would be read, rows that cannot be and
    why, the span, the share of frauds by month, repeated ids, currencies. Of each column that is left over it is told
    what it holds and what it promises: how well it alone, learned on earlier days, finds the frauds of later ones.
    """
    from itertools import chain, islice

    from streaming.files.inspecting import guess as guessing
    from streaming.files.inspecting import profile, survey, text
    from streaming.files.table import Table
    from streaming.files.values import mapping as mappings
    from streaming.messages.times import to_text
    from streaming.settings import card_numbers, rates

    found = options.settings(settings)
    columns = profile.profiles(data)
    guessed = guessing.Guesser(columns).guess() if mapping is None else told(mappings.load(mapping), columns)
    table = Table(data, guessed.mapping, rates(found), card_numbers(found))
    with output.progress("read", table.count(), "rows") as step:
        rows = counted(table.rows(), step)
        # those that the profiles are of
        first = list(islice(rows, len(columns[0].values)))
        seen = survey.Survey().take(chain(first, rows))
    promised = survey.promises(columns, guessed.left, first)
    if write_mapping is not None:
        write_mapping.write_text(text.toml_of(guessed.mapping, guessed.doubts, promised, data.name), encoding="utf-8")
    account = table.account
    if not json:
        show(guessed, seen, promised, text.changed(guessed.mapping))
    output.account(account.sentences())
    for remark in (*guessed.doubts, *seen.remarks(DELAY, options.duration(DELAY) or 0)):
        output.warn(remark)
    if not json:
        next_steps(data, write_mapping, mapping, to_text(seen.first + (seen.last - seen.first) * 4 // 5)[:10])
    output.last_line(
        {
            **account.figures(), "rows": account.read, "readable": seen.payments, "fraud_share": seen.fraud_share,
            "mapping": text.changed(guessed.mapping), "doubts": guessed.doubts,
            "left": [one._asdict() for one in promised],
        }
    )  # fmt: skip
    if account.mostly_rejects:
        raise typer.Exit(1)


def told(mapping: Any, columns: Any) -> "Guess":
    """Return a given mapping as a guess that is certain."""
    from streaming.files.inspecting.guess import Guess

    used = set(mapping.slots())
    return Guess(mapping, (), tuple(column.name for column in columns if column.name not in used))


def counted(rows: Any, step: output.Step) -> Any:
    """Pass rows on and count them."""
    done = 0
    for done, row in enumerate(rows, 1):
        if done % 1024 == 0:
            step(done)
        yield row
    step(done)


def show(guessed: "Guess", seen: "Survey", promised: "list[Promise]", said: dict[str, dict[str, Any]]) -> None:
    """Show the mapping, five payments, months, and columns left over."""
    from streaming.messages.times import to_text

    for section, keys in said.items():
        output.show(f"[{section}] " + ", ".join(f"{key} = {value}" for key, value in keys.items()))
    heads = "id", "time (UTC)", "card", "merchant", "minor units", "in the base", "kind", "label"
    rows = Shown(*heads, title="as they would be read")
    for row in seen.shown:
        tx = row.tx
        rows.add_row(
            tx.id, to_text(tx.happened_at)[:19], tx.card, tx.merchant, f"{tx.amount} {tx.currency}",
            str(tx.base_amount),
            tx.kind.value, row.verdict.value if row.verdict else "-",
        )  # fmt: skip
    output.out.print(rows)
    if seen.payments:
        span = f"{to_text(seen.first)[:10]} to {to_text(seen.last)[:10]}"
        money = ", ".join(f"{code} {count:,}" for code, count in seen.currencies.most_common(8))
        output.show(f"{seen.payments:,} payments of {len(seen.cards):,} labelled cards, {span}; currencies {money}")
    months = Shown("month", "payments", "frauds", "share")
    for month, (payments, frauds) in sorted(seen.months.items())[-MONTHS:]:
        months.add_row(month, f"{payments:,}", f"{frauds:,}", f"{frauds / payments:.3%}")
    output.out.print(months)
    if promised:
        base = seen.fraud_share or 0.0
        left = Shown("left over", "what", "there", "AP alone, on later days", title=f"share of frauds {base:.4f}")
        for one in promised:
            left.add_row(one.name, one.kind, f"{one.present:.0%}", "-" if one.ap is None else f"{one.ap:.4f}")
        output.out.print(left)


def next_steps(data: Path, written: Path | None, mapping: str | None, day: str) -> None:
    """Say what to run next: train on what was known by a day, replay what came after."""
    how = mapping or written
    if how is None:
        output.say(f"next: fraud inspect '{data}' --write-mapping mine.toml")
        return
    source = f"--data '{data}' --mapping {how} --label-delay {DELAY}"
    output.say("next:")
    output.say(f"  fraud train    {source} --model booster --name mine --until {day}")
    output.say(f"  fraud replay   {source} --model mine --from {day} --out decisions.parquet")
    output.say(f"  fraud evaluate {source} --protocol chronological --model booster")
