"""Kept machine code: what a changed source drops, what it does not, and that every loop goes by the one door."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fraud.common.compiled import PACKAGES, files_of, imported, imports_in, reached
from tests.tree import ROOT

FILES = {
    "__init__.py": "",
    "loop.py": "from fraud.common.compiled import compiled\nfrom loops import callee\n\n\n"
    "@compiled\ndef total(n):\n    return callee.times(n) + 1\n",
    "callee.py": "from fraud.common.compiled import compiled\nfrom .constants import (\n    FACTOR,\n)\n\n\n"
    "@compiled\ndef times(n):\n    return n * FACTOR + 10\n",
    "constants.py": "FACTOR = 100\n",
    "beside.py": "OTHER = 1\n",
}
RUN = """
import json
from loops.loop import total
print(json.dumps([total(7), sum(total.stats.cache_hits.values())]))
"""
KEPT, COMPILED = 1, 0


@pytest.fixture
def loops(tmp_path: Path) -> Path:
    """Return a package with a loop, a loop that it calls, a constant and a file beside, compiled once."""
    folder = tmp_path / "loops"
    folder.mkdir()
    for name, source in FILES.items():
        (folder / name).write_text(source)
    assert answer(folder) == (711, COMPILED)
    assert answer(folder) == (711, KEPT)
    return folder


def answer(loops: Path) -> tuple[int, int]:
    """Return what the loop answers in a new process, and whether its kept code was used."""
    paths = {"PYTHONPATH": f"{loops.parent}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    environment = {**os.environ, **paths, "NUMBA_CACHE_DIR": ""}
    done = subprocess.run([sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, check=True)
    found, hits = json.loads(done.stdout)
    return found, hits


def change(file: Path, old: str, new: str) -> None:
    """Change a source to one of the same length and time, which only its content tells from the one before."""
    status, source = file.stat(), file.read_text()
    assert source.count(old) == 1
    assert len(old) == len(new)
    file.write_text(source.replace(old, new))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("file", "old", "new", "wanted"),
    [
        ("loop.py", "+ 1", "+ 2", 712),
        ("callee.py", "+ 10", "+ 20", 721),
        ("constants.py", "100", "200", 1_411),
    ],
)
def test_loop_with_kept_code_gives_the_new_answer_after_a_change(
    loops: Path, file: str, old: str, new: str, wanted: int
) -> None:
    change(loops / file, old, new)
    assert answer(loops) == (wanted, COMPILED)
    assert answer(loops) == (wanted, KEPT)


def test_kept_code_outlives_a_change_that_it_cannot_hold(loops: Path) -> None:
    change(loops / "beside.py", "1", "2")
    assert answer(loops) == (711, KEPT)


# ---- what a file reaches


def names_of(files: list[Path]) -> set[str]:
    return {str(file.relative_to(ROOT)) for file in files}


def test_loops_of_the_update_reach_the_windows_and_the_layout_and_no_model() -> None:
    found = names_of(reached(ROOT / "features/state/update.py"))
    assert {f"features/state/{name}.py" for name in ("update", "windows", "rings", "layout")} <= found
    assert "fraud/common/compiled.py" in found
    assert not {name for name in found if name.startswith("models/") or name.endswith("state/history.py")}


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_read_line_by_line_are_those_of_the_whole_file(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        whole = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
        assert sorted(map(ast.unparse, imports_in(source))) == sorted(map(ast.unparse, whole)), path


@pytest.mark.parametrize(
    "statement",
    [
        "import loops.callee as other",
        "from loops.callee import times",
        "from . import callee",
        "from .callee import times",
        "from loops import (\n    loop,  # it (is) bracketed\n    callee,\n)",
        "from loops import loop, \\\n    callee",
        "def late():\n    from loops import callee",
        '"""\nimport of prose\n"""\nimport loops.callee',
    ],
)
def test_import_in_any_form_leads_to_the_file(tmp_path: Path, statement: str) -> None:
    folder = tmp_path / "loops"
    folder.mkdir()
    for name, source in {**FILES, "asks.py": statement + "\n"}.items():
        (folder / name).write_text(source)
    assert folder / "callee.py" in imported(folder / "asks.py")


def test_libraries_are_not_followed() -> None:
    assert not list(files_of(("numpy", "linalg"), dict.fromkeys(PACKAGES, ROOT)))


# ---- the one door


def compilers_in(source: str) -> list[str]:
    """Return the names under which a source imports numba or a part of it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
    return [name for name in found if name.split(".")[0] == "numba"]


def test_every_loop_is_compiled_by_the_one_door() -> None:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    others = {path: found for path in files if (found := compilers_in(path.read_text(encoding="utf-8")))}
    assert {str(path.relative_to(ROOT)) for path in others} == {"fraud/common/compiled.py"}


@pytest.mark.parametrize(
    "source", ["import numba\n", "from numba import njit\n", "def f():\n    import numba.core as core\n"]
)
def test_search_for_compilers_finds_each_way_to_reach_them(source: str) -> None:
    assert compilers_in(source)
