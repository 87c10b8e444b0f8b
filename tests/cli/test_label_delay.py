"""A delay after which no label would find its payment is refused aloud."""

import pytest

from fraud.cli import options
from fraud.core.errors import SettingsError
from fraud.core.records import DAY
from fraud.core.settings import Settings


@pytest.mark.parametrize(("text", "expected"), [("none", None), ("7d", 7 * DAY), ("180d", 180 * DAY)])
def test_delay_within_what_is_kept_is_taken(text: str, expected: int | None) -> None:
    assert options.label_delay(text, Settings()) == expected


def test_delay_beyond_what_is_kept_is_refused_with_the_repair() -> None:
    with pytest.raises(SettingsError, match=r"--label-delay 181d.*180d.*labels.keep"):
        options.label_delay("181d", Settings())
