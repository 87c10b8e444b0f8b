"""Four flat packages with generic names: nobody else may own them, nothing may swallow them, nothing is uploaded."""

import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.tree import PACKAGES, ROOT

KEPT = (
    "models/boosting/scorer.py",
    "models/artifacts/demo/current",
    "models/artifacts/x/1/weights.npz",
    "models/artifacts/x/1/card.json",
    "features/spec.py",
    "features/stores/memory.py",
    "streaming/run.py",
    "streaming/mappings/fdh.toml",
    "fraud/core/engine.py",
    "tests/models/test_trees.py",
    "infra/checks/size_budget.py",
)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def foreign_owners() -> dict[str, set[str]]:
    """Return the other installed distributions that bring one of the four names along."""
    owners = {name: set(packages_distributions().get(name, ())) - {"fraud"} for name in PACKAGES}
    return {name: found for name, found in owners.items() if found}


def test_no_other_distribution_owns_one_of_the_packages() -> None:
    assert foreign_owners() == {}


def test_guard_reports_a_distribution_that_brings_streaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "somebody_streaming-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebody-streaming\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("streaming\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert foreign_owners() == {"streaming": {"somebody-streaming"}}


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_is_imported_from_this_project(name: str) -> None:
    found = find_spec(name)
    assert found is not None
    assert found.origin is not None
    assert Path(found.origin).parent.name == name
    assert Path(found.origin).parents[1] == ROOT


def test_project_is_marked_as_not_for_upload(project: dict[str, Any]) -> None:
    assert "Private :: Do Not Upload" in project["project"]["classifiers"]


def test_wheel_holds_exactly_the_four_packages(project: dict[str, Any]) -> None:
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == list(PACKAGES)


def ignored(paths: tuple[str, ...], excludes: Path | None = None) -> list[str]:
    """Return the paths that the ignore rules leave out, whether tracked or not; `excludes` is one more file of them."""
    config = ["-c", f"core.excludesFile={excludes}"] if excludes else []
    command = ["git", *config, "check-ignore", "--no-index", *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.split()


def other_ignore_files() -> Iterator[Path]:
    """Yield what other tools leave out by, such as `.dockerignore`; the syntax is near enough to git's."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if name.endswith("ignore") and not name.endswith(".gitignore"):
            yield ROOT / name


def test_no_ignore_file_swallows_a_package() -> None:
    assert ignored(KEPT) == []
    for path in other_ignore_files():
        assert ignored(KEPT, path) == [], path


def test_guard_reports_an_ignore_file_that_swallows_models(tmp_path: Path) -> None:
    (tmp_path / "ignore").write_text("models/\n")
    held = "models/boosting/scorer.py"
    assert ignored((held, "fraud/cli/demo.py"), tmp_path / "ignore") == [held]
    assert ignored(("build/models/x", "fraud/cli/demo.py")) == ["build/models/x"]
