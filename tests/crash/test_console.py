"""The console's projector and publisher, killed with -9, and their database with them."""

import pytest

from tests.crash import console

KILLS = 3
"""The whole twenty are `python -m tests.crash.console`."""


def test_console_that_is_killed_loses_nothing_and_takes_nothing_twice(database_kind: str) -> None:
    found = console.run(database_kind, KILLS)
    assert {name: found[name] for name in ("lost", "double", "tables_differ", "verdicts_lost")} == {
        "lost": 0, "double": 0, "tables_differ": 0, "verdicts_lost": 0,
    }  # fmt: skip
    assert found["decisions"] == 2 * KILLS * console.A_TURN


pytestmark = pytest.mark.slow
