"""`fraud dead`: what could not be read - list it, look at it, drive it in again; from a file or from Kafka."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraud.cli import options, output
from fraud.core.errors import DataError, nearest

if TYPE_CHECKING:
    from streaming.files.dead_letters import Letter

app = typer.Typer(help="List, show and drive in again what could not be read.", no_args_is_help=True)

File = Annotated[Path, typer.Option("--file", help="The dead-letter file of a replay.")]
Bootstrap = Annotated[
    str | None, typer.Option("--bootstrap", help="Read the dead-letter topic of this Kafka instead of a file.")
]
Prefix = Annotated[str | None, typer.Option("--prefix", help="What stands before the topics' names.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Repair a column or field of each: --set amount=12.30; may be repeated."),
]
DEAD = Path("build/dead.jsonl")


@app.command("list")
def list_letters(
    file: File = DEAD,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    settings: options.SettingsFile = None,
    code: Annotated[str, typer.Option(help="Only letters of this code.")] = "",
) -> None:
    """List dead letters: id, code, reason, and whether they were driven in again."""
    found = held(file, bootstrap, prefix, settings).values()
    letters = [letter for letter in found if not code or letter.code == code]
    for letter in letters:
        mark = "redriven" if letter.redriven else "masked" if letter.masked else "dead"
        output.show(f"{letter.id}  {mark:<8}  {letter.code:<10}  {letter.reason}")
    output.last_line({"letters": len(letters), "dead": sum(not letter.redriven for letter in letters)})


@app.command("show")
def show_letter(
    letter_id: Annotated[str, typer.Argument(help="The letter's id, as fraud dead list prints it.")],
    file: File = DEAD,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    settings: options.SettingsFile = None,
) -> None:
    """Print one letter's reason and its original bytes."""
    letter = choose(held(file, bootstrap, prefix, settings), [letter_id])[0]
    output.show(f"{letter.code}: {letter.reason}")
    if letter.length:
        output.show(f"the first {len(letter.bytes())} of {letter.length} bytes, whose SHA-256 is {letter.sha256}:")
    output.show(letter.bytes().decode("utf-8", "backslashreplace"))


@app.command("redrive")
def redrive(
    letter_ids: Annotated[list[str] | None, typer.Argument(help="Letters to drive in; default: all dead ones.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="The file that the letters came from.")] = None,
    mapping: options.MappingName = "native",
    out: Annotated[Path | None, typer.Option("--out", help="Append rows that can be read now here (.jsonl).")] = None,
    file: File = DEAD,
    change: Changes = None,
    replacement: Annotated[str, typer.Option("--as", help="Take this text in place of one letter's bytes.")] = "",
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    settings: options.SettingsFile = None,
) -> None:
    """Drive dead letters in again: their original bytes once more, with repairs.

    What was at fault may be mended by a setting (a rate for a currency), by the mapping, by --set, or by --as. From
    Kafka (--bootstrap), letters go back to the topic that they came from, if it is an input of the site; of a long
    message a letter holds the beginning, so that --as must say another. Of a file (--data, --mapping, --out), rows that
    can be read now are appended to --out, to be replayed with --mapping redriven. Others stay dead, each with its
    reason.
    """
    letters = held(file, bootstrap, prefix, settings)
    chosen = choose(letters, letter_ids or [], None if bootstrap else data)
    if replacement and len(chosen) != 1:
        msg = f"--as replaces one letter, but {len(chosen)} are chosen: name one id"
        raise DataError(msg)
    changes = pairs(change or [])
    if bootstrap:
        resend(bootstrap, prefix, settings, chosen, changes, replacement)
        return
    if data is None or out is None:
        msg = "letters of a file need --data, the file that they came from, and --out; those of Kafka need --bootstrap"
        raise DataError(msg)
    reread(data, mapping, out, file, settings, chosen, changes, replacement)


def held(file: Path, bootstrap: str | None, prefix: str | None, settings: Path | None) -> "dict[str, Letter]":
    """Return the letters of a file, or of a site's topic."""
    from streaming.files.dead_letters import DeadLetterFile
    from streaming.kafka.dead_letters import DeadTopic

    if bootstrap is None:
        return DeadLetterFile(file).letters()
    return DeadTopic(options.service(settings, bootstrap=bootstrap, prefix=prefix).kafka).letters()


def resend(
    bootstrap: str,
    prefix: str | None,
    settings: Path | None,
    chosen: "list[Letter]",
    changes: dict[str, str],
    replacement: str,
) -> None:
    """Send letters back to their topic; those that cannot be sent stay dead, each with its reason."""
    from streaming.kafka.dead_letters import DeadTopic

    topic = DeadTopic(options.service(settings, bootstrap=bootstrap, prefix=prefix).kafka)
    ready, faults = {}, 0
    for letter in chosen:
        try:
            ready[letter.id] = letter, topic.message(letter, changes, replacement)
        except DataError as error:
            faults += 1
            output.show(f"{letter.id}  still dead  {error}")
    topic.send(ready)
    output.last_line({"redriven": len(ready), "dead": faults})
    if faults:
        raise typer.Exit(1)


def reread(
    data: Path,
    mapping: str,
    out: Path,
    file: Path,
    settings: Path | None,
    chosen: "list[Letter]",
    changes: dict[str, str],
    replacement: str,
) -> None:
    """Read letters of a file again, and write those that can be read now."""
    from streaming.files import redrive as redriving
    from streaming.files.dead_letters import DeadLetterFile
    from streaming.files.table import Table
    from streaming.files.values import mapping as mappings
    from streaming.settings import card_numbers, rates

    found = options.settings(settings)
    table = Table(data, mappings.load(mapping), rates(found), card_numbers(found))
    done, faults = redriving.redrive(redriving.Redriver(table), chosen, changes, replacement, out)
    DeadLetterFile(file).mark(done)
    for letter_id, fault in faults.items():
        output.show(f"{letter_id}  still dead  {fault}")
    if done:
        output.say(f"{len(done)} rows in {out}; next: fraud replay --data {out} --mapping {redriving.MAPPING} ...")
    output.last_line({"redriven": len(done), "dead": len(faults)})
    if faults:
        raise typer.Exit(1)


def choose(letters: "dict[str, Letter]", ids: list[str], data: Path | None = None) -> "list[Letter]":
    """Return the letters named, or all that came from a file (anywhere, without one) and are still dead.

    Without names those are left whose card numbers were masked: they are not what came.
    """
    if ids:
        return [letters[whole_id(letter_id, letters)] for letter_id in ids]
    dead = [letter for letter in letters.values() if not letter.redriven]
    if data is not None:
        from streaming.files.table import digits_of

        dead = [letter for letter in dead if letter.topic == data.name and letter.content in ("", digits_of(data))]
    if masked := sum(letter.masked for letter in dead):
        output.say(f"{masked} letters stay dead: card numbers in them were masked; send them again from their source")
    return [letter for letter in dead if not letter.masked]


def whole_id(given: str, letters: "dict[str, Letter]") -> str:
    """Return the id of a letter; of a file's row the content's part may be left out where one file has that name."""
    if given in letters:
        return given
    found = [letter_id for letter_id in letters if letter_id.rpartition("@")[0] == given]
    if len(found) == 1:
        return found[0]
    if found:
        msg = f"letter '{given}' is of {len(found)} files of that name: expected {' or '.join(found)}"
    else:
        msg = f"there is no letter '{given}'.{nearest(given, letters)} See: fraud dead list"
    raise DataError(msg)


def pairs(changes: list[str]) -> dict[str, str]:
    """Return `name=value` texts as a dictionary."""
    found = dict(change.split("=", 1) for change in changes if "=" in change)
    if len(found) != len(changes):
        msg = f"--set {' --set '.join(changes)}: expected NAME=VALUE, each name once"
        raise DataError(msg)
    return found
