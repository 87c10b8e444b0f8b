"""Whatever stands in a rule file, it compiles or has faults; what compiles can be asked about any payment."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.core.records import Kind, Transaction
from fraud.core.rules.faults import Fault, RulesError
from fraud.core.rules.ruleset import compile_rules, list_files
from fraud.core.rules.tokens import KEYWORDS
from tests.core.rules.asking import NAMES, WORDS, payment

WORD = st.sampled_from([*sorted(KEYWORDS), "amount", "card", "(", ")", "{", "}", ",", ":", "<", "==", "+", "1", "10m"])
LETTERS = st.characters()  # surrogates too, which no file holds but a caller may
LONG = st.tuples(st.sampled_from(["(", "not ", "-", "missing(", "1 + ", "{", "amount > 1 and "]), st.integers(1, 2_000))
TEXT = st.one_of(
    st.text(LETTERS, max_size=60),
    st.lists(st.one_of(WORD, st.text(max_size=6)), max_size=25).map(" ".join),
    LONG.map(lambda drawn: "rule r : when " + drawn[0] * drawn[1] + "amount > 1 then note"),
)

NUMBERS = st.one_of(
    st.sampled_from(["amount", "hour", "mcc", "card_count_10m", "count(card, 1d)", "card_amount_vs_median", "sunday"]),
    st.floats(0, 1e300).map(lambda value: f"{value:f}"),
)
SUMS = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda drawn: "({} {} {})".format(*drawn)),
        inner.map("-{}".format),
    ),
    max_leaves=6,
)
SPANS = st.sampled_from(["card_since_last", "since_last(pair)", "90s", "1.5d", "card_since_last / 2", "2 * 5m"])
TEXTS = st.sampled_from(["card", "device", "text", "currency", '"x"', '""'])
ORDER = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
SAME = st.sampled_from(["==", "!=", "contains"])
CONDITION = st.recursive(
    st.one_of(
        st.tuples(SUMS, ORDER, SUMS).map(" ".join),
        st.tuples(SPANS, ORDER, SPANS).map(" ".join),
        st.tuples(TEXTS, SAME, TEXTS).map(" ".join),
        st.one_of(SUMS, SPANS, TEXTS).map("missing({})".format),
        SUMS.map("{} in {{ 1, 2.5 }}".format),
        TEXTS.map('{} not in {{ "a" }}'.format),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda drawn: "({} {} {})".format(*drawn)),
        inner.map("not ({})".format),
    ),
    max_leaves=5,
)
VALUES = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 0.1, 3.4e38, 1e-40])
PAYMENTS = st.builds(
    payment,
    kind=st.sampled_from(list(Kind)),
    base_amount=st.integers(0, 2**63 - 1),
    happened_at=st.integers(0, 2**63 - 1),
    seen_at=st.integers(0, 2**63 - 1),
    mcc=st.sampled_from([0, 7995]),
    device=st.text(max_size=3),
    text=st.text(max_size=5),
)


def faults(text: str, **files: str) -> tuple[Fault, ...]:
    """Return the faults of a text, none when it compiles; anything else that is raised is a defect."""
    try:
        compile_rules(text, WORDS, files=files)
    except RulesError as error:
        return error.faults
    return ()


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(TEXT)
def test_any_text_compiles_or_has_faults_with_places(text: str) -> None:
    found = faults(text)
    lines = text.count("\n") + 1
    assert all(1 <= fault.line <= lines and fault.column >= 1 and fault.width >= 1 for fault in found)
    assert all(str(fault) for fault in found)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.text(LETTERS, max_size=80))
def test_any_list_file_compiles_or_has_faults(body: str) -> None:
    for field in ("card", "amount"):
        text = f'list l block {field} from "list"'
        assert list_files(text) == ["list"]
        assert {fault.name for fault in faults(text, list=body)} <= {"list"}


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(CONDITION, PAYMENTS, VALUES)
def test_rules_that_compile_can_be_asked_about_any_payment(condition: str, tx: Transaction, value: float) -> None:
    kinds = "for payment, refund, reversal"
    text = f"rule r {kinds} : when {condition} then floor 0.5 rule s {kinds} : when not ({condition}) then note"
    rules = compile_rules(text, WORDS)
    outcome = rules.judge(tx, np.full(len(NAMES), value, np.float32))
    assert [reason.code for reason in outcome.reasons] in (["rule:r"], ["rule:s"])
    assert outcome.floor in (0.0, 0.5)
