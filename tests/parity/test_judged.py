"""What `make parity` ends with: a run that shows nothing says so, and why."""

import pytest

from tests.parity.live import Compared, judged

SHORT = {"level full": 9, "level rules": 1}
"""A worker that was short of time for some."""


@pytest.mark.parametrize(
    ("differ", "of", "said"),
    [
        ([], SHORT, 0),
        (["t1"], SHORT, 1),
        ([], {"level full": 10}, "never short of time"),
        ([], SHORT | {"store-down": 3}, "3 payments were decided while the store was taken for gone"),
        (["t1"], SHORT | {"store-down": 3}, "shows nothing"),
    ],
)
def test_run_is_judged_by_what_differs_unless_it_shows_nothing(
    differ: list[str], of: dict[str, int], said: int | str
) -> None:
    found = judged(Compared(10, differ, 2, of, 0, 0), refreshes=False)
    assert found == said if isinstance(said, int) else said in str(found)


@pytest.mark.parametrize(("vectors", "turned"), [(1, 0), (0, 1)])
def test_run_whose_vectors_or_verdicts_are_others_fails_though_every_decision_is_the_same(
    vectors: int, turned: int
) -> None:
    assert judged(Compared(10, [], 2, SHORT, 0, 0, vectors, turned), refreshes=False) == 1
