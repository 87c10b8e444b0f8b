"""Pictures of pages: of every page to look at, or the six of docs/console.

Run: python -m tests.browser.pictures [--all FOLDER]
"""

import argparse
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tests.browser.served import PARTS, Served, serving
from tests.tree import ROOT

DOCUMENTED = (
    ("queue", "light"),
    ("queue", "dark"),
    ("case", "light"),
    ("case", "dark"),
    ("model", "light"),
    ("rules-faulty", "light"),
)
WIDTHS = {1280: 800, 1920: 1080, 640: 900}


def every_picture(served: Served) -> Iterator[tuple[str, str, int]]:
    """Yield every page in both themes, at both widths and at 200 %."""
    for file, shown in served.shown.items():
        if shown.name not in PARTS:
            yield from ((file, theme, width) for theme in ("light", "dark") for width in WIDTHS)


def take(browser: Browser, served: Served, file: str, theme: str, width: int) -> bytes:
    """Return a picture as PNG."""
    context = browser.new_context(viewport={"width": width, "height": WIDTHS[width]}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{served.address}/_/{file}")
    page.wait_for_timeout(100)
    taken = page.screenshot()
    context.close()
    return taken


def small(picture: bytes) -> bytes:
    """Return a picture in 128 colours: pages are flat, so nobody sees it and it is a third as large."""
    target = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
        target, "PNG", optimize=True
    )
    return target.getvalue()


def main() -> None:
    """Take pictures."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--all", type=Path, help="folder for pictures of every page")
    folder: Path | None = parser.parse_args().all
    target = folder or ROOT / "docs" / "console"
    target.mkdir(parents=True, exist_ok=True)
    with serving() as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        wanted = every_picture(served) if folder else ((file, theme, 1280) for file, theme in DOCUMENTED)
        for file, theme, width in wanted:
            name = f"{file}-{theme}-{width}.png" if folder else f"{file}-{theme}.png"
            (target / name).write_bytes(small(take(browser, served, file, theme, width)))
        browser.close()


if __name__ == "__main__":
    main()
