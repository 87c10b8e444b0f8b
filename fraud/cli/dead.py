"""`fraud dead`: what could not be read - list it, look at it, drive it in again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraud.cli import options, output
from fraud.core.errors import DataError, nearest

if TYPE_CHECKING:
    from streaming.deadletters import Letter

app = typer.Typer(help="List, show and drive in again what could not be read.", no_args_is_help=True)

File = Annotated[Path, typer.Option("--file", help="The dead-letter file.")]
DEAD = Path("build/dead.jsonl")


@app.command("list")
def list_letters(file: File = DEAD, code: Annotated[str, typer.Option(help="Only letters of this code.")] = "") -> None:
    """List dead letters: id, code, reason, and whether they were driven in again."""
    from streaming.deadletters import DeadLetterFile

    letters = [letter for letter in DeadLetterFile(file).letters().values() if not code or letter.code == code]
    for letter in letters:
        mark = "redriven" if letter.redriven else "dead"
        output.show(f"{letter.id}  {mark:<8}  {letter.code:<10}  {letter.reason}")
    output.last_line({"letters": len(letters), "dead": sum(not letter.redriven for letter in letters)})


@app.command("show")
def show_letter(
    letter_id: Annotated[str, typer.Argument(help="The letter's id, as fraud dead list prints it.")], file: File = DEAD
) -> None:
    """Print one letter's reason and its original bytes."""
    from streaming.deadletters import DeadLetterFile

    letters = DeadLetterFile(file).letters()
    if letter_id not in letters:
        msg = f"{file} holds no letter '{letter_id}'.{nearest(letter_id, letters)} See: fraud dead list --file {file}"
        raise DataError(msg)
    letter = letters[letter_id]
    output.show(f"{letter.code}: {letter.reason}")
    output.show(letter.bytes().decode("utf-8", "backslashreplace"))


@app.command("redrive")
def redrive(
    out: Annotated[Path, typer.Option("--out", help="Append the rows that can be read now here (.jsonl).")],
    data: options.Data,
    mapping: options.MappingName = "native",
    letter_ids: Annotated[list[str] | None, typer.Argument(help="Letters to drive in; default: all dead ones.")] = None,
    file: File = DEAD,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="Repair a column of each: --set amount=12.30; may be repeated.")
    ] = None,
    replacement: Annotated[str, typer.Option("--as", help="Read this text in place of one letter's row.")] = "",
    settings: options.SettingsFile = None,
) -> None:
    """Drive dead letters of a file in again: read their original rows once more, with repairs.

    What was at fault may be mended by a setting (a rate for a currency), by the mapping, by --set, or by --as. Rows
    that can be read now are appended to --out and marked as redriven; replay them with --mapping redriven. The others
    stay dead, each with its reason.
    """
    from streaming import configuration, redriving
    from streaming import mapping as mappings
    from streaming.deadletters import DeadLetterFile
    from streaming.files import Table

    store = DeadLetterFile(file)
    chosen = choose(store.letters(), letter_ids or [], data.name, file)
    if replacement and len(chosen) != 1:
        msg = f"--as replaces the row of one letter, but {len(chosen)} are chosen: name one id"
        raise DataError(msg)
    table = Table(data, mappings.load(mapping), configuration.rates(options.settings(settings)))
    done, faults = redriving.redrive(redriving.Redriver(table), chosen, pairs(change or []), replacement, out)
    store.mark(done)
    for letter_id, fault in faults.items():
        output.show(f"{letter_id}  still dead  {fault}")
    if done:
        output.say(f"{len(done)} rows in {out}; next: fraud replay --data {out} --mapping {redriving.MAPPING} ...")
    output.last_line({"redriven": len(done), "dead": len(faults)})
    if faults:
        raise typer.Exit(1)


def choose(letters: "dict[str, Letter]", ids: list[str], topic: str, file: Path) -> "list[Letter]":
    """Return the letters named, or all that came from a source and are still dead."""
    for letter_id in ids:
        if letter_id not in letters:
            msg = f"{file} holds no letter '{letter_id}'.{nearest(letter_id, letters)}"
            raise DataError(msg)
    if ids:
        return [letters[letter_id] for letter_id in ids]
    return [letter for letter in letters.values() if letter.topic == topic and not letter.redriven]


def pairs(changes: list[str]) -> dict[str, str]:
    """Return `name=value` texts as a dictionary."""
    found = dict(change.split("=", 1) for change in changes if "=" in change)
    if len(found) != len(changes):
        msg = f"--set {' --set '.join(changes)}: expected NAME=VALUE, each name once"
        raise DataError(msg)
    return found
