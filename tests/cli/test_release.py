"""`fraud release` on a folder: what is shown, what is put in force, and how a wrong use is told."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fraud.cli import app
from fraud.core.errors import ReleaseError, RuleError, SettingsError
from fraud.dashboard.library import SiteLibrary, SiteReleases, kept_releases
from streaming.settings import ServiceSettings, changed

RULES = 'list bad block card from "bad.txt"\nrule big "paid {amount}" :\n    when amount > 20\n    then review\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "site.fr").write_text(RULES)
    (tmp_path / "bad.txt").write_text("C1\n")
    (tmp_path / "policy.toml").write_text('[policy]\nkind = "threshold"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["release", *words, "--folder", "releases"])


def last(*words: str) -> dict[str, Any]:
    """Return the last line of a command that ends well."""
    result = run(*words)
    assert result.exit_code == 0, result.output + str(result.exception)
    return dict(json.loads(result.stdout.splitlines()[-1]))


def test_a_release_is_put_in_force_listed_shown_and_gone_back_from(folder: Path) -> None:
    assert last("list") == {"live": None, "moves": []}
    first = last("activate", "--by", "lea", "--note", "as it was")
    second = last("activate", "--rules", "site.fr", "--policy", "policy.toml", "--by", "kim")
    assert (first["model"], first["rules"], first["note"]) == ("rules", "none", "as it was")
    assert second["model"] == "rules"
    shown = last("show")
    assert shown["id"] == second["id"]
    assert shown["text"] == {"rules": RULES, "lists": {"bad.txt": "C1\n"}, "policy": '[policy]\nkind = "threshold"\n'}
    assert "--- bad.txt\nC1\n" in run("show", second["id"]).stdout
    assert "[policy]" not in run("show", first["id"]).stdout
    assert last("rollback", "--by", "ann")["id"] == first["id"]
    assert last("activate", second["id"])["id"] == second["id"]
    moves = last("list", "--last", "3")["moves"]
    assert [(move["id"], move["how"]) for move in moves] == [
        (second["id"], "activate"), (first["id"], "rollback"), (second["id"], "activate")
    ]  # fmt: skip


@pytest.mark.usefixtures("folder")
def test_a_console_tells_what_the_command_line_put_in_force_and_goes_back_to_it() -> None:
    first = last("activate", "--rules", "site.fr", "--by", "ops")
    second = last("activate", "--rules", "none", "--by", "night")
    settings = changed(ServiceSettings(), "paths", releases="releases")
    with kept_releases(settings, embedded=True) as kept:
        library = SiteLibrary(settings, kept)
        site = SiteReleases(settings, kept, library, embedded=True)
        assert library.in_use().release == second["id"]
        assert (site.rules(first["rules"]), site.rules("none")) == ((RULES, {"bad.txt": "C1\n"}), None)
        assert site.rollback(first["id"], "lea", "too many", 7) == first["id"]
        assert (library.in_use().release, library.in_use().rules) == (first["id"], first["rules"])
        told = [(move.id, move.by) for move in site.moves()]
    assert told == [(first["id"], "ops"), (second["id"], "night"), (first["id"], "lea")]


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["show"], ReleaseError, "none was ever put in force"),
        (["rollback"], ReleaseError, "none was ever put in force"),
        (["activate", "r1-a", "--model", "rules"], SettingsError, "name either it, or --model"),
        (["activate", "--rules", "nowhere.fr"], RuleError, "nowhere.fr cannot be read"),
        (["activate", "--policy", "nowhere.toml"], SettingsError, "nowhere.toml cannot be read"),
    ],
)
def test_wrong_use_is_told(folder: Path, words: list[str], kind: type[Exception], said: str) -> None:
    result = run(*words)
    assert isinstance(result.exception, kind)
    assert said in str(result.exception)
    assert not (folder / "releases").exists()


def test_promote_is_refused_while_the_folder_has_a_release_in_force(folder: Path) -> None:
    live = CliRunner().invoke(app, ["release", "activate", "--folder", "build/releases"])
    assert live.exit_code == 0
    result = CliRunner().invoke(app, ["models", "promote", "demo", "x"])
    assert isinstance(result.exception, ReleaseError)
    assert "is in force" in str(result.exception)
    assert isinstance(CliRunner().invoke(app, ["models", "rollback", "demo"]).exception, ReleaseError)
