"""Hold the code to its size budget: small functions, short files, few files a folder, few attributes a class.

    python infra/checks/size_budget.py [FOLDER ...]

Functions: half of them at most 8 lines, nine in ten at most 25, none over 60 (docstrings not counted). Files: none over
500 lines, tests included; half of those of the packages under 150. Folders of the serving packages: at most 15 files.
Classes: at most 12 attributes that their methods set; plain data sets none and has no limit.
"""

import ast
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

MEDIAN_LINES, NINE_IN_TEN_LINES, MOST_LINES = 8, 25, 60
MEDIAN_FILE_LINES, MOST_FILE_LINES = 150, 500
MOST_FILES, MOST_ATTRIBUTES = 15, 12
PACKAGES = ("fraud", "streaming", "features", "models")
SERVING = PACKAGES[1:]
BESIDE = ("tests", "infra")
"""Folders of which only the length of files is held to the budget."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def body_lines(node: Function) -> int:
    """Return the lines of a function from its signature to its end, docstring left out."""
    total = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield place and length of every function in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield f"{path}:{node.lineno} {node.name}", body_lines(node)


def attributes(tree: ast.AST) -> Iterator[tuple[int, str, int]]:
    """Yield line, name and number of attributes, set on `self` anywhere in it, of every class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            held = {
                found.attr
                for found in ast.walk(node)
                if isinstance(found, ast.Attribute)
                and isinstance(found.ctx, ast.Store)
                and isinstance(found.value, ast.Name)
                and found.value.id == "self"
            }
            yield node.lineno, node.name, len(held)


def faults(folders: list[Path], beside: list[Path], serving: list[Path]) -> list[str]:
    """Return what breaks the budget, one line each."""
    paths = sorted(path for folder in folders for path in folder.rglob("*.py"))
    others = sorted(path for folder in beside for path in folder.rglob("*.py"))
    files = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (*paths, *others)}
    found = [item for path in paths for item in functions(path)]
    lines = [f"{name}: {size} lines, most is {MOST_LINES}" for name, size in found if size > MOST_LINES]
    lines += [
        f"{path}: {size} lines, most is {MOST_FILE_LINES}" for path, size in files.items() if size > MOST_FILE_LINES
    ]
    lines += [*crowded(serving), *wide(paths)]
    return lines + spread([size for _, size in found], [files[path] for path in paths])


def crowded(folders: list[Path]) -> list[str]:
    """Return the folders with too many files; `__init__.py` is not counted."""
    held = Counter(path.parent for folder in folders for path in folder.rglob("*.py") if path.name != "__init__.py")
    return [f"{folder}: {count} files, most is {MOST_FILES}" for folder, count in held.items() if count > MOST_FILES]


def wide(paths: list[Path]) -> list[str]:
    """Return the classes with too many attributes."""
    return [
        f"{path}:{line} {name}: {count} attributes, most is {MOST_ATTRIBUTES}"
        for path in paths
        for line, name, count in attributes(ast.parse(path.read_text(encoding="utf-8")))
        if count > MOST_ATTRIBUTES
    ]


def spread(sizes: list[int], files: list[int]) -> list[str]:
    """Return what is wrong with the distribution of sizes."""
    lines = []
    if sizes and statistics.median(sizes) > MEDIAN_LINES:
        lines.append(f"median function has {statistics.median(sizes)} lines, most is {MEDIAN_LINES}")
    if sizes and sum(size <= NINE_IN_TEN_LINES for size in sizes) < 0.9 * len(sizes):
        lines.append(f"fewer than nine in ten functions have at most {NINE_IN_TEN_LINES} lines")
    if files and statistics.median(files) >= MEDIAN_FILE_LINES:
        lines.append(f"median file has {statistics.median(files)} lines, most is {MEDIAN_FILE_LINES}")
    return lines


def main() -> int:
    """Print every fault; return 1 when there is one."""
    named = [Path(name) for name in sys.argv[1:]]
    whole = [Path(name) for name in PACKAGES], [Path(name) for name in BESIDE], [Path(name) for name in SERVING]
    lines = faults(named, [], named) if named else faults(*whole)
    print("\n".join(lines) or "size budget kept")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
