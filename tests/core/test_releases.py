"""Names of releases, what a rollback goes back to, and texts that are checked."""

import pytest

from fraud.core.errors import ReleaseError
from fraud.core.releases import How, Release, before, named, need_whole, of_id, release_in
from fraud.core.rules.bundle import text_hash


def draft(model: str = "demo@1", rules: str = "none", how: How = How.ACTIVATE) -> Release:
    return Release(id="", model=model, rules=rules, policy="p", how=how)


def moved(*drafts: Release) -> list[Release]:
    """Return the moves that drafts make, one after the other."""
    moves: list[Release] = []
    for each in drafts:
        moves.append(named(moves, each))
    return moves


def test_a_new_release_has_the_next_number_and_the_same_three_have_their_old_name() -> None:
    first, second, again, third = moved(draft(), draft("demo@2"), draft(), draft(rules="r"))
    assert first.id.startswith("r1-")
    assert second.id.startswith("r2-")
    assert (again.id, again.number) == (first.id, 3)
    assert third.id.startswith("r3-")
    assert len({first.id, second.id, third.id}) == 3


def test_a_name_depends_on_model_rules_and_policy_alone() -> None:
    (one,) = moved(draft())
    (other,) = moved(Release(id="", model="demo@1", rules="none", policy="p", by="kim", note="n", at=9, encoder="e"))
    assert one.id == other.id


def test_each_rollback_goes_one_further_back() -> None:
    moves = moved(draft("a"), draft("b"), draft("c"))
    assert [each.model for each in before(moves)] == ["a", "b"]
    moves.append(named(moves, draft("b", how=How.ROLLBACK)))
    assert [each.model for each in before(moves)] == ["a"]
    moves.append(named(moves, draft("a", how=How.ROLLBACK)))
    assert before(moves) == []
    moves.append(named(moves, draft("d")))
    assert [each.model for each in before(moves)] == ["a"]


def test_an_unknown_release_is_an_error_that_names_the_nearest() -> None:
    moves = moved(draft(), draft("demo@2"))
    assert of_id(moves, moves[0].id) == moves[0]
    with pytest.raises(ReleaseError, match=f"Did you mean '{moves[0].id}'"):
        of_id(moves, moves[0].id[:-1])
    with pytest.raises(ReleaseError, match="none was ever put in force"):
        of_id([], "r1")


def test_what_a_store_says_is_read_and_rubbish_is_an_error_with_the_repair() -> None:
    (move,) = moved(draft())
    assert release_in(move.bytes()) == move
    assert release_in(b"") is None
    with pytest.raises(ReleaseError, match="fraud release activate"):
        release_in(b"{}")


def test_a_damaged_text_is_refused() -> None:
    assert need_whole(b"text", text_hash("text")) == "text"
    with pytest.raises(ReleaseError, match="is damaged"):
        need_whole(b"texts", text_hash("text"))
