"""A fact states its direction in one number; of those that speak for fraud one is told."""

import math

import pytest

from models.reasons.facts import PLAIN, STANDS_OUT, Fact, plain, told


@pytest.mark.parametrize(
    ("times", "speaks"), [(STANDS_OUT, True), (30.0, True), (1.49, False), (0.0, False), (math.nan, False)]
)
def test_fact_speaks_where_it_tells_of_more_than_the_usual(times: float, speaks: bool) -> None:
    assert Fact("text", times).speaks is speaks


def test_fact_without_a_number_speaks() -> None:
    assert plain("text", "a_") == Fact("text", PLAIN, ("a_",))
    assert plain("text").speaks


@pytest.mark.parametrize(
    ("strongest", "text"),
    [("a_1d", "a"), ("b_1d", "b"), ("quiet_1d", "b"), ("other", "b"), ("", "b")],
)
def test_fact_of_the_strongest_feature_is_told_if_it_speaks_else_what_stands_out_most(
    strongest: str, text: str
) -> None:
    facts = Fact("a", 2.0, ("a_",)), Fact("b", 3.0, ("b_",)), Fact("quiet", 1.0, ("quiet_",)), None
    assert told(facts, strongest) == text


def test_nothing_is_told_where_no_fact_speaks() -> None:
    assert told((Fact("quiet", 1.0), None)) is None
    assert told(()) is None
