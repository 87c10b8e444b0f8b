"""`fraud rules`: check a file of analyst rules, and list what rules may name."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraud.cli import options, output
from fraud.core.errors import RuleError

if TYPE_CHECKING:
    from fraud.core.rules.vocabulary import Vocabulary

HELP = """Check analyst rules, and list the names they may use.

\b
A file holds lists and rules:
  list known_bad block card { "C17" until 2026-12-31, "C18" }
  list partners allow merchant from "partners.txt"
  rule burst "{count(card, 10m)} payments in 10 minutes" :
      when count(card, 10m) >= 6 and channel == "ecom"
      then review, floor 0.2

\b
A rule gives its sentence as a reason, values filled in, and
  note                        nothing more,
  floor 0.2                   counts the score as at least that,
  challenge, review, decline  makes the action at least that hard.

\b
Conditions know numbers, "texts", durations (10m, 7d), + - * /,
== != < <= > >=, in, not in, contains, missing(x), and, or, not.
A comparison with what is not known is false.

\b
The service takes up a changed file within seconds, without a restart;
a faulty one is refused and the rules in use stay. More: docs/rules.md.
"""

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None)


@app.command("check")
def check(
    file: Annotated[Path | None, typer.Argument(help="The rule file; default: the shipped one.")] = None,
    settings: options.SettingsFile = None,
) -> None:
    """Compile a rule file: every fault with line, column and caret; exit status 1 when there is one."""
    from streaming.rule_file import DEFAULT, read_rules
    from streaming.settings import card_numbers
    from streaming.wiring import vocabulary

    found = options.settings(settings)
    try:
        rules = read_rules(file or DEFAULT, vocabulary(found), card_numbers(found))
    except RuleError as error:
        output.show(str(error))
        raise typer.Exit(1) from error
    for line in rules.describe():
        output.show(line)
    output.show(f"{counted(len(rules.rules), 'rule')}, {counted(len(rules.lists), 'list')}: fine")
    output.last_line({"rules": len(rules.rules), "lists": len(rules.lists), "version": rules.version})


@app.command("names")
def names(
    part: Annotated[str, typer.Argument(help="Only lines with this text in them.")] = "",
    settings: options.SettingsFile = None,
) -> None:
    """List every field and feature that a rule may name, how it is written as a call, and its meaning."""
    from streaming.wiring import vocabulary

    shown = [line for line in lines(vocabulary(options.settings(settings))) if part in line]
    for line in shown:
        output.show(line)
    output.last_line({"names": len(shown)})


def lines(words: "Vocabulary") -> Iterator[str]:
    """Yield a line for each name: its type, the call that means the same, and its meaning."""
    for field in words.fields.values():
        yield f"{field.name:<28} {field.type:<9} {'':<30} {field.meaning}"
    for term in words.terms.values():
        if term.name not in words.fields:
            kind = "duration" if term.seconds else "number"
            yield f"{term.name:<28} {kind:<9} {words.form(term.name):<30} {term.meaning}"


def counted(number: int, what: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "rule"), counted(0, "list")
    ('1 rule', '0 lists')
    """
    return f"{number} {what}" + ("" if number == 1 else "s")
