"""The promises of the Releases port, on every implementation."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fraud.core.errors import ReleaseError
from fraud.core.releases import How, Release, Releases
from fraud.core.rules.bundle import text_hash
from tests.contract.releases import RELEASES, ReleasesCase

FIRST = Release(id="r1-a", model="demo@1", rules="none", policy="p1", encoder="e", at=7, by="l", note="'a\n{b}' \u00e9")
SECOND = Release(id="r2-b", model="demo@2", rules="x", policy="p1", at=8, by="kim", how=How.ROLLBACK, number=2)

Open = Callable[[], Releases]


@pytest.fixture(params=RELEASES, ids=lambda case: case.name)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    case: ReleasesCase = request.param
    return case.at(tmp_path)


def test_nothing_is_in_force_at_first(opened: Open) -> None:
    with closing(opened()) as releases:
        assert releases.live() is None
        assert releases.moves() == []


def test_moves_are_kept_in_order_and_the_newest_is_in_force(opened: Open) -> None:
    with closing(opened()) as releases:
        releases.move(FIRST, None)
        releases.move(SECOND, FIRST)
    with closing(opened()) as again:
        assert again.live() == SECOND
        assert again.moves() == [FIRST, SECOND]


def test_a_move_from_what_is_no_longer_in_force_is_refused_and_changes_nothing(opened: Open) -> None:
    with closing(opened()) as releases, closing(opened()) as other:
        releases.move(FIRST, None)
        with pytest.raises(ReleaseError, match=r"meanwhile \(r1-a, by l\)"):
            other.move(SECOND, None)
        assert releases.live() == FIRST
        assert releases.moves() == [FIRST]
        other.move(SECOND, FIRST)
        with pytest.raises(ReleaseError, match="meanwhile"):
            releases.move(FIRST, FIRST)
        assert releases.moves() == [FIRST, SECOND]


@pytest.mark.parametrize("text", ["", "rule a : when amount > 1 then note\n", "l\u00e4nge\0b.txt\nC1\r\n"])
def test_a_text_is_kept_under_the_hash_of_its_content(opened: Open, text: str) -> None:
    with closing(opened()) as releases:
        assert releases.put(text) == releases.put(text) == text_hash(text)
    with closing(opened()) as again:
        assert again.text(text_hash(text)) == text


def test_a_text_that_is_not_kept_is_an_error_with_its_name_and_the_repair(opened: Open) -> None:
    with closing(opened()) as releases, pytest.raises(ReleaseError, match=r"0123456789ab.*again from its files"):
        releases.text("0123456789ab")


def test_closing_twice_is_once(opened: Open) -> None:
    releases = opened()
    releases.close()
    releases.close()
