"""Shapes and columns of tokens: numbers that fit together, written down in one place."""

import ast
from collections.abc import Iterator
from typing import Any

import pytest

from fraud.core import tokens as tk
from tests.tree import ROOT

NAMES = {name for name in vars(tk) if name.isupper()}
OTHERS = {"fraud/training/cost.py": {"BLOCK"}}
"""The same word for the same number, meaning something else."""
ELSEWHERE = ("features", "models", "fraud/training", "fraud/cli")
RAW_NAMES = (
    "PRESENT LOG_AMOUNT HOUR_SIN HOUR_COS WEEK_SIN WEEK_COS SINCE_LAST RATIO MONEY_BACK CARD_PRESENT OTHER_LABELS"
    " OTHER_FRAUDS OTHER_AGE PAIR AGE MONTHS KNOWN FRAUD SILENT LABEL_AGE SAME_OTHER AMOUNT_GAP FROM_FRAUDS SAME_MCC"
    " EVENTS_SINCE SAME_TEXT"
).split()


def test_columns_of_an_event_are_all_named_once() -> None:
    named = [getattr(tk, name) for name in RAW_NAMES]
    mcc = list(range(tk.MCC, tk.MCC + tk.MCC_BITS))
    assert sorted(named + mcc) == list(range(tk.RAW_COLUMNS))
    assert max(tk.MCC, tk.PAIR) < tk.STATIC <= tk.AGE


def test_columns_of_a_summary_are_named_once() -> None:
    named = [
        getattr(tk, name) for name in NAMES if name.startswith("SUM_") and name not in ("SUM_COLUMNS", "SUM_LOG_SCALE")
    ]
    assert len(set(named)) == len(named)
    assert max(named) < tk.SUM_COLUMNS


def test_shapes_fit_together() -> None:
    assert (tk.RAW, tk.SUMS, tk.WINDOW) == (64, 20, 48)
    assert tk.RING >= tk.WINDOW + tk.BLOCK, "a block that is pushed is read off the ring"


def assigned(source: str) -> Iterator[tuple[str, Any]]:
    """Yield the names that a module gives a number of its own, alone or several at a time, and the numbers."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            yield from ((target.id, node.value.value) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            values = [getattr(part, "value", None) for part in node.value.elts]
            parts = [target.elts for target in node.targets if isinstance(target, ast.Tuple)]
            yield from (
                (part.id, value)
                for each in parts
                for part, value in zip(each, values, strict=False)
                if isinstance(part, ast.Name)
            )


def twice(source: str) -> set[str]:
    """Return what a module writes down again: the same name for the same number."""
    return {name for name, value in assigned(source) if name in NAMES and getattr(tk, name) == value}


@pytest.mark.parametrize("folder", ELSEWHERE)
def test_no_other_module_writes_them_down(folder: str) -> None:
    files = {str(path.relative_to(ROOT)): path for path in (ROOT / folder).rglob("*.py")}
    found = {name: twice(path.read_text(encoding="utf-8")) - OTHERS.get(name, set()) for name, path in files.items()}
    assert {name: names for name, names in found.items() if names} == {}


def test_search_finds_a_number_written_down_again() -> None:
    assert twice("WINDOW, RAW = 48, 64\n") == {"WINDOW", "RAW"}
    assert twice("AGE = 20\n") == {"AGE"}
    assert twice("from fraud.core.tokens import AGE\nOTHER = AGE\n") == set()
