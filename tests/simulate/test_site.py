"""The systems of a site, played: what they hold, and what they do with orders."""

from typing import Any

import pytest

from fraud.core.actions import CaseAction, Remedy
from fraud.core.records import Action
from fraud.simulate.site import Site
from tests.review.taken import STREAM, decision


def order(action: Remedy, number: int = 1, **fields: Any) -> CaseAction:
    plain = {"id": f"{action}{number}", "card": "4000", "at": 7, "by": "anna", "tx_id": f"tx{number}"}
    return CaseAction(action=action, **{**plain, **fields})


@pytest.fixture
def site() -> Site:
    """A site that has had payments 0 to 3, one of each action."""
    made = Site()
    for number, action in enumerate(Action):
        made.decided(decision(number, action))
    return made


@pytest.mark.parametrize("number", [1, 2, 3])
def test_release_lets_a_payment_through_at_the_stream_s_time_whatever_was_done_with_it(site: Site, number: int) -> None:
    done = site.obey(order(Remedy.RELEASE, number))
    assert done is not None
    assert (done.decision.tx_id, done.at, done.went_through, done.what) == (
        f"tx{number}", STREAM + 3 * 1_000_000_000, True, "released",
    )  # fmt: skip
    assert site.counts == {Remedy.RELEASE: 1, Remedy.DECLINE: 0}


def test_order_that_comes_twice_is_carried_out_once(site: Site) -> None:
    assert site.obey(order(Remedy.RELEASE)) is not None
    assert site.obey(order(Remedy.RELEASE)) is None
    assert site.counts[Remedy.RELEASE] == 1


def test_newest_order_counts_and_one_to_decline_reverses_what_went_through(site: Site) -> None:
    words = []
    for action in (Remedy.DECLINE, Remedy.RELEASE, Remedy.DECLINE):
        done = site.obey(order(action))
        assert done is not None
        words.append((done.what, done.went_through))
    assert words == [("refused", False), ("released", True), ("reversed", False)]


@pytest.mark.parametrize(
    "other",
    [
        order(Remedy.RELEASE, 0),
        order(Remedy.RELEASE, 9),
        order(Remedy.BLOCK_CARD, tx_id=""),
        order(Remedy.STEP_UP),
    ],
    ids=["approved", "unknown", "card", "proof"],
)
def test_what_is_not_this_site_s_to_do_changes_nothing(site: Site, other: CaseAction) -> None:
    assert site.obey(other) is None
    assert sum(site.counts.values()) == 0
