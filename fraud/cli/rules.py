"""`fraud rules`: check a file of analyst rules, and list what rules may name."""

from pathlib import Path
from typing import Annotated

import typer

from fraud.cli import output
from fraud.core.errors import RuleError

HELP = """Check analyst rules, and list the names they may use.

\b
A file holds lists and rules:
  list known_bad block card { "C17" until 2026-12-31, "C18" }
  list partners allow merchant from "partners.txt"
  rule burst "{count(card, 10m)} payments in 10 minutes" :
      when count(card, 10m) >= 6 and channel == "ecom"
      then review, floor 0.2

A rule gives its sentence as a reason, and an action (challenge, review, decline), a floor under the score, or only
a note. Conditions know numbers, texts and durations (10m, 7d), arithmetic, in, contains, missing(...), and, or, not.
The service takes up a changed file without a restart; a faulty one is refused and the rules in use stay.
"""

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None)


@app.command("check")
def check(file: Annotated[Path | None, typer.Argument(help="The rule file; default: the shipped one.")] = None) -> None:
    """Compile a rule file: every fault with line, column and caret; exit status 1 when there is one."""
    from streaming.rulebook import DEFAULT, read_rules
    from streaming.wiring import vocabulary

    try:
        rules = read_rules(file or DEFAULT, vocabulary())
    except RuleError as error:
        output.show(str(error))
        raise typer.Exit(1) from error
    for line in rules.describe():
        output.show(line)
    output.last_line({"rules": len(rules.rules), "lists": len(rules.lists), "version": rules.version})


@app.command("names")
def names(part: Annotated[str, typer.Argument(help="Only names or meanings with this text in them.")] = "") -> None:
    """List every field and feature that a rule may name, with its meaning."""
    from streaming.wiring import vocabulary

    words = vocabulary()
    lines = [(field.name, field.meaning) for field in words.fields.values()]
    lines += [(term.name, term.meaning) for term in words.terms.values() if term.name not in words.fields]
    shown = [(name, meaning) for name, meaning in lines if part in name or part in meaning]
    for name, meaning in shown:
        output.show(f"{name:<32} {meaning}")
    output.last_line({"names": len(shown)})
