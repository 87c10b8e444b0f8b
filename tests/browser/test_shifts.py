"""Pages that are looked at stay where they are, whatever comes in meanwhile."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.real import running
from tests.browser.shifts import shifts

MOST = 0.02
ALERTS = 12


@pytest.mark.slow
def test_pages_move_no_further_than_a_fiftieth_while_alerts_come(tmp_path: Path, browser: Browser) -> None:
    with running(tmp_path, browser) as found:
        moved = shifts(found, lambda number: number < ALERTS)
    assert set(moved) == {"queue", "case", "team", "model"}
    assert max(moved.values()) <= MOST, moved
