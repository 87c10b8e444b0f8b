"""A declaration is checked when it is read: names, numbers of them, expressions; each fault says what to do."""

import pytest

from fraud.core.attributes.declaration import AttrsSection, Declaration, declaration, differing, need_carried
from fraud.core.attributes.values import number_of, said, word_of
from fraud.core.errors import SettingsError


def test_declaration_does_not_depend_on_the_order_of_its_names() -> None:
    first = declaration(AttrsSection(number={"b": "", "a": "x"}, expression={"d": "a  -  b"}), "one")
    second = declaration(AttrsSection(number={"a": "", "b": ""}, expression={"d": "a - b"}), "two")
    assert first == second == Declaration(("a", "b"), (), (), (("d", "a - b"),))
    assert first.definitions == {"a": "number", "b": "number", "d": "= a - b"}


def test_nothing_declared_is_false() -> None:
    assert not declaration(AttrsSection(), "settings")


@pytest.mark.parametrize(
    ("section", "told"),
    [
        (AttrsSection(number={"Old": ""}), "here: 'Old' cannot name an own number: expected 1 to 40 of a-z"),
        (AttrsSection(number={"amount": ""}), "'amount' cannot name an own number, for it has a meaning of its own"),
        (AttrsSection(number={"when": ""}), "'when' cannot name an own number"),
        (AttrsSection(number={"a": ""}, expression={"a": "1"}), r"'a' is declared in \[attrs.number\] and"),
        (AttrsSection(number={f"n{i}": "" for i in range(65)}), "declares 65: expected at most 64; leave some out"),
        (AttrsSection(expression={"d": "a + 1"}), r"\[attrs.expression\] d = 'a \+ 1': expression:1:1: unknown name"),
        (AttrsSection(entity={"ip": ""}), r"\[attrs.entity\] ip: this release computes"),
    ],
)
def test_faulty_declaration_is_refused_in_words(section: AttrsSection, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        declaration(section, "here")


def test_settings_name_no_column() -> None:
    with pytest.raises(SettingsError, match=r'attrs\.number\.a is "x": expected ""'):
        need_carried(AttrsSection(number={"a": "x"}))
    need_carried(AttrsSection(number={"a": "x"}).carried())


def test_difference_of_two_declarations_is_told_by_name() -> None:
    first, second = Declaration(("a",), (), (), (("d", "1"),)), Declaration(("b",), (), (), (("d", "2"),))
    assert differing(first, second) == "'a' (number) only here; 'b' (number) only there; 'd' is = 1 here and = 2 there"
    assert not differing(first, first)


@pytest.mark.parametrize("value", ["1", True, None, [1], {}, float("inf"), float("nan"), 10**400, 1e39])
def test_value_of_another_type_is_no_number(value: object) -> None:
    assert number_of(value) != number_of(value)


def test_numbers_and_words_are_taken_as_they_are() -> None:
    assert (number_of(3), number_of(-2.5), word_of(" DE "), word_of(840)) == (3.0, -2.5, "DE", "840")
    assert (word_of(True), word_of(1.5), word_of("x" * 300), word_of(None)) == ("", "", "", "")
    assert [said(n) for n in (0.0, 31_000.0, 0.25, float("nan"))] == ["0", "31,000", "0.25", "not given"]


def test_wrong_values_are_named() -> None:
    declared = Declaration(numbers=("a", "b", "c"))
    assert list(declared.wrong({"a": "x", "b": None, "c": 1})) == ["a"]
