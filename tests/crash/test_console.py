"""The console, killed with -9, and its database and its broker with it."""

import pytest

from tests.crash import console
from tests.crash.console_lines import FOLDER, KAFKA
from tests.databases import POSTGRESQL, SQLITE

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("kind", "feed", "kills"), [(SQLITE, FOLDER, 3), (POSTGRESQL, FOLDER, 3), (POSTGRESQL, KAFKA, 4)]
)
def test_console_that_is_killed_loses_nothing_and_takes_nothing_twice(kind: str, feed: str, kills: int) -> None:
    """The whole twenty are `make kills CONSOLE=1 N=20`."""
    found = console.run(kind, kills, feed)
    wrong = {name: found[name] for name in console.WRONG}
    assert wrong == {"lost": 0, "double": 0, "tables_differ": [], "verdicts_lost": 0, "effects_differ": 0}
    assert found["decisions"] == 2 * kills * console.A_TURN
