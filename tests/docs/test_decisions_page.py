"""The page of decisions lists the fields that the outputs have, with their types."""

import re
from pathlib import Path

import pytest

from streaming.files.decisions import arrow_schema

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(?P<field>\w+)` \| `(?P<type>[^`]+)` \| \S.*\|$", re.MULTILINE)


def documented() -> dict[str, str]:
    return dict(ROW.findall((ROOT / "docs" / "decisions.md").read_text()))


def test_page_lists_the_fields_in_their_order() -> None:
    assert list(documented()) == arrow_schema().names


@pytest.mark.parametrize("name", arrow_schema().names)
def test_page_names_the_type_of_a_column(name: str) -> None:
    shown = str(arrow_schema().field(name).type)
    assert documented()[name] == re.sub(r"(?<=list<)(item|element): | \('\w+'\)", "", shown)
