"""Alerts, dashboard and the operator's page: each metric that they name exists, with its labels, and each command."""

import ast
import json
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import typer

from fraud.cli import app
from tests.tree import ROOT

ALERTS = ROOT / "infra/prometheus/alerts.yml"
DASHBOARD = ROOT / "infra/grafana/fraud.json"
PAGE = ROOT / "docs/operations.md"
ENDS = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
KINDS = {
    "counter": "counter", "CounterMetricFamily": "counter", "gauge": "gauge", "Gauge": "gauge",
    "GaugeMetricFamily": "gauge", "histogram": "histogram",
}  # fmt: skip
GIVEN = {"job", "instance", "le"}
"""Labels that Prometheus adds, or that every histogram has."""


def texts(node: ast.AST, lists: dict[str, list[str]]) -> list[str]:
    """Return the texts that a node is, or holds as a list."""
    if isinstance(node, ast.Constant):
        return [str(node.value)] if isinstance(node.value, str) else []
    if isinstance(node, ast.Name):
        return lists.get(node.id, [])
    return [text for each in node.elts for text in texts(each, lists)] if isinstance(node, ast.List | ast.Tuple) else []


def declared(path: Path) -> Iterator[tuple[str, set[str]]]:
    """Yield the series that a source declares, with their labels."""
    tree = ast.parse(path.read_text())
    lists = {
        node.targets[0].id: texts(node.value, {})
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS and node.args:
            name, rest = texts(node.args[0], {}), [*node.args[2:], *(each.value for each in node.keywords)]
            if name and name[0].startswith("fraud_"):
                labels = set(chain.from_iterable(texts(each, lists) for each in rest))
                yield from ((name[0] + end, labels) for end in ENDS[KINDS[node.func.id]])
        if path.name == "health.py" and isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
            yield f"fraud_console_{texts(node.value.elts[0], {})[0]}", set()


SERIES: dict[str, set[str]] = {}
for source in (*(ROOT / "streaming").rglob("*.py"), ROOT / "fraud/dashboard/health.py"):
    for series, its_labels in declared(source):
        SERIES[series] = SERIES.get(series, set()) | its_labels


def faults(expression: str) -> list[str]:
    """Return the series of an expression that nobody has, and the labels that none of them has."""
    named = re.findall(r"\b(fraud_\w+)(?:\{([^}]*)\})?", expression)
    found = [name for name, _ in named if name not in SERIES]
    held = set().union(GIVEN, *(SERIES.get(name, set()) for name, _ in named))
    chosen = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    grouped = re.findall(r"\b(?:by|ignoring|on)\s*\(([^)]*)\)", expression)
    labels = [*chosen, *(each.strip() for group in grouped for each in group.split(",") if each.strip())]
    return found + [label for label in labels if label not in held]


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    groups = import_module("yaml").safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard that ask for something."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def test_sources_are_searched_for_what_a_worker_shows() -> None:
    """What a worker's registry holds is among what was found, under the same names."""
    from streaming.observe.metrics import Metrics

    text = Metrics().text().decode()
    shown = {(name, kind) for name, kind in re.findall(r"# TYPE (fraud_\w+) (\w+)", text)}
    assert len(shown) > 15
    assert [name for name, kind in shown if kind == "gauge" and name not in SERIES] == []
    assert [name for name, kind in shown if kind == "counter" and name not in SERIES] == []
    assert SERIES["fraud_decisions_total"] == {"action", "level"}
    assert SERIES["fraud_build_info"] >= {"model", "release"}
    assert {"fraud_console_projector_lag", "fraud_labels_total", "fraud_rejects_total"} <= SERIES.keys()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_alert_asks_for_what_there_is_and_says_what_it_is_about(rule: dict[str, Any]) -> None:
    assert faults(rule["expr"]) == []
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert len(rule["annotations"]["summary"]) > 10


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_panel_asks_for_what_there_is(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    assert [fault for target in panel["targets"] for fault in faults(target["expr"])] == []


def test_check_finds_a_series_and_labels_that_are_gone() -> None:
    assert faults('sum by (action, card) (rate(fraud_decisions_total{kind="x"}[5m]))') == ["kind", "card"]
    assert faults("fraud_decisions > 0 and fraud_nosuch") == ["fraud_decisions", "fraud_nosuch"]


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        assert at["x"] + at["w"] <= 24


def test_the_page_says_of_each_alert_what_to_do() -> None:
    told = re.findall(r"^\| `(Fraud\w+)` \| .{10,} \| .{10,} \|$", PAGE.read_text(), re.MULTILINE)
    assert told == [rule["alert"] for rule in rules()]


def commands() -> list[str]:
    """Return the commands of the page: lines that are nothing else, and those within a sentence."""
    text = PAGE.read_text()
    lines = re.findall(r"^ {4,}(fraud .*)$", text, re.MULTILINE)
    return [*lines, *re.findall(r"`(fraud [a-z][^`]*)`", text)]


@pytest.mark.parametrize("line", commands())
def test_command_of_the_page_is_one_with_these_options(line: str) -> None:
    command: Any = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    assert not hasattr(command, "commands") or command.invoke_without_command, f"{line}: no such command"
    options = {"--help"} | {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options, line
