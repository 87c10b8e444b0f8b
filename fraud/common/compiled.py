"""One way to compile a loop: typed for mypy, kept on disk, dropped when a source that it was made of has changed."""

import ast
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.uint8]
Ints = NDArray[np.int64]
Words = NDArray[np.uint32]
Floats = NDArray[np.float32]

F = TypeVar("F", bound=Callable[..., Any])

PACKAGES = ("fraud", "streaming", "features", "models")
ROOT = Path(__file__).parents[2]
IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+\S+[ \t]+)?import\b[ \t]*(?:\([^)]*\)|(?:\\\n|[^\n])*)", re.MULTILINE)
"""An import statement, over several lines where it is bracketed or continued."""


def compiled(function: F) -> F:
    """Compile with numba on first use and keep the result on disk.

    Division by zero gives inf or NaN, as in numpy. Floating-point order is kept as written (no fast math): a row's
    result must not depend on its batch.
    """
    dispatcher = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    tie_to_sources(dispatcher, Path(function.__code__.co_filename))
    return cast(F, dispatcher)


def tie_to_sources(dispatcher: Any, path: Path) -> None:
    """Tie the kept code of a loop in file `path` to every source that can be compiled into it.

    numba ties it to the loop's own file, although the code of all it calls and the values of all constants it reads
    are compiled into it: after a change in `windows.py` the loops of `update.py` would go on running the old one.
    """
    if hasattr(dispatcher, "_cache"):  # not so with NUMBA_DISABLE_JIT
        dispatcher._cache._cache_file._source_stamp = reached_hash(path)


# ---- what a file reaches


@cache
def reached_hash(path: Path) -> str:
    """Return a hash of a file and of all project files that it reaches."""
    return files_hash(reached(path))


def reached(path: Path) -> list[Path]:
    """Return a file and every project file that its imports lead to, sorted; what they import as well."""
    found: set[Path] = set()
    todo = [path]
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo += imported(one)
    return sorted(found)


@cache
def imported(path: Path) -> tuple[Path, ...]:
    """Return the project files that the import statements of a file name, wherever in it they stand."""
    package, roots = package_of(path), dict.fromkeys(PACKAGES, ROOT)
    if package:
        roots[package[0]] = path.parents[len(package)]
    names = {name for node in imports_in(path.read_text(encoding="utf-8")) for name in names_in(node, package)}
    return tuple({file for name in names for file in files_of(name, roots)})


def imports_in(source: str) -> list[ast.stmt]:
    """Return the import statements of a source, each of them the first of its line.

    Only these are parsed, for whole files would cost a worker's start a third of a second. What cannot be parsed alone
    (a line of prose, a comment with a bracket) has the whole file parsed.
    """
    try:
        return [ast.parse(text.strip()).body[0] for text in IMPORT.findall(source)]
    except SyntaxError:
        return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]


def package_of(path: Path) -> tuple[str, ...]:
    """Return the names of the packages that a file lies in, outermost first; empty for a script of its own."""
    names: list[str] = []
    for folder in path.parents:
        if not (folder / "__init__.py").exists():
            break
        names.insert(0, folder.name)
    return tuple(names)


def names_in(node: ast.stmt, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the dotted names that a statement in `package` imports: of `from a import b` a.b, which may be a module."""
    if isinstance(node, ast.Import):
        yield from (tuple(alias.name.split(".")) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package[: len(package) - node.level + 1] if node.level else ()
        module = (*above, *(node.module.split(".") if node.module else ()))
        yield from ((*module, alias.name) for alias in node.names)


def files_of(name: tuple[str, ...], roots: dict[str, Path]) -> Iterator[Path]:
    """Yield the files that run when a dotted name is imported, packages on the way included; none outside `roots`."""
    folder = roots.get(name[0])
    for part in name if folder else ():
        folder = cast(Path, folder) / part
        for file in (folder / "__init__.py", folder.with_suffix(".py")):
            if file.is_file():
                yield file


# ---- hashes


def sources_hash(folders: Iterable[Path]) -> str:
    """Return a hash of the Python sources of some folders, names included."""
    return files_hash(path for folder in folders for path in sorted(folder.rglob("*.py")))


def files_hash(paths: Iterable[Path]) -> str:
    """Return a hash of some files, names included."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@compiled
def signed(value: Any) -> int:
    """Return an unsigned field as a signed 64-bit integer: mixing the two would turn sums into floats."""
    return np.int64(value)  # type: ignore[return-value]
