"""Expressions over own numbers are arithmetic; what cannot be computed is missing, and a fault has its place."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.core.attributes.algebra import compiled

NAMES = ("a", "b")
NUMBERS = {"a": 3.0, "b": -2.0, "amount": 12.5, "hour": 13.0, "weekday": 4.0}
PARTS = st.recursive(
    st.sampled_from(["a", "b", "amount", "2", "0.5"]),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner),
        st.builds("-{}".format, inner),
        st.builds("abs({})".format, inner),
        st.builds("min({}, {})".format, inner, inner),
        st.builds("max({}, {})".format, inner, inner),
    ),
    max_leaves=12,
)


def value(text: str, attrs: dict[str, Any] | None = None, **numbers: float) -> float:
    return compiled(text, NAMES, ("word",)).run({**NUMBERS, **numbers}, attrs or {})


@given(PARTS, st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_expression_equals_the_same_words_of_python(text: str, a: float, b: float) -> None:
    try:
        expected = eval(text, {"__builtins__": {}, "abs": abs, "min": min, "max": max}, {**NUMBERS, "a": a, "b": b})
    except ZeroDivisionError:
        return
    found = value(text, a=a, b=b)
    assert found == expected or (math.isnan(found) and math.isnan(expected))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log(amount)", math.log(12.5)),
        ("amount / (a - 3)", math.nan),
        ("log(b)", math.nan),
        ("missing(a)", 0.0),
        ("missing(word)", 1.0),
        ("attrs.a + hour + weekday", 20.0),
        ("distance_km(52.52, 13.405, 48.8566, 2.3522)", 877.46),
        ("distance_km(0, 0, 0, 180)", math.pi * 6371.0088),
        ("distance_km(95, 0, 0, 0)", math.nan),
    ],
)
def test_function_gives_its_value(text: str, expected: float) -> None:
    assert value(text) == pytest.approx(expected, rel=1e-4, nan_ok=True)


@pytest.mark.parametrize(
    "text", ["a + 1", "a * 0", "-a", "min(1, a)", "max(a, 1)", "log(a)", "distance_km(1, 2, 3, a)"]
)
def test_number_that_is_not_there_makes_what_is_computed_of_it_missing(text: str) -> None:
    assert math.isnan(value(text, a=math.nan))


def test_missing_tells_what_is_not_there() -> None:
    assert value("missing(a)", a=math.nan) == 1.0
    assert value("missing(word)", {"word": "here"}) == 0.0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a + bb", "expression:1:5: unknown name 'bb'. Did you mean 'b'?"),
        ("sqrt(a)", "expression:1:1: unknown function 'sqrt'."),
        ("min(a)", "'min' takes 2 to 8 numbers, here are 1"),
        ("word + 1", "'word' is a word, no number: only missing(word) can be asked of it"),
        ("a > 1", "expected a number"),
        ('"x"', "expected a number such as 12.5"),
        ("a +", "expected a name or a value"),
        ("a b", "expected an operator"),
        ("", "expected a name or a value"),
    ],
)
def test_fault_of_an_expression_has_place_and_repair(text: str, told: str) -> None:
    with pytest.raises(ValueError, match="expression:1:") as error:
        compiled(text, NAMES, ("word",))
    assert told in str(error.value)
