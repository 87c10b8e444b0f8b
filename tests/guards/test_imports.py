"""What a worker loads, and the import contracts that hold the floors apart."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.tree import PACKAGES, ROOT

HEAVY = ("torch", "lightgbm", "sklearn", "pandas", "feast", "river", "matplotlib", "onnxruntime", "onnx")
WORKER = """
import msgspec
import fraud.cli
from fraud.core.settings import ModelSection, Settings
from streaming import wiring
wiring.build(msgspec.structs.replace(Settings(), model=ModelSection(name={model!r})))
"""


def loaded(code: str, names: tuple[str, ...]) -> set[str]:
    """Return which of `names` a fresh interpreter has loaded after `code`."""
    asked = f"{code}\nimport json, sys\nprint(json.dumps([name for name in {names!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("model", ["rules", "demo"])
def test_a_worker_loads_no_training_or_network_library(model: str) -> None:
    code = WORKER.format(model=model)
    assert loaded(code, (*HEAVY, "numba")) == {"numba"}


def test_guard_reports_what_is_loaded() -> None:
    assert loaded("import tomllib", ("tomllib", "torch")) == {"tomllib"}


@pytest.fixture(scope="module")
def linter() -> dict[str, Any]:
    settings: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return settings


def of_kind(linter: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [contract for contract in linter["contracts"] if contract["type"] == kind]


def test_import_contracts_look_at_all_packages(linter: dict[str, Any]) -> None:
    assert linter["root_packages"] == list(PACKAGES)
    assert linter["include_external_packages"] is True


def test_layers_name_every_part_in_the_order_of_the_house(linter: dict[str, Any]) -> None:
    (contract,) = [each for each in of_kind(linter, "layers") if "containers" not in each]
    floors = [{name.strip(" ()") for name in floor.split("|")} for floor in contract["layers"]]
    assert floors == [
        {"fraud.api", "fraud.cli"},
        {"fraud.dashboard", "fraud.backtest", "fraud.training"},
        {"streaming"},
        {"features", "models", "fraud.review", "fraud.simulate"},
        {"fraud.common"},
        {"fraud.core"},
    ]
    there = {f"fraud.{path.parent.name}" for path in (ROOT / "fraud").glob("*/__init__.py")}
    assert there <= set.union(*floors), "a part of fraud/ that stands on no floor"


def test_rooms_of_streaming_stand_in_their_order_and_none_is_left_out(linter: dict[str, Any]) -> None:
    (contract,) = [each for each in of_kind(linter, "layers") if each.get("containers") == ["streaming"]]
    rooms = [{name.strip() for name in floor.split("|")} for floor in contract["layers"]]
    assert rooms == [
        {"learner_wiring", "soundness"},
        {"service_wiring"},
        {"release_wiring", "releasing"},
        {"wiring"},
        {"rebuild", "embedded"},
        {"worker", "labels", "feeds"},
        {"kafka", "replay"},
        {"ending"},
        {"files", "observe"},
        {"run", "settings", "rule_file"},
        {"messages"},
        {"clock"},
    ]
    assert contract["exhaustive"] is True
    parts = [*(ROOT / "streaming").glob("*.py"), *(path.parent for path in (ROOT / "streaming").glob("*/__init__.py"))]
    assert {path.stem for path in parts} - {"__init__"} == set.union(*rooms)


def test_core_and_serving_are_forbidden_what_they_must_not_load(linter: dict[str, Any]) -> None:
    forbidden = {tuple(each["source_modules"]): set(each["forbidden_modules"]) for each in of_kind(linter, "forbidden")}
    assert {"torch", "numba", "kafka", "redis", "pyarrow", "typer"} <= forbidden["fraud.core",]
    assert {"lightgbm", "sklearn", "pandas", "matplotlib"} <= forbidden["streaming", "features", "models"]


def test_every_module_of_streaming_but_wiring_is_forbidden_concrete_classes(linter: dict[str, Any]) -> None:
    (contract,) = [each for each in of_kind(linter, "forbidden") if each["name"].startswith("only wiring")]
    assert set(contract["forbidden_modules"]) == {"features.stores", "features.extractor", "models"}
    held = tuple(contract["source_modules"])
    paths = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "streaming").rglob("*.py")]
    modules = {".".join(path.parts) for path in paths if path.name != "__init__"}
    free = {name for name in modules if not (name in held or name.startswith(tuple(f"{room}." for room in held)))}
    assert free == {
        "streaming.wiring",
        "streaming.service_wiring",
        "streaming.learner_wiring",
        "streaming.soundness",
        "streaming.release_wiring",
        "streaming.releasing",
        "streaming.replay.extraction",
        "streaming.replay.learning",
    }


def test_contracts_ignore_no_import(linter: dict[str, Any]) -> None:
    assert not [contract["name"] for contract in linter["contracts"] if contract.get("ignore_imports")]


def test_contracts_name_modules_that_exist() -> None:
    assert all((Path(ROOT) / package / "__init__.py").exists() for package in PACKAGES)
