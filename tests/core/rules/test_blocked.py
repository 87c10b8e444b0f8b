"""Blocked cards stand in front of a rule book, and rules and their lists are one text."""

import numpy as np
import pytest

from fraud.core.actions import CaseAction, Remedy
from fraud.core.errors import RuleError, StateError
from fraud.core.records import BLOCKED, Action, Transaction, Values
from fraud.core.rules.blocked import BlockedCards, book_under
from fraud.core.rules.bundle import bundled, need_bundle, parted
from fraud.core.rules.ruleset import compile_rules
from fraud.core.rules.vocabulary import Vocabulary

WORDS = Vocabulary.of(["x"], ["a feature"], 2)
BOOK = compile_rules('list friends allow card { "C1", "C2" }', WORDS)
VALUES: Values = np.zeros(1, np.float32)


def order(card: str, action: Remedy = Remedy.BLOCK_CARD, name: str = "a1") -> CaseAction:
    return CaseAction(id=name, action=action, card=card, at=1_764_511_445_000_000_000, by="lea")


def paid(card: str) -> Transaction:
    return Transaction(id="t", card=card, merchant="m", amount=1, base_amount=1, happened_at=1, seen_at=1)


def blocked(rules: BlockedCards) -> list[str]:
    return [card for card in ("C1", "c1", "C2", "C3") if rules.judge(paid(card), VALUES).blocked]


def test_a_blocked_card_is_declined_by_name_whatever_the_rules_allow() -> None:
    rules = BlockedCards(BOOK)
    assert rules.judge(paid("C1"), VALUES).at_most is Action.APPROVE
    assert rules.take(order("C1"))
    outcome = rules.judge(paid("C1"), VALUES)
    (reason,) = outcome.reasons
    assert (outcome.blocked, outcome.at_least, outcome.at_most) == (True, Action.DECLINE, None)
    assert reason.code == BLOCKED
    assert reason.text == "card C1 was blocked by lea at 2025-11-30 14:04:05 UTC (action a1)"
    assert blocked(rules) == ["C1"]
    assert rules.version == BOOK.version


def test_unblocking_ends_it_and_other_orders_change_nothing() -> None:
    rules = BlockedCards(BOOK)
    rules.take(order("C1"))
    rules.take(order("C2"))
    for remedy in (Remedy.RELEASE, Remedy.DECLINE, Remedy.STEP_UP):
        rules.take(order("C1", remedy))
        rules.take(order("C3", remedy))
    assert blocked(rules) == ["C1", "C2"]
    rules.take(order("C1", Remedy.UNBLOCK_CARD))
    rules.take(order("C3", Remedy.UNBLOCK_CARD))
    assert blocked(rules) == ["C2"]


def test_beyond_the_most_a_block_is_refused_and_none_is_given_up() -> None:
    rules = BlockedCards(BOOK, most=2)
    assert [rules.take(order(card)) for card in ("C1", "C2", "C3")] == [True, True, False]
    assert blocked(rules) == ["C1", "C2"]
    assert rules.take(order("C2", name="a2"))
    assert "a2" in rules.judge(paid("C2"), VALUES).reasons[0].text
    rules.take(order("C1", Remedy.UNBLOCK_CARD))
    assert rules.take(order("C3"))
    assert blocked(rules) == ["C2", "C3"]


def test_the_set_goes_on_in_front_of_other_rules() -> None:
    rules = BlockedCards(BOOK)
    rules.take(order("C1"))
    other = rules.over(compile_rules('list friends allow card { "C1" }', WORDS))
    rules.take(order("C3"))
    assert blocked(other) == ["C1", "C3"]
    assert other.version != rules.version
    assert book_under(rules) is BOOK
    assert book_under(BOOK) is BOOK


def test_a_snapshot_restored_blocks_the_same_cards_and_rubbish_is_refused() -> None:
    rules, again = BlockedCards(BOOK), BlockedCards(BOOK)
    rules.take(order("C1"))
    again.take(order("C3"))
    wrapped = again.over(BOOK)
    again.restore(rules.snapshot())
    assert blocked(again) == blocked(wrapped) == ["C1"]
    assert again.judge(paid("C1"), VALUES) == rules.judge(paid("C1"), VALUES)
    with pytest.raises(StateError, match="no snapshot of blocked cards"):
        again.restore(b"\xc1")


def test_rules_and_lists_come_out_of_their_bundle_as_they_went_in_with_one_version() -> None:
    text, files = 'list a block card from "b.txt"\nlist c allow card from "a.txt"', {"b.txt": "C1\n\nC2", "a.txt": ""}
    bundle = need_bundle(text, files)
    assert parted(bundle) == (text, files)
    assert parted(bundled("", {})) == ("", {})
    kept, lists = parted(bundle)
    again = compile_rules(kept, WORDS, "other.fr", lists)
    assert again.version == compile_rules(text, WORDS, "site.fr", files).version


def test_a_nul_in_a_rule_file_is_refused_with_its_place() -> None:
    with pytest.raises(RuleError, match=r"a\.txt: a NUL character stands at place 2"):
        need_bundle("x", {"a.txt": "C1\0"})
