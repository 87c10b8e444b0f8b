"""What is said of each rule and list afterwards: whether it spoke, and the clause that kept it silent."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.core.records import Action, Kind, Transaction
from fraud.core.rules import ruleset
from fraud.core.rules.ruleset import RuleSet, compile_rules
from fraud.core.rules.tracing import Traced
from tests.core.rules.asking import MONDAY_NOON, NAMES, WORDS, payment, vector

ROOT = Path(__file__).parents[3]


def traced(condition: str, tx: Transaction | None = None, **features: float) -> Traced:
    """Return what came of a rule of one condition."""
    rules = compile_rules(f'rule r "it is {{amount}}" : when {condition} then review, floor 0.3', WORDS)
    (found,) = rules.trace(tx or payment(), vector(**features))
    return found


def clause(condition: str, tx: Transaction | None = None, **features: float) -> tuple[str, str]:
    """Return text and value of the clause that kept a rule silent."""
    found = traced(condition, tx, **features)
    assert not found.holds
    assert not found.spoke
    assert found.sentence == ""
    return found.clause, found.value


def test_rule_that_spoke_gives_its_sentence_and_what_it_asks_for() -> None:
    found = traced("amount > 100")
    assert found == Traced(name="r", holds=True, spoke=True, action=Action.REVIEW, floor=0.3, sentence="it is 123.45")


@pytest.mark.parametrize(
    ("condition", "features", "text", "value"),
    [
        ("amount > 500", {}, "amount > 500", "123.45"),
        ("500 < amount", {}, "500 < amount", "123.45"),
        ("card_count_10m >= 6", {"card_count_10m": 2}, "card_count_10m >= 6", "2"),
        ("count(card, 10m) >= 6", {"card_count_10m": 2}, "count(card, 10m) >= 6", "2"),
        ("card_since_last < 5m", {"card_since_last": 5_400}, "card_since_last < 5m", "1.5 hours"),
        ("amount > 500 and hour < 5", {}, "amount > 500", "123.45"),
        ("amount > 5 and hour < 5", {}, "hour < 5", "12"),
        ("amount > 5 and hour > 5 and mcc == 7995", {}, "mcc == 7995", "not known"),
        ("(amount > 5 and hour < 5) and mcc == 7995", {}, "hour < 5", "12"),
        ("hour < 5 or amount > 500", {}, "hour < 5 or amount > 500", "hour 12, amount 123.45"),
        ("amount > 5 and (hour < 5 or hour > 22)", {}, "hour < 5 or hour > 22", "12"),
        ("not amount > 100", {}, "not amount > 100", "123.45"),
        ("not (amount > 100 and hour > 5)", {}, "not (amount > 100 and hour > 5)", "amount 123.45, hour 12"),
        ("(amount + 1) * 2 > (500)", {}, "(amount + 1) * 2 > (500)", "123.45"),
        ('not (text == ")" or hour > 5)', {}, 'not (text == ")" or hour > 5)', "text not known, hour 12"),
        ("card_sum_1d > 2 * amount", {"card_sum_1d": 7}, "card_sum_1d > 2 * amount", "card_sum_1d 7, amount 123.45"),
        ('channel in { "pos", "atm" }', {}, 'channel in { "pos", "atm" }', "ecom"),
        ('merchant not in { "M1" }', {}, 'merchant not in { "M1" }', "M1"),
        ('text contains "bet"', {}, 'text contains "bet"', "not known"),
        ("missing(card)", {}, "missing(card)", "C1"),
        ("not missing(device)", {}, "not missing(device)", "not known"),
        ("card_amount_vs_median > 4", {}, "card_amount_vs_median > 4", "not known"),
        ("weekday == sunday", {}, "weekday == sunday", "0"),
        ("false", {}, "false", ""),
    ],
)  # fmt: skip
def test_first_clause_that_failed_is_told_as_it_was_written_with_what_it_read(
    condition: str, features: dict[str, float], text: str, value: str
) -> None:
    assert clause(condition, None, **features) == (text, value)


def test_clause_over_several_lines_with_a_comment_is_one_line() -> None:
    condition = "amount > 5 and\n  hour # of the day\n    < 5"
    assert clause(condition) == ("hour < 5", "12")


def test_rule_of_another_kind_of_message_says_so() -> None:
    rules = compile_rules("rule r for refund, reversal : when amount > 1 then note", WORDS)
    (found,) = rules.trace(payment(), vector())
    assert (found.holds, found.clause, found.value) == (False, "for refund, reversal", "payment")
    (found,) = rules.trace(payment(kind=Kind.REFUND), vector())
    assert found.spoke


LISTS = """
list stolen block card { "C1", "C2" until 2023-12-31 }
list lost block device { "D1" }
list friends allow merchant { "M1" }
list odd mcc { 7995 }
rule large : when amount > 100 then review
rule small : when amount < 100 then note
rule gambling : when mcc in odd then challenge
"""


def named(tx: Transaction) -> dict[str, Traced]:
    return {each.name: each for each in compile_rules(LISTS, WORDS).trace(tx, vector())}


def test_lists_come_first_in_the_order_in_which_they_are_asked() -> None:
    assert list(named(payment())) == ["stolen", "lost", "friends", "odd", "large", "small", "gambling"]
    assert [each.is_list for each in named(payment()).values()] == [True] * 4 + [False] * 3


def test_block_list_that_has_the_card_speaks_and_silences_all_others() -> None:
    found = named(payment(device="D1"))
    assert found["stolen"].spoke
    assert found["stolen"].action is Action.DECLINE
    assert found["stolen"].sentence == "card C1 is on the block list 'stolen'"
    assert {each.silenced_by for name, each in found.items() if name not in ("stolen", "odd")} == {"stolen"}
    assert [name for name, each in found.items() if each.holds] == ["stolen", "lost", "friends", "large"]
    assert [name for name, each in found.items() if each.spoke] == ["stolen"]


def test_list_without_the_value_tells_the_value() -> None:
    found = named(payment(card="C2", merchant="M2", mcc=5_732))
    assert (found["stolen"].clause, found["stolen"].value) == ("card in stolen", "C2")
    assert (found["lost"].clause, found["lost"].value) == ("device in lost", "not known")
    assert (found["odd"].clause, found["odd"].value, found["odd"].action) == ("mcc in odd", "5732", None)
    assert [name for name, each in found.items() if each.spoke] == ["large"]
    assert found["gambling"].clause == "mcc in odd"


def test_allow_list_silences_rules_and_a_list_for_conditions_never_speaks() -> None:
    found = named(payment(card="C9", mcc=7995))
    assert [name for name, each in found.items() if each.spoke] == ["friends"]
    assert found["friends"].action is Action.APPROVE
    assert (found["odd"].holds, found["odd"].sentence) == (True, "")
    assert (found["gambling"].holds, found["gambling"].silenced_by) == (True, "friends")
    assert found["gambling"].sentence


@given(
    amount=st.integers(0, 200_00),
    card=st.sampled_from(["C1", "C2", "C3"]),
    merchant=st.sampled_from(["M1", "M2"]),
    mcc=st.sampled_from([0, 7995, 5732]),
    kind=st.sampled_from(Kind),
    count=st.sampled_from([np.nan, 0.0, 3.0, 9.0]),
)
def test_those_that_spoke_are_those_that_were_judged_by(
    amount: int, card: str, merchant: str, mcc: int, kind: Kind, count: float
) -> None:
    rules = compile_rules(f"{LISTS}\nrule burst for payment, refund : when card_count_10m >= 3 then review", WORDS)
    tx = payment(base_amount=amount, card=card, merchant=merchant, mcc=mcc, kind=kind, seen_at=MONDAY_NOON)
    values = vector(card_count_10m=count)
    reasons = [(reason.code.partition(":")[2], reason.text) for reason in rules.judge(tx, values).reasons]
    found = rules.trace(tx, values)
    assert [(each.name, each.sentence) for each in found if each.spoke] == reasons
    assert all(bool(each.clause) is not each.holds for each in found)


def test_judging_traces_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    rules = compile_rules(LISTS, WORDS)
    monkeypatch.setattr(RuleSet, "trace", never)
    monkeypatch.setattr(ruleset, "failed", never)
    assert rules.judge(payment(card="C9", merchant="M2"), np.full(len(NAMES), np.nan, np.float32)).reasons


def calls_of(name: str, folder: Path) -> list[str]:
    """Return the files under a folder that call a method of a name."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
                found.append(str(path.relative_to(ROOT)))
    return found


def test_nothing_on_the_live_path_asks_for_a_trace() -> None:
    assert [calls_of("trace", ROOT / folder) for folder in ("fraud/core", "features", "models", "streaming")] == [
        []
    ] * 4
    assert "tests/core/rules/test_tracing.py" in calls_of("trace", ROOT / "tests/core/rules")
