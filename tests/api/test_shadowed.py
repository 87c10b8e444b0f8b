"""Somebody's own package named as one that comes with the product is told of at import, not by a name that it lacks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fraud
from tests.tree import ROOT


def imported(folder: Path, code: str = "import fraud.core.records") -> subprocess.CompletedProcess[str]:
    """Import the product in a program whose folder comes first in the path."""
    (folder / "mine.py").write_text(code)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = [sys.executable, str(folder / "mine.py")]
    return subprocess.run(done, env=env, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("name", fraud.BROUGHT)
@pytest.mark.parametrize("as_package", [True, False])
def test_package_of_the_same_name_is_told_of(tmp_path: Path, name: str, as_package: bool) -> None:
    path = tmp_path / name / "__init__.py" if as_package else tmp_path / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    done = imported(tmp_path)
    assert done.returncode == 1
    (last,) = done.stderr.strip().splitlines()[-1:]
    assert last.startswith(f"ImportError: import {name} gives {path}, not the package of that name that fraud brings")
    assert str(ROOT / name) in last


def test_one_that_was_imported_before_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text("")
    done = imported(tmp_path, "import models, sys\nsys.path.pop(0)\nimport fraud")
    assert "ImportError: import models gives" in done.stderr


def test_folder_of_the_same_name_that_is_no_package_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    done = imported(tmp_path)
    assert done.returncode == 0, done.stderr
