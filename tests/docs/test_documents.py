"""The documents tell the truth: hops, commands, settings, mappings."""

import re
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from fraud.cli import app
from fraud.core.rules.ruleset import compile_rules
from fraud.core.settings import reference
from streaming.files.values import mapping
from streaming.settings import ServiceSettings
from streaming.wiring import vocabulary

ROOT = Path(__file__).parents[2]


def commands() -> list[str]:
    group = get_command(app)
    names = []
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        names += [f"{name} {sub}" for sub in getattr(command, "commands", {})] or [name]
    return names


@pytest.mark.parametrize("name", commands())
def test_command_teaches(name: str) -> None:
    group = get_command(app)
    for part in name.split():
        group = group.commands[part]  # type: ignore[attr-defined]
    assert group.help
    assert len(group.help) > 30
    assert all(getattr(parameter, "help", "x") for parameter in group.params)


def test_readme_commands_exist() -> None:
    text = (ROOT / "README.md").read_text()
    known = {name.split()[0] for name in commands()}
    used = set(re.findall(r"^ +fraud (\w+)", text, re.MULTILINE))
    assert used
    assert used <= known


def test_mapping_example_is_a_mapping_that_explains_every_key() -> None:
    parsed = mapping.parse(mapping.EXAMPLE, "example")
    assert parsed.columns.time == "timestamp"
    for role in mapping.Columns.__struct_fields__:
        assert re.search(rf"^(# )?{role} = .*#", mapping.EXAMPLE, re.MULTILINE), role


@pytest.mark.parametrize("name", mapping.shipped())
def test_shipped_mapping_loads(name: str) -> None:
    assert mapping.load(name).columns.time


def test_rules_of_the_documents_compile() -> None:
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "docs" / "rules.md").read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        assert compile_rules(block, vocabulary()).rules


def test_settings_page_is_what_the_program_reads() -> None:
    assert reference(ServiceSettings) in (ROOT / "docs" / "settings.md").read_text()


def test_make_targets_of_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        used = set(re.findall(r"`make ([a-z-]+)", page.read_text())) - {"help"}
        assert used <= targets, page


def test_app_is_typer() -> None:
    assert isinstance(app, typer.Typer)


PATH = re.compile(
    r"`((?:fraud|streaming|features|models|tests|infra|docs)(?:/[\w.-]+)+)`|-m ((?:streaming|tests|infra)[\w.]*\w)"
)
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "infra/README.md"]


def stale(text: str) -> list[str]:
    """Return the paths and modules that a page names and that are not there."""
    named = [path or module.replace(".", "/") for path, module in PATH.findall(text)]
    return [each for each in named if not any((ROOT / f"{each}{end}").exists() for end in ("", ".py", "/__main__.py"))]


# DECISIONS.md also tells of what went.
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "DECISIONS.md"], ids=lambda page: page.name)
def test_paths_of_the_documents_exist(page: Path) -> None:
    assert stale(page.read_text()) == []


def test_check_reports_a_path_that_is_gone() -> None:
    assert stale("`streaming/run.py`, `streaming/gone.py`, python -m tests.bench.gone") == [
        "streaming/gone.py",
        "tests/bench/gone",
    ]
