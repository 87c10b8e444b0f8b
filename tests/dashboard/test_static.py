"""What pages load: others' files as their packages hold them, nothing that builds code, and how much it is."""

import hashlib
import re
import tomllib

import pytest

from fraud.dashboard.pages import Pages
from tests.dashboard.loading import KB, first_load
from tests.dashboard.shown import every_page, scene
from tests.npm import file_of

PAGES = Pages()
VENDOR = PAGES.static / "vendor"
VENDORED = tomllib.loads((VENDOR / "vendored.toml").read_text())["file"]
SHOWN = {shown.file: shown for shown in every_page()}


def test_vendored_files_are_those_that_are_named() -> None:
    named = {file["name"] for file in VENDORED}
    assert named | {"vendored.toml"} == {path.name for path in VENDOR.iterdir()}
    for file in VENDORED:
        assert hashlib.sha256((VENDOR / file["name"]).read_bytes()).hexdigest() == file["sha256"], file["name"]
        assert file["licence"] in ("0BSD", "MIT")


@pytest.mark.parametrize("file", VENDORED, ids=lambda file: file["name"])
def test_vendored_file_is_that_of_its_package(file: dict[str, str]) -> None:
    held = file_of(file["package"], file["version"], file["path"])
    assert held == (VENDOR / file["name"]).read_bytes()


def test_own_scripts_build_no_code_from_text_and_set_no_styles() -> None:
    for path in PAGES.static.glob("*.js"):
        text = path.read_text()
        assert not re.search(r"\beval\b|new Function|setAttribute\(.style|\.style\b|document\.write|https?:", text), (
            path
        )


def test_styles_load_nothing_and_name_each_colour_once_a_theme() -> None:
    text = (PAGES.static / "app.css").read_text()
    assert "url(" not in text
    assert "@import" not in text
    colours = re.findall(
        r"#[0-9A-Fa-f]{6}", re.sub(r"@media print.*", "", text, flags=re.DOTALL).split("/* --- ground")[1]
    )
    assert colours == [], "a colour beside the tokens"


@pytest.mark.parametrize(("page", "most"), [("queue", 60), ("case", 70), ("model", 90), ("team", 90)])
def test_first_load_keeps_its_budget(page: str, most: int) -> None:
    shown = SHOWN[page]
    loaded = first_load(PAGES.render(shown.name, shown.view, scene(shown)))
    assert loaded <= most * KB, f"{page}: {loaded / KB:.1f} KB"
