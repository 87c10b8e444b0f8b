"""What today would make of a payment that was decided before, or why that cannot be told."""

from typing import Any

import pytest

from fraud.core.policy import ThresholdPolicy
from fraud.core.records import HOUR, Versions
from fraud.core.rules.ruleset import compile_rules
from fraud.review.case_views import Notice
from fraud.review.database import Database
from fraud.review.library import InUse
from tests.review.seeding import (
    POLICY,
    RULE_SET,
    VOCABULARY,
    Site,
    alerted,
    case_of,
    decision,
    features,
    seen,
    site_of,
    take,
)
from tests.review.taken import NOW, STREAM, live, snapshot

MILDER = ThresholdPolicy(0.5, 0.7, 0.9)


@pytest.fixture
def site(database: Database) -> Site:
    made = site_of(database)
    made.shelf.policies[MILDER.version] = MILDER
    made.shelf.scores = {"blend@1": 0.25, "blend@2": 0.31}
    return made


def held(site: Site, number: int, **changes: Any) -> int:
    """Take in an alert of midday, when no rule speaks."""
    return alerted(site, number, at=STREAM + 12 * HOUR, **changes)


def notice(site: Site, number: int) -> Notice | None:
    return site.desk.case(case_of(site, number), site["vera"], NOW, number).why.notice


def test_nothing_is_said_where_nothing_differs(site: Site) -> None:
    assert notice(site, held(site, 1)) is None
    assert site.shelf.rescored == []


def test_other_model_and_policy_say_what_they_would_do(site: Site) -> None:
    number = held(site, 1)
    site.shelf.used = InUse("blend@2", RULE_SET.version, MILDER.version, "", "r-2")
    found = notice(site, number)
    assert found is not None
    assert (found.model, found.rules, found.policy, found.parameters) == ("blend@2", "", MILDER.version, "")
    assert (found.score, found.model_score, found.took, found.why_not) == (0.31, 0.31, "approve", "")
    assert found.release == "r-2"


def test_vector_is_scored_as_it_was_stored(site: Site) -> None:
    values = features(amount=447.3, hour=3.0)
    (number,) = take(site, seen(1, decision(1, POLICY.action(0.4, 0), parts=(("base", -0.7), ("exit", 0.0))), values))
    site.shelf.used = site.shelf.used._replace(model="blend@2")
    assert notice(site, number) is not None
    ((model, learned, of),) = site.shelf.rescored
    assert (model, learned, of.tx_id, of.model, of.log_odds) == ("blend@2", b"", "tx1", "blend@1", -0.7)
    assert of.values.tobytes() == values.tobytes()


def test_rules_of_today_lift_it_and_decide(site: Site) -> None:
    (number,) = take(site, seen(1, decision(1, POLICY.action(0.4, 0)), features(amount=447.3, hour=3.0)))
    harder = compile_rules('rule large "large" :\n    when amount > 50\n    then floor 0.9\n', VOCABULARY)
    site.shelf.rule_sets[harder.version] = harder
    site.shelf.used = site.shelf.used._replace(rules=harder.version)
    found = notice(site, number)
    assert found is not None
    assert (found.rules, found.score, found.model_score, found.took) == (harder.version, 0.9, 0.25, "decline")


def test_parameters_in_force_are_those_that_the_learner_told_last(site: Site) -> None:
    number = held(site, 1)
    take(site, snapshot(0, "7-ab", STREAM, b"seven"), snapshot(1, "8-cd", STREAM + 1, b"eight"))
    take(site, live(2, "7-ab", STREAM), live(3, "8-cd", STREAM + 1))
    found = notice(site, number)
    assert found is not None
    assert (found.parameters, found.model, found.score) == ("8-cd", "", 0.25)
    assert site.shelf.rescored[0][:2] == ("blend@1", b"eight")
    made = Versions("blend@1", decision(1).versions.spec, POLICY.version, RULE_SET.version, "8-cd")
    assert notice(site, held(site, 2, versions=made)) is None


def test_base_is_in_force_again_where_the_learner_says_so(site: Site) -> None:
    made = Versions("blend@1", decision(1).versions.spec, POLICY.version, RULE_SET.version, "7-ab")
    number = held(site, 1, versions=made)
    take(site, live(0, "", STREAM))
    found = notice(site, number)
    assert found is not None
    assert (found.parameters, found.score) == ("none", 0.25)


def test_newest_decision_says_what_decides_where_no_release_does(site: Site) -> None:
    number = held(site, 1)
    site.shelf.used = InUse(rules=RULE_SET.version, policy=POLICY.version)
    assert notice(site, number) is None
    made = Versions("blend@2", decision(1).versions.spec, POLICY.version, RULE_SET.version)
    held(site, 2, versions=made)
    found = notice(site, number)
    assert found is not None
    assert (found.model, found.score) == ("blend@2", 0.31)


@pytest.mark.parametrize(
    ("used", "why"),
    [
        ({"model": "blend@3"}, "blend@3 is not on this machine"),
        ({"policy": "0a11"}, "policy 0a11 is not kept here"),
        ({"rules": "fbc3"}, "rules fbc3 are not kept here, or the payment's features are of another release"),
    ],
)
def test_what_cannot_be_told_says_why_and_makes_nothing_up(site: Site, used: dict[str, str], why: str) -> None:
    number = held(site, 1)
    site.shelf.used = site.shelf.used._replace(**used)
    found = notice(site, number)
    assert found is not None
    assert (found.score, found.model_score, found.took, found.why_not) == (None, None, "", why)


def test_parameters_that_were_let_go_are_not_guessed(site: Site) -> None:
    number = held(site, 1)
    take(site, live(0, "9-ef", STREAM))
    found = notice(site, number)
    assert found is not None
    assert (found.score, found.why_not) == (None, "parameters 9-ef are not kept here")
