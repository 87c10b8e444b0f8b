"""Files and folders are complete or not there, whatever ends the process that writes them."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fraud.common.files import ASIDE, SUFFIX, atomic_file, atomic_folder, write_atomic

DIES = 9
START = f"""
import os, sys
from pathlib import Path
from fraud.common import files
path = Path(sys.argv[1])
def die(*_):
    os._exit({DIES})
"""
WRITES = {
    "content": 'files.write_atomic(path, b"new" * 100_000)',
    "file": 'with files.atomic_file(path) as file:\n    file.write(b"new")',
    "folder": 'with files.atomic_folder(path) as draft:\n    (draft / "part").write_bytes(b"new")',
}


def content(path: Path) -> dict[str, bytes]:
    """Return what lies under a name: a file's bytes, or those of each file of a folder."""
    if not path.exists():
        return {}
    return {one.name: one.read_bytes() for one in ([path] if path.is_file() else path.iterdir())}


def old(path: Path, kind: str) -> None:
    """Write something that a later write is to replace."""
    if kind == "folder":
        path.mkdir()
        (path / "part").write_bytes(b"old")
        (path / "other").write_bytes(b"old")
    else:
        path.write_bytes(b"old")


def write(path: Path, kind: str, new: bytes) -> None:
    """Write a file, or a folder of one file."""
    if kind != "folder":
        write_atomic(path, new)
        return
    with atomic_folder(path) as draft:
        (draft / "part").write_bytes(new)


@pytest.mark.parametrize("kind", WRITES)
@pytest.mark.parametrize("there", [True, False])
def test_process_that_dies_before_the_rename_leaves_the_name_as_it_was(tmp_path: Path, kind: str, there: bool) -> None:
    path = tmp_path / "it"
    if there:
        old(path, kind)
    before = content(path)
    code = f"{START}Path.replace = die\n{WRITES[kind]}"
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == DIES
    assert content(path) == before
    assert {one.name for one in tmp_path.iterdir()} <= {"it", "it" + SUFFIX}
    write(path, kind, b"newer")
    assert set(content(path).values()) == {b"newer"}
    assert [one.name for one in tmp_path.iterdir()] == ["it"]


@pytest.mark.parametrize("kind", WRITES)
def test_error_while_writing_keeps_the_old_content_and_leaves_nothing_else(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "it"
    old(path, kind)
    before = content(path)
    with pytest.raises(KeyboardInterrupt), (atomic_folder if kind == "folder" else atomic_file)(path):
        raise KeyboardInterrupt
    assert content(path) == before
    assert [one.name for one in tmp_path.iterdir()] == ["it"]


def test_folder_takes_the_place_of_an_old_one_whole(tmp_path: Path) -> None:
    old(tmp_path / "it", "folder")
    with atomic_folder(tmp_path / "it") as draft:
        assert list(draft.iterdir()) == []
        (draft / "part").write_bytes(b"new")
    assert content(tmp_path / "it") == {"part": b"new"}


def test_process_that_dies_between_the_renames_of_a_folder_leaves_both_whole(tmp_path: Path) -> None:
    path = tmp_path / "it"
    old(path, "folder")
    before = content(path)
    dies = (
        "replace = Path.replace\nPath.replace = lambda self, to: die() if self.suffix == '.new' else replace(self, to)"
    )
    done = subprocess.run([sys.executable, "-c", f"{START}{dies}\n{WRITES['folder']}", str(path)], check=False)
    assert done.returncode == DIES
    assert content(tmp_path / f"it{ASIDE}") == before
    assert content(tmp_path / f"it{SUFFIX}") == {"part": b"new"}
    write(path, "folder", b"newer")
    assert [one.name for one in tmp_path.iterdir()] == ["it"]


def test_file_never_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    old(tmp_path / "it", "folder")
    before = content(tmp_path / "it")
    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path / "it", b"new")
    assert content(tmp_path / "it") == before


def test_content_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a sync of the file itself, before the rename, keeps a power cut from leaving an empty file of that name."""
    events: list[str] = []
    sync, replace = os.fsync, Path.replace

    def noted_sync(descriptor: int) -> None:
        events.append(Path(f"/proc/self/fd/{descriptor}").resolve().name)
        sync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        events.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_atomic(tmp_path / "one" / "it", b"new")
    with atomic_folder(tmp_path / "two") as draft:
        (draft / "part").write_bytes(b"new")
    assert events == ["it" + SUFFIX, "rename", "one", "two" + SUFFIX, "part", "rename", tmp_path.name]


def test_writer_of_another_file_is_not_disturbed(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a.json") as one:
        write_atomic(tmp_path / "a.bin", b"two")
        one.write(b"one")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.json": b"one", "a.bin": b"two"}


# --- the only place --------------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]


def by_hand(code: str) -> list[str]:
    """Return the calls and imports of a source that rename into place or lock: `Path.replace` takes one argument."""
    found = []
    for node in ast.walk(ast.parse(code)):
        text = ast.unparse(node) if isinstance(node, ast.Call | ast.Import) else ""
        if isinstance(node, ast.Import) and "fcntl" in text:
            found.append(text)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            renames = node.func.attr == "rename" or text.startswith("os.replace(")
            if renames or (node.func.attr == "replace" and len(node.args) == 1 and not node.keywords):
                found.append(text)
    return found


def test_files_are_renamed_into_place_and_locked_in_one_place() -> None:
    sources = [path for name in ("fraud", "streaming", "features", "models") for path in (ROOT / name).rglob("*.py")]
    assert len(sources) > 100
    assert {path.name: found for path in sources if (found := by_hand(path.read_text()))} == {
        "files.py": ["draft.replace(path)", "path.replace(aside)"],
        "locks.py": ["import fcntl"],
    }


def test_guard_reports_a_rename_and_a_lock_by_hand() -> None:
    code = "import fcntl\npart.replace(path)\nos.replace(a, b)\na.rename(b)\nname.replace('a', 'b')\n"
    assert by_hand(code) == ["import fcntl", "part.replace(path)", "os.replace(a, b)", "a.rename(b)"]
