"""The promises of the RuleBook port, on every implementation."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from features.spec import spec
from fraud.core.ports import RuleBook, RuleOutcome
from fraud.core.records import Action, Kind, Transaction, Values
from tests.contract.rule_books import RULE_BOOKS, RULES, RuleBookCase

NAMES = spec().names
NEUTRAL = RuleOutcome()


class Asked(NamedTuple):
    """What a rule book is asked about."""

    tx: Transaction
    values: Values


def asked(amount: int, *, card: str = "c", kind: Kind = Kind.PAYMENT, burst: float = np.nan) -> Asked:
    values = np.full(len(NAMES), np.nan, np.float32)
    values[NAMES.index("card_count_10m")] = burst
    when = 1_704_110_400_000_000_000
    tx = Transaction(
        id="t", card=card, merchant="m", amount=amount, base_amount=amount, happened_at=when, seen_at=when, kind=kind
    )
    return Asked(tx, values)


def questions() -> dict[str, Asked]:
    """Return what is asked, by name, made anew."""
    return {
        "nothing": asked(100),
        "large": asked(60_000),
        "burst": asked(100, burst=4.0),
        "both": asked(60_000, burst=4.0),
        "trusted": asked(60_000, card="friend"),
        "stolen": asked(100, card="thief"),
        "refund": asked(60_000, kind=Kind.REFUND),
    }


NAMED = list(questions())


@pytest.fixture(params=RULE_BOOKS, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> RuleBookCase:
    found: RuleBookCase = request.param
    return found


@pytest.fixture
def rules(case: RuleBookCase, tmp_path: Path) -> RuleBook:
    return case.make(RULES, tmp_path)


def test_outcomes_of_one_question_are_equal_whatever_was_asked_between(rules: RuleBook) -> None:
    first = {name: rules.judge(*question) for name, question in questions().items()}
    again = {name: rules.judge(*question) for name, question in reversed(questions().items())}
    assert again == first


@pytest.mark.parametrize("name", NAMED)
def test_judging_changes_neither_version_nor_vector(rules: RuleBook, name: str) -> None:
    question, version = questions()[name], rules.version
    before = question.values.tobytes()
    rules.judge(*question)
    assert question.values.tobytes() == before
    assert rules.version == version


@pytest.mark.parametrize("name", NAMED)
def test_outcome_is_within_its_bounds_and_gives_a_reason(rules: RuleBook, name: str) -> None:
    outcome = rules.judge(*questions()[name])
    assert 0.0 <= outcome.floor <= 1.0
    assert outcome.at_least is None or outcome.at_most is None
    assert all(reason.code and reason.text for reason in outcome.reasons)
    assert outcome == NEUTRAL or outcome.reasons


EXPECTED: dict[str, tuple[list[str], float, Action | None, Action | None]] = {
    "nothing": ([], 0.0, None, None),
    "large": (["rule:large"], 0.6, Action.REVIEW, None),
    "burst": (["rule:burst"], 0.0, Action.CHALLENGE, None),
    "both": (["rule:large", "rule:burst"], 0.6, Action.REVIEW, None),
    "trusted": (["list:trusted"], 0.0, None, Action.APPROVE),
    "stolen": (["list:stolen"], 0.0, Action.DECLINE, None),
    "refund": (["rule:refunded"], 0.0, None, None),
}


@pytest.mark.parametrize("name", NAMED)
def test_outcome_is_that_of_the_rules_and_neutral_where_there_are_none(
    case: RuleBookCase, rules: RuleBook, name: str
) -> None:
    found = rules.judge(*questions()[name])
    expected = EXPECTED["nothing" if case.empty else name]
    assert ([reason.code for reason in found.reasons], found.floor, found.at_least, found.at_most) == expected


def test_version_is_a_name_and_the_same_for_the_same_text(case: RuleBookCase, tmp_path: Path) -> None:
    one, other = case.make(RULES, tmp_path).version, case.make(RULES, tmp_path).version
    assert one == other != ""


@pytest.mark.parametrize("change", [("500", "501"), ("0.6", "0.7"), ('"friend"', '"foe"'), ("note", "challenge")])
def test_version_changes_with_the_text(case: RuleBookCase, tmp_path: Path, change: tuple[str, str]) -> None:
    before, after = case.make(RULES, tmp_path).version, case.make(RULES.replace(*change), tmp_path).version
    assert (before != after) is not case.empty
