"""Every page in a real browser: nobody is shut out, nothing is cut off, nothing breaks the policy."""

import json

import pytest

from tests.browser.served import PARTS, Open
from tests.dashboard.shown import every_page
from tests.npm import file_of

FILES = [shown.file for shown in every_page() if shown.name not in PARTS]
RUN = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture(scope="session")
def axe() -> str:
    """Return the source of axe-core."""
    return file_of("axe-core", "4.14.1", "package/axe.min.js").decode()


@pytest.mark.slow
@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("file", FILES)
def test_page_shuts_nobody_out(opened: Open, axe: str, file: str, colours: str) -> None:
    page = opened(f"/_/{file}", color_scheme=colours, reduced_motion="reduce")
    page.evaluate(axe)
    found = page.evaluate(f"axe.run(document, {json.dumps(RUN)})")
    told = [(fault["id"], [node["html"][:200] for node in fault["nodes"]][:3]) for fault in found["violations"]]
    assert told == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [640, 1280, 1920])
@pytest.mark.parametrize("file", FILES)
def test_nothing_is_cut_off_at_either_width_or_at_200_percent(opened: Open, file: str, width: int) -> None:
    page = opened(f"/_/{file}", width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
@pytest.mark.parametrize("file", ["queue", "case", "model", "team"])
def test_page_in_forced_colours_shows_what_is_chosen_and_filled(opened: Open, file: str) -> None:
    page = opened(f"/_/{file}", forced_colors="active")
    assert page.locator("h1").count() == 1
    lines = page.evaluate(
        "[...document.querySelectorAll('.chip, .button')].filter((e) => e.checkVisibility())"
        ".map((e) => getComputedStyle(e).borderStyle)"
    )
    assert "none" not in lines
