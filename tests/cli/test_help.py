"""Every command's help says what was written: no word of it is taken for a mark of the text."""

from collections.abc import Iterator

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from fraud.cli import app


def commands(group: object, *before: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command."""
    for name, each in getattr(group, "commands", {}).items():
        yield (*before, name)
        yield from commands(each, *before, name)


@pytest.mark.parametrize("words", list(commands(get_command(app))), ids=" ".join)
def test_help_loses_no_word_that_stands_in_marks(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"])
    assert shown.exit_code == 0, shown.output
    assert "Usage:" in shown.output
    assert "``" not in shown.output
