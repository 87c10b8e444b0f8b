"""The glossary speaks of what there is, and leaves no word out that decisions are published with."""

import enum
import re
from importlib import import_module
from pathlib import Path

import msgspec
import pytest
from typer.main import get_command

from fraud.cli import app
from fraud.core import records
from fraud.core.records import Action, Explainer, LabelSource, Level, Mark, Verdict
from streaming.kafka.topics import Topics
from tests.contract import census

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "glossary.md").read_text()
TERM = re.compile(r"^- \*\*(?P<term>[^*]+)\*\*: (?P<meaning>\S.*\.)$", re.MULTILINE)
WORD = re.compile(r"^- `(?P<word>[a-z-]+)`: \S.*\.$", re.MULTILINE)
SECTIONS: dict[str, type[enum.StrEnum]] = {
    "Actions": Action, "Levels": Level, "Explainers": Explainer, "Verdicts": Verdict,
    "Label sources": LabelSource, "Marks": Mark,
}  # fmt: skip


def sections() -> dict[str, str]:
    """Return the text of each section by its heading."""
    parts = re.split(r"^## (.+)$", TEXT, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def quoted() -> list[str]:
    """Return what stands in backticks, the heading's example left out."""
    return sorted(set(re.findall(r"`([^`]+)`", TEXT)) - {"backticks"})


def fields() -> set[str]:
    """Return the names of the fields of the records."""
    kinds = [kind for kind in vars(records).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
    return {name for kind in kinds for name in kind.__struct_fields__}


def class_exists(name: str) -> bool:
    """Tell whether a class of the four packages has this name and can be imported."""
    found = [each.path.rpartition(".") for each in census.classes() if each.name == name]
    return any(hasattr(import_module(module), name) for module, _, name in found)


def method_exists(name: str) -> bool:
    return any(name in each.methods for each in census.classes())


def exists(name: str) -> bool:
    """Tell whether a name that stands in backticks is that of something."""
    if name[0].isupper():
        return class_exists(name)
    if name.startswith("fraud "):
        return name.split()[1] in get_command(app).commands  # type: ignore[attr-defined]
    words = {word.value for kind in SECTIONS.values() for word in kind}
    return name in words | fields() | set(Topics()) or method_exists(name)


@pytest.mark.parametrize("name", quoted())
def test_name_in_the_glossary_is_that_of_something(name: str) -> None:
    assert exists(name)


@pytest.mark.parametrize("name", ["Lectern", "WaitingRoom", "tardy", "labels.gone", "fraud dance"])
def test_check_reports_a_name_of_nothing(name: str) -> None:
    assert not exists(name)


@pytest.mark.parametrize("heading", SECTIONS)
def test_section_has_every_word_of_its_enum_and_no_other(heading: str) -> None:
    assert WORD.findall(sections()[heading]) == [word.value for word in SECTIONS[heading]]


def test_term_is_explained_once_in_one_line() -> None:
    terms = [term for term, _ in TERM.findall(TEXT)]
    lines = [line for line in TEXT.splitlines() if line.startswith("- **")]
    assert len(terms) == len(lines) >= 40
    assert len(set(terms)) == len(terms)


@pytest.mark.parametrize("heading", sorted(sections().keys() - SECTIONS.keys()))
def test_terms_of_a_section_are_in_order(heading: str) -> None:
    terms = [term for term, _ in TERM.findall(sections()[heading])]
    assert terms == sorted(terms)


def test_readme_names_the_glossary() -> None:
    assert "(docs/glossary.md)" in (ROOT / "README.md").read_text()
