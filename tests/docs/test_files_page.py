"""The table of what was silent before: all 25 cases in order, each test that it names exists."""

import re
from pathlib import Path

from tests.tree import ROOT

TABLE = (ROOT / "docs" / "files.md").read_text().partition("## What was silent before")[2]
ROWS = re.findall(r"^\| (\d+)\. .*\| (.+?) \|$", TABLE, re.MULTILINE)


def defined() -> set[str]:
    """Return the names of all tests."""
    texts = (path.read_text() for path in Path(ROOT / "tests").rglob("test_*.py"))
    return {name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}


def test_all_cases_are_told_in_order() -> None:
    assert [int(number) for number, _ in ROWS] == list(range(1, 26))


def test_every_test_that_the_table_names_exists() -> None:
    named = {name for _, cell in ROWS for name in re.findall(r"`(\w+)`", cell)}
    assert len(named) > 20
    assert named <= defined()
