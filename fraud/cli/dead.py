"""`fraud dead`: what could not be read - list it, look at it, drive it in again."""

from pathlib import Path
from typing import Annotated

import typer

from fraud.cli import output
from fraud.core.errors import DataError, nearest

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
