"""Hold the code to its size budget: small functions, short files.

    python infra/checks/size_budget.py [FOLDER ...]

Functions: half of them at most 8 lines, nine in ten at most 25, none over 60 (docstrings not counted). Files: none over
600 lines, half of them under 150.
"""

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

MEDIAN_LINES, NINE_IN_TEN_LINES, MOST_LINES = 8, 25, 60
MEDIAN_FILE_LINES, MOST_FILE_LINES = 150, 600
PACKAGES = ("fraud", "streaming", "features", "models")

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


def faults(folders: list[Path]) -> list[str]:
    """Return what breaks the budget, one line each."""
    paths = sorted(path for folder in folders for path in folder.rglob("*.py"))
    files = [(str(path), len(path.read_text(encoding="utf-8").splitlines())) for path in paths]
    found = [item for path in paths for item in functions(path)]
    lines = [f"{name}: {size} lines, most is {MOST_LINES}" for name, size in found if size > MOST_LINES]
    lines += [f"{name}: {size} lines, most is {MOST_FILE_LINES}" for name, size in files if size > MOST_FILE_LINES]
    return lines + spread([size for _, size in found], [size for _, size in files])


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
    folders = [Path(name) for name in sys.argv[1:] or PACKAGES]
    lines = faults(folders)
    print("\n".join(lines) or "size budget kept")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
