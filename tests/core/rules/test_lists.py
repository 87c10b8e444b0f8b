"""Lists of values with an end: in place, and in files of their own."""

import pytest

from fraud.core.ports import RuleOutcome
from fraud.core.records import Action
from fraud.core.rules.faults import RulesError
from fraud.core.rules.ruleset import compile_rules, list_files
from tests.core.rules.asking import MONDAY_NOON, WORDS, payment, said, vector


@pytest.mark.parametrize(
    ("until", "expected"),
    [("2024-01-01", True), ("2023-12-31", False), ("2024-01-01T12:00Z", False), ("2024-01-01T12:01", True)],
)
def test_entry_of_a_list_counts_until_its_end_when_the_payment_was_seen(until: str, *, expected: bool) -> None:
    outcome = said(f'list bad block card {{ "C1" until {until} }}')
    assert (outcome.at_least is Action.DECLINE) is expected


def test_block_list_says_that_it_has_decided_and_a_rule_that_declines_does_not() -> None:
    block = 'list bad block card { "C1" }\n'
    assert said(block).blocked
    assert not said(block, payment(card="C2")).blocked
    assert not said("rule r : when amount > 1 then decline").blocked
    assert not said('list good allow card { "C1" }').blocked


def test_list_file_gives_values_with_their_ends() -> None:
    text = 'list bad block card from "bad.txt"'
    files = {"bad.txt": "# cards\nC7\n\nC1 until 2023-01-01  # gone\nC 9 until 2030-01-01\n"}
    assert list_files(text) == ["bad.txt"]
    rules = compile_rules(text, WORDS, files=files)
    actions = [rules.judge(payment(card=card), vector()).at_least for card in ("C7", "C1", "C 9", "C")]
    assert actions == [Action.DECLINE, None, Action.DECLINE, None]


def test_entry_ends_by_when_the_payment_was_seen_not_by_when_it_happened() -> None:
    text = 'list bad block card { "C1" until 2024-01-01T13:00 }'
    assert said(text, payment(happened_at=MONDAY_NOON - 3_600 * 10**9)).at_least is Action.DECLINE
    assert said(text, payment(seen_at=MONDAY_NOON + 3_600 * 10**9)).at_least is None


FROM_FILE = 'list bad block card from "bad.txt"'


def listed(body: str, card: str, field: str = "card") -> bool:
    rules = compile_rules(FROM_FILE.replace("card", field), WORDS, files={"bad.txt": body})
    return rules.judge(payment(card=card, base_amount=1_250), vector()) != RuleOutcome()


@pytest.mark.parametrize(
    ("body", "card"),
    [
        ("C#7", "C#7"),
        ("C7 # seen in May", "C7"),
        ("C7\t until\t2030-01-01 \r\n", "C7"),
        ('"C7 # not a comment"', '"C7'),
        ('"C 7"\n', "C 7"),
        ("C7\nC7\n", "C7"),
        ("C\u20287", "C\u20287"),
        ("until", "until"),
        ('"C7;8"', "C7;8"),
    ],
)
def test_line_of_a_list_file_holds_a_value(body: str, card: str) -> None:
    assert listed(body, card)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("C1 until never", "never"),
        ("C1 until 2030-01-01 18:00", "18:00"),
        ("C1 until 2030-01-01T10:00+02:00", "in UTC"),
        ("C1 until 2030-01-01 until 2031-01-01", "until"),
        ("C1 until 9999-01-01", "a year from 1970"),
        ("C0 until 2031-01-01", "'C0' stands above with another end"),
        ("C7;stolen", "'C7;stolen' holds a ';', as a table with columns has it: expected one card a line, quoted"),
        ("C7,2030", "holds a ','"),
        ("C7\tx", "holds a tab"),
    ],
)
def test_fault_of_a_list_file_names_file_and_line(line: str, words: str) -> None:
    with pytest.raises(RulesError, match=r"bad\.txt:3:3: no entry of a list") as caught:
        compile_rules(FROM_FILE, WORDS, files={"bad.txt": f"# cards\nC0 until 2030-01-01\n  {line}\nC9"})
    assert len(caught.value.faults) == 1
    assert words in str(caught.value)


@pytest.mark.parametrize("line", ["nan", "inf", "C7"])
def test_list_of_numbers_takes_numbers_only(line: str) -> None:
    assert listed("12.5\n", "C7", "amount")
    with pytest.raises(RulesError, match="no entry of a list"):
        listed(line, "C7", "amount")


def test_list_in_a_condition_ends_too() -> None:
    text = 'list shops merchant { "M1" until 2024-01-01T12:00:01 } rule r : when merchant in shops then review'
    assert said(text).at_least is Action.REVIEW
    assert said(text, payment(seen_at=MONDAY_NOON + 10**9)).at_least is None
    outside = text.replace("merchant in", "merchant not in")
    assert said(outside).at_least is None
    assert said(outside, payment(seen_at=MONDAY_NOON + 10**9)).at_least is Action.REVIEW
    assert said(outside, payment(merchant="", seen_at=MONDAY_NOON + 10**9)).at_least is None


def test_description_counts_entries_and_ends() -> None:
    lines = compile_rules('list l allow card { "C1", "C2" until 2030-01-01 } list m merchant { }', WORDS).describe()
    assert list(lines) == [
        "l: allow list of card, 2 entries, 1 of them with an end",
        "m: list of merchant, 0 entries, 0 of them with an end",
    ]
