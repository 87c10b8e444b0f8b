"""The tree itself: sizes, addresses, and a contract suite for every port."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud.core import ports
from fraud.core.ports import Extractor, StateStore
from tests.contract.suites import SUITES
from tests.tree import ROOT

# --- sizes -----------------------------------------------------------------------------------------------------------


def size_budget(folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the check on one folder, or on the repository as `make check` does."""
    command = [sys.executable, str(ROOT / "infra/checks/size_budget.py"), *([str(folder)] if folder else [])]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def function(name: str, lines: int) -> str:
    return f"def {name}():\n" + "    x = 1\n" * (lines - 1) + "\n\n"


def test_repository_keeps_the_size_budget() -> None:
    done = size_budget()
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (function("long", 61) + function("short", 2) * 20, "a.py:1 long: 61 lines, most is 60"),
        ("x = 1\n" * 501, "a.py: 501 lines, most is 500"),
        (function("longish", 9) * 3, "median function has 9 lines, most is 8"),
        (function("short", 2) * 8 + function("longish", 26) * 2, "fewer than nine in ten functions"),
        ("x = 1\n" * 150, "median file has 150 lines, most is 150"),
    ],
)
def test_size_budget_fails_on_what_is_too_large(tmp_path: Path, code: str, told: str) -> None:
    (tmp_path / "a.py").write_text(code)
    done = size_budget(tmp_path)
    assert done.returncode == 1
    assert told in done.stdout


def test_size_budget_fails_on_a_folder_with_too_many_files(tmp_path: Path) -> None:
    for number in range(16):
        (tmp_path / f"b{number}.py").write_text(function("short", 2))
    (tmp_path / "__init__.py").touch()
    done = size_budget(tmp_path)
    assert (done.returncode, done.stdout) == (1, f"{tmp_path}: 16 files, most is 15\n")


def test_size_budget_fails_on_a_class_with_too_many_attributes_that_is_not_plain_data(tmp_path: Path) -> None:
    names = [f"part{number}" for number in range(13)]
    sets = "".join(f"        self.{name} = 1\n" for name in names)
    plain = "".join(f"    {name}: int\n" for name in names)
    (tmp_path / "a.py").write_text(f"class Wide:\n    def one(self):\n{sets}\nclass Plain:\n{plain}")
    done = size_budget(tmp_path)
    assert done.returncode == 1
    assert "a.py:1 Wide: 13 attributes, most is 12" in done.stdout
    assert "Plain" not in done.stdout


def test_size_budget_leaves_the_docstring_out_and_passes_at_the_limits(tmp_path: Path) -> None:
    text = '    """' + "long story\n" * 70 + '    """\n'
    (tmp_path / "a.py").write_text("def told():\n" + text + "    return 1\n" + function("longest", 60).strip() + "\n")
    for number in range(14):
        (tmp_path / f"b{number}.py").write_text(function("short", 2) * 2)
    done = size_budget(tmp_path)
    assert (done.returncode, done.stdout) == (0, "size budget kept\n")


# --- addresses -------------------------------------------------------------------------------------------------------

# Written in two halves, so that this file does not hold what it forbids.
FORBIDDEN = re.compile(
    "|".join(
        re.escape(first + second)
        for first, second in [
            ("pypi.", "org"), ("pythonhosted.", "org"), ("repo1.maven.", "org"), ("repo.maven.apache.", "org"),
            ("deb.debian.", "org"), ("archive.ubuntu.", "com"), ("registry.npmjs.", "org"), ("conda.anaconda.", "org"),
            ("proxy.golang.", "org"), ("/wo", "rk/"), ("../sha", "red/tools"),
        ]
    )
)  # fmt: skip
PIN = re.compile(r"^[a-z0-9][a-z0-9._-]*(\[[a-z,]+\])?==[0-9][0-9a-z.+]*( ; .+)?$")


def tracked() -> Iterator[Path]:
    """Yield every tracked file that is still there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    yield from (ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())


def addresses(path: Path) -> list[str]:
    """Return the registry addresses and paths of one machine that a text file names."""
    text = path.read_bytes().decode("utf-8", errors="ignore")
    return [f"{path.name}: {match.group()}" for match in FORBIDDEN.finditer(text)]


def test_no_file_names_a_package_registry_or_a_path_of_one_machine() -> None:
    assert [found for path in tracked() for found in addresses(path)] == []


def test_guard_reports_an_address_and_a_path(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("https://pypi." + "org/simple\ncache = /wo" + "rk/x\n")
    assert len(addresses(tmp_path / "lock")) == 2


def test_constraints_are_exact_versions_and_nothing_else() -> None:
    lines = (ROOT / "infra/constraints.txt").read_text().splitlines()
    assert len(lines) > 20
    assert [line for line in lines if line and not line.startswith("#") and not PIN.match(line)] == []


# --- ports -----------------------------------------------------------------------------------------------------------

WITHOUT_SUITE = {
    "WorkingSet",  # part of a state store, tested in its suite
    "Histories",  # part of an extractor, tested in its suite
    "Encoder",  # the part of a scorer that an extractor calls, tested in the extractor's suite and in test_network
    "TimeLeft",  # any answer is a right one; what an engine makes of each is tested in tests/parity/test_levels.py
}  # fmt: skip


def declared_ports() -> set[str]:
    """Return the names of the protocols that `fraud/core/ports.py` declares."""
    body = ast.parse(Path(ports.__file__).read_text(encoding="utf-8")).body
    bases = {node.name: [ast.unparse(base) for base in node.bases] for node in body if isinstance(node, ast.ClassDef)}
    return {name for name, found in bases.items() if "Protocol" in found}


def test_every_port_has_a_contract_suite_or_is_known_to_have_none() -> None:
    assert declared_ports() - {port.__name__ for port in SUITES} <= WITHOUT_SUITE
    assert declared_ports() >= WITHOUT_SUITE


def test_suites_run_on_something() -> None:
    assert {StateStore, Extractor} <= set(SUITES)
    assert all(SUITES.values())


# --- test modules ----------------------------------------------------------------------------------------------------

FROM_TEST_MODULE = re.compile(r"^\s*(?:from|import) tests\.[\w.]*\btest_\w+", re.MULTILINE)


def borrowed(path: Path) -> list[str]:
    """Return the imports from test modules in a file: what two tests share stands in a module of its own."""
    return FROM_TEST_MODULE.findall(path.read_text(encoding="utf-8"))


def test_no_file_imports_from_a_test_module() -> None:
    found = {str(path.relative_to(ROOT)): borrowed(path) for path in (ROOT / "tests").rglob("*.py")}
    assert {name: imports for name, imports in found.items() if imports} == {}


def test_guard_reports_an_import_from_a_test_module(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from tests.tree import ROOT\nfrom tests.core.test_" + "policy import costs\n")
    assert len(borrowed(tmp_path / "a.py")) == 1
