"""The rules language: what rules say, and what is said of faulty ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.spec import spec
from fraud.core.policy import ThresholdPolicy, decide
from fraud.core.ports import RuleOutcome
from fraud.core.records import DAY, HOUR, Action, Kind, Score, Transaction, Values
from fraud.core.rules.faults import Fault, RulesError
from fraud.core.rules.ruleset import RuleSet, compile_rules, list_files
from fraud.core.rules.tokens import KEYWORDS
from fraud.core.rules.vocabulary import Vocabulary
from streaming.rulebook import DEFAULT

NAMES = spec().names
WORDS = Vocabulary.of(NAMES)
MONDAY_NOON = 1_704_110_400_000_000_000  # 2024-01-01 12:00 UTC


def payment(**fields: object) -> Transaction:
    plain: dict[str, object] = {
        "id": "t1", "card": "C1", "merchant": "M1", "amount": 12_345, "base_amount": 12_345,
        "happened_at": MONDAY_NOON, "seen_at": MONDAY_NOON, "channel": "ecom",
    }  # fmt: skip
    return Transaction(**{**plain, **fields})  # type: ignore[arg-type]


def vector(**features: float) -> Values:
    values = np.full(len(NAMES), np.nan, np.float32)
    for name, value in features.items():
        values[NAMES.index(name)] = value
    return values


def said(text: str, tx: Transaction | None = None, **features: float) -> RuleOutcome:
    return compile_rules(text, WORDS).judge(tx or payment(), vector(**features))


def holds(condition: str, tx: Transaction | None = None, **features: float) -> bool:
    return bool(said(f"rule r : when {condition} then note", tx, **features).reasons)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("amount > 123.44", True),
        ("amount == 123.45", True),
        ("amount + 1 >= 124.45 and not amount * 2 < 246.9", True),
        ("amount / 0 > 1 or amount / 0 <= 1", False),
        ("-amount < -100 - 20", True),
        ("hour == 12 and weekday == monday", True),
        ("weekday in { saturday_is_no_name }", None),
        ("count(card, 10m) >= 3", True),
        ("card_count_10m == 3 and count(card, 10m) != 4", True),
        ("distinct(card, merchants, 1d) > 2", False),
        ("since_nothing(card) > 1", None),
        ("card_since_last < 2h and card_since_last >= 90m", True),
        ("card_since_last / 2 == 45m", True),
        ("card_since_first > 0s", False),
        ("missing(card_since_first) and not missing(card_since_last)", True),
        ("missing(device)", True),
        ('device != "D1"', False),
        ('merchant == "M1" and card != "C2"', True),
        ('channel in { "ecom", "moto" } and channel not in { "pos" }', True),
        ('text contains "CASINO"', True),
        ("card_fraud_share_1d == 0.1", True),
        ("amount > 100 or nothing_known > 1", None),
    ],
)
def test_condition_over_a_payment_is_as_expected(condition: str, *, expected: bool | None) -> None:
    features = {"card_count_10m": 3.0, "card_since_last": 5_400.0, "card_fraud_share_1d": 0.1}
    if expected is None:
        with pytest.raises(RulesError):
            holds(condition)
    else:
        assert holds(condition, payment(text="Big Casino"), **features) is expected


def test_outcome_joins_reasons_the_highest_floor_and_the_hardest_action() -> None:
    text = """
    rule a "{count(card, 10m)} payments" : when count(card, 10m) > 1 then floor 0.2, challenge
    rule b "amount {amount}" : when amount > 100 then floor 0.6
    rule c : when amount > 1 then review
    rule d : when amount > 1000 then decline
    """
    outcome = said(text, card_count_10m=7)
    assert [reason.code for reason in outcome.reasons] == ["rule:a", "rule:b", "rule:c"]
    assert [reason.text for reason in outcome.reasons] == ["7 payments", "amount 123.45", "c, amount 123.45"]
    assert (outcome.floor, outcome.at_least, outcome.at_most) == (0.6, Action.REVIEW, None)


def test_outcome_without_a_match_is_empty() -> None:
    assert said("rule a : when amount > 1000 then decline") == RuleOutcome()


def test_rule_is_asked_about_payments_unless_it_names_other_kinds() -> None:
    refund = payment(kind=Kind.REFUND)
    assert not holds("amount > 1", refund)
    assert said("rule r for refund, reversal : when amount > 1 then review", refund).at_least is Action.REVIEW


def test_block_list_declines_and_allow_list_silences_rules() -> None:
    rule = "rule r : when amount > 1 then decline"
    blocked = said(f'list bad block merchant {{ "M1" }} list good allow card {{ "C1" }} {rule}')
    assert blocked.at_least is Action.DECLINE
    assert blocked.reasons[0].text == "merchant M1 is on the block list 'bad'"
    allowed = said(f'list good allow card {{ "C1" }} {rule}')
    assert (allowed.at_least, allowed.at_most) == (None, Action.APPROVE)


@pytest.mark.parametrize(
    ("until", "expected"),
    [("2024-01-01", True), ("2023-12-31", False), ("2024-01-01T12:00Z", False), ("2024-01-01T12:01", True)],
)
def test_entry_of_a_list_counts_until_its_end_when_the_payment_was_seen(until: str, *, expected: bool) -> None:
    outcome = said(f'list bad block card {{ "C1" until {until} }}')
    assert (outcome.at_least is Action.DECLINE) is expected


def test_list_file_gives_values_with_their_ends() -> None:
    text = 'list bad block card from "bad.txt"'
    files = {"bad.txt": "# cards\nC7\n\nC1 until 2023-01-01  # gone\nC 9 until 2030-01-01\n"}
    assert list_files(text) == ["bad.txt"]
    rules = compile_rules(text, WORDS, files=files)
    actions = [rules.judge(payment(card=card), vector()).at_least for card in ("C7", "C1", "C 9", "C")]
    assert actions == [Action.DECLINE, None, Action.DECLINE, None]


def test_named_list_is_used_in_conditions() -> None:
    text = 'list shops merchant { "M1", "M2" } rule r : when merchant in shops and amount > 1 then review'
    assert said(text).at_least is Action.REVIEW
    assert said(text, payment(merchant="M3")).at_least is None


def test_outcome_decides_with_the_policy() -> None:
    policy, score = ThresholdPolicy(0.2, 0.5, 0.9), Score("t1", 0.1, "m")
    floor = said("rule r : when amount > 1 then floor 0.6")
    assert decide(payment(), score, floor, policy) == (Action.REVIEW, 0.6)
    allow = said('list good allow card { "C1" }')
    assert decide(payment(), Score("t1", 0.95, "m"), allow, policy)[0] is Action.APPROVE


FAULTY = [
    ("rule r : when amout > 1 then note", 1, 15, 5, "Did you mean 'amount'?"),
    ("rule r : when count(card, 11m) > 1 then note", 1, 27, 3, "known are 10m, 1h, 1d, 7d, 30d"),
    ("rule r : when count(cart, 10m) > 1 then note", 1, 21, 4, "expected one of"),
    ('rule r : when amount > "1" then note', 1, 15, 12, "cannot compare a number with a text"),
    ("rule r : when merchant > 1 then note", 1, 15, 12, 'write "1"'),
    ("rule r : when card_since_last > 60 then note", 1, 15, 20, "write 60s"),
    ("rule r : when amount then note", 1, 15, 6, "compare it: amount > ..."),
    ("rule r : when amount = 1 then note", 1, 22, 1, "Did you mean '=='?"),
    ("rule r : when amount > 1", 1, 25, 1, "'then'"),
    ("rule r : when 1 < amount < 2 then note", 1, 26, 1, "do not chain"),
    ("rule r : when amount > 1 then floor 2", 1, 37, 1, "at most 1"),
    ("rule r : when amount > 1 then review, decline", 1, 39, 7, "one action"),
    ("rule r : when amount > 1 then approve", 1, 31, 7, "challenge, review, decline"),
    ("rule r for refunds : when amount > 1 then note", 1, 12, 7, "Did you mean 'refund'?"),
    ('rule r "{amout}" : when amount > 1 then note', 1, 10, 5, "Did you mean 'amount'?"),
    ('rule r "{amount" : when amount > 1 then note', 1, 9, 7, "is not closed"),
    ("rule r : when amount > 1 then note\nrule r : when amount > 2 then note", 2, 6, 1, "names are used once"),
    ("rule amount : when amount > 1 then note", 1, 6, 6, "choose another name"),
    ("list l allow merchant { 7 }", 1, 25, 1, "expected a text"),
    ("list l allow shop { }", 1, 14, 4, "a field of the transaction"),
    ('list l block card { "C" until tomorrow }', 1, 31, 8, "expected a date"),
    ('list l block card { "C" until 2024-02-31 }', 1, 31, 10, "is no date"),
    ('list l block card from "none.txt"', 1, 24, 10, "cannot be read"),
    ("rule r : when merchant in stores then note", 1, 27, 6, "unknown list"),
    ('list l card { "C" } rule r : when merchant in l then note', 1, 35, 8, "is a list of card"),
    ("rule r : when missing(amount, hour) then note", 1, 15, 21, "takes one value"),
    ("rule r : when amount > 1.2.3 then note", 1, 24, 5, "is no number"),
    ('rule r : when text == "open then note', 1, 23, 15, "without its closing"),
    ("allow everything", 1, 1, 5, "'rule' or 'list'"),
]


@pytest.mark.parametrize(("text", "line", "column", "width", "words"), FAULTY)
def test_fault_names_place_and_repair(text: str, line: int, column: int, width: int, words: str) -> None:
    with pytest.raises(RulesError) as caught:
        compile_rules(text, WORDS, "site.fr")
    fault = caught.value.faults[0]
    assert (fault.line, fault.column, fault.width) == (line, column, width), str(fault)
    assert words in fault.message
    shown = str(caught.value).splitlines()
    assert shown[0].startswith(f"site.fr:{line}:{column}: ")
    assert shown[2] == "    " + " " * (column - 1) + "^" * width


def test_all_faults_of_a_file_come_together_in_order() -> None:
    text = "\n".join(faulty for faulty, line, *_ in FAULTY[:6] if line == 1)
    with pytest.raises(RulesError) as caught:
        compile_rules(text.replace("rule r", "rule x", 1), WORDS)
    assert [fault.line for fault in caught.value.faults][:1] == [1]
    assert len(caught.value.faults) >= 6


def test_faults_of_a_list_file_name_that_file() -> None:
    with pytest.raises(RulesError, match=r"bad\.txt:2:1: no entry of a list"):
        compile_rules('list l block card from "bad.txt"', WORDS, files={"bad.txt": "C1\nC2 until never\n"})


WORD = st.sampled_from([*sorted(KEYWORDS), "amount", "card", "(", ")", "{", "}", ",", ":", "<", "==", "+", "1", "10m"])
TEXT = st.one_of(st.text(max_size=60), st.lists(st.one_of(WORD, st.text(max_size=6)), max_size=25).map(" ".join))


def faults(text: str) -> tuple[Fault, ...]:
    """Return the faults of a text, none when it compiles; anything else that is raised is a defect."""
    try:
        compile_rules(text, WORDS)
    except RulesError as error:
        return error.faults
    return ()


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(TEXT)
def test_any_text_compiles_or_has_faults_with_places(text: str) -> None:
    assert all(fault.line >= 1 and fault.column >= 1 for fault in faults(text))


def shipped() -> RuleSet:
    return compile_rules(DEFAULT.read_text(), WORDS)


def test_shipped_rules_are_silent_on_an_ordinary_payment() -> None:
    usual = {
        "card_count_10m": 1,
        "card_amount_vs_median": 1.1,
        "card_since_first": 40 * DAY / 1e9,
        "card_last_verdict": 0,
    }
    assert shipped().judge(payment(), vector(**usual)) == RuleOutcome()


@pytest.mark.parametrize(
    ("name", "features", "fields"),
    [
        ("burst", {"card_count_10m": 5}, {}),
        ("many_shops", {"card_merchants_1h": 5.4}, {}),
        ("card_testing", {"merchant_cards_10m": 6.6}, {"base_amount": 199}),
        ("far_above_median", {"card_amount_vs_median": 9, "card_count_30d": 20}, {"base_amount": 50_000}),
        ("first_at_night", {"card_amount_vs_median": 4}, {"happened_at": MONDAY_NOON - 9 * HOUR}),
        (
            "new_card_at_night",
            {"card_since_first": 3_600},
            {"happened_at": MONDAY_NOON - 9 * HOUR, "base_amount": 20_000},
        ),
        ("fraud_here_before", {"pair_since_fraud": 86_400}, {}),
        ("fraud_on_card", {"card_amount_vs_median": 3, "card_since_fraud": 86_400}, {}),
        ("fraud_run", {"merchant_ordinary_fraud_run": 3, "merchant_run_since_newest": HOUR / 1e9}, {}),
        (
            "frauds_at_merchant",
            {"merchant_frauds_30d": 3, "merchant_fraud_share_30d": 0.2, "merchant_labels_30d": 15},
            {},
        ),
        ("fraud_on_device", {"device_frauds_30d": 2}, {}),
        ("cards_on_device", {"device_cards_1d": 4}, {}),
        ("refund_without_purchase", {"card_since_first": 61 * 86_400}, {"kind": Kind.REFUND}),
    ],
)
def test_shipped_rule_speaks_of_what_it_is_for(
    name: str, features: dict[str, float], fields: dict[str, object]
) -> None:
    outcome = shipped().judge(payment(**fields), vector(**features))
    assert [reason.code for reason in outcome.reasons] == [f"rule:{name}"]
    assert "not known" not in outcome.reasons[0].text


def test_version_follows_text_and_list_files() -> None:
    text = 'list l block card from "l.txt"'
    one, two = (compile_rules(text, WORDS, files={"l.txt": body}).version for body in ("C1", "C2"))
    assert one != two
    assert one == compile_rules(text, WORDS, files={"l.txt": "C1"}).version
