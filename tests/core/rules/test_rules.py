"""The rules language: what rules say, and what is said of faulty ones."""

import numpy as np
import pytest

from fraud.core.policy import ThresholdPolicy, decide
from fraud.core.ports import RuleOutcome
from fraud.core.records import DAY, HOUR, Action, Kind, Score
from fraud.core.rules.faults import RulesError, cells
from fraud.core.rules.ruleset import RuleSet, compile_rules
from streaming.rule_file import DEFAULT
from tests.core.rules.asking import MONDAY_NOON, WORDS, holds, payment, said, vector


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
    ('rule r "{}" : when amount > 1 then note', 1, 10, 1, "found '}'"),
    ('rule r "{amount 2}" : when amount > 1 then note', 1, 17, 1, "expected an operator, found '2'"),
    ("rule r : when count(card) > 1 then note", 1, 15, 11, "needs a window: count(card, 30d)"),
    ("rule r : when cuont(card, 1d) > 1 then note", 1, 15, 5, "Did you mean 'count'?"),
    ("rule r : when count(card, merchants, 10m) > 1 then note", 1, 15, 27, "expected as in count(card, 10m)"),
    ("rule r : when count(10m, card) > 1 then note", 1, 21, 3, "a window stands last"),
    ("rule r : when distinct(card, count, 10m) > 1 then note", 1, 30, 5, "expected cards, merchants"),
    ("rule r : when distinct(card, merchants) > 1 then note", 1, 15, 25, "distinct(card, merchants, 30d)"),
    ("rule r : when distinct(card, cards, 1d) > 1 then note", 1, 30, 5, "known are merchants"),
    ("rule r : when amount > " + "9" * 400 + " then note", 1, 24, 400, "larger than any number"),
    ("rule r : when card_since_last > " + "9" * 400 + "d then note", 1, 33, 401, "longer than any duration"),
    ("rule r : when " + "(" * 99 + "amount > 1", 1, 56, 1, "nested more than 40 deep"),
    ("rule r : when amount > 1" + " + 1" * 99 + " then note", 1, 15, 406, "a longer row of + - * /"),
    ("list l allow amount { 10m }", 1, 23, 3, "expected a number"),
    ('list l allow card { "C", "C" until 2030-01-01 }', 1, 26, 3, "stands above with another end"),
    ('rule r : when text == "日本" and amout > 1 then note', 1, 32, 5, "Did you mean 'amount'?"),
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
    before = cells(text.splitlines()[line - 1][: column - 1])
    assert shown[2] == "    " + " " * before + "^" * width


def faults_of(text: str, **files: str) -> list[tuple[str, int, int]]:
    with pytest.raises(RulesError) as caught:
        compile_rules(text, WORDS, "site.fr", {name.replace("_", "."): body for name, body in files.items()})
    return [(fault.name, fault.line, fault.column) for fault in caught.value.faults]


def test_all_faults_of_a_file_come_together_in_order() -> None:
    text = """list a block card from "a.txt"
rule r "{amout} and {huor}" for refunds :
    when amout > 1 and huor > 2 or amout > huor
    then floor 2
rule s : when amount then nothing
list b block crad { "C1" }
rule r : when amount > 1 then note"""
    places = [(2, 10), (2, 22), (2, 33), (3, 10), (3, 24), (3, 36), (3, 44), (4, 16), (5, 27), (6, 14), (7, 6)]
    found = faults_of(text, a_txt="C1\nC2 until never")
    assert found == [*(("site.fr", *place) for place in places), ("a.txt", 2, 1)]


@pytest.mark.parametrize("faulty", ['{ "C1" until tomorrow }', "{ 7 }", 'from "none.txt"'])
def test_faulty_list_is_not_said_to_be_unknown_where_it_is_used(faulty: str) -> None:
    assert len(faults_of(f"list l card {faulty}\nrule r : when card in l and merchant in l then note")) == 1


def test_many_faults_are_all_kept_and_the_first_shown() -> None:
    with pytest.raises(RulesError, match="120 faults, the first 50 are shown") as caught:
        compile_rules("\n".join(f"rule r{n} : when huor > 1 then note" for n in range(120)), WORDS)
    assert len(caught.value.faults) == 120
    assert str(caught.value).count("Did you mean 'hour'?") == 50


def test_source_line_of_a_fault_cannot_command_a_terminal() -> None:
    with pytest.raises(RulesError) as caught:
        compile_rules("rule r\t: when \x1b[2J\x07 amount > 1 then note\r\n", WORDS)
    assert "    rule r : when  [2J  amount > 1 then note\n" in str(caught.value)


def test_description_leaves_comments_out() -> None:
    text = 'rule r : when amount > 1 # why "so"\n and text contains "#1" then challenge, floor 0.2'
    (line,) = compile_rules(text, WORDS).describe()
    assert line == 'r: when amount > 1 and text contains "#1" then challenge, floor 0.2'


@pytest.mark.parametrize(
    ("inside", "shown"),
    [
        ("distinct(card, merchants, 1h)", "6"),
        ("distinct(device, cards, 1h)", "not known"),
        ("card_amount_vs_median", "12.35"),
        ("card_fraud_share_1d", "0.012"),
        ("card_since_last", "1.5 hours"),
        ("card_since_last / 1h", "1.50"),
        ("card_since_first", "12 days"),
        ("amount", "123.45"),
        ("amount > 100 and amount < 200", "true"),
        ("merchant", "M1"),
        ("device", "not known"),
        ("1 / 0", "not known"),
        ("-2 * 3", "-6"),
    ],
)
def test_sentence_shows_a_value_as_an_analyst_reads_it(inside: str, shown: str) -> None:
    features = {
        "card_merchants_1h": 5.6, "card_amount_vs_median": 12.345, "card_fraud_share_1d": 0.0123,
        "card_since_last": 5_400.0, "card_since_first": 12.4 * 86_400,
    }  # fmt: skip
    outcome = said(f'rule r "<{{{inside}}}>" : when amount > 1 then note', None, **features)
    assert outcome.reasons[0].text == f"<{shown}>"


def test_version_of_a_text_that_no_file_holds_is_a_version() -> None:
    assert compile_rules('rule r "\ud800" : when amount > 1 then note', WORDS).version


def test_judging_reads_no_features_for_rules_that_name_none() -> None:
    rules = compile_rules("rule r : when amount > 1 then note", WORDS)
    assert rules.judge(payment(), np.empty(0, np.float32)).reasons


def shipped() -> RuleSet:
    return compile_rules(DEFAULT.read_text(), WORDS)


def test_every_shipped_rule_has_a_payment_it_is_for() -> None:
    (mark,) = test_shipped_rule_speaks_of_what_it_is_for.pytestmark  # type: ignore[attr-defined]
    assert [rule.name for rule in shipped().rules] == [name for name, *_ in mark.args[1]]


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
